"""What the node has from configure to cleanup: taggers, topics and the pipeline between them."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from builtin_interfaces.msg import Duration, Time
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions

from pika_emotion import message_types, taggers
from pika_emotion.deadline import Answer, DeadlineTagger
from pika_emotion.dialogue import Dialogue, EventRules, Message, Role
from pika_emotion.health import Health, LossCounter, Report
from pika_emotion.labels import load_labels
from pika_emotion.message_types import MessageType
from pika_emotion.msg import EmotionTag
from pika_emotion.pipeline import Pipeline

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

# Messages older than this were held up on their way; then this long is waited for the others.
_HELD_UP_NS = 20_000_000
_SETTLE_S = 0.005

_QOS_OVERRIDES = QoSOverridingOptions.with_default_policies()


class TagPublisher:
    """Publishes ``EmotionTag`` and numbers them, for the life of the node."""

    def __init__(self, node: LifecycleNode, depth: int, health: Health) -> None:
        self._node = node
        self._seq = 0
        self._publisher = node.create_lifecycle_publisher(
            EmotionTag,
            "emotion_tag",
            QoSProfile(depth=depth),
            event_callbacks=PublisherEventCallbacks(
                incompatible_qos=lambda _: health.count("subscribers of incompatible QoS")
            ),
            qos_overriding_options=_QOS_OVERRIDES,
        )

    def publish(self, reply: Message, answer: Answer, threshold: float) -> float:
        """Publish a reply's tag; return its latency from receipt to here in seconds."""
        tag = EmotionTag(**answer.tag.shown(threshold))
        tag.header.frame_id = reply.frame_id
        tag.header.stamp = (
            _time(reply.stamp_ns) if reply.stamp_ns else self._node.get_clock().now().to_msg()
        )
        self._seq += 1
        tag.seq = self._seq
        tag.reply_id = reply.id
        tag.source = int(answer.source)
        latency_s = time.monotonic() - reply.received_s
        tag.latency = Duration(sec=int(latency_s), nanosec=int(latency_s % 1 * 1e9))
        self._publisher.publish(tag)
        return latency_s


def _time(nanoseconds: int) -> Time:
    return Time(sec=nanoseconds // 1_000_000_000, nanosec=nanoseconds % 1_000_000_000)


class Input:
    """One topic that is subscribed to while the node is active.

    Args:
        node: which subscribes.
        topic: its name before remapping.
        kind: the messages' type.
        roles: who speaks in a whole message, and in a partial one.
        depth: how many messages the middleware keeps.
        health: what is told of lost messages and incompatible publishers.
    """

    def __init__(
        self,
        node: LifecycleNode,
        topic: str,
        kind: MessageType,
        roles: tuple[Role, Role],
        depth: int,
        health: Health,
    ) -> None:
        self.topic = topic
        self.losses = LossCounter()
        self._node = node
        self._kind = kind
        self._roles = roles
        self._depth = depth
        self._health = health
        self._subscription: Any = None
        self._first: list[Message] = []

    def subscribe(self, wake: Callable[[], None]) -> None:
        """Subscribe; ``wake`` is called after a first message was taken and waits to be read."""

        def callback(message: Any, info: Mapping[str, Any]) -> None:
            self._first.append(self._read(message, info))
            wake()

        self._subscription = self._node.create_subscription(
            self._kind.message,
            self.topic,
            callback,
            QoSProfile(depth=self._depth),
            event_callbacks=SubscriptionEventCallbacks(
                incompatible_qos=lambda _: self._health.count("publishers of incompatible QoS"),
                message_lost=lambda lost: self._health.count(
                    "lost messages", lost.total_count_change
                ),
            ),
            qos_overriding_options=_QOS_OVERRIDES,
        )

    def unsubscribe(self) -> None:
        """Unsubscribe; what was not taken is gone."""
        self._node.destroy_subscription(self._subscription)
        self._subscription = None

    def take(self) -> Iterator[Message]:
        """Yield what was received and not taken yet, up to the depth."""
        first, self._first = self._first, []
        yield from first
        # An executor takes one message a round from each topic, and so loses their order.
        subscription = self._subscription
        with subscription.handle:
            for _ in range(self._depth):
                found = subscription.handle.take_message(subscription.msg_type, subscription.raw)
                if found is None:
                    return
                yield self._read(*found)

    def _read(self, message: Any, info: Mapping[str, Any]) -> Message:
        # The middleware stamps the receipt by the wall clock; its age makes it monotonic.
        received_ns = info["received_timestamp"]
        age_s = max(0.0, (time.time_ns() - received_ns) / 1e9) if received_ns else 0.0
        self.losses.saw(
            info.get("publication_sequence_number"),
            lambda: int(self._node.count_publishers(self._subscription.topic_name)),
        )
        whole, partial = self._roles
        return Message(
            role=partial if self._kind.partial(message) else whole,
            text=self._kind.text(message),
            source_ns=info["source_timestamp"] or time.time_ns(),
            received_s=time.monotonic() - age_s,
            id=self._kind.id(message),
            stamp_ns=self._kind.stamp_ns(message),
            frame_id=self._kind.frame_id(message),
        )


class Serving:
    """A configured node's insides.

    Args:
        node: the lifecycle node.
        values: every parameter by name.
        publisher: of the tags.
        health: counts what happens.

    Raises:
        PikaEmotionError: a parameter, the label file or the reflex model cannot work.
    """

    def __init__(
        self,
        node: LifecycleNode,
        values: Mapping[str, Any],
        publisher: TagPublisher,
        health: Health,
    ) -> None:
        self._publisher = publisher
        self._health = health
        self._rules = EventRules(tuple(values["events"]), tuple(values["silences"]))
        transcript = message_types.resolve(values["transcript.type"], values["transcript.field"])
        reply = message_types.resolve(
            values["reply.type"], values["reply.field"], values["reply.id_field"]
        )
        labels = load_labels(values["labels_file"] or None)
        self._reflex = taggers.create("reflex", labels, values)
        self._reflex.load()
        self._primary = None
        if values["tagger"] != "reflex":
            self._primary = taggers.create(values["tagger"], labels, values)
        self.tagger = DeadlineTagger(
            labels, self._reflex, self._primary, slots=values["primary_slots"]
        )
        self._dialogue = Dialogue(self._rules)
        self.follow(values)
        depth = values["qos.depth"]
        self._most = 10 * depth
        self._inputs = [
            Input(node, "child/transcript", transcript, (Role.CHILD, Role.CHILD_PARTIAL),
                  depth, self._health),
            Input(node, "pika/reply", reply, (Role.REPLY, Role.REPLY_PARTIAL),
                  depth, self._health),
            Input(node, "pika/reply_partial", reply, (Role.REPLY_PARTIAL, Role.REPLY_PARTIAL),
                  depth, self._health),
        ]  # fmt: skip
        self._pipeline: Pipeline | None = None

    def start(self, load_timeout_s: float | None) -> None:
        """Begin to load the primary; with a timeout, wait for it.

        Raises:
            TaggerError: it failed to load, or did not in time.
        """
        self.tagger.start()
        if load_timeout_s is not None:
            self.tagger.wait_loaded(load_timeout_s)

    def follow(self, values: Mapping[str, Any]) -> None:
        """Take over the parameters that may change while the node runs."""
        self._threshold = values["celebrate_threshold"]
        self.tagger.deadline_ms = self._health.deadline_ms = values["deadline_ms"]
        self.tagger.publish_margin_ms = values["publish_margin_ms"]
        self._dialogue.turn_timeout_s = values["turn_timeout_s"]
        self._dialogue.session_timeout_s = values["session_timeout_s"]

    def activate(self) -> None:
        """Subscribe, with the conversation forgotten."""
        self._dialogue.forget()
        self._pipeline = Pipeline(self._dialogue, self.tagger, self._publish)
        self._pipeline.start()
        for source in self._inputs:
            source.subscribe(self._take)

    def deactivate(self) -> None:
        """Unsubscribe, and answer what was received before; does nothing if not active."""
        if self._pipeline is None:
            return
        self._take()
        for source in self._inputs:
            source.unsubscribe()
        self._pipeline.stop()
        self._pipeline = None

    def close(self) -> None:
        """End the taggers."""
        self.tagger.close()
        self._reflex.close()

    def report(self, state: str) -> Report:
        """Return the node's health, with the taggers' cards."""
        cards = {
            f"{tagger.name}: {key}": value
            for tagger in (self._reflex, self._primary)
            if tagger is not None
            for key, value in tagger.describe().items()
        }
        lost = sum(source.losses.lost for source in self._inputs)
        return self._health.report(state, self.tagger, cards, lost)

    def _take(self) -> None:
        """Hand everything that all topics have ready to the pipeline at once."""
        assert self._pipeline is not None
        batch = self._drain()
        oldest_ns = min((message.source_ns for message in batch), default=None)
        if oldest_ns is not None and time.time_ns() - oldest_ns > _HELD_UP_NS:
            # Something held these up (a paused process, a network that came back). The middleware
            # is still handing over what waited, each topic in a thread of its own.
            time.sleep(_SETTLE_S)
            batch += self._drain()
        now = time.monotonic()
        for message in batch:
            if message.role is Role.REPLY:
                self._health.waited(1000 * (now - message.received_s))
        self._pipeline.put(batch)

    def _drain(self) -> list[Message]:
        # A pass may miss what arrives on one topic while it reads the next; what came before a
        # message that it did read is there by the following pass.
        batch: list[Message] = []
        while new := [message for source in self._inputs for message in source.take()]:
            batch += new
            if len(batch) > self._most:
                break
        return batch

    def _publish(self, reply: Message, answer: Answer) -> None:
        latency_s = self._publisher.publish(reply, answer, self._threshold)
        self._health.answered(answer.source, 1000 * latency_s)
