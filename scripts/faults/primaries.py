"""Faults of the primary and of its worker: test/scripted misbehaves while a file is there."""

import resource
import signal
from collections.abc import Callable
from pathlib import Path

from scene import Scene, Stage, send

from pika_emotion.deadline import Source

# More than any fault here lasts: what is silent for so long is not replaced.
PATIENT = {"scripted.stall_s": "30.0"}
# Beside what the worker has when its memory is limited; a step of the engine needs 64 MB.
ROOM_BYTES = 16 << 20

Play = Callable[[Stage], None]


def scripted(does: str, *, worker: bool = False, **more: str) -> dict[str, str]:
    """Return the parameters of a node with a scripted primary."""
    return {
        "tagger": "scripted.tagger",
        "scripted.does": does,
        "scripted.in_worker": str(worker).lower(),
        **more,
    }


def undisturbed(params: dict[str, str], who: Source, *, loaded: bool = True) -> Play:
    """Return a play in which nothing is done to a node: its primary is what it is.

    Args:
        params: the node's.
        who: a source that some tags must have, or the node was not what it should be.
        loaded: whether to wait for the primary's load.
    """

    def play(stage: Stage) -> None:
        with stage.meet({**params, **stage.settings}) as scene:
            with scene.talk(loaded=loaded):
                pass
            stage.check(who in sources(scene), f"some tags say {who.name}")

    return play


def for_a_while(does: str, *, worker: bool = False, **more: str) -> Play:
    """Return a play in which a sound primary misbehaves for a while."""

    def play(stage: Stage) -> None:
        switch = stage.folder / "switch"
        params = scripted(does, worker=worker, **{"scripted.while": str(switch)}, **more)
        with stage.meet(params) as scene, scene.talk():
            for _ in scene.hits():
                with scene.fault():
                    switch.touch()
                    scene.hold()
                    switch.unlink()

    return play


def worker_gets(number: signal.Signals) -> Play:
    """Return a play in which the worker gets a signal and is replaced."""

    def play(stage: Stage) -> None:
        with stage.meet(scripted("answers", worker=True)) as scene, scene.talk():
            for _ in scene.hits():
                with scene.fault():
                    send([scene.worker()], number)

    return play


def worker_paused(stage: Stage) -> None:
    """Stop the worker and let it go on."""
    with stage.meet(scripted("answers", worker=True, **PATIENT)) as scene, scene.talk():
        for _ in scene.hits():
            worker = scene.worker()
            with scene.fault():
                send([worker], signal.SIGSTOP)
                scene.hold()
                send([worker], signal.SIGCONT)
        stage.check(scene.worker() == worker, "a worker that was only paused is not replaced")


def worker_out_of_memory(stage: Stage) -> None:
    """Limit the worker's address space while it answers."""
    with stage.meet(scripted("needs_memory", worker=True)) as scene, scene.talk():
        for _ in scene.hits():
            worker = scene.worker()
            before = resource.prlimit(worker, resource.RLIMIT_AS)
            with scene.fault():
                limit = _address_space(worker) + ROOM_BYTES
                resource.prlimit(worker, resource.RLIMIT_AS, (limit, before[1]))
                scene.hold()
                resource.prlimit(worker, resource.RLIMIT_AS, before)
        stage.check(sources(scene) & {Source.ERROR}, "the worker did run out of memory")


def worker_out_of_memory_loading(stage: Stage) -> None:
    """Let the engine load more than its process may have."""
    with stage.meet(scripted("is_too_big", worker=True)) as scene:
        with scene.talk():
            pass
        stage.check(sources(scene) == {Source.ERROR}, "every tag says that the primary failed")
        stage.check("out of memory" in scene.node.output, "the log says: out of memory")


def sources(scene: Scene) -> set[Source]:
    """Return the sources of all tags so far."""
    return {Source(row.tag.source) for row in scene.robot.rows if row.tag is not None}


def _address_space(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


PLAYS: dict[str, Play] = {
    "primary: none, the reflex alone": undisturbed({"tagger": "reflex"}, Source.REFLEX),
    "primary: sound": undisturbed(scripted("answers"), Source.PRIMARY),
    "primary: slow": for_a_while("slow"),
    "primary: just late": for_a_while("late"),
    "primary: hangs": undisturbed(scripted("sleeps"), Source.OVERLOAD),
    "primary: raises": for_a_while("raises"),
    "primary: NaN": for_a_while("gives_nan"),
    "primary: wrong size": for_a_while("short"),
    "primary: wrong type": for_a_while("garbage"),
    "primary: exits": for_a_while("dies"),
    "primary: never loads": undisturbed(scripted("never_loads"), Source.LOADING, loaded=False),
    "worker: sound": undisturbed(scripted("answers", worker=True), Source.PRIMARY),
    "worker: raises": for_a_while("raises", worker=True),
    "worker: NaN": for_a_while("gives_nan", worker=True),
    "worker: wrong size": for_a_while("short", worker=True),
    "worker: holds the lock": for_a_while("holds_gil", worker=True, **PATIENT),
    "worker: killed": worker_gets(signal.SIGKILL),
    "worker: exits when asked": for_a_while("dies", worker=True),
    "worker: paused": worker_paused,
    "worker: stopped": worker_gets(signal.SIGSTOP),
    "worker: out of memory": worker_out_of_memory,
    "worker: out of memory loading": worker_out_of_memory_loading,
}
