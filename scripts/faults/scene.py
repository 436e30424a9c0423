"""A node, a robot that talks with it, and the account of what befell them: rows for the CSV files.

The node is the installed program, started as the tests start it (``test/ros.py``).
"""

import contextlib
import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ros import NodeProcess, Robot, conversation, until, workers_of
from rows import CHECK, FAULT, SAID, STALL, Event, Reply

from pika_emotion.deadline import Source
from pika_emotion.stalls import StallWatch

UTTERANCE = "pika_emotion/msg/Utterance"
WARM_UP = 20
# What a run of default length has: talk, a fault, talk again. Longer ones are hit again.
LEAD_S, HOLD_S, AFTER_S = 2.0, 2.0, 4.0
# For what must happen soon, on a machine in trouble.
PATIENCE_S = 30.0


class NotRunError(Exception):
    """A fault cannot be made on this machine; the message says what it needs."""


@dataclass
class Stage:
    """Where one fault is played: what was asked for, and what is found.

    Attributes:
        folder: for the fault's own files.
        seconds, rate: how long is talked, and how many replies a second.
        prefix: a command that starts the node.
        load_timeout_s: how long a primary may load.
        deadline_ms: the node's.
        settings: what the command line says besides, by name.
        replies, events: the account.
    """

    folder: Path
    seconds: float
    rate: float
    prefix: tuple[str, ...] = ()
    load_timeout_s: float = 60.0
    deadline_ms: float = 50.0
    settings: Mapping[str, str] = field(default_factory=dict)
    replies: list[Reply] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def check(self, ok: object, detail: str) -> None:
        """Note something that must be true; ``detail`` says it in words."""
        now = time.monotonic()
        self.events.append(Event(CHECK, now, now, int(bool(ok)), detail))

    def start(self, params: Mapping[str, str], *arguments: str, **options: Any) -> NodeProcess:
        """Start a node; ``options`` are those of ``ros.NodeProcess``."""
        wanted = {
            "deadline_ms": str(self.deadline_ms),
            "transcript.type": UTTERANCE,
            "reply.type": UTTERANCE,
            **params,
        }
        prefix = (*self.prefix, *options.pop("prefix", ()))
        return NodeProcess(self.folder, *arguments, params=wanted, prefix=prefix, **options)

    @contextlib.contextmanager
    def meet(self, params: Mapping[str, str], *arguments: str, **options: Any) -> Iterator["Scene"]:
        """Start a node and a robot beside it; at the end the node must end in order.

        ``options``: ``active``, whether to wait until the node serves, and those of ``start``.
        """
        active = options.pop("active", True)
        node = self.start(params, *arguments, **options)
        robot = Robot(node, utterances=True, unique_ids=True)
        try:
            if active:
                robot.wait_for_node(PATIENCE_S)
            yield Scene(self, node, robot)
            self.keep(robot)
        finally:
            self.end(node)
            robot.__exit__(None, None, None)

    def end(
        self,
        node: NodeProcess,
        number: int = signal.SIGINT,
        limit_s: float = 10.0,
        codes: Sequence[int] = (0,),
    ) -> None:
        """End a node by a signal, and check how it ends."""
        workers = workers_of(node.process.pid)
        started = time.monotonic()
        try:
            code: int | str = node.end(number, limit_s)
        except subprocess.TimeoutExpired:
            code = f"none after {limit_s:g} s"
        took_s = time.monotonic() - started
        node.close()
        wanted = " or ".join(map(str, codes))
        self.check(code in codes, f"exit code {wanted}; it is {code} after {took_s:.2f} s")
        self.check("Traceback" not in node.output, "no traceback in the node's output")
        left = [pid for pid in workers if _runs(pid)]
        self.check(not left, f"no worker is left, {len(left)} are")

    def keep(self, robot: Robot) -> None:
        """Take the robot's account over."""
        first = len(self.replies)
        for number, row in enumerate((*robot.rows, *robot.extras), 1):
            known = not math.isnan(row.sent_s)
            tag = row.tag
            self.replies.append(
                Reply(
                    first + number if known else None,
                    row.id if known else "",
                    row.sent_s if known else None,
                    row.received_s,
                    tag.seq if tag else None,
                    Source(tag.source).name if tag else "",
                    1e3 * tag.latency.sec + tag.latency.nanosec / 1e6 if tag else None,
                    tag.reply_id if tag else "",
                )
            )


class Scene:
    """A running node and the robot that talks with it."""

    def __init__(self, stage: Stage, node: NodeProcess, robot: Robot) -> None:
        self.stage = stage
        self.node = node
        self.robot = robot
        self._said = 0
        self._saying = threading.Lock()
        self._begun_s = 0.0

    @property
    def pid(self) -> int:
        """The node's process."""
        return int(self.node.process.pid)

    @property
    def hold_s(self) -> float:
        """How long a fault lasts that has a length."""
        return min(HOLD_S, 0.2 * self.stage.seconds)

    def worker(self) -> int:
        """Return the node's worker process, waiting for it."""
        return int(until(lambda: workers_of(self.pid), PATIENCE_S)[0])

    def say(self, text: str, child: str = "") -> None:
        """Say a reply, and what the child said before it."""
        with self._saying:  # a storm is said while the talk goes on
            if child:
                self.robot.child_says(child)
            self._said += 1
            self.robot.pika_says(text, f"r{self._said}")

    def wait_loaded(self) -> None:
        """Talk until it is not the load that keeps the primary from answering."""
        end = time.monotonic() + self.stage.load_timeout_s
        while time.monotonic() < end:
            self.say("Hello!")
            self.robot.wait_for_tags(PATIENCE_S)
            tag = self.robot.rows[-1].tag
            if tag is not None and Source(tag.source) is not Source.LOADING:
                return
            time.sleep(0.2)

    @contextlib.contextmanager
    def talk(self, *, loaded: bool = True) -> Iterator[None]:
        """Talk at the stage's rate, whatever is done meanwhile, for the stage's time.

        Args:
            loaded: whether to wait for the primary's load before.
        """
        if loaded:
            self.wait_loaded()
        seconds, rate = self.stage.seconds, self.stage.rate
        with StallWatch() as watch:
            # Meanwhile the watch's own processes start, at real-time priority.
            self._converse(lambda done: done == WARM_UP)
            self.robot.wait_for_tags(PATIENCE_S)
            self.robot.forget()
            self._begun_s = time.monotonic()
            said = Event(SAID, self._begun_s, self._begun_s, math.ceil(seconds * rate), "")
            self.stage.events.append(said)
            talking = threading.Thread(
                target=self._converse, args=(lambda done: done >= seconds * rate,), daemon=True
            )
            talking.start()
            try:
                yield
            finally:
                talking.join()
                self.robot.wait_for_tags(10.0)
                # A tag that comes twice comes soon after the first.
                time.sleep(0.2)
        if watch.alone:  # else what the node itself does may look like a stall, and excuse it
            self.stage.events += [Event(STALL, begin, end, 1, "") for begin, end in watch.stalls]

    def hits(self, after_s: float = AFTER_S) -> Iterator[None]:
        """Yield when it is time for a fault: once, and again where the talk is long enough.

        Args:
            after_s: talk that is left after each, for what must come back.
        """
        # Each restart of a worker waits longer than the one before: few hits, however long.
        after_s = max(after_s, self.stage.seconds / 5)
        time.sleep(min(LEAD_S, 0.2 * self.stage.seconds))
        yield
        while self._left_s() > 2 * after_s + self.hold_s:
            time.sleep(after_s)
            yield

    @contextlib.contextmanager
    def fault(self) -> Iterator[None]:
        """Note when a fault begins and ends."""
        begin_s = time.monotonic()
        yield
        self.stage.events.append(Event(FAULT, begin_s, time.monotonic(), 1, ""))

    def hold(self) -> None:
        """Let a fault that has a length last."""
        time.sleep(self.hold_s)

    def _left_s(self) -> float:
        return self.stage.seconds - (time.monotonic() - self._begun_s)

    def _converse(self, enough: Callable[[int], bool]) -> None:
        """Say the demo's conversation over and over at a fixed rate (open loop)."""
        said = conversation()
        begun, done, child = time.monotonic(), 0, ""
        while True:
            for who, text in said:
                if who == "child":
                    child = text
                    continue
                time.sleep(max(0.0, begun + done / self.stage.rate - time.monotonic()))
                self.say(text, child)
                done, child = done + 1, ""
                if enough(done):
                    return


def send(pids: Sequence[int], number: signal.Signals) -> None:
    """Send a signal to processes, but for those that are gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _runs(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
