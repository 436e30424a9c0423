"""Serves the HTTP application with uvicorn on a socket of ours, until SIGINT or SIGTERM."""

import signal
import socket

import uvicorn
from fastapi import FastAPI

from pika_emotion.guarded import Remedies, listen

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
    remedies = Remedies(
        address="--host",
        unknown="give an address such as 127.0.0.1",
        exposed="lets other machines call; give --token-file FILE (or --token, or "
        "PIKA_EMOTION_TOKEN) that they must show, or leave --host out for this machine alone",
        taken="choose another --port",
    )
    return listen(host, port, remedies, guarded=guarded)


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
