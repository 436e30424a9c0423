"""Measures the HTTP tagger: what it adds to its server's own time, and how many robots one serves.

A robot speaks every few seconds whether or not its last reply was answered (open loop); each has a
tagger and connections of its own, as it would on its own machine.
"""

import http.client
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from pika_emotion import taggers
from pika_emotion.deadline import SWITCH_S, DeadlineTagger, Source
from pika_emotion.dialogue import Turn
from pika_emotion.errors import TaggerError
from pika_emotion.labels import LabelSet
from pika_emotion.measurement import percentiles
from pika_emotion.stalls import StallWatch
from pika_emotion.taggers import Tagger
from pika_emotion.taggers.http import HttpTagger

# A child's words are there this long before the reply, so that the server can read them.
_HINT_S = 0.5
_SEED = 0
_LOAD_S = 120.0


class ServerAlone:
    """Sends a tagger's own requests over one plain connection, and reads the answer's bytes.

    Args:
        tagger: loaded; its way's requests are sent.
        url: the server's address.

    Raises:
        TaggerError: the way needs more than one request a reply.
    """

    def __init__(self, tagger: HttpTagger, url: str) -> None:
        self._tagger = tagger
        parts = urlsplit(url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = kind(parts.hostname or "", parts.port)
        self._base = parts.path

    def ask(self, turn: Turn) -> float:
        """Return the milliseconds from sending the request's bytes to having the answer's."""
        posts = self._tagger.posts(turn)
        if len(posts) != 1:
            raise TaggerError(
                "this server takes two requests a reply; its own time is not measured"
            )
        body = json.dumps(posts[0].body).encode()
        started = time.perf_counter()
        self._connection.request(
            "POST", f"{self._base}{posts[0].path}", body, {"Content-Type": "application/json"}
        )
        answer = self._connection.getresponse()
        answer.read()
        took_ms = 1000 * (time.perf_counter() - started)
        if answer.status != 200:
            raise TaggerError(
                f"this server answers a plain request with {answer.status}; its own time is not "
                "measured: use one that wants no key"
            )
        return took_ms

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def added(
    tagger: HttpTagger, url: str, turns: Sequence[Turn], rounds: int
) -> dict[str, list[float]]:
    """Ask about each turn with the tagger and without it, side by side; return milliseconds.

    No two requests have the same turn: the second would find it in the server's cache.
    """
    alone = ServerAlone(tagger, url)
    samples: dict[str, list[float]] = {"http": [], "server_alone": []}
    number = 0

    def by_tagger(turn: Turn) -> float:
        started = time.perf_counter()
        tagger.tag(turn, time.monotonic() + 60.0)
        return 1000 * (time.perf_counter() - started)

    ways: list[tuple[str, Callable[[Turn], float]]] = [
        ("http", by_tagger), ("server_alone", alone.ask),
    ]  # fmt: skip
    for counted in (False, *[True] * rounds):
        for turn in turns:
            ways.reverse()
            for name, ask in ways:
                number += 1
                took_ms = ask(replace(turn, question=f"{number} {turn.question}"[:80]))
                if counted:
                    samples[name].append(took_ms)
    alone.close()
    return samples


@dataclass(slots=True)
class Account:
    """What came of some robots' replies; ``spans`` are of ``time.monotonic``, in seconds."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, said: float, answered: float, source: Source) -> None:
        """Take in a reply's answer."""
        with self.lock:
            self.spans.append((said, answered))
            self.sources[source.name] += 1


class Robots:
    """Robots that speak with one server.

    Args:
        labels: what is answered with.
        settings: the HTTP tagger's.
        reflex: loaded; the floor of all.
        turns: what is said, over and over.
        every_s: between two replies of a robot.
        deadline_ms: of a reply.
    """

    def __init__(
        self, labels: LabelSet, settings: Mapping[str, Any], reflex: Tagger,
        turns: Sequence[Turn], every_s: float, deadline_ms: float,
    ) -> None:  # fmt: skip
        self._labels = labels
        self._settings = settings
        self._reflex = reflex
        self._turns = turns
        self._every_s = every_s
        self._deadline_ms = deadline_ms

    def measure(self, number: int, seconds: float) -> dict[str, Any]:
        """Let so many robots speak for so long; return the case as ``bench`` prints it."""
        account = Account()
        sys.setswitchinterval(SWITCH_S)
        robots = [self._start() for _ in range(number)]
        for robot in robots:
            robot.wait_loaded(_LOAD_S)
        begin = time.monotonic() + 1.0
        draw = random.Random(_SEED)
        # One starts in each slice of the period: their replies do not come in step.
        phases = [self._every_s * (i + draw.random()) / number for i in range(number)]
        threads = [
            threading.Thread(target=self._speak, args=(i, robot, begin + phase, seconds, account))
            for i, (robot, phase) in enumerate(zip(robots, phases, strict=True))
        ]
        with StallWatch() as watch:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        for robot in robots:
            robot.close()
        samples_ms = [1000 * (end - start) for start, end in account.spans]
        own_ms = [ms - 1000 * watch.within(*span)
                  for ms, span in zip(samples_ms, account.spans, strict=True)]  # fmt: skip
        shown = percentiles(samples_ms)
        return {
            "name": f"robots_{number}",
            "n": len(samples_ms),
            **{f"{k}_ms": v for k, v in shown.items()},
            "every_s": self._every_s,
            "late": sum(ms > self._deadline_ms for ms in samples_ms),
            "late_beyond_stalls": sum(ms > self._deadline_ms for ms in own_ms),
            "longest_stall_ms": round(1000 * watch.longest_s, 3),
            "by_source": dict(sorted(account.sources.items())),
            "by_primary": round(account.sources["PRIMARY"] / max(1, len(samples_ms)), 4),
        }

    def _start(self) -> DeadlineTagger:
        tagger = taggers.create("http", self._labels, self._settings)
        robot = DeadlineTagger(
            self._labels, self._reflex, tagger, deadline_ms=self._deadline_ms, slots=1
        )
        robot.start()
        return robot

    def _speak(
        self, number: int, robot: DeadlineTagger, begin: float, seconds: float, account: Account
    ) -> None:
        for said in range(int(seconds / self._every_s)):
            turn = self._turns[(number + said) % len(self._turns)]
            turn = replace(turn, question=f"{number}.{said} {turn.question}"[:80])
            at = begin + said * self._every_s
            time.sleep(max(0.0, at - _HINT_S - time.monotonic()))
            robot.prefill(replace(turn, reply=""))
            time.sleep(max(0.0, at - time.monotonic()))
            # It counts from when the reply was to be said, not from when this thread got to it.
            answer = robot.tag(turn, at)
            account.add(at, time.monotonic(), answer.source)


def most_served(cases: Sequence[Mapping[str, Any]]) -> int:
    """Return how many robots the server still answers in time in 99 % of replies; 0 if none."""
    served = [int(c["name"].partition("_")[2]) for c in cases if c.get("by_primary", 0) >= 0.99]
    return max(served, default=0)
