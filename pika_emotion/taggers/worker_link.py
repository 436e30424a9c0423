"""One life of a worker: its process, or thread, and the socket to it.

Packets go over a Unix socket pair of whole packets (``SOCK_SEQPACKET``): one is sent at once or
refused, never half.
"""

import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pika_emotion.errors import TaggerBusyError, TaggerError
from pika_emotion.taggers.worker_thread import WorkerThread

PACKET_BYTES = 1 << 20
_PROCESS_FILE = Path(__file__).with_name("worker_process.py")
# What an interpreter of another environment must not inherit from this one.
_OWN_ENVIRONMENT = ("PYTHONPATH", "PYTHONHOME", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")

Packet = dict[str, Any]


class WorkerGoneError(TaggerError):
    """The worker has ended."""


class WorkerLink:
    """Starts a worker and talks with it.

    Args:
        name: the tagger's, for messages.
        engine: where the engine's factory is, as ``WorkerTagger`` says.
        python: the worker's interpreter.
        isolation: ``process`` or ``thread``.

    Raises:
        TaggerError: the interpreter cannot be started.
    """

    def __init__(self, name: str, engine: str, python: str, isolation: str) -> None:
        self._name = name
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = _spawn(theirs, engine, python, isolation)
            except OSError as error:
                self._socket.close()
                raise TaggerError(
                    f"worker of '{name}' cannot start: interpreter '{python}' "
                    f"({error.strerror}); set its python parameter to one that exists"
                ) from error

    @property
    def pid(self) -> int:
        """The worker's process."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether the worker has ended."""
        return self._process.poll() is not None

    def send(self, packet: Mapping[str, Any]) -> None:
        """Send a packet at once.

        Raises:
            TaggerBusyError: the worker does not read.
            WorkerGoneError: it is gone.
            TaggerError: the packet is too large.
        """
        data = json.dumps(packet).encode()
        try:
            self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError as error:
            raise TaggerBusyError(
                f"worker of '{self._name}' does not read; it is stalled or overloaded"
            ) from error
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                raise TaggerError(
                    f"worker of '{self._name}' cannot be told {len(data) >> 10} KiB at once; "
                    "shorten the prompt file, or the labels' descriptions"
                ) from error
            raise WorkerGoneError(
                f"worker of '{self._name}' is gone; it is restarted by itself"
            ) from error

    def send_hint(self, packet: Mapping[str, Any]) -> None:
        """Send a packet that may be left out, while few are unread; raises as ``send``.

        The rest of the room is for requests: only one that is not answered shows a stall.
        """
        poll = select.poll()
        try:
            poll.register(self._socket, select.POLLOUT)
        except ValueError:  # closed meanwhile
            return
        if poll.poll(0):
            self.send(packet)

    def wait(self, patience_s: float) -> bool:
        """Wait for a packet or the worker's end; return whether one of them is there."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(1000 * patience_s))

    def receive(self) -> Packet | None:
        """Return the next packet, waiting for it; None when the worker is gone."""
        try:
            data = self._socket.recv(PACKET_BYTES)
        except OSError:
            return None
        if not data:
            return None
        try:
            packet = json.loads(data)
        except ValueError:
            return {}
        return packet if isinstance(packet, dict) else {}

    def end(self, patience_s: float) -> None:
        """Wait so long for the worker's end, then make it end."""
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the worker by force."""
        self._process.kill()
        self._process.wait()

    def obituary(self) -> str:
        """Say how the worker ended; it is made to, if it has not."""
        self.end(1.0)
        code = self._process.returncode
        if code is None:
            return f"worker of '{self._name}' does not end"
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return f"worker of '{self._name}' ended {how}; see its output above"

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _spawn(
    theirs: socket.socket, engine: str, python: str, isolation: str
) -> "subprocess.Popen[bytes] | WorkerThread":
    if isolation == "thread":
        return WorkerThread(theirs.dup(), engine)
    environment = dict(os.environ)
    if python != sys.executable:
        for name in _OWN_ENVIRONMENT:
            environment.pop(name, None)
    return subprocess.Popen(
        [python, str(_PROCESS_FILE), str(theirs.fileno()), engine],
        pass_fds=[theirs.fileno()],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=2,  # what an engine prints must not get into a tool's own output
    )
