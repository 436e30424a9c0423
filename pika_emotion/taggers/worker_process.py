"""The worker's main program: an engine behind a socket. Started by ``taggers.worker``.

Runs under any interpreter from Python 3.10 on: it takes the package from the folder that this
file is in, and nothing else from the environment of the process that started it.
"""

import importlib
import importlib.util
import json
import select
import signal
import socket
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pika_emotion.taggers.engine import Engine

_PACKET_BYTES = 1 << 20
# So often an engine that has nothing to do is asked for its status.
_STATUS_S = 2.0


def _load_file(name: str, path: Path, *, package: bool) -> ModuleType:
    folders = [str(path.parent)] if package else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=folders)
    if spec is None or spec.loader is None:
        raise ImportError(f"'{path}' is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _create(engine: str, settings: dict[str, Any]) -> "Engine":
    place, _, factory = engine.rpartition(":")
    if place.endswith(".py"):
        module = _load_file(Path(place).stem, Path(place), package=False)
    else:
        module = importlib.import_module(place)
    created: Engine = getattr(module, factory)(settings)
    return created


class Worker:
    """Serves one engine to the process at the other end of a socket, until that one is gone."""

    def __init__(self, ours: socket.socket, engine_path: str) -> None:
        self._socket = ours
        self._engine_path = engine_path
        self._deadlines: dict[int, float] = {}
        self._status: dict[str, str] = {}
        self._status_at = 0.0

    def run(self) -> None:
        """Load, then serve; returns when told to close or when the other end is gone."""
        order = self._receive()
        if order is None:
            return
        try:
            engine = _create(self._engine_path, order["settings"])
            card = engine.load(order["labels"], lambda line: self._send({"progress": line}))
        except ImportError as error:
            self._send(
                {
                    "error": f"interpreter '{sys.executable}' cannot import '{error.name}'; set "
                    "the tagger's python parameter to an interpreter that has what its engine needs"
                }
            )
            return
        except Exception as error:
            self._send({"error": _explain(error)})
            return
        self._send({"loaded": dict(card)})
        try:
            while self._read(engine):
                self._step(engine)
        finally:
            engine.close()

    def _read(self, engine: "Engine") -> bool:
        """Take in what has arrived, waiting only if there is nothing to do; False at the end."""
        patience = 0.0 if engine.busy else max(0.0, self._status_at - time.monotonic())
        while select.select([self._socket], [], [], patience)[0]:
            order = self._receive()
            if order is None or order["do"] == "close":
                return False
            self._obey(engine, order)
            patience = 0.0
        if not engine.busy and time.monotonic() >= self._status_at:
            self._tell_status(engine)
        return True

    def _obey(self, engine: "Engine", order: dict[str, Any]) -> None:
        from pika_emotion.dialogue import Turn
        from pika_emotion.errors import where

        turn = Turn(**order["turn"])
        if order["do"] == "prefill":
            try:
                engine.prefill(turn)
            except Exception as error:  # a hint is worth no engine
                print(f"a hint failed: {where(error)}", file=sys.stderr, flush=True)
        elif time.monotonic() > order["deadline"]:
            self._send({"id": order["id"], "error": "asked after the deadline"})
        else:
            self._deadlines[order["id"]] = order["deadline"]
            try:
                engine.submit(order["id"], turn)
            except Exception as error:
                engine.cancel(order["id"])  # it may have taken a part of it
                self._fail(order["id"], error)

    def _tell_status(self, engine: "Engine") -> None:
        try:
            status = {str(name): str(value) for name, value in engine.status().items()}
        except Exception:  # a GPU that fails is told by the next step
            status = {}
        if status != self._status:
            self._send({"status": status})
            self._status = status
        self._status_at = time.monotonic() + _STATUS_S

    def _step(self, engine: "Engine") -> None:
        self._expire(engine)
        if not engine.busy:
            return
        try:
            results = engine.step()
        except Exception as error:
            for request_id in list(self._deadlines):
                engine.cancel(request_id)
                self._fail(request_id, error)
            return
        for result in results:
            if self._deadlines.pop(result.id, None) is not None:
                scores = [float(score) for score in result.scores]
                self._send(
                    {
                        "id": result.id,
                        "scores": scores,
                        "celebrate": float(result.celebrate),
                        "counts": {name: float(value) for name, value in result.counts.items()},
                    }
                )

    def _expire(self, engine: "Engine") -> None:
        now = time.monotonic()
        for request_id in [i for i, deadline in self._deadlines.items() if now > deadline]:
            engine.cancel(request_id)
            del self._deadlines[request_id]
            self._send({"id": request_id, "error": "given up at the deadline"})

    def _fail(self, request_id: int, error: Exception) -> None:
        self._deadlines.pop(request_id, None)
        self._send({"id": request_id, "error": _explain(error)})

    def _send(self, packet: dict[str, Any]) -> None:
        self._socket.sendall(json.dumps(packet).encode())

    def _receive(self) -> dict[str, Any] | None:
        data = self._socket.recv(_PACKET_BYTES)
        if not data:
            return None
        order: dict[str, Any] = json.loads(data)
        return order


def _explain(error: Exception) -> str:
    from pika_emotion.errors import PikaEmotionError

    # Another library's message may quote what was said; its type cannot.
    if isinstance(error, PikaEmotionError):
        return str(error)
    if isinstance(error, MemoryError):
        return "the engine is out of memory; free some, or set a smaller model"
    return f"{type(error).__name__} in the engine"


def main() -> None:
    """Run the worker on the socket whose number is the first argument."""
    # Ctrl-C in a terminal reaches this process too; the other end says when it is over.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    package = Path(__file__).resolve().parent.parent
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != package / "taggers"]
    _load_file("pika_emotion", package / "__init__.py", package=True)
    from pika_emotion.crashes import keep_private

    keep_private()
    with socket.socket(fileno=int(sys.argv[1])) as ours:
        try:
            Worker(ours, sys.argv[2]).run()
        except (BrokenPipeError, ConnectionResetError):
            return  # the other end is gone, and so is our work
        except SystemExit as error:
            # Python would print a text that is given instead of a code.
            sys.exit(error.code if isinstance(error.code, int) else 1)


if __name__ == "__main__":
    main()
