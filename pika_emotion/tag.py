"""What a tagger returns, and everything that is shown of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pika_emotion.errors import TagError
from pika_emotion.labels import LabelSet

_SUM_TOLERANCE = 1e-3
_AT_MOST = 1.0 + _SUM_TOLERANCE


@dataclass(frozen=True, slots=True)
class Tag:
    """A tagger's answer about one reply.

    Attributes:
        labels: the label set that the distribution is over.
        scores: probability of each label, in the set's order; they sum to 1.
        celebrate: probability that the child has just been objectively right, 0 to 1.
        tagger: name of the tagger that answered.

    Raises:
        TagError: the sizes differ, a value is not a probability, or the sum is not 1 (a rounding
            error of up to 0.001 is mended).
    """

    labels: LabelSet
    scores: tuple[float, ...]
    celebrate: float
    tagger: str

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.labels):
            raise TagError(
                f"{len(self.scores)} scores for {len(self.labels)} labels from tagger "
                f"'{self.tagger}'; it must give one for each label"
            )
        for score in (*self.scores, self.celebrate):
            if not 0.0 <= score <= _AT_MOST:  # nor NaN, which compares false
                raise TagError(
                    f"{score!r} from tagger '{self.tagger}' is not a probability; "
                    "it must give finite numbers from 0 to 1"
                )
        total = math.fsum(self.scores)
        if abs(total - 1.0) > _SUM_TOLERANCE:
            raise TagError(
                f"scores of tagger '{self.tagger}' sum to {total:.4g}; they must sum to 1"
            )
        # float: a tagger may give numpy's numbers, which neither JSON nor a message takes.
        object.__setattr__(self, "scores", tuple(float(score) / total for score in self.scores))
        object.__setattr__(self, "celebrate", min(float(self.celebrate), 1.0))

    @classmethod
    def neutral(cls, labels: LabelSet, tagger: str) -> "Tag":
        """Return the answer where there is nothing to read: the neutral label, hardly sure."""
        uniform = 1.0 / (len(labels) + 1)
        scores = [uniform] * len(labels)
        scores[labels.neutral] += uniform
        return cls(labels, tuple(scores), 0.0, tagger)

    @property
    def emotion(self) -> str:
        """Name of the most probable label; the first of equals."""
        return self.labels.names[self._best]

    @property
    def confidence(self) -> float:
        """Probability of ``emotion``, 0 to 1."""
        return self.scores[self._best]

    @property
    def valence(self) -> float:
        """Mean valence over the distribution, -1 to 1."""
        return self._mean([label.valence for label in self.labels])

    @property
    def arousal(self) -> float:
        """Mean arousal over the distribution, 0 to 1."""
        return self._mean([label.arousal for label in self.labels])

    def celebrates(self, threshold: float) -> bool:
        """Whether the celebrate probability reaches the threshold."""
        return self.celebrate >= threshold

    def shown(self, threshold: float) -> dict[str, Any]:
        """Return all that is shown of this tag, by the names of the fields of ``EmotionTag``."""
        return {
            "emotion": self.emotion,
            "confidence": self.confidence,
            "celebrate": self.celebrates(threshold),
            "celebrate_probability": self.celebrate,
            "labels": list(self.labels.names),
            "scores": list(self.scores),
            "valence": self.valence,
            "arousal": self.arousal,
            "tagger": self.tagger,
        }

    @property
    def _best(self) -> int:
        return max(range(len(self.scores)), key=self.scores.__getitem__)

    def _mean(self, values: Sequence[float]) -> float:
        return math.fsum(s * v for s, v in zip(self.scores, values, strict=True))
