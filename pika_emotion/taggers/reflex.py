"""The reflex: a small model that answers at once, the floor under every other tagger."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pika_emotion import model as models
from pika_emotion import resources
from pika_emotion.dialogue import Turn
from pika_emotion.errors import ModelError
from pika_emotion.labels import LabelSet
from pika_emotion.parameters import Parameter
from pika_emotion.tag import Tag

PARAMETERS = (
    Parameter("reflex.model", "", "the reflex's model file; empty for the package's own"),
)
MODEL_FILE = "resource/reflex.npz"

_Known = tuple[str, str, bool]


def create(labels: LabelSet, settings: Mapping[str, Any]) -> "ReflexTagger":
    """Build the tagger, not loaded yet."""
    return ReflexTagger(labels, settings["reflex.model"])


class ReflexTagger:
    """Answers within a fraction of a millisecond, from any thread.

    Args:
        labels: what it may answer; those that its model was not trained for get 0.
        file: the model file; empty for the package's own.
    """

    name = "reflex"

    def __init__(self, labels: LabelSet, file: str = "") -> None:
        self._labels = labels
        self._file = file
        self._model: models.Model | None = None
        # One tuple, so that a thread sees both or neither.
        self._begun: tuple[_Known | None, models.Begun | None] = (None, None)

    def load(self) -> None:
        """Read the model file; milliseconds.

        Raises:
            ModelError: it is missing, damaged, or trained for none of the labels.
            ResourceError: the package's own is missing.
        """
        file = self._file or str(resources.find(MODEL_FILE))
        model = models.load(file)
        known = [name for name in self._labels.names if name in model.labels]
        if not known:
            raise ModelError(
                f"model file '{file}' was trained for none of the labels "
                f"{', '.join(self._labels.names)} but for {', '.join(model.labels)}; "
                "train one for these labels with 'pika-emotion train'"
            )
        self._places = np.array([self._labels.names.index(name) for name in known])
        self._outputs = np.array([model.labels.index(name) for name in known])
        self._model = model

    def prefill(self, turn: Turn) -> None:
        """Work out what a turn shows before its reply is known; a fraction of a millisecond."""
        model, known = self._model, _before_reply(turn)
        if model is not None and known != self._begun[0]:
            self._begun = (known, model.begin(turn))

    def tag(self, turn: Turn, deadline: float) -> Tag:
        """Answer about a turn's reply, whatever the deadline."""
        if not turn.reply:
            return Tag.neutral(self._labels, self.name)
        if self._model is None:
            raise ModelError("the reflex is not loaded; call load() first")
        known, begun = self._begun
        if known != _before_reply(turn):
            begun = None
        emotions, celebrate = self._model.predict(turn, begun)
        scores = np.zeros(len(self._labels))
        scores[self._places] = emotions[self._outputs]
        return Tag(self._labels, tuple((scores / scores.sum()).tolist()), celebrate, self.name)

    def describe(self) -> dict[str, str]:
        """Return the model's origin and the labels that it can never give."""
        if self._model is None:
            return {"state": "not loaded"}
        missing = [name for name in self._labels.names if name not in self._model.labels]
        card = self._model.card
        return {
            "model": self._file or MODEL_FILE,
            "trained on": f"{card['train']['rows']} turns, data {card['data_sha256'][:12]}",
            "cannot give": ", ".join(missing) or "none",
        }

    def close(self) -> None:
        """Forget the model."""
        self._model = None
        self._begun = (None, None)


def _before_reply(turn: Turn) -> _Known:
    return turn.question, turn.child, turn.event
