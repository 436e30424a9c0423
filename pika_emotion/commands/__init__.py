"""One module a command of ``pika-emotion``: ``add_arguments(parser)`` and ``run(options)``."""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

from pika_emotion.errors import ConfigError, lacks


def import_extra(module: str, what: str, extra: str) -> ModuleType:
    """Return a module of this package that needs an extra.

    Args:
        module: its name.
        what: what needs it, for the message.
        extra: the extra's name.

    Raises:
        ConfigError: the library is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(lacks(what, str(error.name), extra)) from error


def import_probe() -> ModuleType:
    """Return the module ``probe``, which speaks with a running node.

    Raises:
        ConfigError: there is no ROS 2 here.
    """
    try:
        return importlib.import_module("pika_emotion.probe")
    except ImportError as error:
        raise ConfigError(
            f"this speaks with a running node and needs ROS 2 ({error}); "
            "source ROS's setup.bash and this workspace's"
        ) from error


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show on a terminal the share that is done and the time that remains; yields the step."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
