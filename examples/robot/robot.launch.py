"""A robot's launch file that starts the emotion node beside its own nodes."""

from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare


def generate_launch_description():
    """Return what ros2 launch runs."""
    share = FindPackageShare("pika_emotion")
    # For every node that starts after it: Fast DDS is whole within 1 s after a cut network.
    profiles = PathJoinSubstitution([share, "config", "fastdds.xml"])
    quick = SetEnvironmentVariable("FASTRTPS_DEFAULT_PROFILES_FILE", profiles)
    file = PathJoinSubstitution([share, "launch", "pika_emotion.launch.py"])
    emotions = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(file),
        launch_arguments={
            "params_file": "/etc/pika/emotion.yaml",
            "transcript_topic": "/speech/transcript",
            "reply_topic": "/llm/reply",
            "tag_topic": "/face/emotion",
        }.items(),
    )
    return LaunchDescription([quick, emotions])
