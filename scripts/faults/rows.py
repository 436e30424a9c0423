"""The CSV files of the fault campaign: one row a reply, and one row an event. Knows no ROS.

All times are of one ``time.monotonic``, in seconds. What a file does not know is an empty cell.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

FAULT, STALL, CHECK, SAID = "fault", "stall", "check", "said"
REPLIES, EVENTS = ".replies.csv", ".events.csv"


@dataclass(frozen=True)
class Reply:
    """A reply and its tag; or, without ``number`` and ``sent_s``, a tag that nobody waited for.

    Attributes:
        number: counts the replies in the order in which they were sent.
        id: the reply's id.
        sent_s: just before it was published.
        received_s: when the tag was received; None where the reply has none.
        seq: the tag's own number.
        source: who answered: PRIMARY, REFLEX, DEADLINE, ERROR, LOADING or OVERLOAD.
        latency_ms: what the node says that it took, from receipt to publication.
        reply_id: which reply the tag says that it is for.
    """

    number: int | None
    id: str
    sent_s: float | None
    received_s: float | None
    seq: int | None
    source: str
    latency_ms: float | None
    reply_id: str


@dataclass(frozen=True)
class Event:
    """What happened beside the replies.

    Attributes:
        what: ``fault``: it lasted from ``begin_s`` to ``end_s``; ``stall``: so did the machine's
            own; ``check``: something else that must be true, ``ok`` is 1 where it was;
            ``said``: the replies of a talk, ``ok`` is how many there must be.
        begin_s, end_s: when.
        ok: 1 or 0, or how many.
        detail: in words; never anybody's.
    """

    what: str
    begin_s: float
    end_s: float
    ok: int
    detail: str


def file_name(fault: str) -> str:
    """Return what a fault's files begin with."""
    return re.sub(r"[^A-Za-z0-9]+", "_", fault)


def write(folder: Path, fault: str, replies: Iterable[Reply], events: Iterable[Event]) -> None:
    """Write a fault's two files."""
    _write(folder / f"{file_name(fault)}{REPLIES}", Reply, replies)
    _write(folder / f"{file_name(fault)}{EVENTS}", Event, events)


def read(folder: Path, fault: str) -> tuple[list[Reply], list[Event]]:
    """Read a fault's two files.

    Raises:
        OSError: one is not there.
        ValueError: one is damaged.
    """
    replies = [
        Reply(
            _number(row["number"]), row["id"], _float(row["sent_s"]), _float(row["received_s"]),
            _number(row["seq"]), row["source"], _float(row["latency_ms"]), row["reply_id"],
        )
        for row in _read(folder / f"{file_name(fault)}{REPLIES}", Reply)
    ]  # fmt: skip
    events = [
        Event(row["what"], float(row["begin_s"]), float(row["end_s"]), int(row["ok"]),
              row["detail"])
        for row in _read(folder / f"{file_name(fault)}{EVENTS}", Event)
    ]  # fmt: skip
    return replies, events


def _write(path: Path, kind: type, rows: Iterable[Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_columns(kind))
        writer.writerows(astuple(row) for row in rows)


def _read(path: Path, kind: type) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != _columns(kind):
            raise ValueError(f"'{path}' has other columns than {_columns(kind)}; run it again")
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"'{path}' is cut off in line {reader.line_num}; run it again")
            yield row


def _columns(kind: type) -> Sequence[str]:
    return [field.name for field in fields(kind)]


def _number(cell: str) -> int | None:
    return int(cell) if cell else None


def _float(cell: str) -> float | None:
    return float(cell) if cell else None
