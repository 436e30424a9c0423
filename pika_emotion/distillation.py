"""Distils a teacher into the reflex: its answers about a robot's own turns become examples.

The reflex learns from them beside the written turns: from the teacher's whole distribution over
the labels (Hinton et al. 2015), and from its yes or no to celebrate. Turns that the teacher doubts
are left to people, and a fifth of the scenes is kept back to measure by.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pika_emotion import features
from pika_emotion.bag_turns import Conversation, Recording
from pika_emotion.corpus import Row, expand, read_turns
from pika_emotion.dialogue import Turn
from pika_emotion.errors import ConfigError, CorpusError
from pika_emotion.examples import Examples, folds
from pika_emotion.labels import LabelSet
from pika_emotion.resampling import Answers, Gold, interval, measure, resample
from pika_emotion.tag import Tag

# Celebrate's probability is doubtful when it is this near a half.
CELEBRATE_MARGIN = 0.15
HELD_OUT_PART = 5
# Measures of which less is better.
COSTS = ("emotion_nll", "celebrate_nll", "ece")
_DOUBTFUL_COLUMNS = (
    *("question", "child", "reply", "emotions", "celebrate", "scenario"),
    *("confidence", "celebrate_probability", "doubt"),
)


@dataclass(frozen=True, slots=True)
class Heard:
    """One turn of the robot's.

    Attributes:
        turn: the turn.
        scenario: the scene that it belongs to, or empty.
    """

    turn: Turn
    scenario: str = ""

    @property
    def scene(self) -> str:
        """What its turns must stay together by."""
        return self.scenario or self.turn.question or self.turn.reply

    @property
    def held_out(self) -> bool:
        """Whether it is kept back to measure by; not the same choice as that of the folds."""
        return zlib.crc32(f"held out {self.scene}".encode()) % HELD_OUT_PART == 0


@dataclass(frozen=True, slots=True)
class Taught:
    """A turn and what the teacher says of it."""

    heard: Heard
    tag: Tag

    def doubts(self, confidence: float) -> list[str]:
        """Return what the teacher is not sure of: ``emotion``, ``celebrate``."""
        unsure = (self.tag.confidence < confidence, self.celebrate == "either")
        return [name for name, is_so in zip(("emotion", "celebrate"), unsure, strict=True) if is_so]

    @property
    def celebrate(self) -> str:
        """What the teacher says of celebrate, in the words of a labelled turn."""
        if abs(self.tag.celebrate - 0.5) < CELEBRATE_MARGIN:
            return "either"
        return "yes" if self.tag.celebrate > 0.5 else "no"

    @property
    def row(self) -> Row:
        """The turn, labelled by the teacher."""
        return Row(self.heard.turn, (self.tag.emotion,), self.celebrate, self.heard.scene)


def is_table(path: Path) -> bool:
    """Whether a path holds turns as TSV: a file, or a folder of some; else it is a bag."""
    return path.suffix == ".tsv" or (path.is_dir() and any(path.glob("*.tsv")))


def turns_of_tables(path: Path) -> list[Heard]:
    """Return the turns of a TSV file, or of a folder of some.

    Raises:
        CorpusError: a file is missing or wrong.
    """
    return [Heard(turn, scene) for file in expand([path]) for turn, scene in read_turns(file)]


def turns_of_bag(path: Path, conversation: Conversation) -> list[Heard]:
    """Return the turns of a recorded conversation, paired as the node pairs them.

    Raises:
        BagError: the bag is missing or damaged, or lacks a topic or a turn.
    """
    with Recording(path, conversation) as recording:
        turns = [Heard(recorded.turn) for recorded in recording.turns()]
    return [one for one in turns if one.turn.reply]


def distinct(turns: Sequence[Heard]) -> list[Heard]:
    """Return every turn once, where it comes first.

    Raises:
        CorpusError: there is none.
    """
    found: dict[Turn, Heard] = {}
    for one in turns:
        found.setdefault(one.turn, one)
    if not found:
        raise CorpusError("no turn with a reply in what was given; name a bag or TSV that has some")
    return list(found.values())


def sift(taught: Sequence[Taught], confidence: float) -> tuple[list[Taught], list[Taught]]:
    """Return the turns that the teacher is sure of, and those that it doubts.

    Raises:
        CorpusError: there is nothing to learn from.
    """
    kept = [one for one in taught if not one.doubts(confidence)]
    if all(one.heard.held_out for one in kept):
        raise CorpusError(
            f"the teacher is sure of {len(kept)} of {len(taught)} turns, which leaves none to "
            "learn from; give more turns, or ask for less with --confidence"
        )
    return kept, [one for one in taught if one.doubts(confidence)]


def to_correct(doubtful: Sequence[Taught]) -> list[Taught]:
    """Return the doubtful turns that a person may correct and give as written ones.

    Those of the scenes kept back are not among them: written turns are learned from.
    """
    return [one for one in doubtful if not one.heard.held_out]


def examples_of(taught: Sequence[Taught], weight: float) -> Examples:
    """Turn taught turns into examples.

    Their targets are the teacher's probabilities of the labels, and its yes or no to celebrate: a
    probability that always stops short of 1 would teach the reflex to doubt, even what it was right
    to be sure of.
    """
    seen = [features.extract(one.heard.turn) for one in taught]
    celebrate = np.array([one.celebrate == "yes" for one in taught], np.float32)
    always = np.ones(len(taught), np.bool_)
    return Examples(
        seen=[one.grams for one in seen],
        dense=np.stack([one.dense for one in seen]),
        emotions=np.array([one.tag.scores for one in taught], np.float32),
        celebrate=celebrate,
        judged=np.array([one.celebrate != "either" for one in taught], np.bool_),
        task=celebrate,
        asked=always,
        written=~always,
        fold=folds([one.heard.scene for one in taught]),
        weight=np.full(len(taught), weight, np.float32),
    )


def default_weight(written: int, taught: int) -> float:
    """Return what a taught turn counts, so that all count no more than the written ones."""
    return min(1.0, written / taught)


def compare(
    old: Sequence[Tag],
    new: Sequence[Tag],
    rows: Sequence[Row],
    labels: LabelSet,
    threshold: float,
) -> dict[str, dict[str, list[float] | None]]:
    """Return each measure's ``old``, ``new`` and ``difference``, new less old.

    Each is the value and its 95 % interval, by the same resamples of the scenarios; None where
    there is nothing to measure, and for the differences of a single scenario: nothing says how
    far another one would differ.
    """
    gold = Gold.of(rows, labels.names)
    counts = resample(gold)
    before, after = (measure(Answers.of(tags), gold, counts, threshold) for tags in (old, new))
    several = bool(gold.scene.any())
    return {
        name: {
            "old": interval(before[name]),
            "new": interval(after[name]),
            "difference": interval(after[name] - before[name]) if several else None,
        }
        for name in before
    }


def significant(compared: dict[str, dict[str, Any]], *, better: bool) -> list[str]:
    """Return the measures that are better, or worse, by an interval without 0."""
    found = []
    for name, values in compared.items():
        _, low, high = values["difference"] or (0.0, 0.0, 0.0)
        if (low > 0 or high < 0) and ((low > 0) != (name in COSTS)) == better:
            found.append(name)
    return found


def write_doubtful(file: Path, doubtful: Sequence[Taught], confidence: float) -> None:
    """Write turns as TSV of labelled turns with the teacher's guess, for a person to correct.

    Raises:
        ConfigError: the file cannot be written, or holds something else.
    """
    lines = ["\t".join(_DOUBTFUL_COLUMNS)]
    for one in doubtful:
        turn, tag = one.heard.turn, one.tag
        cells = (
            *(turn.question, turn.child, turn.reply, tag.emotion, one.celebrate),
            *(one.heard.scenario, f"{tag.confidence:.2f}", f"{tag.celebrate:.2f}"),
            ", ".join(one.doubts(confidence)),
        )
        lines.append("\t".join(cells))
    text = "\n".join(lines) + "\n"
    try:
        # A run that goes on finds its own file there; any other may be a person's work.
        if file.exists() and file.read_bytes() != text.encode():
            raise ConfigError(
                f"--doubtful '{file}' holds something else and may be somebody's work; "
                "name another file, or move this one away"
            )
        file.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise ConfigError(
            f"doubtful turns cannot be written to '{file}' ({error}); name a file that can be"
        ) from error
