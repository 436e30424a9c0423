"""Talks to a running node as a robot would, and keeps the account of its tags."""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.exceptions import InvalidNamespaceException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.qos import QoSProfile
from rclpy.validate_namespace import validate_namespace
from std_msgs.msg import String

from pika_emotion.deadline import Source
from pika_emotion.errors import ConfigError
from pika_emotion.measurement import percentiles
from pika_emotion.msg import EmotionTag, Utterance

_DEPTH = 5000


@dataclass(slots=True)
class Row:
    """One reply and its tag; times are of one monotonic clock, in seconds.

    Attributes:
        id: the utterance's id, or its number from 1.
        sent_s: just before it was published; NaN for a tag that no reply waits for.
        received_s: when its tag arrived; None while there is none.
        tag: the tag; None while there is none.
    """

    id: str
    sent_s: float
    received_s: float | None = None
    tag: Any = None

    @property
    def round_ms(self) -> float | None:
        """From publisher to tag received; None without a tag."""
        return None if self.received_s is None else 1000 * (self.received_s - self.sent_s)


class Probe:
    """Publishes a conversation and collects the tags; a context manager.

    Args:
        namespace: the node's.
        utterances: whether the node takes ``Utterance`` (with ids) and not ``String``.
        unique_ids: whether no id comes twice: then a tag is its id's reply's, and a lost reply
            shifts no tag to another one. Else the tags are the replies' in order.

    Raises:
        ConfigError: there can be no such namespace.

    Attributes:
        rows: a row for each reply, in the order in which they were sent.
        extras: tags for no reply, or for one that has its tag.
        reordered: tags whose number is lower than that of one received before.
        most_pending: the most replies that waited for their tags at one time.
    """

    def __init__(
        self, namespace: str = "", *, utterances: bool = False, unique_ids: bool = False
    ) -> None:
        self.rows: list[Row] = []
        self.extras: list[Row] = []
        self.reordered = 0
        self.most_pending = 0
        self._by_id: dict[str, Row] = {}
        self._utterances = utterances
        self._unique_ids = unique_ids
        try:
            validate_namespace(f"/{namespace.removeprefix('/')}")
        except InvalidNamespaceException as error:
            raise ConfigError(
                f"'{namespace}' is no namespace; write it like /robot1, of letters, digits and _"
            ) from error
        self._context = Context()
        rclpy.init(context=self._context)
        # An executor goes over every service of a node for each message: without them, what is
        # measured is the tagging node.
        self._node = rclpy.create_node(
            "pika_emotion_probe",
            namespace=namespace,
            context=self._context,
            start_parameter_services=False,
        )
        kind = Utterance if utterances else String
        qos = QoSProfile(depth=_DEPTH)
        self._transcripts = self._node.create_publisher(kind, "child/transcript", qos)
        self._replies = self._node.create_publisher(kind, "pika/reply", qos)
        self._tags = self._node.create_subscription(EmotionTag, "emotion_tag", self._on_tag, qos)
        self._first_seq: int | None = None
        self._last_seq = 0
        self._lock = threading.Lock()
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="probe", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Probe":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.shutdown()
        self._thread.join()
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def wait_for_node(self, timeout_s: float, ended: Callable[[], bool] = lambda: False) -> None:
        """Wait until a node subscribes to both topics and publishes tags.

        Raises:
            ConfigError: there is none after ``timeout_s`` seconds, or ``ended`` says that it ended.
        """
        end = time.monotonic() + timeout_s
        while not self._connected():
            if ended():
                raise ConfigError("the node ended before it was active; it said above why")
            if time.monotonic() > end:
                topics = f"{self._transcripts.topic_name}, {self._replies.topic_name}"
                raise ConfigError(
                    f"no active emotion_node listens to {topics} after {timeout_s:g} s; start one "
                    "(ros2 launch pika_emotion pika_emotion.launch.py), or give its --namespace"
                )
            time.sleep(0.005)

    def child_says(self, text: str) -> None:
        """Publish a transcript."""
        self._transcripts.publish(self._message(text, ""))

    def pika_says(self, text: str, utterance_id: str = "") -> None:
        """Publish a reply and open its row."""
        with self._lock:
            row = Row(utterance_id or str(len(self.rows) + 1), time.monotonic())
            self.rows.append(row)
            self._by_id[row.id] = row
            pending = sum(r.tag is None for r in self.rows[-_DEPTH:])
            self.most_pending = max(self.most_pending, pending)
        message = self._message(text, row.id)
        row.sent_s = time.monotonic()
        self._replies.publish(message)

    def wait_for_tags(self, timeout_s: float) -> None:
        """Wait until every reply has its tag, or for ``timeout_s`` seconds."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end and any(row.tag is None for row in self.rows):
            time.sleep(0.01)

    def forget(self) -> None:
        """Begin the account anew: what was said so far was the warm-up."""
        with self._lock:
            self.rows, self.extras, self._by_id = [], [], {}
            self.reordered = self.most_pending = 0
            self._first_seq = None

    @property
    def extra(self) -> int:
        """How many tags no reply waited for."""
        return len(self.extras)

    def _connected(self) -> bool:
        return bool(
            self._transcripts.get_subscription_count() > 0
            and self._replies.get_subscription_count() > 0
            and self._node.count_publishers("emotion_tag") > 0
        )

    def _message(self, text: str, utterance_id: str) -> Any:
        if not self._utterances:
            return String(data=text)
        message = Utterance(text=text, id=utterance_id)
        message.header.stamp = self._node.get_clock().now().to_msg()
        return message

    def _on_tag(self, tag: Any) -> None:
        received_s = time.monotonic()
        with self._lock:
            if self._first_seq is None:
                self._first_seq = tag.seq
            self.reordered += tag.seq < self._last_seq
            self._last_seq = max(self._last_seq, tag.seq)
            row = self._row_of(tag)
            if row is None or row.tag is not None:
                self.extras.append(Row(tag.reply_id, math.nan, received_s, tag))
                return
            row.received_s = received_s
            row.tag = tag

    def _row_of(self, tag: Any) -> Row | None:
        if self._unique_ids:
            return self._by_id.get(tag.reply_id)
        number = tag.seq - (self._first_seq or 0)
        return self.rows[number] if 0 <= number < len(self.rows) else None

    def _spin(self) -> None:
        try:
            self._executor.spin()
        except ExternalShutdownException:
            return


def summarize(probe: Probe, deadline_ms: float) -> dict[str, Any]:
    """Return the account: counts, sources and latencies from publisher to tag, in ms."""
    rounds = [row.round_ms for row in probe.rows if row.round_ms is not None]
    sources = Counter(Source(row.tag.source).name for row in probe.rows if row.tag is not None)
    own = [1e3 * _seconds(row.tag.latency) for row in probe.rows if row.tag is not None]
    return {
        "replies": len(probe.rows),
        "tags": len(rounds),
        "by_source": dict(sorted(sources.items())),
        "latency_ms": percentiles(rounds),
        "node_latency_ms": percentiles(own),
        "late": sum(ms > deadline_ms for ms in rounds),
        "lost": len(probe.rows) - len(rounds),
        "duplicated": probe.extra,
        "reordered": probe.reordered,
        "most_pending": probe.most_pending,
    }


def _seconds(duration: Any) -> float:
    return float(duration.sec) + float(duration.nanosec) / 1e9
