"""Measures what the monitor costs the node: one node, blocks of replies with a monitor and without.

scripts/in_env.sh python scripts/bench_monitor.py > monitor.json

Rounds of one block each way, the first one in turn; in a block with the monitor, a process of it
runs and a reader follows its events, as an open page does. Every block begins with replies that are
not counted. The ratios' 95 % intervals are of the bootstrap over rounds.
"""

import argparse
import contextlib
import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pika_emotion.commands.bench import converse, demo_conversation
from pika_emotion.errors import ConfigError
from pika_emotion.measurement import machine, percentiles, versions
from pika_emotion.node_process import NodeProcess, program
from pika_emotion.probe import Probe
from pika_emotion.resampling import RESAMPLES, SEED, interval
from pika_emotion.stalls import StallWatch

WAYS = ("without", "with")
_MEETING_S = 30.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Block:
    """What one block showed.

    Attributes:
        node_ms: from a reply's receipt to its tag's publication, by the node.
        round_ms: from a reply's publisher to its tag's receipt.
        lost: replies without a tag.
        monitor_cpu: the share of a core that the monitor used.
    """

    node_ms: npt.NDArray[np.float64]
    round_ms: npt.NDArray[np.float64]
    lost: int
    monitor_cpu: float


# Reads a monitor's events as an open page does, in a process of its own; tells of the first tag.
_PAGE = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
connection.request("GET", "/events")
tags = 0
for line in connection.getresponse():
    tags += line == b"event: tag\\n"
    if tags == 1:
        print("a tag", flush=True)
"""


class Monitor:
    """The installed monitor beside a node."""

    def __init__(self, namespace: str) -> None:
        command = [str(program().parent / "monitor"), "--ros-args", "-r", f"__ns:={namespace}"]
        command += ["-p", "monitor.port:=0", "-p", "monitor.show_text:=true"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        told = self._process.stdout.readline()
        found = re.search(r":(\d+)/$", told.strip())
        if found is None:
            raise ConfigError(f"the monitor does not start; it says '{told.strip()}'")
        command = [sys.executable, "-I", "-c", _PAGE, found[1]]
        self._page = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def heard(self) -> bool:
        """Return whether the page has got a tag."""
        assert self._page.stdout is not None
        return bool(select.select([self._page.stdout], [], [], 0.1)[0])

    @property
    def cpu_s(self) -> float:
        """Return the processor time that it has used so far, in seconds."""
        stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii")
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / _TICKS

    def end(self) -> None:
        """End it, and wait for that."""
        self._process.terminate()
        self._process.wait(30)
        self._page.wait(30)


@contextlib.contextmanager
def beside(way: str, probe: Probe, namespace: str) -> Iterator[Monitor | None]:
    """Have a monitor that hears the node, or none; either way the node has settled."""
    if way == "without":
        yield None
        return
    monitor = Monitor(namespace)
    try:
        end = time.monotonic() + _MEETING_S
        while not monitor.heard():
            if time.monotonic() > end:
                raise ConfigError(f"the monitor heard no tag in {_MEETING_S:g} s; run it again")
            probe.pika_says("Hello!")
            probe.wait_for_tags(5.0)
        yield monitor
    finally:
        monitor.end()


def block(way: str, probe: Probe, namespace: str, options: argparse.Namespace) -> Block:
    """Measure one block."""
    said, pause_s = demo_conversation(), 1.0 / options.rate
    with beside(way, probe, namespace) as monitor:
        converse(probe, said, options.warm_up, pause_s)
        probe.wait_for_tags(5.0)
        probe.forget()
        begun, used_s = time.monotonic(), monitor.cpu_s if monitor else 0.0
        converse(probe, said, options.replies, pause_s)
        probe.wait_for_tags(5.0)
        share = (monitor.cpu_s - used_s) / (time.monotonic() - begun) if monitor else 0.0
        tagged = [row for row in probe.rows if row.round_ms is not None]
        own = [1e3 * row.tag.latency.sec + row.tag.latency.nanosec / 1e6 for row in tagged]
        whole = [row.round_ms for row in tagged]
        return Block(np.array(own), np.array(whole), len(probe.rows) - len(tagged), share)


def compared(rounds: dict[str, list[npt.NDArray[np.float64]]]) -> dict[str, object]:
    """Return each way's percentiles, and the ratios with / without with their 95 % intervals."""
    number = len(rounds["with"])
    drawn = np.random.default_rng(SEED).integers(number, size=(RESAMPLES, number))
    shown: dict[str, object] = {
        f"{way}_{name}_ms": value
        for way in WAYS
        for name, value in percentiles(np.concatenate(rounds[way]).tolist()).items()
    }
    for centile in (50, 99):
        values = []
        for chosen in [np.arange(number), *drawn]:
            with_ms, without_ms = (
                np.percentile(np.concatenate([rounds[way][i] for i in chosen]), centile)
                for way in ("with", "without")
            )
            values.append(with_ms / without_ms)
        shown[f"p{centile}_ratio"] = interval(np.array(values))
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print one JSON object; return 1 where a tag was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12, help="blocks each way")
    parser.add_argument("--replies", type=int, default=400, help="counted in a block")
    parser.add_argument("--warm-up", type=int, default=60, help="not counted before them")
    parser.add_argument("--rate", type=float, default=20.0, help="replies a second")
    parser.add_argument("--tagger", default="reflex", help="the node's")
    options = parser.parse_args(arguments)
    at = machine()
    blocks: dict[str, list[Block]] = {way: [] for way in WAYS}
    with (
        NodeProcess({"tagger": options.tagger}) as node,
        Probe(node.namespace) as probe,
        StallWatch() as watch,
    ):
        probe.wait_for_node(60.0)
        for number in range(options.rounds):
            for way in WAYS if number % 2 else reversed(WAYS):
                done = block(way, probe, node.namespace, options)
                blocks[way].append(done)
                shown = percentiles(done.round_ms.tolist())
                print(f"round {number + 1} {way}: {shown}", file=sys.stderr, flush=True)
    result = {
        "machine": {**at, "load_1min_after": machine()["load_1min"]},
        "versions": versions("ros-rclpy", "numpy"),
        "rounds": options.rounds,
        "replies_per_block": options.replies,
        "rate_hz": options.rate,
        "publisher_to_tag": compared({way: [b.round_ms for b in blocks[way]] for way in WAYS}),
        "node_receipt_to_publish": compared(
            {way: [b.node_ms for b in blocks[way]] for way in WAYS}
        ),
        "monitor_cpu_share": round(float(np.mean([b.monitor_cpu for b in blocks["with"]])), 4),
        "longest_stall_ms": round(1000 * watch.longest_s, 3),
        "lost": sum(b.lost for way in WAYS for b in blocks[way]),
    }
    print(json.dumps(result, indent=1))
    return 1 if result["lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
