"""Runs the node for long, through random lifecycle transitions, and looks for what grows.

scripts/in_env.sh python scripts/soak.py --seconds 3600
scripts/in_env.sh python scripts/soak.py --judge build/soak

Speaks with the installed node at a fixed rate from a process of its own, moves it between its
states at random times, and writes every reply, tag, transition and a sample of the process a second
to CSV files. Then it judges these files (``--judge`` does only that), draws them, and prints one
line of JSON. Ends with 1 where a tag was lost, doubled, out of order or not owed, where the
primary never answered, where memory grows beyond the bound, or where threads or open files grow.
See docs/soak.md.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import random
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soak_account import Received, Sample, Sent, Table, Transition
from soak_verdict import draw, judge

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test"))

from ros import NodeProcess, Robot, conversation  # noqa: E402

from pika_emotion.deadline import Source  # noqa: E402
from pika_emotion.measurement import machine, versions  # noqa: E402
from pika_emotion.stalls import StallWatch  # noqa: E402

SAMPLE_S = 1.0
# How long the last reply's tag is waited for.
LAST_S = 20.0
# How long the node rests in a state that is not active, on average.
REST_S = 1.0
# Of those times that the node is inactive, one in so many goes on to be cleaned up.
CLEANUP_EVERY = 4
UTTERANCE = "pika_emotion/msg/Utterance"
TARGETS = {
    "configure": "inactive",
    "activate": "active",
    "deactivate": "inactive",
    "cleanup": "unconfigured",
}


class Listener(Robot):
    """A robot whose every tag is written down as it comes."""

    def __init__(self, node: NodeProcess, table: Table) -> None:
        self._table = table
        self.last_tagged = 0
        super().__init__(node, utterances=True)

    def _on_tag(self, tag: Any) -> None:
        received_s = time.monotonic()
        number = int(tag.reply_id) if tag.reply_id.isdecimal() else 0
        self._table.add(Received(number, received_s, tag.seq, Source(tag.source).name))
        self.last_tagged = number


class Speaker(threading.Thread):
    """Says the demo's conversation again and again, so many replies a second, until ``stop``."""

    def __init__(self, robot: Listener, rate: float, table: Table) -> None:
        super().__init__(name="speaker", daemon=True)
        self.stop = threading.Event()
        self.said = 0
        self._robot = robot
        self._rate = rate
        self._table = table

    def run(self) -> None:
        """Speak at fixed times; a speaker that was held up goes on with the next one."""
        begun = time.monotonic()
        for who, text in itertools.cycle(conversation()):
            if who == "child":
                self._robot.child_says(text)
                continue
            due_s = begun + (self.said + 1) / self._rate
            if self.stop.wait(max(0.0, due_s - time.monotonic())):
                return
            self.said += 1
            self._robot.pika_says(text, str(self.said))
            self._table.add(Sent(self.said, self._robot.rows[-1].sent_s))
            # The probe's own account would take what is not owed for lost.
            self._robot.forget()


@dataclass
class Watched:
    """The state that the node is in, for the sampler; empty while it changes."""

    state: str = ""


class Sampler(threading.Thread):
    """Writes down what the system tells of the node and its worker, until ``stop``."""

    def __init__(self, pid: int, watched: Watched, table: Table) -> None:
        super().__init__(name="sampler", daemon=True)
        self.stop = threading.Event()
        self._pid = pid
        self._watched = watched
        self._table = table

    def run(self) -> None:
        """Sample once a second."""
        while not self.stop.wait(SAMPLE_S):
            before = self._watched.state
            try:
                node = measure(self._pid)
            except OSError:
                return  # the node has ended: the run tells
            worker, of_worker = self._worker()
            state = before if self._watched.state == before else ""
            self._table.add(Sample(time.monotonic(), state, *node, worker, *of_worker))

    def _worker(self) -> tuple[int, tuple[float, float, int, int]]:
        for pid in children_of(self._pid):
            try:
                if b"worker_process.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid, measure(pid)
            except OSError:
                continue  # it has ended meanwhile
        return 0, (math.nan, math.nan, 0, 0)


def children_of(pid: int) -> list[int]:
    """Return a process's children."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text(encoding="ascii").split())
        except OSError:
            continue  # the thread has ended meanwhile
    return found


def measure(pid: int) -> tuple[float, float, int, int]:
    """Return a process's resident and own memory in MB, its threads and its open files.

    Raises:
        OSError: there is no such process.
    """
    kilobytes = dict.fromkeys(("Rss:", "Private_Clean:", "Private_Dirty:"), 0)
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    for line in rollup.splitlines():
        name, *rest = line.split()
        if name in kilobytes:
            kilobytes[name] = int(rest[0])
    rss, *own = kilobytes.values()
    threads = len(os.listdir(f"/proc/{pid}/task"))
    return rss / 1024, sum(own) / 1024, threads, len(os.listdir(f"/proc/{pid}/fd"))


class Mover:
    """Takes the node from state to state, and writes down when."""

    def __init__(self, robot: Listener, watched: Watched, table: Table) -> None:
        self._robot = robot
        self._watched = watched
        self._table = table

    def move(self, name: str) -> None:
        """Make one transition; one that nobody answers has failed."""
        target = TARGETS[name]
        self._watched.state, state = "", ""
        asked_s = time.monotonic()
        with contextlib.suppress(AssertionError):  # what the robot of the tests raises
            done = self._robot.transition(name)
            # An answer that the middleware dropped is asked for again, and then refused.
            state = target if done else self._robot.state
        self._table.add(Transition(name, asked_s, time.monotonic(), int(state == target)))
        self._watched.state = state

    @property
    def state(self) -> str:
        """The state that the node is in."""
        return self._watched.state


def soak(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the node; return what is known of the run beside its files."""
    chance = random.Random(options.seed)
    watched = Watched()
    parameters = {
        "tagger": options.tagger,
        "autostart": "false",
        "transcript.type": UTTERANCE,
        "reply.type": UTTERANCE,
        **dict(setting.split("=", 1) for setting in options.set),
    }
    if options.tagger == "scripted.tagger":
        parameters["scripted.in_worker"] = "true"
    node = NodeProcess(folder, params=parameters, log_level="warn", namespace="/soak")
    try:
        with Listener(node, Table(folder, Received)) as robot, StallWatch() as watch:
            mover = Mover(robot, watched, Table(folder, Transition))
            speaker = Speaker(robot, options.rate, Table(folder, Sent))
            sampler = Sampler(node.process.pid, watched, Table(folder, Sample))
            mover.move("configure")
            mover.move("activate")
            sampler.start()
            speaker.start()
            end = time.monotonic() + options.seconds
            while (
                mover.state in TARGETS.values()  # else it failed, and there is no way on
                and time.monotonic() < end
                and node.process.poll() is None
            ):
                rest_s = options.dwell if mover.state == "active" else REST_S
                rest_s = chance.expovariate(1 / rest_s) if rest_s else math.inf
                time.sleep(min(rest_s, max(0.0, end - time.monotonic())))
                if time.monotonic() < end and node.process.poll() is None:
                    mover.move(next_of(mover.state, chance))
            speaker.stop.set()
            speaker.join()
            end = time.monotonic() + LAST_S
            while (
                watched.state == "active"
                and robot.last_tagged < speaker.said
                and time.monotonic() < end
            ):
                time.sleep(0.05)
            sampler.stop.set()
            sampler.join()
        died = node.process.poll() is not None
        try:
            code = node.end()
        except subprocess.TimeoutExpired:
            code = "none in time"
    finally:
        node.close()
    return {
        "node_died": died,
        "exit_code": code,
        "stalls": len(watch.stalls),
        "longest_stall_ms": round(1000 * watch.longest_s, 1),
        "stalled_s": round(watch.within(0.0, math.inf), 2),
    }


def next_of(state: str, chance: random.Random) -> str:
    """Return a transition that the state allows."""
    if state == "inactive":
        return "cleanup" if chance.randrange(CLEANUP_EVERY) == 0 else "activate"
    return {"active": "deactivate", "unconfigured": "configure"}[state]


def main() -> int:
    """Run, judge, draw and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--rate", type=float, default=5.0, help="replies a second")
    parser.add_argument(
        "--dwell", type=float, default=20.0, help="mean time to be active at a stretch, s; 0: all"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the transitions' times and kinds")
    parser.add_argument("--tagger", default="scripted.tagger", help="who answers in the worker")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--warm-up", type=float, default=720.0, help="memory is not judged so long")
    parser.add_argument("--bound", type=float, default=1.0, help="of memory's slope, MB an hour")
    parser.add_argument("--out", type=Path, default=ROOT / "build/soak", help="the CSV files")
    parser.add_argument("--judge", type=Path, metavar="FOLDER", help="judge files that are there")
    options = parser.parse_args()
    folder = options.judge or options.out
    folder.mkdir(parents=True, exist_ok=True)
    run = folder / "run.json"
    if not options.judge:
        run.unlink(missing_ok=True)  # else a run that fails would be judged with an older one's
        told = {"machine": machine(), "versions": versions("ros-rclpy"), "rate_hz": options.rate,
                "seconds": options.seconds, "dwell_s": options.dwell, "seed": options.seed,
                "tagger": options.tagger, "set": options.set}  # fmt: skip
        told.update(soak(options, folder))
        told["load_after"] = machine()["load_1min"]
        run.write_text(json.dumps(told), encoding="utf-8")
    told = json.loads(run.read_text(encoding="utf-8"))
    primary = told["tagger"] != "reflex"
    verdict = judge(folder, options.warm_up, options.bound, primary=primary)
    verdict["faults"] += [name for name in ("node_died", "exit_code") if told[name]]
    print(f"drawn: {draw(folder)}", file=sys.stderr)
    print(json.dumps({**told, "warm_up_s": options.warm_up, **verdict}))
    return 1 if verdict["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
