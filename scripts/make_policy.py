"""Writes config/sros2/pika_emotion.policy.xml: each program's rights, read off the running program.

Starts the node, the monitor (with and without what is said) and the tools' probe, asks the ROS
graph what each one publishes, subscribes to and serves, and allows that and nothing else. What a
robot changes (a namespace, remappings, use_sim_time) is given as the programs take it:

    scripts/in_env.sh python scripts/make_policy.py --namespace /robot1 --out robot1.policy.xml \
        --ros-args -r pika/reply:=/speech/reply

test/test_policy.py compares the file with the running programs.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node, NodeNameNonExistentError

FILE = Path(__file__).resolve().parent.parent / "config/sros2/pika_emotion.policy.xml"
VERSION = "0.2.0"  # of sros2's policies
NODE, MONITOR, PROBE = "emotion_node", "emotion_monitor", "pika_emotion_probe"
# Enclave, its node, and what starts it beside the common arguments.
PROGRAMS = (
    ("emotion_node", NODE, ("emotion_node", "-p", "tagger:=reflex")),
    ("emotion_monitor", MONITOR, ("monitor", "-p", "monitor.port:=0")),
    (
        "emotion_monitor_with_text",
        MONITOR,
        ("monitor", "-p", "monitor.port:=0", "-p", "monitor.show_text:=true"),
    ),
    ("emotion_tools", PROBE, ()),
)
_SETTLED_S = 3.0
_LONGEST_S = 120.0
_END_S = 30.0

# A right is (publish, subscribe, reply or request; the topic or service). Names are as a profile
# writes them: from the namespace on, ~/ for the node's own, absolute only where they are.
Right = tuple[str, str]
Rights = frozenset[Right]


class Graph:
    """Looks at the nodes of this machine and domain; a context manager."""

    def __init__(self) -> None:
        self._context = Context()
        rclpy.init(context=self._context)
        self._node = Node("policy_observer", context=self._context, start_parameter_services=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)

    def __enter__(self) -> "Graph":
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def rights(self, node: str, namespace: str) -> Rights:
        """Return what a node uses now; nothing where it is not there."""
        self._executor.spin_once(timeout_sec=0.05)
        asked: Mapping[str, Callable[[str, str], list[tuple[str, list[str]]]]] = {
            "publish": self._node.get_publisher_names_and_types_by_node,
            "subscribe": self._node.get_subscriber_names_and_types_by_node,
            "reply": self._node.get_service_names_and_types_by_node,
            "request": self._node.get_client_names_and_types_by_node,
        }
        try:
            return frozenset(
                (right, _written(name, node, namespace))
                for right, ask in asked.items()
                for name, _ in ask(node, namespace)
            )
        except NodeNameNonExistentError:
            return frozenset()

    def settled(self, node: str, namespace: str) -> Rights:
        """Return what a node uses when it listens and nothing has changed for a while.

        Raises:
            TimeoutError: it never listens.
        """
        end, since, last = time.monotonic() + _LONGEST_S, time.monotonic(), Rights()
        while time.monotonic() < end:
            found = self.rights(node, namespace)
            if found != last:
                since, last = time.monotonic(), found
            listens = any(r == "subscribe" and name != "/clock" for r, name in found)
            if listens and time.monotonic() - since > _SETTLED_S:
                return found
        raise TimeoutError(f"{namespace}/{node} listens to nothing after {_LONGEST_S:g} s")


def _written(name: str, node: str, namespace: str) -> str:
    if name.startswith(f"{namespace}/{node}/"):
        return "~" + name.removeprefix(f"{namespace}/{node}")
    return name.removeprefix(f"{namespace}/")


def read(file: Path) -> dict[str, tuple[str, str, Rights]]:
    """Return of each enclave its node, namespace and rights."""
    found = {}
    for enclave in ET.parse(file).getroot().iter("enclave"):
        (profile,) = enclave.iter("profile")
        rights = frozenset(
            (right, str(item.text))
            for group in profile
            for right, allowed in group.attrib.items()
            if allowed == "ALLOW"
            for item in group
        )
        found[enclave.attrib["path"]] = (profile.attrib["node"], profile.attrib["ns"], rights)
    return found


def written(profiles: Mapping[str, tuple[str, str, Rights]]) -> str:
    """Return the policy as a file: of each enclave its node, namespace and rights."""
    policy = ET.Element("policy", version=VERSION)
    enclaves = ET.SubElement(policy, "enclaves")
    for path, (node, namespace, rights) in profiles.items():
        enclave = ET.SubElement(enclaves, "enclave", path=path)
        profile = ET.SubElement(
            ET.SubElement(enclave, "profiles"), "profile", ns=namespace, node=node
        )
        for right, kind in (
            ("publish", "topic"),
            ("subscribe", "topic"),
            ("reply", "service"),
            ("request", "service"),
        ):
            names = sorted(name for which, name in rights if which == right)
            if names:
                group = ET.SubElement(profile, f"{kind}s", {right: "ALLOW"})
                for name in names:
                    ET.SubElement(group, kind).text = name
    ET.indent(policy)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(policy, encoding="unicode")}\n'


@contextmanager
def running(program: Sequence[str], namespace: str, more: Sequence[str]) -> Iterator[None]:
    """Run a program, or the tools' probe where none is named, in a namespace."""
    from pika_emotion.node_process import program as node_program
    from pika_emotion.probe import Probe

    if not program:
        with Probe(namespace):
            yield
        return
    name, *arguments = program
    command = [str(node_program().parent / name), "--ros-args", *arguments]
    command += ["-r", f"__ns:={namespace}", "--log-level", "error", *more]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def observe(more: Sequence[str] = ()) -> dict[str, tuple[str, Rights]]:
    """Start each program and return of each enclave its node and rights.

    Args:
        more: what the programs are told beside their own arguments, as after ``--ros-args``.
    """
    found = {}
    with Graph() as graph:
        for number, (enclave, node, program) in enumerate(PROGRAMS):
            # A name that no remapping has tells what is relative from what is absolute.
            namespace = f"/policy_{os.getpid()}_{number}"
            with running(program, namespace, more):
                found[enclave] = (node, graph.settled(node, namespace))
    return found


def main() -> int:
    """Write the policy."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--namespace", default="/", help="of the robot (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=FILE, metavar="FILE")
    parser.add_argument("--ros-args", nargs=argparse.REMAINDER, default=[], metavar="ARGUMENT")
    options = parser.parse_args()
    if not options.namespace.startswith("/"):
        parser.error(f"--namespace '{options.namespace}' must begin with /")
    os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randrange(1, 100))
    folder = options.namespace.rstrip("/")
    profiles = {
        f"{folder}/{enclave}": (node, options.namespace, rights)
        for enclave, (node, rights) in observe(options.ros_args).items()
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(written(profiles), encoding="utf-8")
    print(f"wrote {options.out}: {sum(len(rights) for _, _, rights in profiles.values())} rights")
    return 0


if __name__ == "__main__":
    sys.exit(main())
