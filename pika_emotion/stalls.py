"""When the machine itself kept processes waiting, told by a sleeper on each core beside a bench.

A core of a virtual machine may be taken away for tens of milliseconds. What is late then is late
whatever a program does, and a bench must tell that from a fault of its program.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType

_TICK_S = 0.005
_WORTH_S = 0.002

# Sleeps for a tick again and again and notes when it should have woken and when it did, where the
# difference is worth it; says it when it is told to end, as a long run's would fill a pipe and stop
# it. At real-time priority, where it may, and above a program that "chrt --fifo 1" starts: then
# nothing but the machine can keep it waiting. Where it may not, it says so first. Ends with the
# process that started it, which Ctrl-C is for.
_SLEEPER = """
import os, signal, sys, time
found = []
def tell(*_):
    sys.stdout.write("".join(found))
    sys.exit()
signal.signal(signal.SIGTERM, tell)
signal.signal(signal.SIGINT, signal.SIG_IGN)
core, tick, worth = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
os.sched_setaffinity(0, {core})
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))
except OSError:
    found.append("ordinary\\n")
parent = os.getppid()
while os.getppid() == parent:
    due = time.monotonic() + tick
    time.sleep(tick)
    woken = time.monotonic()
    if woken - due > worth:
        found.append(f"{due} {woken}\\n")
"""


class StallWatch:
    """Watches the machine while it is entered; the stalls are there after it was left.

    Attributes:
        stalls: from when to when, in seconds of ``time.monotonic``.
        alone: whether nothing but the machine made them; false where the sleepers may not have
            real-time priority, so that any busy program keeps them waiting, too.
    """

    def __init__(self) -> None:
        self.stalls: list[tuple[float, float]] = []
        self.alone = True
        self._sleepers: list[subprocess.Popen[str]] = []

    def __enter__(self) -> "StallWatch":
        for core in sorted(os.sched_getaffinity(0)):
            command = [sys.executable, "-I", "-S", "-c", _SLEEPER, str(core)]
            command += [str(_TICK_S), str(_WORTH_S)]
            self._sleepers.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        spans = []
        for sleeper in self._sleepers:
            sleeper.terminate()
        for sleeper in self._sleepers:
            told, _ = sleeper.communicate()
            whole = told.splitlines()
            self.alone = self.alone and "ordinary" not in whole
            pairs = [line.split() for line in whole if line != "ordinary"]
            spans += [(float(due), float(woken)) for due, woken in pairs]
        self.stalls = merged(spans)

    @property
    def longest_s(self) -> float:
        """The longest stall, in seconds; 0 where there was none."""
        return max((end - start for start, end in self.stalls), default=0.0)

    def within(self, start_s: float, end_s: float) -> float:
        """Return how long the machine stalled between two times of ``time.monotonic``, seconds."""
        return sum(max(0.0, min(end, end_s) - max(start, start_s)) for start, end in self.stalls)


def merged(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the spans of time in order, those that overlap as one."""
    result: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result
