"""What the node knows of itself, as diagnostics show it. Never holds anybody's words. No ROS."""

import enum
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pika_emotion.deadline import DeadlineTagger, Source

_WINDOW = 1000


class Level(enum.IntEnum):
    """The levels of ``diagnostic_msgs/DiagnosticStatus``."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True, slots=True)
class Report:
    """One diagnostic status: level, one line, and values by name."""

    level: Level
    summary: str
    values: Mapping[str, str]


class LossCounter:
    """Counts messages that the middleware dropped, from publishers' sequence numbers.

    A middleware that keeps the newest messages drops older ones without telling, but its messages
    are numbered. Publishers of one topic are told apart by how their numbers go on; exact for one
    publisher, a lower bound for several.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._last: list[int] = []

    def pause(self) -> None:
        """Forget the numbers: what is published from here on until the next one is not lost."""
        self._last = []

    def saw(self, number: int | None, publishers: Callable[[], int]) -> None:
        """Take a message's sequence number, where the middleware gives one.

        Args:
            number: counts the publisher's messages from 1.
            publishers: returns how many the topic has now; asked only where numbers do not go on.
        """
        if not number:
            return
        if number - 1 in self._last:
            self._last[self._last.index(number - 1)] = number
            return
        known = max(1, publishers())
        before = max((last for last in self._last if last < number), default=None)
        if before is not None and len(self._last) >= known:
            self.lost += number - before - 1
            self._last.remove(before)
        self._last = [*self._last, number][-known:]


class Health:
    """Counts what happened since the node started. Thread-safe."""

    def __init__(self) -> None:
        self.deadline_ms = 0.0
        self._lock = threading.Lock()
        self._sources: Counter[Source] = Counter()
        self._latencies_ms: deque[float] = deque(maxlen=_WINDOW)
        self._waits_ms: deque[float] = deque(maxlen=_WINDOW)
        self._misses = 0
        self._counts: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()
        self._lost_before = 0

    def answered(self, source: Source, latency_ms: float) -> None:
        """Count a published tag; ``latency_ms`` from its reply's receipt."""
        with self._lock:
            self._sources[source] += 1
            self._latencies_ms.append(latency_ms)
            self._misses += latency_ms > self.deadline_ms

    def waited(self, wait_ms: float) -> None:
        """Take how long a reply lay in the middleware before the node took it."""
        with self._lock:
            self._waits_ms.append(wait_ms)

    def count(self, what: str, number: int = 1) -> None:
        """Count anything else that diagnostics should show."""
        with self._lock:
            self._counts[what] += number

    def keep(self, tagger: DeadlineTagger, lost: int) -> None:
        """Go on from the counts of a tagger and of topics that end."""
        with self._lock:
            self._counts.update(_counts_of(tagger))
            self._lost_before += lost

    def report(
        self,
        state: str,
        tagger: DeadlineTagger | None,
        cards: Mapping[str, str],
        lost: int,
        note: str = "",
        warning: str | None = None,
    ) -> Report:
        """Return the status: the worst thing that is true now, or was since the last report.

        Args:
            state: the node's, in words.
            tagger: who answers; None where nobody does yet.
            cards: what the taggers tell of themselves.
            lost: messages that the topics lost.
            note: added to the summary while there is nothing worse to say.
            warning: what else is wrong for as long as it is given.
        """
        with self._lock:
            totals = Counter(self._counts)
            totals["deadline misses"] = self._misses
            # Some middlewares number their messages, some tell what they lost, some do both.
            totals["lost messages"] = max(self._lost_before + lost, self._counts["lost messages"])
            if tagger is not None:
                totals.update(_counts_of(tagger))
            new = {what: n - self._seen[what] for what, n in totals.items() if n > self._seen[what]}
            self._seen = totals
            values = {
                "state": state,
                **{f"tags {s.name}": str(self._sources[s]) for s in Source if s},
                **_percentiles("latency", self._latencies_ms),
                **_percentiles("queue wait", self._waits_ms),
                "deadline_ms": f"{self.deadline_ms:g}",
                **{what: str(n) for what, n in sorted(totals.items())},
            }
        level, summary = Level.OK, f"{state}; {note}" if note else state
        if warning is not None:
            level, summary = Level.WARN, warning
        if new:
            level = Level.WARN
            summary = ", ".join(f"{n} {what}" for what, n in sorted(new.items()))
        if tagger is not None:
            if tagger.last_error:
                values["last primary error"] = tagger.last_error
            if tagger.load_error:
                level, summary = Level.ERROR, f"serving with the reflex: {tagger.load_error}"
            elif tagger.loading:
                level, summary = max(level, Level.WARN), "primary is loading; the reflex answers"
        return Report(level, summary, {**values, **cards})


def _counts_of(tagger: DeadlineTagger) -> dict[str, int]:
    return {name.replace("_", " "): n for name, n in tagger.counts.items()}


def _percentiles(name: str, samples_ms: deque[float]) -> dict[str, str]:
    if not samples_ms:
        return {}
    p50, p95, p99 = np.percentile(np.fromiter(samples_ms, float), (50, 95, 99))
    return {
        f"{name} p50 ms": f"{p50:.2f}",
        f"{name} p95 ms": f"{p95:.2f}",
        f"{name} p99 ms": f"{p99:.2f}",
    }
