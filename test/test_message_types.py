"""Text, id and stamp of real messages of any installed type, and the names that are refused."""

import shutil
from pathlib import Path

import pytest
import std_msgs.msg
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from pika_emotion.msg import Utterance
from std_msgs.msg import Header, String

from pika_emotion.errors import ConfigError
from pika_emotion.message_types import resolve


@pytest.mark.parametrize("name", ["std_msgs/msg/String", "std_msgs/String"])
def test_a_string_has_text_and_nothing_else(name):
    kind = resolve(name)
    message = String(data="xin chào")
    assert kind.message is String
    assert kind.text(message) == "xin chào"
    assert (kind.id(message), kind.partial(message)) == ("", False)
    assert (kind.stamp_ns(message), kind.frame_id(message)) == (0, "")


def test_an_utterance_has_everything():
    kind = resolve("pika_emotion/msg/Utterance")
    header = Header(stamp=Time(sec=5, nanosec=7), frame_id="head")
    message = Utterance(header=header, id="u1", text="Wow!", partial=True)
    assert kind.text(message) == "Wow!"
    assert (kind.id(message), kind.partial(message)) == ("u1", True)
    assert (kind.stamp_ns(message), kind.frame_id(message)) == (5_000_000_007, "head")


def test_fields_can_be_named_also_inside_others():
    kind = resolve("pika_emotion/msg/Utterance", "header.frame_id", "text")
    message = Utterance(header=Header(frame_id="where"), text="what", id="who")
    assert (kind.text(message), kind.id(message)) == ("where", "what")


def test_a_foreign_type_is_read_by_its_named_field():
    kind = resolve("diagnostic_msgs/DiagnosticStatus", "message", "hardware_id")
    message = DiagnosticStatus(message="ouch", hardware_id="7", values=[KeyValue()])
    assert (kind.text(message), kind.id(message), kind.stamp_ns(message)) == ("ouch", "7", 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("String",), "'String' is not a message type; write it like std_msgs/msg/String"),
        (("",), "'' is not a message type"),
        (("std_msgs/srv/String",), "'std_msgs/srv/String' is not a message type"),
        (("std_msgs.msg.String",), "is not a message type"),
        (("../std_msgs/String",), "is not a message type"),
        (("std_msgs/string",), "is not a message type"),
        (("std_msgs/String\n",), "is not a message type"),
        (
            ("hri_msgs_none/LiveSpeech",),
            "type 'hri_msgs_none/LiveSpeech' is not installed .no package hri_msgs_none.; install "
            "it .ros-.ROS_DISTRO-hri-msgs-none. or source its workspace",
        ),
        (("os/Path",), "'os/Path' is not installed"),
        (
            ("std_msgs/Strin",),
            "'std_msgs/Strin' is not installed .package std_msgs has no message Strin.; correct",
        ),
        (
            ("std_msgs/Header",),
            "'std_msgs/Header' has no text field data or text or final; name its field "
            ".it has stamp, frame_id.",
        ),
        (("std_msgs/Int32",), "'std_msgs/Int32' has no text field data or text or final"),
        (("std_msgs/String", "text"), "'std_msgs/String' has no text field 'text'; it has data"),
        (("std_msgs/String", "data.x"), "has no text field 'data.x'; it has data"),
        (("std_msgs/String", "", "id"), "'std_msgs/String' has no text field 'id'; it has data"),
        (
            ("pika_emotion/Utterance", "partial"),
            "has no text field 'partial'; it has header, id, text, partial",
        ),
        (("pika_emotion/Utterance", "header"), "has no text field 'header'"),
        (("pika_emotion/Utterance", ".text"), "has no text field '.text'"),
    ],
)
def test_a_type_or_field_that_cannot_work_is_named_with_the_remedy(arguments, message):
    with pytest.raises(ConfigError, match=message):
        resolve(*arguments)


def test_a_package_without_its_compiled_half_is_told_before_a_subscription_fails(
    tmp_path, monkeypatch
):
    source = Path(std_msgs.msg.__file__).parent
    package = tmp_path / "half_msgs"
    (package / "msg").mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(source / "_string.py", package / "msg")
    code = (package / "msg/_string.py").read_text().replace("std_msgs", "half_msgs")
    (package / "msg/_string.py").write_text(code)
    (package / "msg/__init__.py").write_text("from half_msgs.msg._string import String\n")
    monkeypatch.syspath_prepend(tmp_path)
    message = "type 'half_msgs/String' is only half installed .package half_msgs lacks its compiled"
    with pytest.raises(ConfigError, match=message):
        resolve("half_msgs/String")
