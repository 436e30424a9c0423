"""Faults of the node's process and of what it must do at once: paused, starved, stormed."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from primaries import Play, scripted
from scene import PATIENCE_S, Scene, Stage, send

BURNERS_A_CORE = 2
WITHIN_DEPTH, STORM = 90, 1000
# Ends with the process that started it.
BURNER = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(100_000))"


def paused(stage: Stage) -> None:
    """Stop the node and let it go on."""
    with stage.meet({"tagger": "reflex"}) as scene, scene.talk():
        for _ in scene.hits():
            with scene.fault():
                send([scene.pid], signal.SIGSTOP)
                scene.hold()
                send([scene.pid], signal.SIGCONT)


def starved(stage: Stage) -> None:
    """Keep every core busy."""
    with stage.meet(scripted("answers")) as scene, scene.talk():
        for _ in scene.hits():
            with scene.fault(), burners(BURNERS_A_CORE * len(os.sched_getaffinity(0))):
                scene.hold()


@contextlib.contextmanager
def burners(number: int) -> Iterator[None]:
    """Run so many busy loops meanwhile."""
    command = [sys.executable, "-I", "-S", "-c", BURNER]
    burning = [subprocess.Popen(command) for _ in range(number)]
    try:
        yield
    finally:
        for burner in burning:
            burner.kill()
        for burner in burning:
            burner.wait()


def storm(replies: int, *, depth: int = 100) -> Play:
    """Return a play in which many replies come at once."""

    def play(stage: Stage) -> None:
        params = scripted("sleeps", **{"qos.depth": str(depth)})
        with stage.meet(params) as scene:
            with scene.talk():
                for _ in scene.hits():
                    with scene.fault():
                        for number in range(replies):
                            scene.say(f"Reply {number}!")
                        scene.robot.wait_for_tags(2.0)
            _account_for_losses(stage, scene)

    return play


def _account_for_losses(stage: Stage, scene: Scene) -> None:
    """Check that diagnostics count what was lost, so that nothing goes by unseen."""
    lost = sum(row.tag is None for row in scene.robot.rows)
    counted = 0
    end = time.monotonic() + PATIENCE_S
    while counted != lost and time.monotonic() < end:
        values = [{pair.key: pair.value for pair in s.values} for s in scene.robot.statuses[-1:]]
        counted = int(values[0].get("lost messages", 0)) if values else 0
        time.sleep(0.1)
    stage.check(counted == lost, f"diagnostics count the {lost} lost; they count {counted}")


PLAYS: dict[str, Play] = {
    "process: paused": paused,
    "process: starved": starved,
    "process: storm within the depth": storm(WITHIN_DEPTH),
    "process: storm": storm(STORM),
    "process: storm in a deeper queue": storm(STORM, depth=STORM),
}
