"""Reads a conversation out of a recorded rosbag2 (MCAP or sqlite3). Needs no ROS installation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pika_emotion import resources
from pika_emotion.errors import BagError

_USUAL_TEXT_FIELDS = ("data", "text", "final")


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded utterance.

    Attributes:
        at_s: seconds after the first one.
        pika: whether Pika said it; else the child.
        text: as recorded.
        id: the utterance's id, or empty.
        type: its message type.
    """

    at_s: float
    pika: bool
    text: str
    id: str
    type: str


def read_bag(
    path: str | Path,
    transcript_topic: str = "/child/transcript",
    reply_topic: str = "/pika/reply",
    transcript_field: str = "",
    reply_field: str = "",
) -> list[Recorded]:
    """Return a bag's utterances in the order of their recording.

    Args:
        path: the bag's folder, or its .mcap or .db3 file.
        transcript_topic: where the child's transcripts were recorded.
        reply_topic: where Pika's replies were recorded.
        transcript_field: path of the text in a transcript, with dots; empty: data, text or final.
        reply_field: the same for a reply.

    Raises:
        BagError: the bag is missing or damaged, or lacks a topic or field; names the remedy.
    """
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    except ImportError as error:
        raise BagError(
            "reading bags needs the library 'rosbags'; pip install pika-emotion[replay]"
        ) from error
    path = Path(path)
    if not path.exists():
        raise BagError(f"bag '{path}' not found; give a rosbag2 folder, or an .mcap or .db3 file")
    store = get_typestore(Stores.ROS2_JAZZY)
    utterance = resources.find("msg/Utterance.msg").read_text(encoding="utf-8")
    store.register(get_types_from_msg(utterance, "pika_emotion/msg/Utterance"))
    fields = {transcript_topic: transcript_field, reply_topic: reply_field}
    try:
        with AnyReader([path], default_typestore=store) as reader:
            for topic in fields:
                if topic not in reader.topics:
                    there = ", ".join(sorted(reader.topics)) or "none"
                    raise BagError(
                        f"bag '{path}' has no topic '{topic}' (it has {there}); "
                        "name yours with --transcript-topic and --reply-topic"
                    )
            connections = [c for c in reader.connections if c.topic in fields]
            messages = [
                (at_ns, c, reader.deserialize(data, c.msgtype))
                for c, at_ns, data in reader.messages(connections)
            ]
    except BagError:
        raise
    except Exception as error:
        # rosbags raises errors of many libraries (MCAP, sqlite3, zstd) for a damaged file.
        raise BagError(
            f"bag '{path}' cannot be read ({type(error).__name__}: {error}); "
            "record it again, or mend it with 'ros2 bag reindex'"
        ) from error
    first_ns = messages[0][0] if messages else 0
    return [
        Recorded(
            at_s=(at_ns - first_ns) / 1e9,
            pika=connection.topic == reply_topic,
            text=_text(message, fields[connection.topic], connection.msgtype),
            id=str(getattr(message, "id", "")),
            type=connection.msgtype,
        )
        for at_ns, connection, message in messages
    ]


def _text(message: Any, field: str, type_name: str) -> str:
    for path in [field] if field else _USUAL_TEXT_FIELDS:
        value = message
        for name in path.split("."):
            value = getattr(value, name, None)
        if isinstance(value, str):
            return value
    wanted = field or " or ".join(_USUAL_TEXT_FIELDS)
    raise BagError(
        f"type '{type_name}' has no text field {wanted}; "
        "name it with --transcript-field or --reply-field"
    )
