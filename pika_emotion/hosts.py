"""Tells whether a web request means this machine: against pages of other sites in a browser here.

Such a page can reach a server that listens on this machine alone, under a name of its own that it
has made to mean this machine (DNS rebinding), or by posting a form. Knows no web framework.
"""

import ipaddress
import socket
from urllib.parse import urlsplit


def is_ours(host: str) -> bool:
    """Return whether a Host header names this machine: by its names, or by any address."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return False
    own = socket.gethostname().lower()
    if name in {"localhost", own, f"{own}.local"}:
        return True
    try:
        ipaddress.ip_address(name)  # nobody else's name can become a bare address
    except ValueError:
        return False
    return True


def is_own_page(origin: str, host: str) -> bool:
    """Return whether an Origin header is that of a page of the server that ``host`` names."""
    try:
        return urlsplit(origin).netloc == host
    except ValueError:
        return False
