"""What every HTTP request passes before the application: clock, count, token, origin, size.

Whatever goes wrong further in becomes an answer in OpenAI's shape and a line in the log that says
where; neither holds anybody's words.
"""

import hmac
import json
import logging
import time
from collections.abc import Collection
from typing import Any

from prometheus_client import Counter
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pika_emotion.errors import where
from pika_emotion.hosts import is_ours, is_own_page

BODY_BYTES = 256 * 1024
# What is sent beyond the limit is read and dropped, so that the caller sees the refusal and not
# a broken connection; from here on it gets that.
_DRAIN_BYTES = 64 * BODY_BYTES
_log = logging.getLogger(__name__)


def json_response(content: Any, status: int = 200) -> Response:
    """Return JSON in ASCII: a broken character in a name that is repeated breaks no answer."""
    return Response(json.dumps(content), status, media_type="application/json")


def failure(
    status: int, message: str, param: str | None = None, code: str | None = None
) -> Response:
    """Return an error in OpenAI's shape; the message names the fault and the remedy."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": param, "code": code}
    return json_response({"error": error}, status)


class Gate:
    """ASGI middleware around the application; the request's body is read before it is called.

    The application finds the time when the request was there, to its last byte, in
    ``scope["received"]`` (``time.monotonic``, seconds).

    Args:
        app: what is called.
        requests: counts requests by ``route`` and ``status``.
        routes: the paths that are counted by their names; others may be anybody's words.
        open_routes: the paths that need no token.
        token: what callers must show as ``Authorization: Bearer``; None where they need not.
    """

    def __init__(
        self,
        app: ASGIApp,
        requests: Counter,
        routes: Collection[str],
        open_routes: Collection[str],
        token: str | None,
    ) -> None:
        self._app = app
        self._requests = requests
        self._routes = routes
        self._open_routes = open_routes
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0  # nothing answered: the caller has left

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._pass(scope, receive, noting)
        except Exception as error:
            _log.error("a request failed: %s", where(error))  # a traceback might quote somebody
            if not status:
                refusal = failure(500, "the server failed; its log says where")
                await refusal(scope, receive, noting)
        path = scope["path"] if scope["path"] in self._routes else "other"
        self._requests.labels(path, str(status)).inc()

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        read = await _read(receive)
        if read is None:
            return
        body, size = read
        scope["received"] = time.monotonic()
        if not self._admits(scope):
            refusal = failure(
                401,
                "the token is missing or wrong; send the header 'Authorization: Bearer TOKEN'",
                code="invalid_api_key",
            )
            refusal.headers["WWW-Authenticate"] = "Bearer"
            await refusal(scope, receive, send)
        elif (foreign := self._foreign(scope)) is not None:
            await foreign(scope, receive, send)
        elif size > BODY_BYTES:
            refusal = failure(
                413, f"the body is larger than {BODY_BYTES} bytes; send one turn and no history"
            )
            refusal.headers["Connection"] = "close"
            await refusal(scope, receive, send)
        else:
            await self._app(scope, _replayed(body, receive), send)

    def _admits(self, scope: Scope) -> bool:
        if self._token is None or scope["path"] in self._open_routes:
            return True
        shown = next((v for name, v in scope["headers"] if name == b"authorization"), b"")
        scheme, _, token = shown.partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(token.strip(), self._token)

    def _foreign(self, scope: Scope) -> Response | None:
        """Refuse what a page of another site sends; where a token is asked for, it has none."""
        if self._token is not None:
            return None
        shown = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = shown.get(b"host", ""), shown.get(b"origin")
        if not is_ours(host):
            return failure(421, "the Host header names another machine; use this one's address")
        if origin is not None and not is_own_page(origin, host):
            return failure(403, "a page of another site asks; call from a program, or with a token")
        return None


async def _read(receive: Receive) -> tuple[bytes, int] | None:
    """Return a request's body, to the limit, and its true size; None where the caller has left."""
    body, size = bytearray(), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size <= BODY_BYTES:
            body += part
        if not message.get("more_body") or size > _DRAIN_BYTES:
            return bytes(body), size


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return what gives the application the body that was read already."""
    message: Message | None = {"type": "http.request", "body": body, "more_body": False}

    async def replay() -> Message:
        nonlocal message
        first, message = message, None
        return await receive() if first is None else first

    return replay
