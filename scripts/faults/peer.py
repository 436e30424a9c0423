"""Another subscriber of the tags, as a face or a recorder is: prints how many tags it has.

peer.py NAMESPACE [transient]
"""

import sys

import rclpy
from pika_emotion.msg import EmotionTag
from rclpy.qos import DurabilityPolicy, QoSProfile


def main() -> None:
    """Subscribe until killed."""
    namespace, *durability = sys.argv[1:]
    rclpy.init()
    node = rclpy.create_node("peer", namespace=namespace)
    qos = QoSProfile(depth=10)
    if durability:
        qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
    numbers = iter(range(1, sys.maxsize))
    # Kept: a subscription lives as long as its object.
    subscription = node.create_subscription(
        EmotionTag, "emotion_tag", lambda _: print(next(numbers), flush=True), qos
    )
    print(f"subscribed to {subscription.topic_name}", flush=True)
    rclpy.spin(node)


if __name__ == "__main__":
    main()
