"""What a soak wrote down, as CSV, and what follows from it: which replies were owed a tag, which
got one. Needs no ROS and judges nothing but these files.
"""

import csv
import enum
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

# A transition's answer says that the node has subscribed; the publisher's side of the middleware
# learns of it later. A reply sent after this long must be received.
OPENING_S = 5.0
# A reply that is sent so shortly before the node is told to deactivate may still be on its way.
CLOSING_S = 0.5

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sent:
    """A reply that was published; numbers count from 1, times are monotonic seconds."""

    number: int
    sent_s: float


@dataclass(frozen=True, slots=True)
class Received:
    """A tag that came, for the reply of this number."""

    number: int
    received_s: float
    seq: int
    source: str


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of the lifecycle state: when it was asked for, when it was answered, and how."""

    name: str
    asked_s: float
    done_s: float
    ok: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What the system told of the node and its worker at one time; NaN and 0 without a worker.

    Attributes:
        at_s: when.
        state: the lifecycle state; empty while it changes.
        rss_mb, uss_mb: resident memory, and what of it is the process's alone.
        threads, files: how many there are, and how many descriptors are open.
    """

    at_s: float
    state: str
    rss_mb: float
    uss_mb: float
    threads: int
    files: int
    worker: int
    worker_rss_mb: float
    worker_uss_mb: float
    worker_threads: int
    worker_files: int


class Owed(enum.Enum):
    """Whether a reply must get a tag, must get none, or may get one."""

    YES = "yes"
    NO = "no"
    EITHER = "either"


class Table:
    """Writes rows of one kind to a CSV file as they come; each is in the file at once."""

    def __init__(self, folder: Path, kind: type[Any]) -> None:
        self._file = file_of(folder, kind).open("w", encoding="ascii", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(field.name for field in fields(kind))

    def add(self, row: Any) -> None:
        """Write one row."""
        self._writer.writerow(astuple(row))
        self._file.flush()


def file_of(folder: Path, kind: type[Any]) -> Path:
    """Return where a kind of rows is kept."""
    return folder / f"{kind.__name__.lower()}.csv"


def read(folder: Path, kind: type[T]) -> list[T]:
    """Return the rows of one kind."""
    with file_of(folder, kind).open(encoding="ascii", newline="") as file:
        types: dict[str, Any] = {field.name: field.type for field in fields(kind)}  # type: ignore[arg-type]
        return [
            kind(**{name: types[name](value) for name, value in row.items()})
            for row in csv.DictReader(file)
        ]


def owed(
    sent: Sequence[Sent], tags: Iterable[Received], transitions: Iterable[Transition]
) -> dict[int, Owed]:
    """Return what each reply is owed.

    The middleware is reliable and keeps a topic's order, so that what reaches the node in one
    activation is an unbroken run of replies: whatever was sent between two that got tags is owed
    one. Before the first of them, a reply is owed one if it was sent ``OPENING_S`` or more after
    activate was answered; after the last, if it was sent ``CLOSING_S`` or more before deactivate
    was asked for. Nothing is owed to what was sent while the node surely did not subscribe.
    """
    tagged = {tag.number for tag in tags}
    result = {reply.number: Owed.NO for reply in sent}
    for opened, closing in _activations(transitions):
        end_s = closing.done_s if closing else float("inf")
        inside = [reply for reply in sent if opened.asked_s <= reply.sent_s <= end_s]
        answered = [reply.sent_s for reply in inside if reply.number in tagged]
        surely_s = opened.done_s + OPENING_S
        until_s = closing.asked_s - CLOSING_S if closing else float("inf")
        first_s, last_s = min([surely_s, *answered]), max([until_s, *answered])
        for reply in inside:
            sure = first_s <= reply.sent_s <= last_s
            result[reply.number] = Owed.YES if sure else Owed.EITHER
    return result


def account(
    sent: Sequence[Sent],
    tags: Sequence[Received],
    transitions: Sequence[Transition],
    deadline_ms: float = 50.0,
) -> dict[str, int]:
    """Return how many replies were owed a tag, and every way in which the tags were wrong.

    ``not_owed_tagged`` counts tags for what was said while the node was not active, ``unknown``
    those for no reply of ours, ``seq_gaps`` the node's tags that never came here.
    """
    due = owed(sent, tags, transitions)
    many = Counter(tag.number for tag in tags)
    sent_s = {reply.number: reply.sent_s for reply in sent}
    last, last_seq, reordered, gaps = 0, 0, 0, 0
    for tag in tags:
        reordered += tag.number < last or tag.seq <= last_seq
        gaps += max(0, tag.seq - last_seq - 1)
        last, last_seq = max(last, tag.number), max(last_seq, tag.seq)
    tagged = Counter(due[number] for number in many if number in due)
    kinds = Counter(due.values())
    return {
        "replies": len(sent),
        "tags": len(tags),
        "owed": kinds[Owed.YES],
        "not_owed": kinds[Owed.NO],
        "either": kinds[Owed.EITHER],
        "either_tagged": tagged[Owed.EITHER],
        "lost": kinds[Owed.YES] - tagged[Owed.YES],
        "duplicated": sum(n - 1 for n in many.values()),
        "reordered": reordered,
        "not_owed_tagged": tagged[Owed.NO],
        "unknown": sum(number not in due for number in many),
        "seq_gaps": gaps,
        "late": sum(
            1000 * (tag.received_s - sent_s[tag.number]) > deadline_ms
            for tag in tags
            if tag.number in sent_s
        ),
        "failed_transitions": sum(not each.ok for each in transitions),
    }


def _activations(
    transitions: Iterable[Transition],
) -> list[tuple[Transition, Transition | None]]:
    """Return each activate with the deactivate that ended it; None where the run ended first."""
    found: list[tuple[Transition, Transition | None]] = []
    for each in transitions:
        if each.name == "activate":
            found.append((each, None))
        elif each.name == "deactivate" and found:
            found[-1] = (found[-1][0], each)
    return found
