"""The HTTP application of ``pika-emotion serve``: the OpenAI chat protocol and ``/tag``.

Keeps the node's promise: an answer before the deadline, counted from the request's last byte,
whatever the primary does. Nothing that anybody said is logged or counted.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, Counter, generate_latest
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pika_emotion.server import chat_completion, documentation
from pika_emotion.server.chat_request import RequestError, read_chat, read_json, read_turn
from pika_emotion.server.gate import Gate, failure, json_response
from pika_emotion.server.tagging import HttpTagging
from pika_emotion.version import __version__

# What the page of documentation loads, so that it works without the internet.
_ASSETS = "/docs-assets"
# These say nothing of this server, and a browser has no token yet.
_OPEN = (
    "/docs", "/openapi.json",
    *(f"{_ASSETS}/{file}" for file in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")),
)  # fmt: skip
_ABOUT = (
    "Tags each reply of the robot Pika with an emotion and whether to celebrate. "
    "Texts are cleaned and shortened as the node does it."
)


def create_app(tagging: HttpTagging, token: str | None = None) -> FastAPI:
    """Build the application.

    Args:
        tagging: who answers; started and closed by the caller.
        token: what callers must show as ``Authorization: Bearer``; None where they need not.
    """
    registry = tagging.registry
    created = int(time.time())

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        tagging.end_waiting()

    app = FastAPIOffline(
        title="pika_emotion", version=__version__, description=_ABOUT,
        lifespan=lifespan, redoc_url=None, static_url=_ASSETS,
    )  # fmt: skip

    @app.post(
        "/v1/chat/completions",
        summary="Tag a reply, as an OpenAI chat completion",
        openapi_extra=documentation.CHAT_BODY,
        responses=documentation.CHAT_ANSWER,
    )
    async def chat_completions(request: Request) -> Response:
        asked = read_chat(read_json(await request.body()))
        answer, _ = await tagging.answer(asked.turn, request.scope["received"])
        text = chat_completion.content(answer.tag, tagging.threshold)
        model = asked.model or tagging.name
        if asked.stream:
            # All is known at once: the events are one body, and a client reads them as a stream.
            events = chat_completion.events(text, model, usage=asked.usage)
            return Response(events, media_type="text/event-stream")
        return json_response(chat_completion.completion(text, model))

    @app.post(
        "/tag",
        summary="Tag a reply",
        openapi_extra=documentation.TAG_BODY,
        responses=documentation.TAG_ANSWER,
    )
    async def tag(request: Request) -> Response:
        turn = read_turn(read_json(await request.body()))
        answer, latency_ms = await tagging.answer(turn, request.scope["received"])
        shown = answer.tag.shown(tagging.threshold)
        told = {"source": answer.source.name, "latency_ms": round(latency_ms, 3)}
        return json_response({**shown, **told})

    @app.get("/v1/models", summary="Name the tagger, as OpenAI's list of models")
    async def models() -> Response:
        return json_response(chat_completion.models(tagging.name, created))

    @app.get("/health", summary="Tell the state of the reflex and the primary")
    async def health() -> Response:
        return json_response(tagging.health())

    @app.get("/metrics", summary="Tell the counts, for Prometheus")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    app.add_exception_handler(RequestError, _refuse)
    app.add_exception_handler(HTTPException, _no_such_route)
    _describe_token(app, token)
    requests = Counter(
        "pika_emotion_requests", "HTTP requests by route and status", ("route", "status"),
        registry=registry,
    )  # fmt: skip
    routes = {"/v1/chat/completions", "/tag", "/v1/models", "/health", "/metrics", *_OPEN}
    app.add_middleware(Gate, requests=requests, routes=routes, open_routes=_OPEN, token=token)
    return app


async def _refuse(_: Request, error: Exception) -> Response:
    return failure(400, str(error), error.param if isinstance(error, RequestError) else None)


async def _no_such_route(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers: Mapping[str, str] = getattr(error, "headers", None) or {}
    faults = {404: "there is no such route", 405: "the route has another method"}
    response = failure(status, f"{faults.get(status, 'it cannot be answered')}; see /docs")
    response.headers.update(headers)
    return response


def _describe_token(app: FastAPI, token: str | None) -> None:
    """Let the documentation's page ask for the token."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title, version=app.version, description=app.description,
                routes=app.routes,
            )  # fmt: skip
            if token is not None:
                scheme = {"type": "http", "scheme": "bearer"}
                schema.setdefault("components", {})["securitySchemes"] = {"token": scheme}
                schema["security"] = [{"token": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI says to
