"""The installed node in a process of its own, for benches."""

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from pika_emotion import resources
from pika_emotion.errors import ConfigError
from pika_emotion.measurement import resident_mb

_END_S = 10.0


def program() -> Path:
    """Return where the node's program is installed.

    Raises:
        ConfigError: it is not.
    """
    share = resources.find("config/labels.yaml").parent.parent
    path = share.parent.parent / "lib" / "pika_emotion" / "emotion_node"
    if not path.is_file():
        raise ConfigError(
            f"program '{path}' not found; build the package with colcon and source its "
            "install/setup.bash"
        )
    return path


class NodeProcess:
    """Starts ``emotion_node`` in a namespace of its own; a context manager that ends it.

    Args:
        parameters: the node's, as texts.
        prefix: a command that starts the program, such as ``chrt --fifo 1``.

    Raises:
        ConfigError: the program is not installed, or the prefix has an open quote.
    """

    def __init__(self, parameters: Mapping[str, str], prefix: str = "") -> None:
        self.namespace = f"/bench_{os.getpid()}"
        try:
            words = shlex.split(prefix)
        except ValueError as error:
            raise ConfigError(
                f"prefix '{prefix}' cannot be read ({error}); correct its quotes"
            ) from error
        command = [*words, str(program()), "--ros-args", "--log-level", "warn"]
        command += ["-r", f"__ns:={self.namespace}"]
        for name, value in parameters.items():
            command += ["-p", f"{name}:={value}"]
        self._process = subprocess.Popen(command, stdout=2)  # the bench's own output is its table

    def ended(self) -> bool:
        """Return whether it has ended by itself."""
        return self._process.poll() is not None

    @property
    def resident_mb(self) -> float:
        """Peak resident memory so far, in MB."""
        return resident_mb(self._process.pid)

    def __enter__(self) -> "NodeProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
