"""``pika-emotion monitor``: serve a live page about a running node."""

import argparse
import os
from contextlib import closing

from pika_emotion.commands import import_extra
from pika_emotion.errors import ConfigError
from pika_emotion.monitor import settings

# Where cores are few, the robot's work comes before its picture.
_NICE = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--ros-args",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="ARGUMENT",
        help="parameters and remappings, as any ROS program takes them: "
        + ", ".join(f"-p {p.name}:={_shown(p.default)}" for p in settings.PARAMETERS[:4]),
    )


def _shown(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default) or "''"


def run(options: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    try:
        import rclpy
        from rclpy.signals import SignalHandlerOptions

        from pika_emotion.monitor.node import MonitorNode
    except ImportError as error:
        raise ConfigError(
            f"the monitor needs ROS 2 and this package built in it ({error}); "
            "source the workspace's setup file"
        ) from error
    web = import_extra("pika_emotion.monitor.web", "the monitor", "serve")
    os.nice(_NICE)
    arguments = ["monitor", "--ros-args", *options.ros_args]
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # rclpy's own, which says what is wrong with the arguments
        raise ConfigError(f"{error}; correct what follows --ros-args") from error
    try:
        node = MonitorNode()
        token = settings.read_token(node.values)
        with closing(settings.listen(node.values, token)) as listening:
            address, port = listening.getsockname()[:2]
            place = f"[{address}]" if ":" in address else address
            print(f"the monitor is on http://{place}:{port}/", flush=True)
            web.Server(node, token).serve_on(listening)
    finally:
        rclpy.try_shutdown()
    return 0
