"""What runs inside a worker: an engine that answers several requests step by step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pika_emotion.dialogue import Turn


@dataclass(frozen=True, slots=True)
class Result:
    """An engine's answer to one request.

    Attributes:
        id: the request's.
        scores: probability of each label, in the order of the labels given to ``load``.
        celebrate: probability, 0 to 1.
        counts: what the answer took, by the engine's own names; averages are shown.
    """

    id: int
    scores: Sequence[float]
    celebrate: float
    counts: Mapping[str, float] = field(default_factory=dict)


class Engine(Protocol):
    """Used by one thread alone. A step may take long; between steps the worker reads requests."""

    def load(self, labels: Sequence[str], report: Callable[[str], None]) -> Mapping[str, str]:
        """Load and warm up; return the card. ``report`` takes progress, a line each."""

    def prefill(self, turn: Turn) -> None:
        """Take a hint; may queue work for the coming steps."""

    def submit(self, request_id: int, turn: Turn) -> None:
        """Take a request; the coming steps work on it."""

    def cancel(self, request_id: int) -> None:
        """Forget a request: its deadline has passed."""

    @property
    def busy(self) -> bool:
        """Whether a step has anything to do."""

    def step(self) -> Sequence[Result]:
        """Do one step of work; return the requests that it finished."""

    def status(self) -> Mapping[str, str]:
        """Return what changes while it serves, such as its memory; asked only while it is idle."""

    def close(self) -> None:
        """Give everything back."""


EngineFactory = Callable[[Mapping[str, Any]], Engine]
