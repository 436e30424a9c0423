"""An engine in a thread of this process, looking like a worker process to ``taggers.worker``.

A weaker promise than a process: a call that keeps Python's global lock stops the node too, memory
is given back only as far as the engine does so, and a step that never ends cannot be ended.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading

from pika_emotion.errors import where
from pika_emotion.taggers.worker_process import Worker

# How long is waited for a step to end before its thread is left to itself.
_PATIENCE_S = 5.0


class WorkerThread:
    """Serves an engine to the other end of a socket; has the parts of ``Popen`` that are needed.

    Attributes:
        pid: this process's.
        returncode: None while it runs, then 0, or 1 after an error.
    """

    def __init__(self, ours: socket.socket, engine: str) -> None:
        self.pid = os.getpid()
        self.returncode: int | None = None
        self._socket = ours
        self._engine = engine
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end; without a timeout for some seconds, then leave the thread to itself.

        Raises:
            subprocess.TimeoutExpired: it runs on after the timeout.
        """
        self._thread.join(_PATIENCE_S if timeout is None else timeout)
        if timeout is not None and self._thread.is_alive():
            raise subprocess.TimeoutExpired("engine thread", timeout)
        return self.returncode

    def kill(self) -> None:
        """Ask it to end: it does so after the step that it is in."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        code = 1
        try:
            Worker(self._socket, self._engine).run()
            code = 0
        except (BrokenPipeError, ConnectionResetError):
            code = 0  # the other end is gone, and so is our work
        except SystemExit:
            pass  # the engine has given itself up
        except BaseException as error:  # told without its message, which may quote somebody
            print(f"the engine's thread ended: {where(error)}", file=sys.stderr, flush=True)
        finally:
            self.returncode = code
            self._socket.close()
