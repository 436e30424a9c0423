"""A model server over kept-alive connections, driven by a thread of its own. Knows no model.

Every request ends by its deadline, on the wire too: giving one up closes its connection, which is
how a server learns that nobody wants the answer. Nothing of a request or an answer is logged or
put into a message, and no redirect, proxy or cookie is followed.
"""

import asyncio
import contextlib
import ipaddress
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as WaitTimeoutError
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pika_emotion import files
from pika_emotion.errors import (
    ConfigError,
    TaggerBusyError,
    TaggerError,
    TaggerLateError,
    TaggerUnreachableError,
    lacks,
)

MOST_BYTES = 1 << 20
_PIECE_BYTES = 1 << 16
_UNAVAILABLE = (408, 425, 500, 502, 503, 504)
_REMOTE = (
    "which is not on the local network: what the child says would leave the robot; "
    "use a server nearby, or set http.allow_remote to true"
)
_UNENCRYPTED = "would send a child's words over the internet unencrypted; use https"

# A name as the resolver gets it. The library takes what is only digits for an address, and folds
# other letters into such; neither would be looked up, and so not judged.
_NAME = re.compile(r"(?=.*[a-z])[a-z0-9._-]+", re.ASCII | re.IGNORECASE)

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
        self._starting = threading.Lock()
        self._closed = False

    def start(self) -> None:
        """Open for requests; does nothing the second time.

        Raises:
            TaggerError: the HTTP library is not installed, or the client was closed meanwhile.
        """
        if self._session is not None:
            return
        try:
            import aiohttp
        except ImportError as error:
            raise TaggerError(lacks("tagger 'http'", str(error.name), "http")) from error
        with self._starting:
            if self._closed:
                raise TaggerError(f"server '{self.url}' is not asked: the tagger is closed")
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
        with self._starting:
            self._closed = True
        if self._thread.is_alive():
            if self._session is not None:
                with contextlib.suppress(TaggerLateError):  # the loop's end closes the rest
                    self.run(self._session.close(), 5.0)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        elif not self._loop.is_closed():
            self._loop.close()

    def _run(self) -> None:
        self._loop.set_default_executor(_Lookups())
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
        if self._session.closed:
            raise TaggerError(f"{where} is not asked any more: the tagger is closed")
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
        except (ValueError, RecursionError) as error:
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


class _Lookups(ThreadPoolExecutor):
    """Looks names up in threads that, unlike a pool's, do not keep the process from ending."""

    def submit(self, work: Callable[..., T], /, *args: Any, **options: Any) -> "Future[T]":
        """Begin work in a thread of its own."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                result = work(*args, **options)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run, name="http_lookup", daemon=True).start()
        return future


# Who may be spoken to.


class _NotLocalError(Exception):
    """A name stands for an address outside the local network."""


def check_address(url: str, *, allow_remote: bool) -> None:
    """Refuse an address that cannot work, or that is far away without leave.

    Raises:
        ConfigError: it is no http(s) address, is outside the local network, or would send
            words over the internet unencrypted.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    # Not shown where it may hold a key.
    shown = "" if {"@", "?"} & set(url) else f" '{url}'"
    fault = (
        f"http.url{shown} is no server's address; write one such as http://127.0.0.1:8000/v1, "
        "without a key"
    )
    if parts.scheme not in ("http", "https") or not host or parts.query or "@" in parts.netloc:
        raise ConfigError(fault)
    try:
        local = is_local(host)
    except ValueError:
        if not _NAME.fullmatch(host):
            raise ConfigError(fault) from None
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
    class Local(aiohttp.ThreadedResolver):  # type: ignore[misc]  # it may be missing
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
        if ca_file:  # which OpenSSL opens by itself, and would wait for a pipe
            files.open_plain(Path(ca_file), files.JSON_BYTES).close()
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(
            f"http.ca_file '{ca_file}' cannot be read; name a PEM file of certificates"
        ) from error
