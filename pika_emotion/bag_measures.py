"""Sums up and compares recorded tags. Memory does not grow with their number."""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pika_emotion.bag_tags import GivenTag, RecordedTurn

_STEP = math.log(1.01)
_LEAST_MS = 1e-6
PERIODS = 60


class Latencies:
    """Latencies in a histogram whose bins are 1 % wide: percentiles are right to 1 %.

    Attributes:
        n: how many.
        max_ms: the longest, exactly.
    """

    def __init__(self) -> None:
        self.n = 0
        self.max_ms = 0.0
        self._bins: Counter[int] = Counter()

    def add(self, latency_ms: float) -> None:
        """Count one; a negative one, which only a wrong clock can give, counts as none."""
        self.n += 1
        self.max_ms = max(self.max_ms, latency_ms)
        self._bins[math.floor(math.log(max(latency_ms, _LEAST_MS)) / _STEP)] += 1

    def percentile(self, percent: float) -> float:
        """Return the latency in ms that this share does not exceed (nearest rank); of none: NaN."""
        rank = math.ceil(self.n * percent / 100)
        for place, count in self.counts():
            rank -= count
            if rank <= 0:
                return min(place, self.max_ms)
        return math.nan

    def counts(self) -> list[tuple[float, int]]:
        """Return the bins that hold any, by their middle in ms, in order."""
        return [(math.exp((i + 0.5) * _STEP), self._bins[i]) for i in sorted(self._bins)]

    def shown(self) -> dict[str, Any]:
        """Return what is printed of them, in ms; of none, all but ``n`` is None."""
        if not self.n:
            return {"n": 0, "p50": None, "p99": None, "max": None}
        p50, p99 = (round(self.percentile(percent), 3) for percent in (50, 99))
        return {"n": self.n, "p50": p50, "p99": p99, "max": round(self.max_ms, 3)}


def latencies_shown(by_source: dict[str, Latencies]) -> dict[str, Any]:
    """Return the latencies of each source, the most frequent first."""
    ordered = sorted(by_source.items(), key=lambda item: (-item[1].n, item[0]))
    return {source: latencies.shown() for source, latencies in ordered}


@dataclass(slots=True)
class Summary:
    """What a recording's turns got.

    Attributes:
        period_s: the length of a period of ``labels_over_time``; there are ``PERIODS``.
        turns: how many.
        untagged: turns without a tag.
        celebrations: tags that celebrate.
        labels: tags by emotion.
        taggers: tags by who answered.
        latencies: by source.
        labels_over_time: tags by period and emotion.
    """

    period_s: float
    turns: int = 0
    untagged: int = 0
    celebrations: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    taggers: Counter[str] = field(default_factory=Counter)
    latencies: dict[str, Latencies] = field(default_factory=dict)
    labels_over_time: Counter[tuple[int, str]] = field(default_factory=Counter)

    def add(self, turn: RecordedTurn) -> None:
        """Count a turn."""
        self.turns += 1
        tag = turn.tag
        if tag is None:
            self.untagged += 1
            return
        self.celebrations += tag.celebrate
        self.labels[tag.emotion] += 1
        self.taggers[tag.tagger] += 1
        self.latencies.setdefault(tag.source, Latencies()).add(tag.latency_ms)
        period = int(turn.at_s / self.period_s) if self.period_s else 0
        self.labels_over_time[min(period, PERIODS - 1), tag.emotion] += 1

    def shown(self) -> dict[str, Any]:
        """Return what is printed of them."""
        return {
            "turns": self.turns,
            "untagged": self.untagged,
            "celebrations": self.celebrations,
            "labels": dict(self.labels.most_common()),
            "taggers": dict(self.taggers.most_common()),
            "sources": {s: shown["n"] for s, shown in latencies_shown(self.latencies).items()},
            "latency_ms": latencies_shown(self.latencies),
        }


@dataclass(slots=True)
class Comparison:
    """Two sides' tags of the same turns.

    Attributes:
        turns: turns that both sides tagged.
        only_a, only_b: turns that one side alone has, or alone tagged.
        differing: turns whose emotion or celebrate differs.
        emotions: turns by the two emotions that they got, where these differ.
        celebrate: turns by the two celebrates that they got, all of them.
        latencies: of each side, by source.
    """

    turns: int = 0
    only_a: int = 0
    only_b: int = 0
    differing: int = 0
    emotions: Counter[tuple[str, str]] = field(default_factory=Counter)
    celebrate: Counter[tuple[bool, bool]] = field(default_factory=Counter)
    latencies: tuple[dict[str, Latencies], dict[str, Latencies]] = field(
        default_factory=lambda: ({}, {})
    )

    def add(self, a: GivenTag | None, b: GivenTag | None) -> bool:
        """Count a turn's two tags, None where a side has none; return whether they differ."""
        for tag, by_source in zip((a, b), self.latencies, strict=True):
            if tag is not None:
                by_source.setdefault(tag.source, Latencies()).add(tag.latency_ms)
        if a is None or b is None:
            self.only_a += a is not None
            self.only_b += b is not None
            return False
        self.turns += 1
        self.celebrate[a.celebrate, b.celebrate] += 1
        if a.emotion != b.emotion:
            self.emotions[a.emotion, b.emotion] += 1
        differs = (a.emotion, a.celebrate) != (b.emotion, b.celebrate)
        self.differing += differs
        return differs

    def shown(self) -> dict[str, Any]:
        """Return what is printed of them."""
        return {
            "turns": self.turns,
            "only_a": self.only_a,
            "only_b": self.only_b,
            "differing": self.differing,
            "emotion_differing": sum(self.emotions.values()),
            "celebrate": {
                "both": self.celebrate[True, True],
                "only_a": self.celebrate[True, False],
                "only_b": self.celebrate[False, True],
                "neither": self.celebrate[False, False],
            },
            "confusion": [{"a": a, "b": b, "n": n} for (a, b), n in self.emotions.most_common()],
            "latency_ms": {
                side: latencies_shown(by_source)
                for side, by_source in zip(("a", "b"), self.latencies, strict=True)
            },
        }
