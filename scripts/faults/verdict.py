"""What became of the replies of one fault, computed from its CSV rows alone. Knows no ROS."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from catalogue import Fault
from rows import CHECK, FAULT, SAID, STALL, Event, Reply

# So long after a fault's end the next tag must be there, and what the catalogue excepts ends.
RECOVERY_S = 1.0
KINDS = ("late", "lost", "duplicated", "reordered")


@dataclass(frozen=True)
class Verdict:
    """One fault's account.

    Attributes:
        fault: its name.
        replies: how many were sent.
        primary, reflex: tags in time, by who answered.
        late: tags received more than the deadline after their replies were sent, without those
            that were in time but for the machine's own stalls.
        late_in_stalls: those.
        lost: replies without a tag.
        duplicated: tags for a reply that had one, or for none.
        reordered: tags received after the tag of a later reply, or whose number does not rise.
        excepted: how many of these the catalogue excepts, by kind.
        latencies_ms: p50, p99 and longest, from publisher to tag received.
        during_ms: the same of the replies that were sent while a fault lasted.
        recovered_s: from a fault's end to the next tag in time, the longest; None where there
            was no end.
        primary_back_s: the same to the primary's next answer; infinite where it did not come.
        broken: what is against the promise, in words.
    """

    fault: str
    replies: int = 0
    primary: int = 0
    reflex: int = 0
    late: int = 0
    late_in_stalls: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    excepted: dict[str, int] = field(default_factory=dict)
    latencies_ms: tuple[float, float, float] | None = None
    during_ms: tuple[float, float, float] | None = None
    recovered_s: float | None = None
    primary_back_s: float | None = None
    broken: list[str] = field(default_factory=list)


def judge(fault: Fault, replies: Sequence[Reply], events: Sequence[Event]) -> Verdict:
    """Return the verdict on a fault's rows."""
    ends = [(e.begin_s, e.end_s) for e in events if e.what == FAULT]
    stalls = [(e.begin_s, e.end_s) for e in events if e.what == STALL]
    sent = [row for row in replies if row.number is not None]
    tagged = [row for row in sent if row.received_s is not None]
    in_time = [row for row in tagged if not _late(row, fault.deadline_ms)]
    late = [row for row in tagged if _late(row, fault.deadline_ms)]
    found: dict[str, list[Reply]] = {
        "late": [row for row in late if _late(row, fault.deadline_ms, stalls)],
        "lost": [row for row in sent if row.received_s is None],
        "duplicated": [row for row in replies if row.number is None],
        "reordered": _reordered(tagged),
    }
    recovered_s = _recovered(ends, in_time)
    after_s = RECOVERY_S
    if "recovery" in fault.excepted and recovered_s not in (None, math.inf):
        after_s = max(RECOVERY_S, recovered_s or 0.0)
    excepted = {
        kind: sum(_near(row, ends, fault.deadline_ms / 1000, after_s) for row in found[kind])
        for kind in KINDS
        if kind in fault.excepted
    }
    primary_back_s = _recovered(ends, [row for row in in_time if row.source == "PRIMARY"])
    broken = [
        f"{len(rows) - excepted.get(kind, 0)} {kind}"
        for kind, rows in found.items()
        if len(rows) > excepted.get(kind, 0)
    ]
    if fault.recovers in ("primary", "restart"):
        broken += _without_effect(ends, tagged)
    broken += [f"not so: {e.detail}" for e in events if e.what == CHECK and not e.ok]
    broken += _slow(fault, recovered_s, primary_back_s)
    if not replies and not any(e.what == CHECK for e in events):
        broken.append("nothing was measured")
    missing = sum(e.ok for e in events if e.what == SAID) - len(sent)
    if missing > 0:
        broken.append(f"{missing} replies were not sent, or have no row")
    return Verdict(
        fault.name,
        replies=len(sent),
        primary=sum(row.source == "PRIMARY" for row in in_time),
        reflex=sum(row.source != "PRIMARY" for row in in_time),
        late_in_stalls=len(late) - len(found["late"]),
        **{kind: len(rows) for kind, rows in found.items()},
        excepted={kind: number for kind, number in excepted.items() if number},
        latencies_ms=_percentiles([_round_ms(row) for row in tagged]),
        during_ms=_percentiles([_round_ms(row) for row in tagged if _near(row, ends, 0.0, 0.0)]),
        recovered_s=recovered_s,
        primary_back_s=primary_back_s,
        broken=broken,
    )


def _round_ms(row: Reply) -> float:
    assert row.sent_s is not None
    assert row.received_s is not None
    return 1000 * (row.received_s - row.sent_s)


def _late(row: Reply, deadline_ms: float, stalls: Iterable[tuple[float, float]] = ()) -> bool:
    """Whether the tag is late; what the machine stalled meanwhile does not count."""
    if row.received_s is None or row.sent_s is None:
        return False
    stalled_s = sum(
        max(0.0, min(end, row.received_s) - max(begin, row.sent_s)) for begin, end in stalls
    )
    return _round_ms(row) - 1000 * stalled_s > deadline_ms


def _reordered(tags: Iterable[Reply]) -> list[Reply]:
    found = []
    last_number = last_seq = 0
    for tag in sorted(tags, key=lambda tag: tag.received_s or 0.0):
        number, seq = tag.number or 0, tag.seq or 0
        if number < last_number or seq <= last_seq:
            found.append(tag)
        last_number, last_seq = max(last_number, number), max(last_seq, seq)
    return found


def _near(row: Reply, ends: Iterable[tuple[float, float]], before_s: float, after_s: float) -> bool:
    """Whether the reply was on its way while a fault lasted, or just after."""
    sent_s = row.sent_s if row.sent_s is not None else row.received_s
    assert sent_s is not None
    return any(begin - before_s <= sent_s <= end + after_s for begin, end in ends)


def _recovered(ends: Sequence[tuple[float, float]], good: Sequence[Reply]) -> float | None:
    """Return the longest time from a fault's end to the first good tag of a later reply."""
    waits = [
        min((r.received_s - end for r in good if (r.sent_s or 0.0) >= end and r.received_s),
            default=math.inf)
        for _, end in ends
    ]  # fmt: skip
    return max(waits, default=None)


def _without_effect(ends: Iterable[tuple[float, float]], tagged: Sequence[Reply]) -> list[str]:
    """Say which faults of a primary nothing shows: it answered all the while."""
    return [
        "the fault had no effect: the primary answered every reply"
        for begin, end in ends
        if all(r.source == "PRIMARY" for r in tagged if _near(r, [(begin, end)], 0.0, RECOVERY_S))
    ]


def _slow(fault: Fault, recovered_s: float | None, primary_back_s: float | None) -> list[str]:
    """Say which recovery took too long."""
    tag_limit_s = math.inf if "recovery" in fault.excepted else RECOVERY_S
    limits_s = {
        "the next tag in time": (recovered_s, tag_limit_s, ("tag", "primary", "restart")),
        "the primary": (primary_back_s, RECOVERY_S, ("primary",)),
        "the primary, restarted,": (primary_back_s, math.inf, ("restart",)),
    }
    broken = []
    for who, (took_s, limit_s, where) in limits_s.items():
        if fault.recovers not in where:
            continue
        if took_s is None:
            broken.append("the fault never ended")
        elif took_s == math.inf:
            broken.append(f"{who} did not come back after the fault")
        elif took_s > limit_s:
            broken.append(f"{who} came back {took_s:.2f} s after the fault")
    return broken


def _percentiles(samples_ms: list[float]) -> tuple[float, float, float] | None:
    if not samples_ms:
        return None
    ordered = sorted(samples_ms)
    p50, p99 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.99))
    return (round(p50, 1), round(p99, 1), round(ordered[-1], 1))
