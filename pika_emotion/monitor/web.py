"""The monitor's web server: the page, its events, and what a visitor tries; nothing is logged."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import re
import signal
import socket
from collections.abc import AsyncIterator
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pika_emotion import resources
from pika_emotion.errors import ConfigError
from pika_emotion.hosts import is_ours, is_own_page
from pika_emotion.monitor.feed import Feed
from pika_emotion.monitor.node import MonitorNode

_FILES = {
    "": "index.html", "style.css": "style.css", "page.js": "page.js", "face.js": "face.js",
    "words.js": "words.js", "health.js": "health.js", "stream.js": "stream.js",
    "login": "login.html",
}  # fmt: skip
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
# What the login's page says after a wrong token alone.
_WRONG = re.compile(rb"<!--wrong-->.*<!--/wrong-->")
_COOKIE = "pika_monitor"
# What a visitor without a token may see: where to give it.
_OPEN = ("/login", "/style.css")
_BODY_BYTES = 32_768
_GRACE_S = 3
_MOST_CONNECTIONS = 256
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: a browser then does not tell where the login's form comes from either.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Gate:
    """ASGI middleware: who may look in.

    A request must name this machine in its Host header (else a page of another site could reach us
    under a name of its own, DNS rebinding), show the token where there is one, and, where it
    changes something, come from our own page.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not is_ours(host):
            return _told(421, "the Host header names another machine; use this one's address")
        if scope["method"] == "POST" and not is_own_page(headers.get("origin", ""), host):
            return _told(403, "this request came from another site; use the page itself")
        if self._token is None or scope["path"] in _OPEN or self._shows_token(headers):
            return None
        if scope["path"] == "/":
            return RedirectResponse("/login", 303, _HEADERS)
        return _told(401, "the token is missing or wrong; give it on /login")

    def _shows_token(self, headers: Headers) -> bool:
        assert self._token is not None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return hmac.compare_digest(given.strip().encode(), self._token.encode())
        cookies = [part.strip().partition("=") for part in headers.get("cookie", "").split(";")]
        shown = next((value for name, _, value in cookies if name == _COOKIE), "")
        return hmac.compare_digest(shown.encode(), _session(self._token).encode())


def create_app(node: MonitorNode, token: str | None, server: "Server") -> ASGIApp:
    """Return the application; it starts the node's listening and stops it."""
    feed = Feed(node.hello)
    files = {
        f"/{path}": (
            resources.find(f"resource/monitor/{file}").read_bytes(),
            _KINDS[file.rsplit(".", 1)[1]],
        )
        for path, file in _FILES.items()
    }

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        node.start(lambda kind, data: _hand_over(loop, feed, kind, data))
        try:
            yield
        finally:
            node.stop()

    async def file(request: Request) -> Response:
        content, kind = files[request.url.path]
        if "wrong" not in request.query_params:
            content = _WRONG.sub(b"", content)
        return Response(content, headers=_HEADERS, media_type=kind)

    async def events(_: Request) -> Response:
        pages = contextlib.ExitStack()
        try:
            page = pages.enter_context(feed.page())
        except ConfigError as error:
            return _told(503, str(error))

        async def stream() -> AsyncIterator[str]:
            with pages:
                async for event in feed.follow(page, lambda: server.should_exit):
                    yield event

        return StreamingResponse(stream(), headers=_HEADERS, media_type="text/event-stream")

    async def attempt(request: Request) -> Response:
        try:
            turn = json.loads(await _body(request))
            texts = [turn.get(name, "") for name in ("question", "child", "reply")]
        except (ValueError, AttributeError, RecursionError):
            return _told(400, "the body is no JSON object of at most 32 kB; send one turn")
        if not all(isinstance(text, str) for text in texts) or not texts[2].strip():
            return _told(400, "question, child and reply must be texts, and reply not empty")
        # A lone surrogate is valid in JSON, but no message can carry it.
        question, child, reply = (t.encode("utf-8", "replace").decode().strip() for t in texts)
        if not node.say(question, child, reply):
            return _told(409, "no active emotion_node listens; start one, or activate it")
        return JSONResponse({"published": True}, headers=_HEADERS)

    async def login(request: Request) -> Response:
        try:
            fields = parse_qs((await _body(request)).decode())
        except ValueError:
            fields = {}
        given = fields.get("token", [""])[0].strip()
        if token is None or hmac.compare_digest(given.encode(), token.encode()):
            answer = RedirectResponse("/", 303, _HEADERS)
            if token is not None:
                answer.set_cookie(_COOKIE, _session(token), httponly=True, samesite="strict")
            return answer
        return RedirectResponse("/login?wrong", 303, _HEADERS)

    routes = [Route(path, file, methods=["GET"]) for path in files]
    routes += [
        Route("/events", events, methods=["GET"]),
        Route("/try", attempt, methods=["POST"]),
        Route("/login", login, methods=["POST"]),
    ]
    return Gate(Starlette(routes=routes, lifespan=lifespan), token)


class Server(uvicorn.Server):
    """uvicorn on a socket of ours, until SIGINT or SIGTERM."""

    def __init__(self, node: MonitorNode, token: str | None) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(node, token, self),
                log_config=None,
                access_log=False,
                server_header=False,
                ws="none",
                limit_concurrency=_MOST_CONNECTIONS,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )

    def serve_on(self, listening: socket.socket) -> None:
        """Serve, then end what is under way and return."""
        for number in (signal.SIGINT, signal.SIGTERM):
            # uvicorn raises the signal again when it has ended.
            signal.signal(number, lambda *_: None)
        self.run(sockets=[listening])


def _hand_over(
    loop: asyncio.AbstractEventLoop, feed: Feed, kind: str, data: dict[str, object]
) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(feed.put, kind, data)


def _session(token: str) -> str:
    """Return what the cookie holds: other servers of this machine get it, too, so not the token."""
    return hmac.new(token.encode(), b"pika_emotion monitor", hashlib.sha256).hexdigest()


def _told(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status, _HEADERS)


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > _BODY_BYTES:
                raise ValueError
    except ClientDisconnect as error:  # who left reads no answer; uncaught, uvicorn would log it
        raise ValueError from error
    return bytes(body)
