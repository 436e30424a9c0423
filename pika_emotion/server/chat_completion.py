"""A tag as OpenAI's chat protocol carries it: one completion, or the chunks of a stream."""

import json
import time
import uuid
from typing import Any

from pika_emotion.tag import Tag

# No tokens are read or written; clients insist on the numbers.
USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def content(tag: Tag, threshold: float) -> str:
    """Return the message's text: JSON with ``emotion_name`` and ``celebrate``, yes or no."""
    celebrate = "yes" if tag.celebrates(threshold) else "no"
    return json.dumps({"emotion_name": tag.emotion, "celebrate": celebrate}, ensure_ascii=False)


def completion(text: str, model: str) -> dict[str, Any]:
    """Return the answer to a request without ``stream``."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {**_head("chat.completion", model), "choices": [choice], "usage": USAGE}


def events(text: str, model: str, *, usage: bool) -> str:
    """Return the whole stream of server-sent events; with ``usage`` a last chunk tells it."""
    head = _head("chat.completion.chunk", model)
    steps: tuple[tuple[dict[str, str], str | None], ...] = (
        ({"role": "assistant", "content": ""}, None),
        ({"content": text}, None),
        ({}, "stop"),
    )
    chunks: list[dict[str, Any]] = [
        {
            **head,
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}],
        }
        for delta, reason in steps
    ]
    if usage:
        chunks = [{**chunk, "usage": None} for chunk in chunks]
        chunks.append({**head, "choices": [], "usage": USAGE})
    return "".join(f"data: {data}\n\n" for data in (*map(json.dumps, chunks), "[DONE]"))


def models(name: str, created: int) -> dict[str, Any]:
    """Return the list of models, which is one."""
    model = {"id": name, "object": "model", "created": created, "owned_by": "pika_emotion"}
    return {"object": "list", "data": [model]}


def _head(kind: str, model: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model,
    }
