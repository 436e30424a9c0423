"""Labelled turns in TSV files: what the tools learn from and measure against.

A file is UTF-8 with a header line, a tab between columns and no quoting; a tab or a newline
inside a text is written as a space.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pika_emotion.dialogue import Turn, make_turn
from pika_emotion.errors import CorpusError
from pika_emotion.labels import LabelSet

TEXTS = ("question", "child", "reply")
COLUMNS = (*TEXTS, "emotions", "celebrate")
CELEBRATIONS = ("yes", "no", "either")
ASKED = ("right", "free", "nothing", "unclear")


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled turn.

    Attributes:
        turn: the turn, its texts cleaned as in a live conversation.
        emotions: the acceptable labels; the first is the primary one.
        celebrate: ``yes``, ``no``, or ``either`` where nobody could tell.
        scenario: the scene that the turn belongs to, or empty.
        contrast: ``KIND:NN`` of a pair that differs in little but celebrate, or empty.
        asks: what the question asks for: something that can be ``right``, something ``free`` of
            right and wrong, ``nothing``, or ``unclear``; empty where nobody has said.
    """

    turn: Turn
    emotions: tuple[str, ...]
    celebrate: str
    scenario: str = ""
    contrast: str = ""
    asks: str = ""

    @property
    def scene(self) -> str:
        """What its turns must stay together by: the scenario, else the question."""
        return self.scenario or self.turn.question


def read_rows(files: Iterable[str | Path], labels: LabelSet) -> list[Row]:
    """Read the rows of several files, in order; a folder stands for the ``.tsv`` files in it.

    Raises:
        CorpusError: a file is missing or wrong; the message names the file, the line and the
            remedy.
    """
    return [row for file in expand(files) for row in read_file(file, labels)]


def expand(files: Iterable[str | Path]) -> list[Path]:
    """Return the files, each folder replaced by its ``.tsv`` files in the order of their names.

    Raises:
        CorpusError: a folder holds none.
    """
    paths: list[Path] = []
    for file in map(Path, files):
        inside = sorted(file.glob("*.tsv")) if file.is_dir() else [file]
        if not inside:
            raise CorpusError(f"folder '{file}' holds no .tsv file; name one that does")
        paths += inside
    return paths


def read_file(file: str | Path, labels: LabelSet) -> list[Row]:
    """Read one file.

    Raises:
        CorpusError: as ``read_rows``.
    """
    return list(_Reader(Path(file), labels.names).rows())


def read_turns(file: str | Path) -> list[tuple[Turn, str]]:
    """Read the turns of a file without what their labels are, if it has any; and their scenarios.

    Raises:
        CorpusError: as ``read_rows``; of the columns it needs those of the texts alone.
    """
    return list(_Reader(Path(file), ()).turns())


def data_hash(files: Iterable[str | Path]) -> str:
    """Return the SHA-256 of the files' contents, whatever their names, in hexadecimal.

    Raises:
        CorpusError: a file cannot be read.
    """
    whole = hashlib.sha256()
    for file in map(Path, files):
        try:
            content = file.read_bytes()
        except OSError as error:
            raise CorpusError(
                f"data file '{file}' cannot be read ({error}); name a readable UTF-8 file"
            ) from error
        whole.update(hashlib.sha256(content).digest())
    return whole.hexdigest()


class _Reader:
    """Reads one file; knows where it is, for the messages."""

    def __init__(self, file: Path, names: Sequence[str]) -> None:
        self._file = file
        self._names = names

    def rows(self) -> Iterator[Row]:
        for number, cells in self._cells(COLUMNS):
            yield self._row(number, cells)

    def turns(self) -> Iterator[tuple[Turn, str]]:
        for number, cells in self._cells(TEXTS):
            yield self._turn(number, cells), cells.get("scenario", "")

    def _cells(self, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
        lines = self._lines()
        header = lines[0].split("\t")
        for column in needed:
            if column not in header:
                raise self._error(
                    1, f"no column '{column}' in the header; it needs {', '.join(needed)}"
                )
            if header.count(column) > 1:
                raise self._error(1, f"column '{column}' is there twice; drop one of the two")
        if len(lines) < 2:
            raise self._error(1, "no row below the header; add one, or leave the file out")
        for number, line in enumerate(lines[1:], 2):
            cells = line.split("\t")
            if len(cells) != len(header):
                raise self._error(
                    number,
                    f"{len(cells)} cells where the header has {len(header)}; "
                    "write a tab inside a text as a space, and a tab for each empty cell",
                )
            yield number, dict(zip(header, cells, strict=True))

    def _lines(self) -> Sequence[str]:
        try:
            text = self._file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise CorpusError(
                f"data file '{self._file}' cannot be read ({error}); name a readable UTF-8 file"
            ) from error
        # Only newlines end a line: texts may hold U+2028 and its like, which splitlines() cuts at.
        lines = [line.removesuffix("\r") for line in text.split("\n")]
        if lines[-1] == "":
            lines.pop()
        return lines or [""]

    def _row(self, number: int, cells: dict[str, str]) -> Row:
        emotions = tuple(name.strip() for name in cells["emotions"].split(","))
        for name in emotions:
            if name not in self._names:
                raise self._error(
                    number, f"unknown label '{name}'; choose from {', '.join(self._names)}"
                )
            if emotions.count(name) > 1:
                raise self._error(number, f"label '{name}' is there twice; drop one of the two")
        celebrate = cells["celebrate"].strip()
        if celebrate not in CELEBRATIONS:
            raise self._error(number, f"celebrate '{celebrate}' must be yes, no or either")
        turn = self._turn(number, cells)
        asks = cells.get("asks", "").strip()
        if asks and asks not in ASKED:
            raise self._error(number, f"asks '{asks}' must be {', '.join(ASKED)} or empty")
        more = (cells.get("scenario", ""), cells.get("contrast", ""))
        return Row(turn, emotions, celebrate, *more, asks)

    def _turn(self, number: int, cells: dict[str, str]) -> Turn:
        turn = make_turn(cells["question"], cells["child"], cells["reply"])
        if not turn.reply:
            raise self._error(number, "no reply; a tag is about the reply, so add one")
        return turn

    def _error(self, line: int, problem: str) -> CorpusError:
        return CorpusError(f"{self._file}:{line}: {problem}")
