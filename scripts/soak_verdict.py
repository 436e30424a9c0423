"""What a soak's files say: counts, slopes and faults as one object, and a picture of them."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from soak_account import Received, Sample, Sent, Transition, account, read
from soak_trend import Count, Slope, medians

from pika_emotion.measurement import percentiles
from pika_emotion.plots import save

FAULTS = ("lost", "duplicated", "reordered", "not_owed_tagged", "unknown", "seq_gaps",
          "failed_transitions")  # fmt: skip
# So long a fresh worker's memory still settles.
_WORKER_STARTS_S = 10.0
_STATES = ("active", "inactive", "unconfigured")


def judge(
    folder: Path, warm_up_s: float, bound_mb_h: float, *, primary: bool = False
) -> dict[str, Any]:
    """Return the account, the slopes and the faults that a soak's files hold.

    Args:
        folder: where the soak wrote its CSV files.
        warm_up_s: memory and counts of so long from the start are shown, but not judged.
        bound_mb_h: memory's slope may have an interval that reaches down to this, MB an hour.
        primary: whether a primary was to answer, so that a run in which none did proves nothing.
    """
    sent, tags = read(folder, Sent), read(folder, Received)
    transitions, samples = read(folder, Transition), read(folder, Sample)
    start_s = min((sample.at_s for sample in samples), default=0.0)
    settled = [sample for sample in samples if sample.at_s >= start_s + warm_up_s]
    counted = account(sent, tags, transitions)
    memory = _slopes(settled)
    counts = _counts(settled)
    sent_s = {reply.number: reply.sent_s for reply in sent}
    known = [tag for tag in tags if tag.number in sent_s]
    rounds_ms = [1000 * (tag.received_s - sent_s[tag.number]) for tag in known]
    drift = Slope.of([([tag.received_s for tag in known], rounds_ms)])
    faults = [name for name in FAULTS if counted[name]]
    faults += [name for name, slope in memory.items() if slope.low > bound_mb_h]
    faults += [
        f"{name}: too short to tell"
        for name, slope in memory.items()
        if name.startswith("node") and math.isnan(slope.low)
    ]
    faults += [name for name, count in counts.items() if count.grown]
    sources = Counter(tag.source for tag in tags)
    if primary and not sources["PRIMARY"]:
        faults.append("no_primary")
    return {
        **counted,
        "transitions": {
            name: sum(each.name == name for each in transitions)
            for name in ("configure", "activate", "deactivate", "cleanup")
        },
        "by_source": dict(sorted(sources.items())),
        "round_ms": percentiles(rounds_ms),
        "round_ms_drift_per_hour": _told(drift),
        "memory_mb_per_hour": {name: _told(slope) for name, slope in memory.items()},
        "bound_mb_per_hour": bound_mb_h,
        "counts": {name: asdict(count) for name, count in counts.items()},
        "faults": faults,
    }


def _told(slope: Slope) -> dict[str, float | None]:
    """Return a slope as JSON knows it, which has no NaN."""
    return {name: None if math.isnan(value) else value for name, value in asdict(slope).items()}


def _slopes(samples: Sequence[Sample]) -> dict[str, Slope]:
    lives: dict[int, list[Sample]] = {}
    for sample in samples:
        if sample.worker:
            lives.setdefault(sample.worker, []).append(sample)
    grown = [
        [sample for sample in life if sample.at_s >= life[0].at_s + _WORKER_STARTS_S]
        for life in lives.values()
    ]

    def slope(of: Sequence[Sequence[Sample]], value: Callable[[Sample], float]) -> Slope:
        return Slope.of([([s.at_s for s in one], [value(s) for s in one]) for one in of])

    return {
        "node_rss": slope([samples], lambda s: s.rss_mb),
        "node_uss": slope([samples], lambda s: s.uss_mb),
        "worker_rss": slope(grown, lambda s: s.worker_rss_mb),
        "worker_uss": slope(grown, lambda s: s.worker_uss_mb),
    }


def _counts(samples: Sequence[Sample]) -> dict[str, Count]:
    found = {}
    for state in _STATES:
        here = [sample for sample in samples if sample.state == state]
        found[f"threads_{state}"] = Count.of([sample.threads for sample in here])
        found[f"files_{state}"] = Count.of([sample.files for sample in here])
    workers = [sample for sample in samples if sample.worker and sample.state == "active"]
    found["worker_threads"] = Count.of([sample.worker_threads for sample in workers])
    found["worker_files"] = Count.of([sample.worker_files for sample in workers])
    return found


def draw(folder: Path) -> Path:
    """Draw memory, counts and latency over time from a soak's files; return the picture's path."""
    sent, tags, samples = read(folder, Sent), read(folder, Received), read(folder, Sample)
    start_s = min((sample.at_s for sample in samples), default=0.0)
    minutes = [(sample.at_s - start_s) / 60 for sample in samples]
    figure = Figure(figsize=(9, 9), layout="constrained")
    memory, counts, latency = figure.subplots(3, sharex=True)
    for name, values in (
        ("node, resident", [s.rss_mb for s in samples]),
        ("node, its own", [s.uss_mb for s in samples]),
        ("worker, resident", [s.worker_rss_mb for s in samples]),
        ("worker, its own", [s.worker_uss_mb for s in samples]),
    ):
        memory.plot(minutes, values, linewidth=0.8, label=name)
    memory.set_ylabel("memory, MB")
    memory.set_ylim(bottom=0)
    for name, numbers in (
        ("node, threads", [s.threads for s in samples]),
        ("node, descriptors", [s.files for s in samples]),
        ("worker, threads", [s.worker_threads for s in samples]),
        ("worker, descriptors", [s.worker_files for s in samples]),
    ):
        counts.plot(minutes, numbers, linewidth=0.8, label=name)
    counts.set_ylabel("count")
    counts.set_ylim(bottom=0)
    sent_s = {reply.number: reply.sent_s for reply in sent}
    known = [tag for tag in tags if tag.number in sent_s]
    rounds_ms = [1000 * (tag.received_s - sent_s[tag.number]) for tag in known]
    received = [(tag.received_s - start_s) / 60 for tag in known]
    latency.plot(received, rounds_ms, ".", markersize=1.5, alpha=0.4, label="a tag")
    at_s, typical_ms = medians([tag.received_s for tag in known], rounds_ms)
    latency.plot((at_s - start_s) / 60, typical_ms, label="median of 30 s")
    latency.set_ylabel("publisher to tag, ms")
    latency.set_yscale("log")
    latency.set_xlabel("minutes")
    for axes in (memory, counts, latency):
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return save(folder, {"soak.png": figure})[0]
