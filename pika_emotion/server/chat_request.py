"""Reads the turn out of the bodies that HTTP callers send: the OpenAI chat form and ``/tag``'s own.

Knows no web framework. Every fault is a ``RequestError`` that names the place and the remedy, and
never repeats what anybody said.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pika_emotion.dialogue import Turn, make_turn
from pika_emotion.errors import PikaEmotionError

# A line of the user's message that begins a field. Only the child's and the reply's must be there.
_KEYS = {
    "question": (
        "previous question",
        "last question",
        "question",
        "pika question",
        "pika previous question",
        "pika last question",
        "pika last message",
        "pika last response",
        "pika previous message",
        "pika previous response",
        "last pika message",
        "last pika response",
        "previous pika message",
        "previous pika response",
    ),
    "child": ("user last message", "last user message", "user message", "previous answer"),
    "reply": ("pika response", "response to check"),
}
_FIELD_OF = {key: field for field, keys in _KEYS.items() for key in keys}
_KEY_LINE = re.compile(
    rf"^[ \t]{{0,16}}({'|'.join(key.replace(' ', '[ _]') for key in _FIELD_OF)})[ \t]{{0,16}}[:：]",
    re.IGNORECASE | re.MULTILINE | re.ASCII,  # else 'ſ' is an s, and no key has it
)
_SHAPE = (
    "write the lines 'user_last_message: \"…\"' and 'pika_response: \"…\"', "
    "or 'Previous Question: …', 'Previous Answer: …' and 'Response to check: …'"
)

_CLOSING = {'"': '"”', "“": '”"“', "„": '“”"', "'": "'’", "‘": "’'", "«": "»"}
_QUOTES = "".join({*_CLOSING, *"".join(_CLOSING.values())})
_SPACE = re.compile(r"\s*")
_ESCAPE = re.compile(r"""(?:\\u[0-9a-fA-F]{4})+|\\["'bfnrt\\/]""")
_ESCAPED = {"b": " ", "f": " ", "n": "\n", "r": "\n", "t": " "}  # the others stand for themselves
_BACKSLASHES = 64  # before a quote; more are nobody's words
# Of longer texts only the head and the tail are read (pika_emotion.text); six times as many
# characters where each is written as an escape sequence.
_READ_CHARS = 24_000


class RequestError(PikaEmotionError):
    """A request's body cannot be understood.

    Attributes:
        param: the field of the body that is at fault; None for the whole.
    """

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What matters of a chat completion's request.

    Attributes:
        turn: what is tagged; its texts are clean.
        model: the name that the answer repeats; empty where none was given.
        stream: whether the answer is wanted as server-sent events.
        usage: whether a stream ends with a chunk that tells the usage.
    """

    turn: Turn
    model: str
    stream: bool
    usage: bool


def read_json(body: bytes) -> Mapping[str, Any]:
    """Return a request's body as a JSON object.

    Raises:
        RequestError: it is none.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        # The error's own text is not shown: a wrong encoding's quotes the bytes.
        at = f" from character {error.pos} on" if isinstance(error, json.JSONDecodeError) else ""
        raise RequestError(f"the body is not JSON{at}; send a JSON object in UTF-8") from error
    if not isinstance(found, dict):
        raise RequestError(f"the body is {_kind(found)}; send a JSON object")
    return found


def read_turn(body: Mapping[str, Any]) -> Turn:
    """Return the turn of a body ``{"question": …, "child": …, "reply": …}``.

    Raises:
        RequestError: the reply is missing, a value is no text, or there is another field.
    """
    if not body.keys() <= {"question", "child", "reply"}:
        raise RequestError("the body has an unknown field; send question, child and reply")
    if "reply" not in body:
        raise RequestError("reply is missing; send what Pika says now as a string", "reply")
    question, child, reply = (
        _text(body.get(name, ""), name) for name in ("question", "child", "reply")
    )
    return make_turn(question, child, reply)


def read_chat(body: Mapping[str, Any]) -> ChatRequest:
    """Return what matters of a chat completion's request; other fields have no effect.

    Raises:
        RequestError: it has no user message, or that has not the lines of a turn.
    """
    stream = body.get("stream") or False
    if not isinstance(stream, bool):
        raise RequestError(f"stream is {_kind(stream)}; send true or false", "stream")
    options, model = body.get("stream_options"), body.get("model")
    return ChatRequest(
        turn=parse_turn(*_last_user_message(body.get("messages"))),
        model=model if isinstance(model, str) else "",
        stream=stream,
        usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def parse_turn(text: str, param: str = "messages") -> Turn:
    """Return the turn that a user message describes in lines.

    A field begins on a line of its own and goes on until the next one, over line ends too. In
    quotes, it goes on until they close; what looks like a field in between is somebody's words.
    The last field begins at the last line that can begin it, so that words that imitate it in the
    field before do not replace it.

    Args:
        text: the message.
        param: where it stands in the request, for the error.

    Raises:
        RequestError: the child's words or the reply are missing.
    """
    found = _lines(text, quoted=True)
    if not {"child", "reply"} <= {line.field for line in found}:
        found = _lines(text, quoted=False)  # a quote that is never closed hides nothing
    starts: dict[str, _Line] = {}
    for line in found:
        starts.setdefault(line.field, line)
    for field, what in (("child", "what the child said"), ("reply", "what Pika says")):
        if field not in starts:
            raise RequestError(f"the user message has no line for {what}; {_SHAPE}", param)
    *_, last = starts
    starts[last] = next(line for line in reversed(found) if line.field == last)
    ordered = list(starts.values())
    ends = [*(line.start for line in ordered[1:]), len(text)]
    values = {
        line.field: unquote(text[line.value : end]) for line, end in zip(ordered, ends, strict=True)
    }
    return make_turn(values.get("question", ""), values["child"], values["reply"])


def unquote(value: str) -> str:
    """Return a field's text without the quotes around it, its escape sequences resolved."""
    value = value.strip()
    closing = _CLOSING.get(value[:1], "")
    if closing and len(value) > 1 and value[-1] in closing:
        value = value[1:-1]
    elif closing and not any(quote in value[1:] for quote in closing):
        value = value[1:]  # opened and never closed
    elif value and value[-1] in '"”' and not any(quote in value[:-1] for quote in _QUOTES):
        value = value[:-1]  # closed and never opened
    if len(value) > 2 * _READ_CHARS:
        value = f"{value[:_READ_CHARS]} {value[-_READ_CHARS:]}"
    return _ESCAPE.sub(_unescape, value)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that begins a field: where the line, and where the field's value starts."""

    field: str
    start: int
    value: int


def _lines(text: str, *, quoted: bool) -> list[_Line]:
    """Return the lines that begin a field; with ``quoted``, none from inside quotes."""
    found: list[_Line] = []
    opened = 0
    for match in _KEY_LINE.finditer(text):
        key = match[1].replace("_", " ").lower()
        if quoted and found and not _closed(text, opened, match.start()):
            continue
        if key == "question" and found:
            continue  # Pika may well say "Question: …"; only the first line can be the field
        found.append(_Line(_FIELD_OF[key], match.start(), match.end()))
        space = _SPACE.match(text, match.end())
        opened = space.end() if space else match.end()
    return found


def _closed(text: str, opened: int, end: int) -> bool:
    """Whether the value from ``opened`` to ``end`` is in no quotes, or in quotes that close."""
    closing = _CLOSING.get(text[opened], "")
    # By index: a message may be nothing but such lines, and slices would make that quadratic.
    while text[end - 1].isspace():
        end -= 1
    if not closing or end - 1 <= opened:
        return not closing
    if text[end - 1] not in closing:
        return False
    before = text[max(opened, end - 1 - _BACKSLASHES) : end - 1]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 0


def _unescape(match: re.Match[str]) -> str:
    sequence = match[0]
    if sequence[1] == "u":  # several at once: two may be one character
        return str(json.loads(f'"{sequence}"'))
    return _ESCAPED.get(sequence[1], sequence[1])


def _last_user_message(messages: Any) -> tuple[str, str]:
    """Return the last user message's text and where it stands."""
    if not isinstance(messages, list):
        raise RequestError(
            f"messages is {_kind(messages)}; send a list with a user message", "messages"
        )
    for place in range(len(messages) - 1, -1, -1):
        message, param = messages[place], f"messages[{place}]"
        if not isinstance(message, dict):
            raise RequestError(f"{param} is {_kind(message)}; send role and content", param)
        if message.get("role") == "user":
            return _content(message.get("content"), f"{param}.content"), f"{param}.content"
    raise RequestError(f"messages has none with the role user; {_SHAPE}", "messages")


def _content(content: Any, param: str) -> str:
    """Return a message's text, which OpenAI's clients send whole or in parts."""
    if not isinstance(content, list):
        return _text(content, param)
    if not all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        raise RequestError(f"{param} has a part that is no text; send text alone", param)
    return "\n".join(_text(part.get("text"), param) for part in content)


def _text(value: Any, param: str) -> str:
    if not isinstance(value, str):
        raise RequestError(f"{param} is {_kind(value)}; send a string", param)
    return value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a truth value"}
    return "missing or null" if value is None else names.get(type(value), "a number")
