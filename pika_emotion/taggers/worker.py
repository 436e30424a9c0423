"""A tagger whose engine runs in a process of its own, so that nothing it does stops this one.

The engine (``taggers.engine``) may be slow, hold Python's global lock, run out of memory or be
killed: ``tag`` raises at its deadline all the same. A worker that died, or that answered nothing
for ``stall_s`` while asked, is replaced, with growing pauses.
"""

import contextlib
import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pika_emotion.dialogue import Turn
from pika_emotion.errors import (
    ConfigError,
    TagError,
    TaggerBusyError,
    TaggerError,
    TaggerLateError,
    TaggerLoadingError,
)
from pika_emotion.labels import LabelSet
from pika_emotion.tag import Tag
from pika_emotion.taggers.worker_link import Packet, WorkerGoneError, WorkerLink

ISOLATIONS = ("process", "thread")
_LONGEST_PAUSE_S = 60.0


def check_isolation(settings: Mapping[str, Any], tagger: str) -> None:
    """Raise ConfigError where an interpreter is set for an engine that has none of its own."""
    python = settings[f"{tagger}.python"]
    if settings[f"{tagger}.isolation"] == "thread" and python:
        raise ConfigError(
            f"{tagger}.python '{python}' has no use in isolation 'thread', where the node's own "
            "interpreter runs the engine; leave it empty, or set isolation 'process'"
        )


class _Request:
    """A question to the worker that waits for its answer."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.answer: Packet = {}

    def finish(self, answer: Packet) -> None:
        self.answer = answer
        self.done.set()


class WorkerTagger:
    """Asks an engine in a supervised process.

    Args:
        name: the tagger's name, in its tags and messages.
        engine: where the engine's factory is: ``package.module:factory``, or
            ``/path/file.py:factory``.
        settings: given to the factory; must be JSON.
        labels: what the engine answers with.
        python: the worker's interpreter; this one, if empty.
        isolation: ``process``, or ``thread`` for an engine in this process: see
            ``taggers.worker_thread`` for what that does not promise.
        max_requests: unanswered requests the worker may have.
        stall_s: a worker silent for this long while asked is replaced.
        first_pause_s: before a restart; each one doubles the pause, up to a minute.
    """

    def __init__(
        self,
        name: str,
        engine: str,
        settings: Mapping[str, Any],
        labels: LabelSet,
        *,
        python: str = "",
        isolation: str = "process",
        max_requests: int = 16,
        stall_s: float = 10.0,
        first_pause_s: float = 1.0,
    ) -> None:
        self.name = name
        self._engine = engine
        self._settings = dict(settings)
        self._labels = labels
        self._python = python or sys.executable
        self._isolation = isolation
        self._max_requests = max_requests
        self._stall_s = stall_s
        self._first_pause_s = first_pause_s
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._requests: dict[int, _Request] = {}
        self._link: WorkerLink | None = None
        self._ready = False
        self._heard_at = 0.0
        self._progress = "not started"
        self._card: dict[str, str] = {}
        self._status: dict[str, str] = {}
        self._restarts = 0
        self._answers = 0
        self._counts: Counter[str] = Counter()
        self._closing = threading.Event()
        self._supervisor: threading.Thread | None = None

    def load(self) -> None:
        """Start the worker and wait until its engine is loaded; supervise it from then on.

        Raises:
            TaggerError: the worker could not start, its engine could not load, or it died.
        """
        self._start()
        self._supervisor = threading.Thread(
            target=self._supervise, name=f"{self.name}_supervisor", daemon=True
        )
        self._supervisor.start()

    def prefill(self, turn: Turn) -> None:
        """Pass a hint on, if the worker has nothing better to do."""
        with self._lock:
            idle = self._ready and not self._requests
        link = self._link
        if idle and link is not None:
            with contextlib.suppress(TaggerError):
                link.send_hint({"do": "prefill", "turn": asdict(turn)})

    def tag(self, turn: Turn, deadline: float) -> Tag:
        """Ask the worker and wait for its answer.

        Raises:
            TaggerLoadingError: the worker is being restarted.
            TaggerBusyError: it has too many unanswered requests.
            TaggerLateError: no answer by the deadline (``time.monotonic``, seconds).
            TaggerError: the engine failed, or the worker died.
            TagError: the engine's answer is not a tag.
        """
        request = _Request()
        request_id = next(self._ids)
        with self._lock:
            if not self._ready:
                raise TaggerLoadingError(f"worker of '{self.name}': {self._progress}; ask later")
            if len(self._requests) >= self._max_requests:
                raise TaggerBusyError(
                    f"worker of '{self.name}' has {len(self._requests)} unanswered requests; "
                    "ask less often, or use a faster model"
                )
            if not self._requests:
                self._heard_at = time.monotonic()
            self._requests[request_id] = request
        try:
            # CLOCK_MONOTONIC is one clock for all processes of a machine.
            self._send({"do": "tag", "id": request_id, "turn": asdict(turn), "deadline": deadline})
        except TaggerError:
            self._finish(request_id, {})
            raise
        # A late request stays counted until the worker answers it, so that a stall is noticed.
        if not request.done.wait(max(0.0, deadline - time.monotonic())):
            raise TaggerLateError(f"worker of '{self.name}' did not answer before the deadline")
        return self._tag_of(request.answer)

    def describe(self) -> Mapping[str, str]:
        """Return the engine's card and status, and the worker's state, pid and restarts."""
        link = self._link
        return {
            **self._card,
            **self._status,
            "worker": self._progress,
            "worker pid": str(link.pid) if link else "none",
            "worker restarts": str(self._restarts),
            **{f"{name} per reply": f"{value:.4g}" for name, value in self.counts.items()},
        }

    @property
    def counts(self) -> dict[str, float]:
        """What an answer took, by the engine's own names, on average so far."""
        with self._lock:
            return {name: total / self._answers for name, total in self._counts.items()}

    def close(self) -> None:
        """End the worker: politely, and by force after a second."""
        self._closing.set()
        link = self._link
        if link is not None:
            with contextlib.suppress(TaggerError):
                link.send({"do": "close"})
            link.end(1.0)
        self._fail_all("was closed")
        if self._supervisor is not None:
            self._supervisor.join()
        if link is not None:
            link.close()
        self._progress = "closed"

    def _tag_of(self, answer: Packet) -> Tag:
        if "error" in answer:
            raise TaggerError(str(answer["error"]))
        try:
            scores = tuple(float(score) for score in answer["scores"])
            celebrate = float(answer["celebrate"])
        except (KeyError, TypeError, ValueError) as error:
            raise TagError(
                f"engine of '{self.name}' answered without scores and celebrate as numbers; mend it"
            ) from error
        return Tag(self._labels, scores, celebrate, self.name)

    # The worker's life: started by load, then by the supervisor.

    def _start(self) -> None:
        if self._link is not None and not self._link.ended:
            self._progress = (
                f"worker of '{self.name}' is in a step that cannot be ended in isolation 'thread'; "
                "wait, or use isolation 'process'"
            )
            raise TaggerError(self._progress)
        try:
            link = WorkerLink(self.name, self._engine, self._python, self._isolation)
        except TaggerError as error:
            self._progress = str(error)
            raise
        self._link = link
        self._progress = "loading"
        if self._closing.is_set():
            link.kill()
        try:
            names = list(self._labels.names)
            with contextlib.suppress(WorkerGoneError):  # how it ended is told below
                link.send({"do": "load", "settings": self._settings, "labels": names})
            answer = self._read_until_loaded(link)
            if answer is None:
                raise TaggerError(link.obituary())
            if "error" in answer:
                raise TaggerError(str(answer["error"]))
        except TaggerError as error:
            self._progress = str(error)
            link.kill()
            link.close()
            raise
        self._card = {str(key): str(value) for key, value in answer["loaded"].items()}
        with self._lock:
            self._ready = True
            self._progress = "ready"

    def _read_until_loaded(self, link: WorkerLink) -> Packet | None:
        while (packet := link.receive()) is not None:
            if "loaded" in packet or "error" in packet:
                return packet
            self._progress = str(packet.get("progress", self._progress))
        return None

    def _supervise(self) -> None:
        """Read answers; when the worker is gone or stalled, start another one."""
        pause_s = self._first_pause_s
        while True:
            if self._ready and self._link is not None:
                started_at = time.monotonic()
                self._read_answers(self._link)
                self._bury(self._link)
                if time.monotonic() - started_at > _LONGEST_PAUSE_S:
                    pause_s = self._first_pause_s
            self._progress = f"{self._progress}; restarting in {pause_s:g} s"
            if self._closing.wait(pause_s):
                return
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            self._restarts += 1
            with contextlib.suppress(TaggerError):  # its text is the progress already
                self._start()

    def _read_answers(self, link: WorkerLink) -> None:
        patience_s = min(1.0, self._stall_s / 4)
        while not self._closing.is_set():
            if not link.wait(patience_s):
                if self._stalled():
                    return
                continue
            packet = link.receive()
            if packet is None:
                return
            self._heard_at = time.monotonic()
            if "status" in packet:
                self._status = {str(key): str(value) for key, value in packet["status"].items()}
            if "id" in packet:
                self._count(packet.get("counts", {}))
                self._finish(packet["id"], packet)

    def _count(self, counts: Mapping[str, float]) -> None:
        if counts:
            with self._lock:
                self._answers += 1
                self._counts.update(counts)

    def _stalled(self) -> bool:
        with self._lock:
            asked = bool(self._requests)
        return asked and time.monotonic() - self._heard_at > self._stall_s

    def _bury(self, link: WorkerLink) -> None:
        """Take the worker's end in: kill what is left and fail what waits for it."""
        with self._lock:
            self._ready = False
        if not link.ended and self._stalled():
            self._progress = f"stalled for {self._stall_s:g} s"
            link.kill()
        else:
            self._progress = link.obituary()
        link.close()
        self._status = {}
        self._fail_all("died")

    # Requests that wait for their answers.

    def _send(self, packet: Packet) -> None:
        if self._link is not None:
            self._link.send(packet)

    def _finish(self, request_id: int, answer: Packet) -> None:
        with self._lock:
            request = self._requests.pop(request_id, None)
        if request is not None:
            request.finish(answer)

    def _fail_all(self, how: str) -> None:
        with self._lock:
            requests, self._requests = self._requests, {}
        for request in requests.values():
            request.finish({"error": f"worker of '{self.name}' {how}; it is restarted by itself"})
