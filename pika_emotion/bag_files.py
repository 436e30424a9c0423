"""Writes turns out of a bag as TSV, for people to label or to look at: these files hold texts.

A file is whole or not there at all, and one that is there already is kept unless told otherwise.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pika_emotion.bag_tags import GivenTag, RecordedTurn
from pika_emotion.corpus import COLUMNS
from pika_emotion.errors import ConfigError
from pika_emotion.text import clean

_TEXTS = ("question", "child", "reply")
TURN_COLUMNS = (
    *COLUMNS,
    *("at_s", "tagger", "source", "confidence", "celebrate_probability"),
)
_TAG_COLUMNS = ("emotion", "celebrate", "confidence", "celebrate_probability", "tagger", "source")
DIFFERENCE_COLUMNS = (
    *_TEXTS,
    "at_s",
    *(f"{column}_a" for column in _TAG_COLUMNS),
    *(f"{column}_b" for column in _TAG_COLUMNS),
)

Write = Callable[[Sequence[str]], None]


@contextlib.contextmanager
def tsv(file: Path, columns: Sequence[str], *, overwrite: bool) -> Iterator[Write]:
    """Write a TSV file; yields what writes a row.

    Raises:
        ConfigError: the file is there already, or cannot be written.
    """
    if file.exists() and not overwrite:
        raise ConfigError(
            f"'{file}' is there already and may hold somebody's labels; "
            "name another file, or replace it with --force"
        )
    part = file.with_name(file.name + ".part")
    try:
        stream = part.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise ConfigError(
            f"'{file}' cannot be written ({error}); name a file that can be"
        ) from error
    try:
        with stream:

            def write(cells: Sequence[str]) -> None:
                stream.write("\t".join(map(clean, cells)) + "\n")

            write(columns)
            yield write
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def turn_row(turn: RecordedTurn, tag: GivenTag | None) -> list[str]:
    """Return the cells of ``TURN_COLUMNS``; without a tag, those to be labelled are empty.

    A row is not read as a labelled one before somebody has filled them.
    """
    texts = [turn.turn.question, turn.turn.child, turn.turn.reply]
    at_s = f"{turn.at_s:.3f}"
    if tag is None:
        return [*texts, "", "", at_s, "", "", "", ""]
    emotion, celebrate, confidence, probability, tagger, source = _cells(tag)
    return [*texts, emotion, celebrate, at_s, tagger, source, confidence, probability]


def difference_row(turn: RecordedTurn, a: GivenTag, b: GivenTag) -> list[str]:
    """Return the cells of ``DIFFERENCE_COLUMNS``."""
    texts = [turn.turn.question, turn.turn.child, turn.turn.reply]
    return [*texts, f"{turn.at_s:.3f}", *_cells(a), *_cells(b)]


def _cells(tag: GivenTag) -> list[str]:
    return [
        tag.emotion,
        "yes" if tag.celebrate else "no",
        f"{tag.confidence:.3f}",
        f"{tag.celebrate_probability:.3f}",
        tag.tagger,
        tag.source,
    ]
