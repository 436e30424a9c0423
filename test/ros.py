"""A real node in a process of its own, and a robot that talks with it over DDS."""

import contextlib
import itertools
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

from conftest import TEST
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import DescribeParameters, SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy

from pika_emotion.commands.bench import demo_conversation
from pika_emotion.dialogue import Dialogue
from pika_emotion.node_process import program
from pika_emotion.probe import Probe

# A domain of this test run's own, on this machine only.
os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randrange(1, 100))
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

_numbers = itertools.count(1)


def until(condition, seconds=20.0):
    """Wait for something to become true; the time is for a machine in trouble."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)
    return value


def workers_of(pid):
    """The worker processes that a node has started."""
    return [child for child in children_of(pid) if "worker_process.py" in command_of(child)]


def children_of(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            found += [int(child) for child in task.read_text(encoding="ascii").split()]
    return found


def command_of(pid):
    """A process's command line; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    except OSError:
        return ""


class NodeProcess:
    """The installed program, started as a user would."""

    def __init__(
        self,
        tmp_path,
        *arguments,
        params=None,
        log_level="info",
        namespace="",
        prefix=(),
        environment=None,
    ):
        # Another run on this machine may have drawn the same domain.
        self.namespace = namespace or f"/t{os.getpid()}_{next(_numbers)}"
        command = [*prefix, str(program()), "--ros-args", "-r", f"__ns:={self.namespace}"]
        command += ["-r", f"/diagnostics:={self.namespace}/diagnostics", "--log-level", log_level]
        for name, value in (params or {}).items():
            command += ["-p", f"{name}:={value}"]
        self.log = tmp_path / f"node{self.namespace[1:]}.log"
        environment = {
            **os.environ,
            "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{TEST}",
            "ROS_LOG_DIR": str(tmp_path),
            **(environment or {}),
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, *arguments], stdout=log, stderr=subprocess.STDOUT, env=environment
            )

    @property
    def output(self):
        return self.log.read_text(encoding="utf-8")

    def end(self, number=signal.SIGINT, seconds=20.0):
        """Send a signal and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(number)
        return self.process.wait(seconds)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Robot(Probe):
    """The probe, which also reads diagnostics and calls the node's services."""

    def __init__(self, node, **options):
        super().__init__(node.namespace, **options)
        self._name = f"{node.namespace}/emotion_node"
        self.statuses = []
        self._clients = {}
        self._diagnostics = self._node.create_subscription(
            DiagnosticArray,
            f"{node.namespace}/diagnostics",
            lambda array: self.statuses.extend(array.status),
            10,
        )

    def call(self, kind, name, request):
        """Call one of the node's services, again where the middleware dropped the answer."""
        if name not in self._clients:
            self._clients[name] = self._node.create_client(kind, f"{self._name}/{name}")
        client = self._clients[name]
        for _ in range(5):
            assert client.wait_for_service(20.0), f"no service {name}"
            answered = threading.Event()
            future = client.call_async(request)
            future.add_done_callback(lambda _, answered=answered: answered.set())
            if answered.wait(5.0):
                return future.result()
        raise AssertionError(f"no answer from {name}")

    def transition(self, label):
        request = ChangeState.Request()
        request.transition.label = label
        return self.call(ChangeState, "change_state", request).success

    def begin_transition(self, label):
        """Ask for a transition and do not wait for it."""
        request = ChangeState.Request()
        request.transition.label = label
        client = self._node.create_client(ChangeState, f"{self._name}/change_state")
        assert client.wait_for_service(20.0), "no service change_state"
        return client.call_async(request)

    @property
    def state(self):
        return self.call(GetState, "get_state", GetState.Request()).current_state.label

    def set(self, **values):
        request = SetParameters.Request(
            parameters=[
                Parameter(name.replace("__", "."), value=value).to_parameter_msg()
                for name, value in values.items()
            ]
        )
        return self.call(SetParameters, "set_parameters", request).results

    def describe(self, *names):
        request = DescribeParameters.Request(names=list(names))
        return self.call(DescribeParameters, "describe_parameters", request).descriptors

    def status(self, condition=lambda values, status: True):
        """Wait for a diagnostic status that fits; return its values and itself."""

        def fitting():
            for status in self.statuses:
                values = {pair.key: pair.value for pair in status.values}
                if condition(values, status):
                    return values, status
            return None

        return until(fitting)

    def best_effort_publisher(self, kind, topic):
        qos = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        return self._node.create_publisher(kind, topic, qos)

    def say(self, *said):
        """Publish ('child', text) and ('pika', text) in turn and wait for the tags."""
        for who, text in said:
            if who == "child":
                self.child_says(text)
            else:
                self.pika_says(text)
        self.wait_for_tags(20.0)
        return [row.tag for row in self.rows]


def expected_tags(said, tagger):
    """What the tagger says offline of the same conversation."""
    dialogue, tags = Dialogue(), []
    for number, (who, text) in enumerate(said):
        if who == "child":
            dialogue.child_said(text, number)
        else:
            tags.append(tagger.tag(dialogue.pika_said(text, number), 0.0))
    return tags


def conversation():
    """The demo's, as (who, text)."""
    return [("pika" if pika else "child", text) for pika, text in demo_conversation()]
