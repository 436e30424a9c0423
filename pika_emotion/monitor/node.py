"""The monitor's ROS side: what a running node says and does, as events; what a visitor tries."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.callback_groups import CallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile

from pika_emotion import message_types
from pika_emotion.deadline import Source
from pika_emotion.dialogue import Dialogue, EventRules, Role, Turn, merge
from pika_emotion.health import Health
from pika_emotion.labels import load_labels
from pika_emotion.message_types import MessageType
from pika_emotion.monitor.settings import PARAMETERS
from pika_emotion.monitor.turns import Turns
from pika_emotion.msg import EmotionTag
from pika_emotion.parameters import Parameter, refuse_unknown
from pika_emotion.topics import Input

Emit = Callable[[str, dict[str, Any]], None]
_TEXT_FIELDS = ("data", "text", "final")
# So often the monitor looks for words whose tags came before them.
_LOOK_S = 0.1


class _Unwoken(CallbackGroup):
    """Subscriptions that wake nobody: their messages are taken when something else happens."""

    def can_execute(self, entity: Any) -> bool:
        return False

    def beginning_execution(self, entity: Any) -> bool:
        return False

    def ending_execution(self, entity: Any) -> None:
        return


class MonitorNode:
    """Listens beside a node, in its namespace.

    Attributes:
        values: every parameter by name.
        hello: what a page must know first.

    Raises:
        ConfigError: a parameter is unknown, of another type, out of range, or cannot work.
        LabelError: the label file is wrong.
    """

    def __init__(self) -> None:
        self._node = Node("emotion_monitor")
        self.values = _read_parameters(self._node)
        values = self.values
        self._transcript = message_types.resolve(
            values["transcript.type"], values["transcript.field"]
        )
        self._reply = message_types.resolve(
            values["reply.type"], values["reply.field"], values["reply.id_field"]
        )
        rules = EventRules(tuple(values["events"]), tuple(values["silences"]))
        self._turns = Turns(Dialogue(rules, values["turn_timeout_s"], values["session_timeout_s"]))
        labels = load_labels(values["labels_file"] or None)
        self.hello = {
            "run": time.time_ns() // 1_000_000,
            "namespace": self._node.get_namespace(),
            "show_text": values["monitor.show_text"],
            "labels": [
                {"name": x.name, "group": x.group, "valence": x.valence, "arousal": x.arousal}
                for x in labels
            ],
        }
        qos = QoSProfile(depth=values["qos.depth"])
        self._transcripts = self._node.create_publisher(
            self._transcript.message, "child/transcript", qos
        )
        self._replies = self._node.create_publisher(self._reply.message, "pika/reply", qos)
        self._inputs: list[Input] = []
        self._tags = 0
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="monitor", daemon=True)

    def start(self, emit: Emit) -> None:
        """Listen from now on; ``emit`` is called with each event, in a thread of ours."""
        self._emit = emit
        depth = self.values["qos.depth"]
        if self.values["monitor.show_text"]:  # else nobody's words come into this process
            health = Health()
            self._inputs = [
                Input(self._node, "child/transcript", self._transcript,
                      (Role.CHILD, Role.CHILD_PARTIAL), depth, health),
                Input(self._node, "pika/reply", self._reply,
                      (Role.REPLY, Role.REPLY_PARTIAL), depth, health),
            ]  # fmt: skip
            # A reply reaches the node and us at once: who wakes for it takes time from its tag.
            unwoken = _Unwoken()
            for source in self._inputs:
                source.subscribe(self._hear, unwoken)
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self._node.create_timer(_LOOK_S, self._hear, clock=steady)
        self._node.create_subscription(
            EmotionTag, "emotion_tag", self._on_tag, QoSProfile(depth=depth)
        )
        self._node.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=10)
        )
        self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        self._executor.shutdown()
        if self._thread.is_alive():
            self._thread.join()
        self._node.destroy_node()

    def say(self, question: str, child: str, reply: str) -> bool:
        """Publish a turn as a robot would; return whether an active node listens to it.

        An empty question or child is left out. The question gets a tag, too: it is a reply.
        """
        if not self._replies.get_subscription_count() or not self._has_listener():
            return False
        if question:
            self._publish(self._replies, self._reply, "reply.field", question)
        if child:
            self._publish(self._transcripts, self._transcript, "transcript.field", child)
        self._publish(self._replies, self._reply, "reply.field", reply)
        return True

    def _has_listener(self) -> bool:
        """Whether a node that publishes tags hears replies; others may, and we do, too."""
        # Unlike count_publishers, these follow remappings.
        tagging = self._node.get_publishers_info_by_topic("emotion_tag")
        hearing = self._node.get_subscriptions_info_by_topic("pika/reply")
        return bool(_names(tagging) & _names(hearing))

    def _publish(self, publisher: Any, kind: MessageType, parameter: str, text: str) -> None:
        message = kind.message()
        for path in filter(None, (self.values[parameter], *_TEXT_FIELDS)):
            *parents, name = path.split(".")
            place: Any = message
            for parent in parents:
                place = getattr(place, parent)
            if isinstance(getattr(place, name, None), str):
                setattr(place, name, text)
                break
        if hasattr(message, "header"):
            message.header.stamp = self._node.get_clock().now().to_msg()
        publisher.publish(message)

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return

    def _hear(self) -> None:
        batch = [m for source in self._inputs for m in (*source.woken_by(), *source.take())]
        for message in merge(batch):
            late = self._turns.heard(message)
            if late is not None:
                self._emit("turn", {"n": late[0], **_texts(late[1])})

    def _on_tag(self, tag: Any, info: Any) -> None:
        self._hear()
        published_ns = info["source_timestamp"] or time.time_ns()
        latency_ns = tag.latency.sec * 1_000_000_000 + tag.latency.nanosec
        self._tags += 1
        turn = self._turns.of_tag(self._tags, tag.seq, tag.reply_id, published_ns - latency_ns)
        self._emit("tag", _event(self._tags, tag, published_ns, latency_ns, turn))

    def _on_diagnostics(self, array: Any) -> None:
        # Every robot's node tells its own on this one topic: ours is in the monitor's namespace.
        ours = self._node.get_namespace().strip("/")
        for status in array.status:
            namespace = status.name.rpartition("/")[0]
            if status.hardware_id == "pika_emotion" and namespace == ours:
                self._emit(
                    "health",
                    {
                        "level": int.from_bytes(status.level, "little"),
                        "summary": status.message,
                        "values": {pair.key: pair.value for pair in status.values},
                    },
                )


def _names(endpoints: Iterable[Any]) -> set[tuple[str, str]]:
    return {(endpoint.node_namespace, endpoint.node_name) for endpoint in endpoints}


def _event(
    n: int, tag: Any, published_ns: int, latency_ns: int, turn: Turn | None
) -> dict[str, Any]:
    scores = sorted(zip(tag.labels, tag.scores, strict=False), key=lambda pair: -pair[1])
    event = {
        "n": n,
        "at_ms": published_ns / 1e6,
        "seq": tag.seq,
        "emotion": tag.emotion,
        "confidence": round(tag.confidence, 3),
        "celebrate": tag.celebrate,
        "celebrate_probability": round(tag.celebrate_probability, 3),
        "scores": [[name, round(score, 3)] for name, score in scores[:4]],
        "valence": round(tag.valence, 3),
        "arousal": round(tag.arousal, 3),
        "tagger": tag.tagger,
        "source": _source_name(tag.source),
        "latency_ms": round(latency_ns / 1e6, 2),
    }
    if turn is not None:
        event |= _texts(turn)
    return event


def _texts(turn: Turn) -> dict[str, str]:
    return {"question": turn.question, "child": turn.child, "reply": turn.reply}


def _source_name(number: int) -> str:
    try:
        return Source(number).name
    except ValueError:  # of a node that is newer than this monitor
        return str(number)


def _read_parameters(node: Node) -> dict[str, Any]:
    known = {parameter.name: parameter for parameter in PARAMETERS}
    given = {name: override.value for name, override in node._parameter_overrides.items()}
    # A parameter file may be the node's, too; what is wrong with the node's own it says itself.
    refuse_unknown((n for n in given if n.split(".")[0] == "monitor"), known)
    return {name: _declare(node, parameter, given) for name, parameter in known.items()}


def _declare(node: Node, parameter: Parameter, given: dict[str, Any]) -> Any:
    value = parameter.accept(given.get(parameter.name, parameter.default))
    descriptor = ParameterDescriptor(description=parameter.description, read_only=True)
    node.declare_parameter(parameter.name, value, descriptor, ignore_override=True)
    return value
