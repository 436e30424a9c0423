"""Serves the HTTP application with uvicorn on a socket of ours, until SIGINT or SIGTERM."""

import ipaddress
import signal
import socket

import uvicorn
from fastapi import FastAPI

from pika_emotion.errors import ConfigError

_BACKLOG = 512
# So long after a signal, answers that are under way are waited for. A deadline is shorter, mostly.
_GRACE_S = 5
# More connections at once are told to come later: nobody can take up all of this machine's memory.
_MOST_CONNECTIONS = 256


def bind(host: str, port: int, *, guarded: bool) -> socket.socket:
    """Return a listening socket.

    Args:
        host: a name or an address of this machine.
        port: 0 for any that is free.
        guarded: whether callers must show a token; without, only this machine may call.

    Raises:
        ConfigError: it cannot be listened there, or others could call without a token.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
    except OSError as error:
        raise ConfigError(
            f"--host '{host}' is not known ({error.strerror}); give an address such as 127.0.0.1"
        ) from error
    if not guarded and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise ConfigError(
            f"--host '{host}' lets other machines call; give --token-file FILE (or --token, or "
            "PIKA_EMOTION_TOKEN) that they must show, or leave --host out for this machine alone"
        )
    # With the protocol said, asyncio turns Nagle's algorithm off for the connections.
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"port {port} of '{host}' cannot be used ({error.strerror}); choose another --port"
        ) from error
    return listening


def serve(app: FastAPI, listening: socket.socket) -> None:
    """Answer until SIGINT or SIGTERM, then end what is under way and return."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises the signal again when it has ended; that must not keep us from closing.
        signal.signal(number, lambda *_: None)
    config = uvicorn.Config(
        app,
        log_config=None,  # warnings go to stderr
        access_log=False,  # it would have the query, which a mistaken caller may fill with words
        server_header=False,
        ws="none",
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE_S,
    )
    uvicorn.Server(config).run(sockets=[listening])
