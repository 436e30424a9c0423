"""Prints face and servo commands from Pika's emotion tags: a consumer to start from.

python3 examples/python_consumer/face.py          (after sourcing install/setup.bash)
"""

import contextlib

import rclpy
from pika_emotion.msg import EmotionTag
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile

# What this robot's face can draw for the feelings that it knows; others look neutral.
FACES = {
    EmotionTag.HAPPY: "^_^",
    EmotionTag.EXCITED: "*o*",
    EmotionTag.PLAYFUL: "^o~",
    EmotionTag.PROUD: "^‿^",
    EmotionTag.THATS_RIGHT: "^o^",
    EmotionTag.ENCOURAGING: "o_o",
    EmotionTag.NO_PROBLEM: "u_u",
    EmotionTag.CALM: "-_-",
    EmotionTag.CURIOUS: "o.O",
    EmotionTag.THINKING: "~_~",
    EmotionTag.SURPRISED: "O_O",
    EmotionTag.SAD: "T_T",
    EmotionTag.WORRY: ">_<",
    EmotionTag.AFRAID: "D:",
    EmotionTag.ANGRY: "ò_ó",
    EmotionTag.NOISY: "?_?",
}
LARGEST_ARM_DEGREES = 60.0


class Face(Node):
    """Shows each tag once, when it comes."""

    def __init__(self):
        super().__init__("face")
        # Volatile, the default: a face that starts late must not replay a celebration.
        self.create_subscription(EmotionTag, "emotion_tag", self.show, QoSProfile(depth=10))

    def show(self, tag):
        """Print the commands for one tag."""
        face = FACES.get(tag.emotion, "._.")
        arms = LARGEST_ARM_DEGREES * tag.arousal
        confetti = " confetti" if tag.celebrate else ""
        print(f"face {face} ({tag.emotion}) arms {arms:.0f} deg{confetti}", flush=True)


def main():
    """Run until Ctrl-C."""
    rclpy.init()
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(Face())


if __name__ == "__main__":
    main()
