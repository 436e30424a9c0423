"""What the OpenAPI page says of bodies and answers, with examples that work."""

from typing import Any

from pika_emotion.server.chat_completion import completion

_SYSTEM = {"role": "system", "content": "You are an emotion tagger. (It is not read.)"}
_CONTEXT = '[CONTEXT]\nuser_last_message: "four"\npika_response: "Four! That\'s right!"'
_CHECK = (
    'Previous Question: "What is two and two?"\nPrevious Answer: "four"\n'
    'Response to check: "Four! That\'s right!"'
)
_ANSWER = '{"emotion_name": "thats_right", "celebrate": "yes"}'
_TEXT = {"type": "string"}
_NUMBER = {"type": "number"}

_FAILURE = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": dict.fromkeys(("message", "type", "param", "code"), _TEXT),
        }
    },
}
FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"description": what, "content": {"application/json": {"schema": _FAILURE}}}
    for status, what in (
        (400, "The body cannot be understood; the message says what to send."),
        (401, "A token is needed."),
        (413, "The body is larger than 256 kB."),
    )
}

_CHAT = {
    "type": "object",
    "required": ["messages"],
    "properties": {
        "model": {**_TEXT, "description": "any; the answer repeats it"},
        "messages": {"type": "array", "items": {"type": "object"}},
        "stream": {"type": "boolean", "default": False},
    },
}
_TURN = {
    "type": "object",
    "required": ["reply"],
    "additionalProperties": False,
    "properties": {
        "question": {**_TEXT, "description": "what Pika said before the child spoke"},
        "child": {**_TEXT, "description": "what the child said, or an event such as [NEXT]"},
        "reply": {**_TEXT, "description": "what Pika says now"},
    },
}
_TAG = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("emotion", "tagger", "source"), _TEXT),
        "celebrate": {"type": "boolean"},
        **dict.fromkeys(
            ("confidence", "celebrate_probability", "valence", "arousal", "latency_ms"), _NUMBER
        ),
        "labels": {"type": "array", "items": _TEXT},
        "scores": {"type": "array", "items": _NUMBER},
    },
}


def _chat(user: str) -> dict[str, Any]:
    return {"model": "pika", "messages": [_SYSTEM, {"role": "user", "content": user}]}


def _body(schema: dict[str, Any], **examples: dict[str, Any]) -> dict[str, Any]:
    told = {name: {"value": value} for name, value in examples.items()}
    content = {"application/json": {"schema": schema, "examples": told}}
    return {"requestBody": {"required": True, "content": content}}


CHAT_BODY = _body(
    _CHAT,
    context=_chat(_CONTEXT),
    check=_chat(_CHECK),
    stream={**_chat(_CONTEXT), "stream": True},
)
TAG_BODY = _body(
    _TURN,
    turn={"question": "What is two and two?", "child": "four", "reply": "Four! That's right!"},
    event={"child": "[NEXT]", "reply": "Let's go on!"},
)
CHAT_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The tag, as JSON in the message's content.",
        "content": {
            "application/json": {"example": {**completion(_ANSWER, "pika"), "created": 0}},
            "text/event-stream": {"schema": _TEXT},
        },
    },
    **FAILURES,
}
TAG_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The tag, who answered and why, and the milliseconds since the request.",
        "content": {"application/json": {"schema": _TAG}},
    },
    **FAILURES,
}
