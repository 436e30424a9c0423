"""The launch file, run by launch itself; skipped where there is no launch, as on the wheels."""

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ROOT

pytest.importorskip("launch_ros", reason="needs ROS 2's launch, which is not among the wheels")
pytest.importorskip("launch_pytest", reason="needs ROS 2's launch_pytest")

import launch_pytest
from launch import LaunchContext, LaunchDescription
from launch.actions import IncludeLaunchDescription, RegisterEventHandler
from launch.event_handlers import OnProcessExit, OnProcessIO, OnProcessStart
from launch.launch_description_sources import (
    PythonLaunchDescriptionSource,
    get_launch_description_from_python_launch_file,
)
from lifecycle_msgs.srv import ChangeState, GetState
from pika_emotion.msg import EmotionTag
from ros import Robot, until
from std_msgs.msg import String

LAUNCH_FILE = str(ROOT / "launch" / "pika_emotion.launch.py")


class Guest(Robot):
    """A robot that may name its topics, and that asks for states before there is a node."""

    def __init__(self, namespace=""):
        super().__init__(SimpleNamespace(namespace=namespace))
        # Both before the first question, so that the node has met both when it answers that.
        self._clients = {
            name: self._node.create_client(kind, f"{self._name}/{name}")
            for name, kind in (("get_state", GetState), ("change_state", ChangeState))
        }

    def call(self, kind, name, request):
        """Ask until there is an answer: rmw drops one to a client that it has not met yet."""
        client = self._clients[name]
        assert client.wait_for_service(20.0), f"no service {name}"
        for _ in range(10):
            answered = threading.Event()
            future = client.call_async(request)
            future.add_done_callback(lambda _, answered=answered: answered.set())
            if answered.wait(2.0):
                return future.result()
        raise AssertionError(f"no answer from {name}")

    def wait_for_state(self, label):
        until(lambda: self.state == label)

    def tags_for(self, text, reply_topic="pika/reply", tag_topic="emotion_tag"):
        """Publish one reply; return the list that its tags come into."""
        tags = []
        self._node.create_subscription(EmotionTag, tag_topic, tags.append, 10)
        replies = self._node.create_publisher(String, reply_topic, 10)
        until(replies.get_subscription_count)
        until(lambda: self._node.count_publishers(tag_topic))
        replies.publish(String(data=text))
        return tags

    def listeners(self, topic):
        return self._node.count_subscribers(topic)


@pytest.fixture
def guest():
    with Guest() as guest:
        yield guest


@pytest.fixture
def namespaced():
    with Guest("/rig") as guest:
        yield guest


@launch_pytest.fixture
def launched(request, tmp_path):
    """Include the launch file with the test's arguments; keep what its process does."""
    seen = SimpleNamespace(text="", exit_codes=[], pids=[])

    def keep(event):
        seen.text += event.text.decode()

    arguments = dict(request.param)
    if "params" in arguments:
        file = tmp_path / "params.yaml"
        file.write_text(arguments.pop("params"), encoding="utf-8")
        arguments["params_file"] = str(file)
    source = PythonLaunchDescriptionSource(LAUNCH_FILE)
    description = LaunchDescription(
        [
            RegisterEventHandler(OnProcessIO(on_stdout=keep, on_stderr=keep)),
            RegisterEventHandler(
                OnProcessStart(on_start=lambda event, _: seen.pids.append(event.pid))
            ),
            RegisterEventHandler(
                OnProcessExit(on_exit=lambda event, _: seen.exit_codes.append(event.returncode))
            ),
            IncludeLaunchDescription(source, launch_arguments=arguments.items()),
        ]
    )
    return description, seen


def launches(**arguments):
    """Mark a test: run it with the launch file started with these arguments."""

    def mark(test):
        test = pytest.mark.parametrize("launched", [arguments], indirect=True, ids=["launch"])(test)
        return pytest.mark.launch(fixture=launched)(test)

    return mark


@launches(tagger="reflex")
def test_starts_active_and_stops_cleanly_with_the_launch(launched, guest):
    guest.wait_for_state("active")
    (tag,) = until(guest.tags_for("Yes, seven is right! Well done!").copy)
    assert tag.emotion
    assert tag.tagger == "reflex"
    yield  # the launch gets its SIGINT here
    _, seen = launched
    assert seen.exit_codes == [0]
    assert "now finalized" in seen.text
    assert "Traceback" not in seen.text


@launches(
    tagger="reflex",
    namespace="rig",
    transcript_topic="ear/words",
    reply_topic="/llm/reply",
    reply_partial_topic="llm/partial",
    tag_topic="face/tag",
)
def test_topics_are_remapped_in_a_namespace(launched, namespaced):
    namespaced.wait_for_state("active")
    assert until(namespaced.tags_for("Hooray!", "/llm/reply", "/rig/face/tag").copy)
    assert namespaced.listeners("/rig/ear/words") == 1
    assert namespaced.listeners("/rig/llm/partial") == 1
    assert namespaced.listeners("/rig/pika/reply") == 0


NAMED = """
/emotion_node:
  ros__parameters: {tagger: nonsense, autostart: false, events: ["<rings>"]}
"""


@launches(params=NAMED, tagger="reflex")
def test_arguments_win_over_the_file_which_otherwise_holds(launched, guest):
    guest.wait_for_state("unconfigured")
    assert guest.transition("configure")
    assert guest.transition("activate")
    (tag,) = until(guest.tags_for("Hello!").copy)
    assert tag.tagger == "reflex"


@launches(params=NAMED, tagger="reflex", autostart="true")
def test_autostart_wins_over_the_file(launched, guest):
    guest.wait_for_state("active")


@launches(params_file=str(ROOT / "config" / "pika_emotion.yaml"), namespace="rig")
def test_the_example_parameters_work_in_a_namespace(launched, namespaced):
    namespaced.wait_for_state("active")


@launches(tagger="reflex", autostart="false", log_level="error")
def test_without_autostart_the_transitions_are_a_managers(launched, guest):
    guest.wait_for_state("unconfigured")
    assert guest.transition("configure")
    assert guest.state == "inactive"
    yield
    _, seen = launched
    assert seen.exit_codes == [0]
    assert "INFO" not in seen.text


@launches(tagger="reflex")
def test_a_manual_deactivate_stays(launched, guest):
    guest.wait_for_state("active")
    assert guest.transition("deactivate")
    # An event handler of the launch's would have answered the transition event long before.
    with pytest.raises(AssertionError, match="in time"):
        until(lambda: guest.state != "inactive", 2.0)
    assert guest.transition("activate")
    assert until(guest.tags_for("Hello!").copy)


@launches(tagger="reflex", prefix="env PIKA_STARTED_BY=prefix")
def test_a_prefix_starts_the_node(launched, guest):
    guest.wait_for_state("active")
    _, seen = launched
    (pid,) = seen.pids
    assert b"PIKA_STARTED_BY=prefix" in Path(f"/proc/{pid}/environ").read_bytes()


@launches(tagger="reflex", monitor="true")
def test_the_monitor_is_started_beside_the_node(launched, guest):
    guest.wait_for_state("active")
    _, seen = launched
    until(lambda: "the monitor is on http://127.0.0.1:7863/" in seen.text)
    yield
    assert seen.exit_codes == [0, 0]


@launches(tagger="nonsense")
def test_a_wrong_tagger_ends_the_node_and_says_why(launched):
    _, seen = launched
    until(lambda: seen.exit_codes and "nonsense" in seen.text)
    assert seen.exit_codes == [1]
    assert "unknown tagger 'nonsense'; choose one of vllm, reflex, http, encoder" in seen.text
    assert "Traceback" not in seen.text


@launches(tagger="reflex", log_level="loud")
def test_a_wrong_log_level_ends_the_node_and_says_why(launched):
    _, seen = launched
    until(lambda: seen.exit_codes and "loud" in seen.text)
    assert seen.exit_codes == [1]
    assert "emotion_node cannot start" in seen.text


def resolve(**arguments):
    """Run what the launch file describes up to, but not including, the process."""
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    description = get_launch_description_from_python_launch_file(LAUNCH_FILE)
    return [entity.visit(context) for entity in description.entities]


def test_a_missing_params_file_is_refused(tmp_path):
    missing = tmp_path / "none.yaml"
    with pytest.raises(FileNotFoundError, match=f"params_file '{missing}' is not a file"):
        resolve(params_file=str(missing))


def test_an_unclear_autostart_is_refused():
    with pytest.raises(RuntimeError, match="autostart"):
        resolve(autostart="yes")


def test_every_argument_is_described():
    arguments = get_launch_description_from_python_launch_file(LAUNCH_FILE).get_launch_arguments()
    assert {argument.name for argument in arguments} == {
        "tagger",
        "params_file",
        "namespace",
        "log_level",
        "prefix",
        "autostart",
        "monitor",
        "transcript_topic",
        "reply_topic",
        "reply_partial_topic",
        "tag_topic",
    }
    assert all(argument.description for argument in arguments)
