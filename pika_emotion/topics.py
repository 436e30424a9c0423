"""The node's topics: what it subscribes to while it is active, and the tags that it publishes."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from builtin_interfaces.msg import Duration, Time
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.serialization import serialize_message

from pika_emotion.deadline import Answer
from pika_emotion.dialogue import Message, Role
from pika_emotion.health import Health, LossCounter
from pika_emotion.message_types import MessageType
from pika_emotion.msg import EmotionTag

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

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

    def warm_up(self, answer: Answer) -> None:
        """Make and serialize a tag that is not published: the first one would take long."""
        serialize_message(self._message(Message(Role.REPLY, "", 0), answer, 1.0))

    def publish(self, reply: Message, answer: Answer, threshold: float) -> float:
        """Publish a reply's tag; return its latency from receipt to here in seconds."""
        tag = self._message(reply, answer, threshold)
        self._seq += 1
        tag.seq = self._seq
        latency_s = time.monotonic() - reply.received_s
        tag.latency = Duration(sec=int(latency_s), nanosec=int(latency_s % 1 * 1e9))
        self._publisher.publish(tag)
        return latency_s

    def _message(self, reply: Message, answer: Answer, threshold: float) -> Any:
        tag = EmotionTag(**answer.tag.shown(threshold))
        tag.header.frame_id = reply.frame_id
        tag.header.stamp = _time(reply.stamp_ns)
        tag.reply_id = reply.id
        tag.source = int(answer.source)
        return tag


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

    def subscribe(self, wake: Callable[[], None], group: Any = None) -> None:
        """Subscribe; ``wake`` is called after a first message was taken and waits to be read.

        ``group`` is the callback group; None for one of its own.
        """

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
            # A group keeps a reference to everything that was ever in it (rclpy 7.1): the node's
            # own would grow with each activation.
            callback_group=group or MutuallyExclusiveCallbackGroup(),
        )

    def unsubscribe(self) -> None:
        """Unsubscribe, where it is subscribed; what was not taken is gone."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        self.losses.pause()

    def woken_by(self) -> list[Message]:
        """Return what the executor took before it called ``wake``."""
        first, self._first = self._first, []
        return first

    def take(self) -> Iterator[Message]:
        """Yield what was received and not taken yet, up to the depth."""
        # An executor takes one message a round from each topic, and so loses their order.
        subscription = self._subscription
        if subscription is None:
            return
        with subscription.handle:
            for _ in range(self._depth):
                found = subscription.handle.take_message(subscription.msg_type, subscription.raw)
                if found is None:
                    return
                yield self._read(*found)

    def _read(self, message: Any, info: Mapping[str, Any]) -> Message:
        # The middleware stamps the receipt by the wall clock; its age makes it monotonic.
        received_ns = info["received_timestamp"]
        age_ns = max(0, time.time_ns() - received_ns) if received_ns else 0
        arrived_ns = max(0, self._node.get_clock().now().nanoseconds - age_ns)
        self.losses.saw(
            info.get("publication_sequence_number"),
            lambda: int(self._node.count_publishers(self._subscription.topic_name)),
        )
        whole, partial = self._roles
        return Message(
            role=partial if self._kind.partial(message) else whole,
            text=self._kind.text(message),
            source_ns=info["source_timestamp"] or time.time_ns(),
            received_s=time.monotonic() - age_ns / 1e9,
            id=self._kind.id(message),
            stamp_ns=self._kind.stamp_ns(message) or arrived_ns,
            frame_id=self._kind.frame_id(message),
        )
