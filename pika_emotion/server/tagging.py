"""The taggers behind the HTTP application: answers without holding the event loop, health, counts.

The reflex is asked inside the loop: it takes about half a millisecond, and handing it to a thread
cost as much again (scripts/bench_serve.py). Only the wait for a primary is a thread's.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from pika_emotion.deadline import Answer, DeadlineTagger, Source
from pika_emotion.dialogue import Turn
from pika_emotion.measurement import versions
from pika_emotion.taggers import Tagger
from pika_emotion.taggers.calibrated import CalibratedTagger

SLOTS = 4
_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.045, 0.05, 0.1, 0.5, 1.0, 5.0)
_LIBRARIES = ("numpy", "fastapi", "uvicorn", "vllm")


class HttpTagging:
    """Answers turns before their deadline, and counts.

    Args:
        reflex: the floor; loaded already.
        primary: asked first; None where the reflex was chosen.
        tagger: keeps the deadline over both, with ``SLOTS`` slots.
        threshold: celebrate from this probability on.

    Attributes:
        name: of who is asked first.
        registry: holds the counts.
    """

    def __init__(
        self,
        reflex: Tagger,
        primary: CalibratedTagger | None,
        tagger: DeadlineTagger,
        threshold: float,
    ) -> None:
        self.name = reflex.name if primary is None else primary.name
        self.threshold = threshold
        self.registry = CollectorRegistry()
        self._reflex = reflex
        self._primary = primary
        self._tagger = tagger
        # A reply that waits has a slot, so nobody queues for a thread; one more each for a reply
        # whose slot was given on before its thread came to its end.
        self._waiting = ThreadPoolExecutor(2 * SLOTS, "waiting")
        self._tags = Counter(
            "pika_emotion_tags", "tags by who answered and why", ("source",),
            registry=self.registry,
        )  # fmt: skip
        for source in Source:
            if source:
                self._tags.labels(source.name)
        self._latency = Histogram(
            "pika_emotion_tag_latency_seconds", "from the request's last byte to its tag",
            buckets=_BUCKETS_S, registry=self.registry,
        )  # fmt: skip

    async def answer(self, turn: Turn, received: float) -> tuple[Answer, float]:
        """Return a turn's answer, and the milliseconds since ``received`` (``time.monotonic``)."""
        pending = self._tagger.submit(turn, received)
        if pending.settled:
            answer = pending.take()
        else:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._waiting, pending.wait)
        latency_s = time.monotonic() - received
        self._tags.labels(answer.source.name).inc()
        self._latency.observe(latency_s)
        return answer, 1000 * latency_s

    def health(self) -> dict[str, Any]:
        """Return the state of both taggers and the versions; ``status`` is the worst of it."""
        primary = self._primary_health()
        state = "ready" if primary is None else primary["state"]
        return {
            "status": {"ready": "ok", "loading": "loading"}.get(state, "degraded"),
            "deadline_ms": self._tagger.deadline_ms,
            "reflex": {"state": "ready", **self._reflex.describe()},
            "primary": primary,
            "counts": self._tagger.counts,
            "versions": versions(*_LIBRARIES),
        }

    def end_waiting(self) -> None:
        """Let the threads go; nobody waits any more."""
        self._waiting.shutdown(wait=False)

    def _primary_health(self) -> dict[str, Any] | None:
        if self._primary is None:
            return None
        found = dict(self._primary.describe())
        found.update(name=self._primary.name, state="ready")
        if self._tagger.load_error is not None:
            found.update(state="error", error=self._tagger.load_error)
        elif self._tagger.loading:
            found["state"] = "loading"
        if self._tagger.last_error is not None:
            found["last_error"] = self._tagger.last_error
        if self._primary.warning is not None:
            found["warning"] = self._primary.warning
        return found
