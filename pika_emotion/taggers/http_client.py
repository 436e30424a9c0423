"""A model server over kept-alive connections, driven by a thread of its own. Knows no model.

Every request ends by its deadline, on the wire too: giving one up closes its connection, which is
how a server learns that nobody wants the answer. Nothing of a request or an answer is logged or
put into a message, and no redirect, proxy or cookie is followed.
"""

import asyncio
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as WaitTimeoutError
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pika_emotion.errors import (
    ConfigError,
    TaggerBusyError,
    TaggerError,
    TaggerLateError,
    TaggerUnreachableError,
)

MOST_BYTES = 1 << 20
_PIECE_BYTES = 1 << 16
_UNAVAILABLE = (408, 425, 500, 502, 503, 504)
_REMOTE = (
    "which is not on the local network: what the child says would leave the robot; "
    "use a server nearby, or set http.allow_remote to true"
)
_UNENCRYPTED = "would send a child's words over the internet unencrypted; use https"

T = TypeVar("T")


class ServerBusyError(TaggerBusyError):
    """The server has too much to do; it may say for how long, in seconds."""

    def __init__(self, message: str, retry_after_s: float | None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RequestRefusedError(TaggerError):
    """The server does not take this kind of request."""


class Client:
    """Speaks JSON with one server.

    Args:
        url: its address up to the version, such as ``http://127.0.0.1:8000/v1``.
        key: sent as the bearer token; nothing, if empty.
        ca_file: certificates that sign the server's, in PEM; the system's, if empty.
        connections: open at once at most.
        allow_remote: whether the server may be outside the local network.

    Raises:
        ConfigError: the address or the certificate file cannot work.
    """

    def __init__(
        self, url: str, *, key: str = "", ca_file: str = "", connections: int = 8,
        allow_remote: bool = False,
    ) -> None:  # fmt: skip
        self.url = url.rstrip("/")
        self._key = key
        self._connections = connections
        self._allow_remote = allow_remote
        check_address(self.url, allow_remote=allow_remote)
        self._tls = _tls(ca_file)
        self._loop = asyncio.new_event_loop()
        self._session: Any = None
        self._thread = threading.Thread(target=self._run, name="http_client", daemon=True)

    def start(self) -> None:
        """Open for requests; does nothing the second time.

        Raises:
            TaggerError: the HTTP library is not installed.
        """
        if self._session is not None:
            return
        try:
            import aiohttp
        except ImportError as error:
            raise TaggerError(
                f"tagger 'http' needs aiohttp, which is not installed ({error}); "
                "install the extra: pip install 'pika-emotion[http]'"
            ) from error
        self._thread.start()
        self.run(self._open(aiohttp), 10.0)

    def schedule(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Begin work in the client's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """Do work in the client's thread and wait for it; it is given up after the time.

        Raises:
            TaggerLateError: it did not end in time.
        """
        future = self.schedule(work)
        try:
            return future.result(max(0.0, timeout_s))
        except (WaitTimeoutError, asyncio.TimeoutError, CancelledError) as error:
            future.cancel()
            raise TaggerLateError(f"server '{self.url}' did not answer in time") from error

    async def get(self, path: str) -> Any:
        """Return the JSON at a path below the address; raises as ``post``."""
        return await self._request("GET", path, None)

    async def post(self, path: str, body: Any) -> Any:
        """Send JSON to a path below the address and return what JSON comes back.

        Raises:
            TaggerUnreachableError: the server is away, or has a fault of its own.
            ServerBusyError: it has too much to do.
            RequestRefusedError: it does not know the path, or does not take the request.
            TaggerError: it wants another key, or its certificate or its answer is wrong.
        """
        return await self._request("POST", path, json.dumps(body).encode())

    def close(self) -> None:
        """Close all connections and end the thread."""
        if self._thread.is_alive():
            if self._session is not None:
                self.schedule(self._session.close()).result(5.0)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _run(self) -> None:
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _open(self, aiohttp: Any) -> None:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        connector = aiohttp.TCPConnector(
            ssl=self._tls,
            limit=self._connections,
            keepalive_timeout=3600,
            resolver=self._resolver(aiohttp),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5.0),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    def _resolver(self, aiohttp: Any) -> Any:
        """Return what looks names up: any name only where it may be far and is spoken to in TLS."""
        if not self._allow_remote:
            return _local_resolver(aiohttp, _REMOTE)
        if urlsplit(self.url).scheme != "https":
            return _local_resolver(aiohttp, f"which {_UNENCRYPTED}")
        return None

    async def _request(self, method: str, path: str, data: bytes | None) -> Any:
        import aiohttp

        where = f"server '{self.url}'"
        try:
            async with self._session.request(
                method, f"{self.url}{path}", data=data, allow_redirects=False
            ) as response:
                content = await _read(response, where)
                _check_status(response, where, path)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError) as error:
            raise TaggerError(
                f"{where} cannot be trusted: its certificate does not verify, or it speaks no TLS "
                f"({type(error).__name__}); name who signed the certificate in http.ca_file, "
                "or correct http.url"
            ) from error
        except _NotLocalError as error:
            raise TaggerError(str(error)) from error
        except aiohttp.ClientConnectorError as error:
            why = error.os_error.strerror or "no such name"
            raise TaggerUnreachableError(
                f"{where} takes no connection ({why}); start it, or correct http.url"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise TaggerUnreachableError(
                f"{where} broke off ({type(error).__name__}); see its log"
            ) from error
        try:
            return json.loads(content)
        except ValueError as error:
            raise TaggerError(
                f"{where} answers {path} with what is no JSON; set http.url to the address of an "
                "OpenAI-protocol server, up to /v1"
            ) from error


async def _read(response: Any, where: str) -> bytes:
    """Return an answer's body, or give it up where it is no answer of a model server."""
    pieces, size = [], 0
    async for piece in response.content.iter_chunked(_PIECE_BYTES):
        size += len(piece)
        if size > MOST_BYTES:
            response.close()
            raise TaggerError(
                f"{where} answers with more than {MOST_BYTES >> 20} MB; "
                "set http.url to the address of a model server"
            )
        pieces.append(piece)
    return b"".join(pieces)


def _check_status(response: Any, where: str, path: str) -> None:
    status = int(response.status)
    if status < 300:
        return
    if status == 429:
        raise ServerBusyError(
            f"{where} has too much to do (429)", _seconds(response.headers.get("Retry-After"))
        )
    if status in (401, 403):
        raise TaggerError(
            f"{where} refuses the key ({status}); set http.api_key_file or http.api_key_env"
        )
    if status in _UNAVAILABLE:
        raise TaggerUnreachableError(f"{where} has a fault ({status}); see its log")
    # Its own message may quote what was said.
    raise RequestRefusedError(
        f"{where} does not take {path} ({status}); check http.url and http.model"
    )


def _seconds(text: str | None) -> float | None:
    """Return a Retry-After of so many seconds; a date is not worth the trouble."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


# Who may be spoken to.


class _NotLocalError(Exception):
    """A name stands for an address outside the local network."""


def check_address(url: str, *, allow_remote: bool) -> None:
    """Refuse an address that cannot work, or that is far away without leave.

    Raises:
        ConfigError: it is no http(s) address, is outside the local network, or would send
            words over the internet unencrypted.
    """
    parts = urlsplit(url)
    try:
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.username:
        raise ConfigError(
            f"http.url '{url}' is no server's address; write one such as http://127.0.0.1:8000/v1"
        )
    try:
        local = is_local(host)
    except ValueError:
        local = True  # a name: judged by its addresses, when it is known what they are
    if not local and not allow_remote:
        raise ConfigError(f"http.url '{url}' has an address {_REMOTE}")
    if not local and parts.scheme == "http":
        raise ConfigError(f"http.url '{url}' {_UNENCRYPTED}")


def is_local(address: str) -> bool:
    """Whether an IP address is this machine's or one of a private network.

    Raises:
        ValueError: it is no IP address.
    """
    ip = ipaddress.ip_address(address)
    return ip.is_loopback or ip.is_private or ip.is_link_local


def _local_resolver(aiohttp: Any, fault: str) -> Any:
    class Local(aiohttp.ThreadedResolver):  # type: ignore[misc]
        """Resolves names of the local network only, at every new connection."""

        async def resolve(
            self, host: str, port: int = 0, family: int = socket.AF_UNSPEC
        ) -> list[Any]:
            found = await super().resolve(host, port, family)
            if not all(is_local(one["host"]) for one in found):
                raise _NotLocalError(f"http.url names '{host}', {fault}")
            return list(found)

    return Local()


def _tls(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"http.ca_file '{ca_file}' cannot be read; name a PEM file of certificates"
        ) from error
