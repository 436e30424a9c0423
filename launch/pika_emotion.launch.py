"""Starts the emotion node; it configures and activates itself, and stops with this launch.

ros2 launch pika_emotion pika_emotion.launch.py tagger:=reflex reply_topic:=/llm/reply
"""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node

TOPICS = {
    "transcript_topic": ("child/transcript", "what the child said"),
    "reply_topic": ("pika/reply", "Pika's replies"),
    "reply_partial_topic": ("pika/reply_partial", "Pika's replies while they are being written"),
    "tag_topic": ("emotion_tag", "the tags"),
}

ARGUMENTS = [
    DeclareLaunchArgument("tagger", default_value="", description="empty: as params_file says"),
    DeclareLaunchArgument("params_file", default_value="", description="empty: the defaults"),
    DeclareLaunchArgument("namespace", default_value="", description="of the node"),
    DeclareLaunchArgument("log_level", default_value="info", description="of the node"),
    DeclareLaunchArgument(
        "prefix",
        default_value="",
        description="a command that starts the node, such as 'chrt --fifo 1' on a busy robot",
    ),
    DeclareLaunchArgument(
        "autostart",
        default_value="",
        choices=["", "true", "false", "True", "False"],
        description="false leaves the transitions to a lifecycle manager; empty: as params_file "
        "says, or true",
    ),
    DeclareLaunchArgument(
        "monitor",
        default_value="false",
        choices=["true", "false", "True", "False"],
        description="whether to serve a live page about the node, on http://127.0.0.1:7863",
    ),
    *(
        DeclareLaunchArgument(name, default_value=topic, description=what)
        for name, (topic, what) in TOPICS.items()
    ),
]


def start_node(context):
    """Return the node, with the arguments as they were given, and the monitor if asked for.

    Raises:
        FileNotFoundError: there is no params_file; launch_ros alone would start without it.
    """
    given = {
        name: LaunchConfiguration(name).perform(context)
        for name in ("tagger", "params_file", "autostart")
    }
    parameters = []
    if given["params_file"]:
        file = Path(given["params_file"]).expanduser()
        if not file.is_file():
            raise FileNotFoundError(f"params_file '{file}' is not a file; give the path of one")
        parameters.append(str(file))
    if given["autostart"]:
        parameters.append({"autostart": given["autostart"].lower() == "true"})
    if given["tagger"]:
        parameters.append({"tagger": given["tagger"]})
    shared = {
        "package": "pika_emotion",
        "namespace": LaunchConfiguration("namespace"),
        "remappings": [(topic, LaunchConfiguration(name)) for name, (topic, _) in TOPICS.items()],
        "arguments": ["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        "output": "screen",
    }
    nodes = [
        LifecycleNode(
            executable="emotion_node",
            name="emotion_node",
            parameters=parameters,
            prefix=LaunchConfiguration("prefix"),
            **shared,
        )
    ]
    if LaunchConfiguration("monitor").perform(context).lower() == "true":
        # A program of its own: nothing that its visitors do takes time from the tags.
        file = parameters[:1] if given["params_file"] else []
        nodes.append(Node(executable="monitor", name="emotion_monitor", parameters=file, **shared))
    return nodes


def generate_launch_description():
    """Return what ros2 launch runs."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=start_node)])
