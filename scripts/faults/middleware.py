"""Faults between the node and others: peers that come, go and stall, wrong QoS, a network cut."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from primaries import Play
from scene import PATIENCE_S, NotRunError, Scene, Stage

from pika_emotion import resources

PROGRAM = Path(__file__).with_name("peer.py")
REFLEX = {"tagger": "reflex"}
QUICK = {"FASTRTPS_DEFAULT_PROFILES_FILE": str(resources.find("config/fastdds.xml"))}
CUT_FOR_LONG_S = 25.0
# Both ends on one machine would talk over shared memory, which no cable carries.
NETWORKED = {
    "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4",
    "ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET",
    "ROS_LOCALHOST_ONLY": "0",
}


class Peer:
    """A subscriber in a process of its own."""

    def __init__(self, namespace: str, folder: Path, *arguments: str) -> None:
        self._log = folder / f"peer{len(list(folder.glob('peer*')))}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(PROGRAM), namespace, *arguments], stdout=log
            )

    def lines(self) -> list[str]:
        """What it has printed: that it subscribes, then a number for each tag."""
        return self._log.read_text(encoding="utf-8").splitlines()

    def wait(self, lines: int) -> bool:
        """Wait until it has printed so much; return whether it did."""
        end = time.monotonic() + PATIENCE_S
        while len(self.lines()) < lines and time.monotonic() < end:
            time.sleep(0.02)
        return len(self.lines()) >= lines

    def close(self) -> None:
        """End it by force."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def peer_of(scene: Scene, *arguments: str) -> Iterator[Peer]:
    """Run a peer of the scene's node."""
    peer = Peer(scene.node.namespace, scene.stage.folder, *arguments)
    try:
        yield peer
    finally:
        peer.close()


def leaves_and_rejoins(stage: Stage) -> None:
    """Kill a subscriber, start another one."""
    with stage.meet(REFLEX) as scene, contextlib.ExitStack() as peers:
        peer = peers.enter_context(peer_of(scene))
        with scene.talk():
            stage.check(peer.wait(2), "the peer hears tags")
            for _ in scene.hits():
                with scene.fault():
                    peer.close()
                    scene.hold()
                peer = peers.enter_context(peer_of(scene))
                stage.check(peer.wait(2), "the peer that joined again hears tags")


def stops_reading(stage: Stage) -> None:
    """Stop a subscriber, which then acknowledges nothing, and let it go on."""
    with stage.meet(REFLEX) as scene, peer_of(scene) as peer, scene.talk():
        stage.check(peer.wait(2), "the peer hears tags")
        for _ in scene.hits():
            with scene.fault():
                peer.process.send_signal(signal.SIGSTOP)
                scene.hold()
                peer.process.send_signal(signal.SIGCONT)
            before = len(peer.lines())
            stage.check(peer.wait(before + 5), "the peer that goes on hears tags again")


def incompatible_qos(stage: Stage) -> None:
    """A subscriber that the publisher's QoS does not fit."""
    key = "subscribers of incompatible QoS"
    with stage.meet(REFLEX) as scene, scene.talk():
        for _ in scene.hits():
            with scene.fault(), peer_of(scene, "transient") as peer:
                peer.wait(1)
                scene.hold()
                values = scene.robot.status(lambda values, _: key in values)[0]
                stage.check(int(values[key]), "diagnostics count the subscriber")
                stage.check(len(peer.lines()) == 1, "the subscriber hears nothing")


def network_cut(cut_s: float | None = None, **environment: str) -> Play:
    """Return a play in which node and robot are cut off from each other, for the scene's time."""

    def play(stage: Stage) -> None:
        if cut_s is not None:
            stage.seconds += cut_s
        with link() as (ours, prefix):
            # The robot's middleware starts inside ``meet``: its threads belong where this one is.
            os.environ.update({**NETWORKED, **environment})
            with stage.meet(REFLEX, prefix=prefix) as scene, scene.talk():
                for _ in scene.hits():
                    with scene.fault():
                        _ip("link", "set", ours, "down")
                        time.sleep(scene.hold_s if cut_s is None else cut_s)
                        _ip("link", "set", ours, "up")
                        _introduce(0)
                    if cut_s is not None:
                        break

    return play


@contextlib.contextmanager
def link() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Move into a network namespace of our own that is linked with another one.

    Yields the link's name here, and the command that starts a program at its other end.

    Raises:
        NotRunError: this user may not.
    """
    here, there = f"here{os.getpid()}", f"there{os.getpid()}"
    if _ip("netns", "add", here, check=False):
        raise NotRunError("needs a user who may make network namespaces (root, iproute2)")
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        _ip("netns", "add", there)
        with open(f"/run/netns/{here}", "rb") as namespace:
            _enter(namespace.fileno())
        ends = [("name", f"faults{end}", "address", _mac(end)) for end in range(2)]
        _ip("link", "add", *ends[0], "type", "veth", "peer", *ends[1], "netns", there)
        outer = ("nsenter", f"--net=/run/netns/{there}")
        for number, command in enumerate(((), outer)):
            name = f"faults{number}"
            _ip("address", "add", f"10.99.0.{number + 1}/24", "dev", name, within=command)
            _ip("link", "set", "lo", "up", within=command)
            _ip("link", "set", name, "up", within=command)
            _ip("route", "add", "224.0.0.0/4", "dev", name, within=command)
            _introduce(number, command)
        yield "faults0", outer
    finally:
        _enter(home)
        os.close(home)
        for name in (here, there):
            _ip("netns", "delete", name, check=False)


def _introduce(end: int, within: tuple[str, ...] = ()) -> None:
    """Tell an end of the link the other's address; the kernel asks for it only once a second."""
    other = 1 - end
    address = (f"10.99.0.{other + 1}", "lladdr", _mac(other), "dev", f"faults{end}")
    _ip("neighbour", "replace", *address, "nud", "permanent", within=within)


def _mac(end: int) -> str:
    return f"02:00:00:00:00:0{end + 1}"


def _enter(namespace: int) -> None:
    if not hasattr(os, "setns"):  # Python 3.12
        import ctypes

        if ctypes.CDLL(None, use_errno=True).setns(namespace, 0):
            raise OSError(ctypes.get_errno(), "setns")
        return
    os.setns(namespace, 0)


def _ip(*arguments: str, check: bool = True, within: tuple[str, ...] = ()) -> int:
    try:
        done = subprocess.run([*within, "ip", *arguments], capture_output=True, check=check)
    except FileNotFoundError:
        return 1
    return done.returncode


PLAYS: dict[str, Play] = {
    "peer: leaves and rejoins": leaves_and_rejoins,
    "peer: stops reading": stops_reading,
    "peer: incompatible QoS": incompatible_qos,
    "network: cut": network_cut(),
    "network: cut, config/fastdds.xml": network_cut(**QUICK),
    "network: cut for long": network_cut(CUT_FOR_LONG_S),
    "network: cut for long, config/fastdds.xml": network_cut(CUT_FOR_LONG_S, **QUICK),
}
