"""Reads a conversation out of a recorded rosbag2 (MCAP or sqlite3). Needs no ROS installation."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pika_emotion import resources
from pika_emotion.errors import BagError, PikaEmotionError

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

_OWN_TYPES = ("EmotionTag", "Utterance")
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
    path = Path(path)
    fields = {transcript_topic: transcript_field, reply_topic: reply_field}
    with reading(path), make_reader(path) as reader:
        connections = connections_of(reader, path, fields)
        messages = [
            (at_ns, c, reader.deserialize(data, c.msgtype))
            for c, at_ns, data in reader.messages(connections)
        ]
    first_ns = messages[0][0] if messages else 0
    return [
        Recorded(
            at_s=(at_ns - first_ns) / 1e9,
            pika=connection.topic == reply_topic,
            text=text_of(message, fields[connection.topic], connection.msgtype),
            id=str(getattr(message, "id", "")),
            type=connection.msgtype,
        )
        for at_ns, connection, message in messages
    ]


def make_reader(path: Path) -> "AnyReader":
    """Return a reader of a bag, not opened yet; it knows this package's message types.

    Raises:
        BagError: the library is not installed, or there is no such bag.
    """
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    except ImportError as error:
        raise BagError(
            "reading bags needs the library 'rosbags'; pip install pika-emotion[replay]"
        ) from error
    if not path.exists():
        raise BagError(f"bag '{path}' not found; give a rosbag2 folder, or an .mcap or .db3 file")
    store = get_typestore(Stores.ROS2_JAZZY)
    for name in _OWN_TYPES:
        definition = resources.find(f"msg/{name}.msg").read_text(encoding="utf-8")
        store.register(get_types_from_msg(definition, f"pika_emotion/msg/{name}"))
    return AnyReader([path], default_typestore=store)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what rosbags raises for a damaged bag into a ``BagError`` that names the bag."""
    try:
        yield
    except PikaEmotionError:
        raise
    except Exception as error:
        # rosbags raises errors of many libraries (MCAP, sqlite3, zstd) for a damaged file.
        raise BagError(
            f"bag '{path}' cannot be read ({type(error).__name__}: {error}); "
            "record it again, or mend it with 'ros2 bag reindex'"
        ) from error


def connections_of(reader: "AnyReader", path: Path, topics: Iterable[str]) -> list["Connection"]:
    """Return an opened bag's connections of some topics.

    Raises:
        BagError: a topic is not in the bag; names those that are.
    """
    wanted = list(topics)
    for topic in wanted:
        if topic not in reader.topics:
            there = ", ".join(sorted(reader.topics)) or "none"
            raise BagError(
                f"bag '{path}' has no topic '{topic}' (it has {there}); "
                "name yours with --transcript-topic and --reply-topic"
            )
    return [connection for connection in reader.connections if connection.topic in wanted]


def text_of(message: Any, field: str, type_name: str) -> str:
    """Return what a message says.

    Args:
        message: as rosbags gives it.
        field: path of the text in it, with dots; empty: data, text or final.
        type_name: its type, for the message of the error.

    Raises:
        BagError: it has no such field of text.
    """
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
