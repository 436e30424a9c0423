"""Measures of a tagger with their uncertainty: the bootstrap over scenarios (Efron 1979)."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pika_emotion.calibration import Doubles, log_odds
from pika_emotion.corpus import Row
from pika_emotion.evaluation import ECE_BINS
from pika_emotion.logits import sigmoid, softmax
from pika_emotion.tag import Tag

RESAMPLES = 2000
SEED = 0

Integers = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Gold:
    """What the rows say: of N rows over K labels.

    Attributes:
        primary: index of each row's primary label.
        acceptable: N rows of K, whether a label is acceptable.
        yes: whether the child was right.
        judged: whether that is known (not ``either``).
        scene: index of each row's scenario.
    """

    primary: Integers
    acceptable: Bools
    yes: Bools
    judged: Bools
    scene: Integers

    @classmethod
    def of(cls, rows: Sequence[Row], names: Sequence[str]) -> "Gold":
        """Read it from rows, of which there must be at least one."""
        scenes = [row.scene for row in rows]
        order = sorted(set(scenes), key=lambda name: (zlib.crc32(name.encode()), name))
        place = {name: i for i, name in enumerate(order)}
        return cls(
            np.array([names.index(row.emotions[0]) for row in rows], np.intp),
            np.array([[name in row.emotions for name in names] for row in rows], np.bool_),
            np.array([row.celebrate == "yes" for row in rows], np.bool_),
            np.array([row.celebrate != "either" for row in rows], np.bool_),
            np.array([place[scene] for scene in scenes], np.intp),
        )


@dataclass(frozen=True, slots=True)
class Answers:
    """A tagger's answers as logits: N rows of K for the labels, N for celebrate."""

    emotion: Doubles
    celebrate: Doubles

    @classmethod
    def of(cls, tags: Sequence[Tag]) -> "Answers":
        """Take them from tags."""
        scores = np.array([tag.scores for tag in tags])
        return cls(*log_odds(scores, np.array([tag.celebrate for tag in tags])))

    def take(self, rows: Bools) -> "Answers":
        """Return some of the rows."""
        return Answers(self.emotion[rows], self.celebrate[rows])


def resample(gold: Gold) -> Doubles:
    """Return how often each row counts in each resample; the first has every row once.

    Scenarios are drawn, not rows: the turns of one are alike.
    """
    scenes = int(gold.scene.max()) + 1
    drawn = np.random.default_rng(SEED).multinomial(
        scenes, np.full(scenes, 1 / scenes), size=RESAMPLES
    )
    counts = np.concatenate([np.ones((1, scenes)), drawn])
    return np.asarray(counts[:, gold.scene], np.float64)


def measure(answers: Answers, gold: Gold, counts: Doubles, threshold: float) -> dict[str, Doubles]:
    """Return measures by name, a value for each resample; NaN where there is nothing to measure.

    Names and meanings are those of ``evaluation.Measures``; ``emotion_nll`` and ``celebrate_nll``
    are the mean negative log likelihoods of the primary label and of yes or no, nats.
    """
    rows, names = np.arange(len(gold.primary)), answers.emotion.shape[1]
    chances, yes_chance = softmax(answers.emotion), sigmoid(answers.celebrate)
    given, confidence = chances.argmax(axis=1), chances.max(axis=1)
    right = (given == gold.primary).astype(np.float64)
    yes = yes_chance >= threshold
    told = np.clip(np.where(gold.yes, yes_chance, 1 - yes_chance), 1e-12, 1.0)
    asked = counts * gold.judged

    def mean(values: Any, weights: Doubles = counts) -> Doubles:
        with np.errstate(invalid="ignore"):
            return np.asarray(weights @ np.asarray(values, np.float64) / weights.sum(axis=1))

    classes, bins = np.eye(names), np.eye(ECE_BINS)
    inside = bins[np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)]
    gap = counts @ (inside * (confidence - right)[:, None])
    hits = counts @ (classes[given] * right[:, None])
    wanted, chosen = counts @ classes[gold.primary], counts @ classes[given]
    f1 = np.where(wanted > 0, 2 * hits / np.maximum(wanted + chosen, 1.0), 0.0)
    return {
        "emotion_primary": mean(right),
        "emotion_acceptable": mean(gold.acceptable[rows, given]),
        "emotion_macro_f1": f1.sum(axis=1) / np.maximum((wanted > 0).sum(axis=1), 1),
        "emotion_nll": mean(-np.log(np.maximum(chances[rows, gold.primary], 1e-12))),
        "celebrate_accuracy": mean(yes == gold.yes, asked),
        "celebrate_precision": mean(gold.yes, asked * yes),
        "celebrate_recall": mean(yes, asked * gold.yes),
        "celebrate_nll": mean(-np.log(told), asked),
        "ece": np.abs(gap).sum(axis=1) / counts.sum(axis=1),
    }


def interval(values: Doubles) -> list[float] | None:
    """Return the value and its 95 % interval by percentiles; None where there is no value."""
    if not np.isfinite(values[0]):
        return None
    low, high = np.nanpercentile(values[1:], (2.5, 97.5))
    return [round(float(v), 6) for v in (values[0], low, high)]
