"""Reads a conversation out of a recorded rosbag2 (MCAP or sqlite3). Needs no ROS installation."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pika_emotion.bag_reader import BagReader
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
    """Return a bag's utterances in the order of their recording; partial ones are left out.

    Args:
        path: the bag's folder, or its .mcap or .db3 file.
        transcript_topic: where the child's transcripts were recorded.
        reply_topic: where Pika's replies were recorded.
        transcript_field: path of the text in a transcript, with dots; empty: data, text or final.
        reply_field: the same for a reply.

    Raises:
        BagError: the bag is missing or damaged, or lacks a topic or field; names the remedy.
    """
    fields = {transcript_topic: transcript_field, reply_topic: reply_field}
    with BagReader(Path(path)) as reader:
        reader.require(fields)
        messages = [each for each in reader.messages(fields) if not is_partial(each[3])]
    first_ns = messages[0][0] if messages else 0
    return [
        Recorded(
            at_s=(at_ns - first_ns) / 1e9,
            pika=topic == reply_topic,
            text=text_of(message, fields[topic], type_name),
            id=str(getattr(message, "id", "")),
            type=type_name,
        )
        for at_ns, topic, type_name, message in messages
    ]


def is_partial(message: Any) -> bool:
    """Return whether a message says so of itself: a hint, which comes whole later."""
    return getattr(message, "partial", None) is True


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
