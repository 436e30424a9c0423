"""Which web requests mean this machine, and which pages are its own."""

import socket

import pytest

from pika_emotion.hosts import is_ours, is_own_page


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:7862", "127.0.0.1", "192.168.1.7:80", "[::1]:80", "localhost.:1"],
)
def test_names_and_addresses_of_this_machine_are_ours(host):
    assert is_ours(host)


def test_its_own_name_is_ours():
    name = socket.gethostname()
    assert is_ours(name)
    assert is_ours(f"{name.upper()}.local:7863")


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "[::1", "a@b:c"],
)
def test_other_names_are_not(host):
    assert not is_ours(host)


def test_only_the_servers_own_page_is_its_own():
    assert is_own_page("http://127.0.0.1:80", "127.0.0.1:80")
    for origin in ("", "null", "http://evil.example", "http://127.0.0.1:81", "http://[", "//"):
        assert not is_own_page(origin, "127.0.0.1:80")
