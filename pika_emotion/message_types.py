"""Reads text, id and stamp out of any installed message type, named by parameters."""

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pika_emotion.errors import ConfigError

_TYPE = re.compile(r"(?P<package>[a-z][a-z0-9_]*)/(?:msg/)?(?P<name>[A-Z][A-Za-z0-9]*)")
_USUAL_TEXT_FIELDS = ("data", "text", "final")


@dataclass(frozen=True, slots=True)
class MessageType:
    """A message type and how to read it.

    Attributes:
        message: the Python class.
        text: returns the text of a message.
        id: returns its id, or an empty text.
        partial: returns whether more of the same utterance is to come.
        stamp_ns: returns its own stamp in nanoseconds, or 0 where it has none.
        frame_id: returns its frame, or an empty text.
    """

    message: type[Any]
    text: Callable[[Any], str]
    id: Callable[[Any], str]
    partial: Callable[[Any], bool]
    stamp_ns: Callable[[Any], int]
    frame_id: Callable[[Any], str]


def resolve(type_name: str, text_field: str = "", id_field: str = "") -> MessageType:
    """Find an installed message type.

    Args:
        type_name: such as ``std_msgs/msg/String``.
        text_field: path of the text inside it, with dots; empty for the first of data, text, final.
        id_field: path of the id; empty for ``id`` where there is one.

    Raises:
        ConfigError: the type is not installed, or has no such field of text.
    """
    message = _find_class(type_name)
    example = message()
    if not text_field:
        usual = [name for name in _USUAL_TEXT_FIELDS if isinstance(_dig(example, name), str)]
        if not usual:
            raise ConfigError(
                f"type '{type_name}' has no text field {' or '.join(_USUAL_TEXT_FIELDS)}; "
                f"name its field (it has {_fields(example)})"
            )
        text_field = usual[0]
    for field in filter(None, (text_field, id_field)):
        if not isinstance(_dig(example, field), str):
            raise ConfigError(
                f"type '{type_name}' has no text field '{field}'; it has {_fields(example)}"
            )
    if not id_field and isinstance(_dig(example, "id"), str):
        id_field = "id"
    has_partial = isinstance(_dig(example, "partial"), bool)
    has_stamp = _dig(example, "header.stamp.nanosec") is not None
    return MessageType(
        message=message,
        text=_reader(text_field),
        id=_reader(id_field) if id_field else lambda _: "",
        partial=_reader("partial") if has_partial else lambda _: False,
        stamp_ns=_stamp_ns if has_stamp else lambda _: 0,
        frame_id=_reader("header.frame_id") if has_stamp else lambda _: "",
    )


def _find_class(type_name: str) -> type[Any]:
    match = _TYPE.fullmatch(type_name)
    if match is None:
        raise ConfigError(f"'{type_name}' is not a message type; write it like std_msgs/msg/String")
    package, name = match["package"], match["name"]
    try:
        found: type[Any] = getattr(importlib.import_module(f"{package}.msg"), name)
    except ImportError as error:
        raise ConfigError(
            f"message type '{type_name}' is not installed (no package {package}); install it "
            f"(ros-$ROS_DISTRO-{package.replace('_', '-')}) or source its workspace"
        ) from error
    except AttributeError as error:
        raise ConfigError(
            f"message type '{type_name}' is not installed (package {package} has no message "
            f"{name}); correct the name"
        ) from error
    if not _has_type_support(found):
        raise ConfigError(
            f"message type '{type_name}' is only half installed (package {package} lacks its "
            "compiled type support for this Python); install or build the package again"
        )
    return found


def _has_type_support(message: type[Any]) -> bool:
    # Generated code loads its libraries when first used; a subscription would fail only then.
    generated: Any = type(message)
    try:
        generated.__import_type_support__()
    except Exception:  # rosidl_generator_py's own, which cannot be named without ROS
        return False
    return generated._TYPE_SUPPORT is not None


def _dig(message: Any, path: str) -> Any:
    for name in path.split("."):
        message = getattr(message, name, None)
    return message


def _reader(path: str) -> Callable[[Any], Any]:
    return lambda message: _dig(message, path)


def _stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def _fields(message: Any) -> str:
    return ", ".join(message.get_fields_and_field_types())
