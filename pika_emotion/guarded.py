"""Opens the socket of a web server that, without a token, only this machine may reach."""

import ipaddress
import socket
from dataclasses import dataclass

from pika_emotion.errors import ConfigError

_BACKLOG = 512


@dataclass(frozen=True, slots=True)
class Remedies:
    """How a caller's user names the address and the port, and what helps.

    Attributes:
        address: what the address is called.
        unknown: what to do where it is none.
        exposed: what it lets others do, and what to do about that.
        taken: what to do where the port cannot be used.
    """

    address: str
    unknown: str
    exposed: str
    taken: str


def listen(address: str, port: int, remedies: Remedies, *, guarded: bool) -> socket.socket:
    """Return a listening socket.

    Args:
        address: a name or an address of this machine.
        port: 0 for any that is free.
        remedies: for the messages.
        guarded: whether callers must show a token; without, only this machine may call.

    Raises:
        ConfigError: it cannot be listened there, or others could call without a token.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )[0]
    except (OSError, UnicodeError) as error:  # UnicodeError: a part between dots is empty
        why = getattr(error, "strerror", "no address")
        raise ConfigError(
            f"{remedies.address} '{address}' is not known ({why}); {remedies.unknown}"
        ) from error
    if not guarded and not ipaddress.ip_address(str(place[0]).partition("%")[0]).is_loopback:
        raise ConfigError(f"{remedies.address} '{address}' {remedies.exposed}")
    # With the protocol said, asyncio turns Nagle's algorithm off for the connections.
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"port {port} of '{address}' cannot be used ({error.strerror}); {remedies.taken}"
        ) from error
    return listening
