"""What a fault that nobody caught leaves behind: its kind and its place, and no image of memory.

The last line of a traceback is the exception's message, and a core file is the whole memory: either
may hold what a child said. A program calls ``keep_private`` as the first thing it does.
"""

import contextlib
import logging
import sys
import threading
import traceback
from types import TracebackType
from typing import Any


def describe(error: BaseException | None) -> str:
    """Return an error, and what it came from, as kinds and places without any message."""
    parts: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        stack = traceback.extract_tb(error.__traceback__)
        places = [f"  {frame.filename}:{frame.lineno} in {frame.name}" for frame in stack]
        parts.append("\n".join([*places, f"{type(error).__name__} (its message is not shown)"]))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\nwhile handling or because of\n".join(parts)


class Discreet(logging.Filter):
    """Takes the messages of exceptions out of log records, and what asyncio adds of its objects."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; it is logged all the same."""
        if record.exc_info:
            record.exc_text = describe(record.exc_info[1])
            record.exc_info = None
        if record.name == "asyncio":
            # The lines that follow, and the arguments, are futures and callbacks as they look.
            record.msg, record.args = str(record.msg).partition("\n")[0], None
        return True


def keep_private() -> None:
    """Make this process tell of faults that nobody caught without anybody's words.

    Python's hooks and its last logging handler show kinds and places only, and no core file is
    written. The hard limit stays: ``prlimit --core=unlimited --pid PID`` brings core files back.
    """
    sys.excepthook = _on_exception
    threading.excepthook = _on_thread_exception
    sys.unraisablehook = _on_unraisable
    if logging.lastResort is not None:
        logging.lastResort.addFilter(Discreet())
    forbid_core_files()


def forbid_core_files() -> None:
    """Let this process, and those it starts, leave no core file and no image to a program."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # a system without limits
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        # Linux hands the image to a program (apport, systemd-coredump: core_pattern begins with a
        # bar) whatever the limit is, 0 too, but for 1; a file is not written for less than a page.
        resource.setrlimit(resource.RLIMIT_CORE, (hard and 1, hard))


def _on_exception(
    _kind: type[BaseException], error: BaseException, _trace: TracebackType | None
) -> None:
    print(describe(error), file=sys.stderr, flush=True)


def _on_thread_exception(told: threading.ExceptHookArgs) -> None:
    name = told.thread.name if told.thread is not None else "unknown"
    if told.exc_type is not SystemExit:
        print(f"thread '{name}' ended by\n{describe(told.exc_value)}", file=sys.stderr, flush=True)


def _on_unraisable(told: Any) -> None:
    print(f"ignored\n{describe(told.exc_value)}", file=sys.stderr, flush=True)
