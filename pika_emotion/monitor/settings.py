"""What the monitor can be told: its own parameters, and those that it shares with the node."""

import socket
from collections.abc import Mapping
from typing import Any

from pika_emotion import files, guarded
from pika_emotion.errors import ConfigError
from pika_emotion.guarded import Remedies
from pika_emotion.parameters import CORE, Parameter

_SHARED = (
    "labels_file", "turn_timeout_s", "session_timeout_s", "events", "silences", "transcript.type",
    "transcript.field", "reply.type", "reply.field", "reply.id_field", "qos.depth",
)  # fmt: skip

PARAMETERS = (
    Parameter("monitor.address", "127.0.0.1", "where the page is served; others need a token"),
    Parameter("monitor.port", 7863, "its port; 0: any that is free", low=0, high=65_535),
    Parameter("monitor.token_file", "", "a file whose text visitors must give"),
    Parameter("monitor.show_text", False, "show what the child and Pika say; false: not even read"),
    *(parameter for parameter in CORE if parameter.name in _SHARED),
)


def read_token(values: Mapping[str, Any]) -> str | None:
    """Return what visitors must give; None where they need not.

    Raises:
        ConfigError: the file cannot be read, or its text cannot be sent.
    """
    file = values["monitor.token_file"]
    if not file:
        return None
    try:
        token = files.read_text(files.user_path(file)).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"monitor.token_file '{file}' cannot be read ({type(error).__name__}); "
            "name a text file with the token"
        ) from error
    if not (token.isascii() and token.isprintable() and token.split() == [token]):
        raise ConfigError(
            f"the token in monitor.token_file '{file}' is empty or has spaces or letters that a "
            "header cannot carry; make one with 'openssl rand -hex 32'"
        )
    return token


def listen(values: Mapping[str, Any], token: str | None) -> socket.socket:
    """Return a listening socket.

    Raises:
        ConfigError: it cannot be listened there, or others could look in without a token.
    """
    remedies = Remedies(
        address="monitor.address",
        unknown="set one such as 127.0.0.1",
        exposed="lets other machines look in; set monitor.token_file to a file with a token, or "
        "leave the address out for this machine alone",
        taken="set another monitor.port",
    )
    address, port = values["monitor.address"], values["monitor.port"]
    return guarded.listen(address, port, remedies, guarded=token is not None)
