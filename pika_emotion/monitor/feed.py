"""Hands the monitor's events to every open page; a page that reads slowly holds nobody up."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pika_emotion.errors import ConfigError

HISTORY = 200
QUEUE = 256
MOST_PAGES = 64
# So often an idle page is written to, so that it and we notice where the other has gone.
_BEAT_S = 1.0


class _Page:
    """What one page has not been sent yet: the newest events, and how many older ones went."""

    def __init__(self) -> None:
        self.waiting: deque[str] = deque()
        self.dropped = 0
        self.ready = asyncio.Event()

    def put(self, event: str) -> None:
        if len(self.waiting) >= QUEUE:
            self.waiting.popleft()
            self.dropped += 1
        self.waiting.append(event)
        self.ready.set()

    def take(self) -> str:
        told = encode("dropped", {"n": self.dropped}) if self.dropped else ""
        self.dropped = 0
        events = told + "".join(self.waiting)
        self.waiting.clear()
        self.ready.clear()
        return events


class Feed:
    """Every event goes to every page; used from one event loop.

    Args:
        hello: what a page must know first, as JSON takes it.
    """

    def __init__(self, hello: dict[str, Any]) -> None:
        self._hello = hello
        self._tags: deque[dict[str, Any]] = deque(maxlen=HISTORY)
        self._health: dict[str, Any] | None = None
        self._pages: set[_Page] = set()

    def put(self, kind: str, data: dict[str, Any]) -> None:
        """Send an event; returns at once.

        Args:
            kind: ``tag``, ``turn`` (what was said around an earlier tag) or ``health``.
            data: the event, as JSON takes it; a tag and its turn have the same ``n``.
        """
        if kind == "tag":
            self._tags.append(data)
        elif kind == "turn":
            for tag in self._tags:
                if tag["n"] == data["n"]:
                    tag.update(data)
        else:
            self._health = data
        event = encode(kind, data)
        for page in self._pages:
            page.put(event)

    @contextmanager
    def page(self) -> Iterator[_Page]:
        """Open a page's queue.

        Raises:
            ConfigError: too many are open.
        """
        if len(self._pages) >= MOST_PAGES:
            raise ConfigError(f"{MOST_PAGES} pages are open; close one")
        page = _Page()
        page.put(encode("hello", {**self._hello, "tags": list(self._tags), "health": self._health}))
        self._pages.add(page)
        try:
            yield page
        finally:
            self._pages.discard(page)

    async def follow(self, page: _Page, ended: Callable[[], bool]) -> AsyncIterator[str]:
        """Yield what the page is to be sent, until ``ended`` says that the server ends."""
        while not ended():
            try:
                await asyncio.wait_for(page.ready.wait(), _BEAT_S)
            except asyncio.TimeoutError:
                yield ": still here\n\n"
                continue
            yield page.take()


def encode(kind: str, data: dict[str, Any]) -> str:
    """Return a server-sent event; its data is one line of JSON."""
    return f"event: {kind}\ndata: {json.dumps(data, ensure_ascii=True)}\n\n"
