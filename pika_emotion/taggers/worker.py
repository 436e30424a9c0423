"""A tagger whose engine runs in a process of its own, so that nothing it does stops this one.

The engine (``taggers.engine``) may be slow, hold Python's global lock, run out of memory or be
killed: ``tag`` raises at its deadline all the same. A worker that died, or that answered nothing
for ``stall_s`` while asked, is replaced, with growing pauses. The two talk over a Unix socket pair
of whole packets (``SOCK_SEQPACKET``): a packet is sent at once or refused, never half.
"""

import contextlib
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pika_emotion.dialogue import Turn
from pika_emotion.errors import (
    TagError,
    TaggerBusyError,
    TaggerError,
    TaggerLateError,
    TaggerLoadingError,
)
from pika_emotion.labels import LabelSet
from pika_emotion.tag import Tag
from pika_emotion.taggers.worker_thread import WorkerThread

ISOLATIONS = ("process", "thread")
PACKET_BYTES = 1 << 20
_PROCESS_FILE = Path(__file__).with_name("worker_process.py")
_LONGEST_PAUSE_S = 60.0
# What an interpreter of another environment must not inherit from this one.
_OWN_ENVIRONMENT = ("PYTHONPATH", "PYTHONHOME", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")


class _Request:
    """A question to the worker that waits for its answer."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.answer: dict[str, Any] = {}

    def finish(self, answer: dict[str, Any]) -> None:
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
        self._process: subprocess.Popen[bytes] | WorkerThread | None = None
        self._socket: socket.socket | None = None
        self._ready = False
        self._heard_at = 0.0
        self._progress = "not started"
        self._card: dict[str, str] = {}
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
        if idle:
            with contextlib.suppress(TaggerError):
                self._send({"do": "prefill", "turn": asdict(turn)})

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
        """Return the engine's card and the worker's state, pid and number of restarts."""
        process = self._process
        return {
            **self._card,
            "worker": self._progress,
            "worker pid": str(process.pid) if process else "none",
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
        with contextlib.suppress(TaggerError):
            self._send({"do": "close"})
        process = self._process
        if process is not None:
            try:
                process.wait(1.0)
            except subprocess.TimeoutExpired:
                _kill(process)
        self._fail_all("was closed")
        if self._supervisor is not None:
            self._supervisor.join()
        self._drop_socket()
        self._progress = "closed"

    def _tag_of(self, answer: dict[str, Any]) -> Tag:
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
        if self._process is not None and self._process.poll() is None:
            self._progress = (
                f"worker of '{self.name}' is in a step that cannot be ended in isolation 'thread'; "
                "wait, or use isolation 'process'"
            )
            raise TaggerError(self._progress)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = self._spawn(theirs)
            except OSError as error:
                ours.close()
                raise TaggerError(
                    f"worker of '{self.name}' cannot start: interpreter '{self._python}' "
                    f"({error.strerror}); set its python parameter to one that exists"
                ) from error
        self._socket = ours
        self._progress = "loading"
        if self._closing.is_set():
            _kill(self._process)
        try:
            names = list(self._labels.names)
            self._send({"do": "load", "settings": self._settings, "labels": names})
            answer = self._read_until_loaded(ours)
            if answer is None:
                raise TaggerError(self._obituary())
            if "error" in answer:
                raise TaggerError(str(answer["error"]))
        except TaggerError as error:
            self._progress = str(error)
            _kill(self._process)
            self._drop_socket()
            raise
        self._card = {str(key): str(value) for key, value in answer["loaded"].items()}
        with self._lock:
            self._ready = True
            self._progress = "ready"

    def _spawn(self, theirs: socket.socket) -> "subprocess.Popen[bytes] | WorkerThread":
        if self._isolation == "thread":
            return WorkerThread(theirs.dup(), self._engine)
        return subprocess.Popen(
            self._command(theirs.fileno()),
            pass_fds=[theirs.fileno()],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
        )

    def _command(self, fd: int) -> Sequence[str]:
        return [self._python, str(_PROCESS_FILE), str(fd), self._engine]

    def _environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        if self._python != sys.executable:
            for name in _OWN_ENVIRONMENT:
                environment.pop(name, None)
        return environment

    def _read_until_loaded(self, ours: socket.socket) -> dict[str, Any] | None:
        while (packet := _receive(ours)) is not None:
            if "loaded" in packet or "error" in packet:
                return packet
            self._progress = str(packet.get("progress", self._progress))
        return None

    def _supervise(self) -> None:
        """Read answers; when the worker is gone or stalled, start another one."""
        pause_s = self._first_pause_s
        while True:
            if self._ready:
                started_at = time.monotonic()
                self._read_answers()
                self._bury()
                if time.monotonic() - started_at > _LONGEST_PAUSE_S:
                    pause_s = self._first_pause_s
            self._progress = f"{self._progress}; restarting in {pause_s:g} s"
            if self._closing.wait(pause_s):
                return
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            self._restarts += 1
            with contextlib.suppress(TaggerError):  # its text is the progress already
                self._start()

    def _read_answers(self) -> None:
        assert self._socket is not None
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        patience_ms = 1000 * min(1.0, self._stall_s / 4)
        while not self._closing.is_set():
            if not poll.poll(patience_ms):
                if self._stalled():
                    return
                continue
            packet = _receive(self._socket)
            if packet is None:
                return
            self._heard_at = time.monotonic()
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

    def _bury(self) -> None:
        """Take the worker's end in: kill what is left and fail what waits for it."""
        with self._lock:
            self._ready = False
        if self._process is not None:
            if self._process.poll() is None and self._stalled():
                self._progress = f"stalled for {self._stall_s:g} s"
                _kill(self._process)
            else:
                self._progress = self._obituary()
        self._drop_socket()
        self._fail_all("died")

    def _obituary(self) -> str:
        assert self._process is not None
        try:
            code = self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            _kill(self._process)
            code = self._process.returncode
        if code is None:
            return f"worker of '{self.name}' does not end"
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return f"worker of '{self.name}' ended {how}; see its output above"

    # Packets.

    def _send(self, packet: Mapping[str, Any]) -> None:
        data = json.dumps(packet).encode()
        ours = self._socket
        try:
            if ours is None:
                raise BrokenPipeError
            ours.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError as error:
            raise TaggerBusyError(
                f"worker of '{self.name}' does not read; it is stalled or overloaded"
            ) from error
        except OSError as error:
            raise TaggerError(
                f"worker of '{self.name}' is gone; it is restarted by itself"
            ) from error

    def _finish(self, request_id: int, answer: dict[str, Any]) -> None:
        with self._lock:
            request = self._requests.pop(request_id, None)
        if request is not None:
            request.finish(answer)

    def _fail_all(self, how: str) -> None:
        with self._lock:
            requests, self._requests = self._requests, {}
        for request in requests.values():
            request.finish({"error": f"worker of '{self.name}' {how}; it is restarted by itself"})

    def _drop_socket(self) -> None:
        ours, self._socket = self._socket, None
        if ours is not None:
            ours.close()


def _receive(ours: socket.socket) -> dict[str, Any] | None:
    """Return the next packet; None when the other side is gone."""
    try:
        data = ours.recv(PACKET_BYTES)
    except OSError:
        return None
    if not data:
        return None
    try:
        packet = json.loads(data)
    except ValueError:
        return {}
    return packet if isinstance(packet, dict) else {}


def _kill(process: "subprocess.Popen[bytes] | WorkerThread") -> None:
    process.kill()
    process.wait()
