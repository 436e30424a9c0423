"""Labelled turns as arrays, for training."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from pika_emotion import features
from pika_emotion.corpus import Row

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

FOLDS = 5
# Share of a row's weight that its other acceptable labels have between them.
ACCEPTABLE_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Examples:
    """What is learned from, as arrays of one row a turn.

    Attributes:
        seen: the turns' n-grams.
        dense: their dense features.
        emotions: target distribution over the labels.
        celebrate: 1 for yes, 0 for no, between them where a probability is what is known.
        judged: whether celebrate is known (not ``either``).
        task: 1 where something is asked for that can be right; where the data does not say, where
            it was celebrated.
        asked: whether ``task`` is 1 or the data does not say.
        written: whether it is a labelled row, not a teacher's answer, which says of a question no
            more than whether its answer was celebrated.
        fold: which part of the scenarios the turn belongs to.
        weight: how many written turns it counts as.
    """

    seen: list[features.Grams]
    dense: Floats
    emotions: Floats
    celebrate: Floats
    judged: Flags
    task: Floats
    asked: Flags
    written: Flags
    fold: npt.NDArray[np.intp]
    weight: Floats

    def take(self, rows: npt.NDArray[np.intp]) -> "Examples":
        """Return some of the rows."""
        return Examples(
            [self.seen[i] for i in rows],
            self.dense[rows],
            self.emotions[rows],
            self.celebrate[rows],
            self.judged[rows],
            self.task[rows],
            self.asked[rows],
            self.written[rows],
            self.fold[rows],
            self.weight[rows],
        )

    def joined(self, more: "Examples") -> "Examples":
        """Return these and more."""
        seen, *arrays = (
            (getattr(self, field.name), getattr(more, field.name)) for field in fields(self)
        )
        return Examples([*seen[0], *seen[1]], *(np.concatenate(pair) for pair in arrays))


def examples(rows: Sequence[Row], names: Sequence[str]) -> Examples:
    """Turn rows into arrays."""
    seen = [features.extract(row.turn) for row in rows]
    emotions = np.zeros((len(rows), len(names)), np.float32)
    for target, row in zip(emotions, rows, strict=True):
        first, *others = (names.index(name) for name in row.emotions)
        target[first] = 1.0 - ACCEPTABLE_SHARE * bool(others)
        target[others] = ACCEPTABLE_SHARE / max(1, len(others))
    # A scenario's turns stay together: they share questions and words.
    scenes = [row.scene for row in rows]
    return Examples(
        [one.grams for one in seen],
        np.stack([one.dense for one in seen]),
        emotions,
        np.array([row.celebrate == "yes" for row in rows], np.float32),
        np.array([row.celebrate != "either" for row in rows]),
        np.array([(row.asks or row.celebrate) in ("right", "yes") for row in rows], np.float32),
        np.array([row.asks in ("right", "") for row in rows]),
        np.ones(len(rows), np.bool_),
        folds(scenes),
        np.ones(len(rows), np.float32),
    )


def folds(scenes: Sequence[str]) -> npt.NDArray[np.intp]:
    """Return the part that each scenario belongs to, by its name."""
    return np.array([zlib.crc32(scene.encode()) % FOLDS for scene in scenes], np.intp)
