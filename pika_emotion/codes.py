"""The words with which a model answers, each known by its first token."""

import itertools
import math
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pika_emotion.chat import ChatFormat
from pika_emotion.errors import PromptError


@dataclass(frozen=True, slots=True)
class Answers:
    """What may be answered.

    Attributes:
        words: as they are written.
        tokens: each word's first token; all differ.
        coded: whether the words are codes and not the names themselves.
    """

    words: tuple[str, ...]
    tokens: tuple[int, ...]
    coded: bool

    def shares(self, logprobs: Mapping[int, float]) -> tuple[list[float], float]:
        """Return each answer's probability among the answers, and the mass that is on none."""
        values = [logprobs[token] for token in self.tokens]
        largest = max(values)
        weights = [math.exp(value - largest) for value in values]
        total = math.fsum(weights)
        outside = 1.0 - math.exp(largest) * total
        return [weight / total for weight in weights], min(1.0, max(0.0, outside))


def choose(chat: ChatFormat, start: str, names: Sequence[str] | None, number: int) -> Answers:
    """Choose the words that answer after ``start``: the names, else codes.

    Args:
        chat: the model's chat format.
        start: how the answer begins.
        names: what would be answered best; None for codes at once.
        number: how many answers there are.

    Raises:
        PromptError: the tokenizer has too few words with a first token of their own.
    """
    if names is not None:
        tokens = [chat.first_token(start, name) for name in names]
        if None not in tokens and len(set(tokens)) == number:
            return Answers(tuple(names), tuple(t for t in tokens if t is not None), coded=False)
    found: dict[int, str] = {}
    for code in _codes():
        token = chat.first_token(start, code)
        if token is not None and token not in found:
            found[token] = code
        if len(found) == number:
            return Answers(tuple(found.values()), tuple(found), coded=True)
    raise PromptError(
        f"the model's tokenizer has {len(found)} codes with a first token of their own after "
        f"'{start}', and {number} are needed; use fewer labels, heads 'two', or another model"
    )


def _codes() -> Iterator[str]:
    yield from string.ascii_uppercase
    yield from string.ascii_lowercase
    yield from string.digits
    yield from map("".join, itertools.product(string.ascii_uppercase, repeat=2))
