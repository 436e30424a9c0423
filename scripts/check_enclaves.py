"""Runs the node in its enclave, enforced, and tries what each peer can do with and without keys.

Needs a middleware with security built in and the package sros2 (both come with ROS 2 from apt; the
wheels of 'make setup' have neither). Prints one JSON object; returns 1 where a peer could do more
or less than the policy allows, and 2 where the middleware has no security.

    scripts/in_env.sh python scripts/check_enclaves.py
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import make_policy

NO_SECURITY = "doesn't have the security libraries"
TURN = ("How much is two and two?", "four", "Four! Right, well done!")
WAIT_S = 30.0
# What a peer without keys is given to see anything.
PATIENCE_S = 15.0
NODE = "/emotion_node"
# Of each peer: its enclave (none without keys), what it tries, and what must come of it.
PEERS = {
    "with the tools' keys": ("/emotion_tools", "converse", {"tags": 2, "first_seq": 1}),
    "without keys": (None, "converse", {"tags": 0}),
    # The node counts its tags: it has not heard what was said without keys.
    "with the tools' keys, after that": (
        "/emotion_tools",
        "converse",
        {"tags": 2, "first_seq": 3},
    ),
    "with the tools' keys, tagging itself": ("/emotion_tools", "tag", {"refused": True}),
    "with the monitor's keys, listening to the child": (
        "/emotion_monitor",
        "listen",
        {"refused": True},
    ),
    "with the other monitor's keys, listening to the child": (
        "/emotion_monitor_with_text",
        "listen",
        {"refused": False},
    ),
}


def make_keystore(place: Path) -> None:
    """Make keys and signed permissions for every enclave of the policy."""
    from sros2.keystore import create_enclave, create_keystore, create_permission

    create_keystore(place)
    for enclave in make_policy.read(make_policy.FILE):
        create_enclave(place, enclave)
        create_permission(place, enclave, make_policy.FILE)


def secured(keystore: Path, enclave: str | None) -> dict[str, str]:
    """Return the environment of a program in an enclave, or of one without keys."""
    own = {"ROS_SECURITY_ENABLE": "false"}
    if enclave is not None:
        own = {
            "ROS_SECURITY_ENABLE": "true",
            "ROS_SECURITY_STRATEGY": "Enforce",
            "ROS_SECURITY_KEYSTORE": str(keystore),
            "ROS_SECURITY_ENCLAVE_OVERRIDE": enclave,
        }
    return {**os.environ, **own}


def converse() -> dict[str, Any]:
    """Say a turn as a robot would; return how many tags came, and the first one's number."""
    from pika_emotion.errors import ConfigError
    from pika_emotion.probe import Probe

    with Probe() as probe:
        with contextlib.suppress(ConfigError):  # it sees nobody; somebody may hear it all the same
            probe.wait_for_node(PATIENCE_S)
        question, child, reply = TURN
        probe.pika_says(question)
        probe.child_says(child)
        probe.pika_says(reply)
        probe.wait_for_tags(PATIENCE_S)
        seqs = [row.tag.seq for row in probe.rows if row.tag is not None]
        return {"tags": len(seqs), "first_seq": min(seqs, default=None)}


def use_topic(node_name: str, topic: str, *, publish: bool) -> dict[str, Any]:
    """Try to open a topic as a node that the policy knows; return whether that was refused."""
    import rclpy
    from pika_emotion.msg import EmotionTag
    from std_msgs.msg import String

    rclpy.init()
    node = rclpy.create_node(node_name, start_parameter_services=False)
    try:
        if publish:
            node.create_publisher(EmotionTag, topic, 10)
        else:
            node.create_subscription(String, topic, lambda _: None, 10)
    except Exception as error:
        return {"refused": True, "by": type(error).__name__}
    return {"refused": False}


ATTEMPTS = {
    "converse": converse,
    "tag": lambda: use_topic(make_policy.PROBE, "emotion_tag", publish=True),
    "listen": lambda: use_topic(make_policy.MONITOR, "child/transcript", publish=False),
}


def attempt(what: str, environment: dict[str, str]) -> dict[str, Any]:
    """Try something in a process of its own; return what came of it."""
    done = subprocess.run(
        [sys.executable, __file__, what],
        env=environment, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        return {"failed": done.stderr.strip()[-400:]}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def start_node(keystore: Path) -> "subprocess.Popen[str]":
    """Start the node in its enclave."""
    from pika_emotion.node_process import program

    return subprocess.Popen(
        [str(program()), "--ros-args", "--enclave", NODE, "-p", "tagger:=reflex"],
        env={k: v for k, v in secured(keystore, NODE).items() if "OVERRIDE" not in k},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def active(process: "subprocess.Popen[str]") -> tuple[bool, str]:
    """Wait until the node is active or has ended; return which, and what it printed."""
    lines: list[str] = []
    seen = threading.Event()

    def read() -> None:
        for line in process.stdout or ():
            lines.append(line)
            if "now active" in line:
                seen.set()
        seen.set()

    threading.Thread(target=read, daemon=True).start()
    seen.wait(WAIT_S)
    return process.poll() is None and any("now active" in line for line in lines), "".join(lines)


def main() -> int:
    """Make the keys, start the node, let every peer try."""
    if len(sys.argv) > 1:
        print(json.dumps(ATTEMPTS[sys.argv[1]]()))
        return 0
    # Permissions are for one domain; this one is nobody else's.
    os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randrange(1, 100))
    with tempfile.TemporaryDirectory() as folder:
        keystore = Path(folder) / "keystore"
        make_keystore(keystore)
        process = start_node(keystore)
        try:
            is_active, told = active(process)
            if not is_active:
                time.sleep(0.5)
                print(told, file=sys.stderr)
                return 2 if NO_SECURITY in told else 1
            result = {}
            for name, (enclave, what, wanted) in PEERS.items():
                found = attempt(what, secured(keystore, enclave))
                right = wanted.items() <= found.items()
                result[name] = {**found, "wanted": wanted, "right": right}
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    print(json.dumps(result, indent=1))
    return 0 if all(one["right"] for one in result.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
