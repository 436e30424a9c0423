"""A tagger as its calibration card corrects it; without a fitting card it answers as it is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pika_emotion import calibration, resources
from pika_emotion.calibration import Card
from pika_emotion.dialogue import Turn
from pika_emotion.errors import CalibrationError
from pika_emotion.labels import LabelSet
from pika_emotion.tag import Tag
from pika_emotion.taggers import Tagger
from pika_emotion.taggers.reflex import MODEL_FILE

OFF = "none"


class CalibratedTagger:
    """Passes everything on to a tagger, and corrects its answers. As thread-safe as that one.

    Args:
        tagger: whose answers are corrected.
        reflex: mixed in with ``pool``, where it must be there; loaded already.
        labels: what both answer with.
        settings: ``calibration`` (a card's file, a folder of cards, empty for the usual folder, or
            ``none``), ``pool`` and ``reflex.model`` of the node's parameters.
    """

    def __init__(
        self, tagger: Tagger, reflex: Tagger | None, labels: LabelSet, settings: Mapping[str, Any]
    ) -> None:
        self.name = tagger.name
        self._tagger = tagger
        self._reflex = reflex
        self._labels = labels
        self._place = str(settings["calibration"])
        self._pool = bool(settings["pool"])
        self._reflex_file = str(settings.get("reflex.model", ""))
        self._card: Card | None = None
        self._state = "not loaded"
        self._warning: str | None = None

    def load(self) -> None:
        """Load the tagger, then look for its card; one that does not fit is told, not raised.

        Raises:
            TaggerError: the tagger cannot load.
        """
        self._tagger.load()
        self._choose_card()
        if hasattr(self._tagger, "on_change"):  # what it asks may be exchanged while it serves
            self._tagger.on_change = self._choose_card

    def _choose_card(self) -> None:
        self._warning = None
        if self._place == OFF:
            self._state = "off"
            return
        try:
            self._use(self._find())
        except CalibrationError as error:
            self._card = None
            self._state = f"UNCALIBRATED: {error}"
            if self._pool:
                self._warning = f"pool is not used; {self.name} is UNCALIBRATED: {error}"

    @property
    def uncalibrated(self) -> bool:
        """Whether the tagger answers without a card."""
        return self._card is None and self._state.startswith("UNCALIBRATED")

    @property
    def warning(self) -> str | None:
        """What is wrong about using this tagger as it is set; None where nothing is."""
        return self._warning

    def prefill(self, turn: Turn) -> None:
        """Pass the hint on."""
        self._tagger.prefill(turn)

    def tag(self, turn: Turn, deadline: float) -> Tag:
        """Answer as the tagger does, corrected.

        Raises:
            TaggerError: as the tagger.
        """
        tag = self._tagger.tag(turn, deadline)
        card = self._card  # another thread may choose anew
        # What is no tag over our labels is for the caller to judge.
        if card is None or not isinstance(tag, Tag) or tag.labels != self._labels:
            return tag
        if self._pool and self._reflex is not None:
            return card.fit.pool(tag, self._reflex.tag(turn, deadline))
        return card.fit.calibrate(tag)

    def describe(self) -> Mapping[str, str]:
        """Return what the tagger tells, and its ``calibration``."""
        return {**self._tagger.describe(), "calibration": self._state}

    def close(self) -> None:
        """Close the tagger; the reflex belongs to somebody else."""
        self._tagger.close()

    def _find(self) -> Card:
        key = calibration.key_of(self._tagger, self._labels)
        file = Path(self._place)
        if not self._place or file.is_dir():
            file = calibration.file_of(self.name, key, file if self._place else None)
            if not file.exists():
                raise CalibrationError(
                    f"no card for this model, prompt and labels ({file.name} in {file.parent}); "
                    f"make it with 'pika-emotion calibrate --tagger {self.name}'"
                )
        card = calibration.read(file)
        if card.key != key:
            other = ", ".join(
                what
                for what in ("model", "prompt", "labels")
                if getattr(card.key, what) != getattr(key, what)
            )
            raise CalibrationError(
                f"card '{file}' was made for other {other}; "
                f"make one with 'pika-emotion calibrate --tagger {self.name}'"
            )
        return card

    def _use(self, card: Card) -> None:
        reflex = calibration.file_hash(Path(self._reflex_file or resources.find(MODEL_FILE)))
        if card.reflex != reflex and self._pool:
            raise CalibrationError(
                "the card's pool was fitted with another reflex; "
                f"run 'pika-emotion calibrate --tagger {self.name}' again, or set pool to false"
            )
        self._card = card
        self._state = (
            f"{self.name}-{card.key.short}, temperature {card.fit.emotion.temperature:.2f}, "
            f"{card.data['rows']} turns"
        )
        if self._pool:
            self._state += f", pool with {card.fit.pool_emotion.reflex:.2f} of the reflex"
        worse = card.worse_than_reflex(pooled=self._pool) if card.reflex == reflex else ""
        if worse:
            remedy = "use a better model, or set tagger to reflex"
            self._warning = (
                f"{self.name} is worse than the reflex on {card.data['rows']} turns: {worse}; "
                f"{remedy if self._pool else remedy + ' or pool to true'}"
            )
