"""Finds the labelled rows of a bag's turns, by their texts."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pika_emotion.corpus import Row, read_file
from pika_emotion.dialogue import Turn
from pika_emotion.labels import LabelSet

_FIRST_LINE = 2  # below the header; every line is a row


class Truth:
    """The labelled rows of one file, each of which belongs to one turn at most.

    Attributes:
        rows: how many the file has.

    Raises:
        CorpusError: the file is missing or wrong.
    """

    def __init__(self, file: Path, labels: LabelSet) -> None:
        rows = read_file(file, labels)
        self.rows = len(rows)
        self._free: dict[tuple[str, str, str], deque[tuple[int, Row]]] = {}
        for line, row in enumerate(rows, _FIRST_LINE):
            self._free.setdefault(_texts(row.turn), deque()).append((line, row))

    def take(self, turn: Turn) -> Row | None:
        """Return a turn's row, the first of those with its texts that no turn has taken yet.

        The row's turn is the bag's own: how it was heard says whether it is an event.
        """
        free = self._free.get(_texts(turn))
        return replace(free.popleft()[1], turn=turn) if free else None

    @property
    def unmatched_lines(self) -> Sequence[int]:
        """The numbers of the file's lines that no turn has taken, from 1, the header's."""
        return sorted(line for free in self._free.values() for line, _ in free)


def _texts(turn: Turn) -> tuple[str, str, str]:
    return turn.question, turn.child, turn.reply
