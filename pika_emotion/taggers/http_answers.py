"""What a model server says: log-probabilities and texts, in the forms of the OpenAI protocol."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pika_emotion.codes import Answers
from pika_emotion.errors import TaggerError

# As good as impossible.
NEVER = math.log(1e-6)


class UnreadableError(TaggerError):
    """An answer is not what was asked for."""


def unreadable(why: str) -> UnreadableError:
    """Return the error of an answer in another form."""
    return UnreadableError(
        f"the server's answer is of another form ({why}); is its model or version another one now?"
    )


def off_the_prompt(many: int) -> UnreadableError:
    """Return the error of an answer without any label."""
    return UnreadableError(
        f"no label is among the {many} tokens that the model finds most probable; use a larger "
        "chat model, or a server that gives the probabilities of chosen tokens"
    )


def by_word(wanted: Answers, given: Mapping[int | str, float]) -> dict[int, float]:
    """Return each answer's log-probability by its word; what is not given, as the least of them."""
    found = {
        token: given[word]
        for word, token in zip(wanted.words, wanted.tokens, strict=True)
        if word in given
    }
    if not found:
        raise off_the_prompt(len(given))
    least = min(given.values())
    return {token: found.get(token, least) for token in wanted.tokens}


def as_chosen(wanted: Answers, text: str) -> dict[int, float]:
    """Return log-probabilities that are sure of the answer which a text begins with or names."""
    said = text.strip().strip("*\"'`.:").casefold()
    words = [word.casefold() for word in wanted.words]
    if said in words:
        place = words.index(said)
    else:
        places = [(said.find(word), -len(word), i) for i, word in enumerate(words) if word in said]
        if not places:
            raise UnreadableError("the model's answer names no label; use a larger chat model")
        place = min(places)[2]
    return {token: 0.0 if i == place else NEVER for i, token in enumerate(wanted.tokens)}


def choices_of(answer: Any) -> list[Mapping[str, Any]]:
    """Return an answer's choices in the order of what was asked."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or not choices:
        raise unreadable("no choices")
    if not all(isinstance(choice, dict) for choice in choices):
        raise unreadable("a choice is no object")
    return sorted(choices, key=lambda choice: choice.get("index") or 0)


def text_of(choice: Mapping[str, Any]) -> str:
    """Return a choice's text, of a completion or of a chat."""
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    if not isinstance(text, str):
        raise unreadable("no text")
    return text


def logprobs_of(choice: Mapping[str, Any], *, by_id: bool = True) -> dict[int | str, float]:
    """Return the first token's log-probabilities, by token id where there are ids, else by text.

    Without ``by_id`` by text alone: some servers (llama.cpp) tell both.

    Both of the protocol's forms: completions' own, and the chat's, which some servers use for both.
    """
    found = choice.get("logprobs")
    if not isinstance(found, dict):
        raise unreadable("no log-probabilities")
    pairs: list[tuple[Any, Any]] = []
    first, content = found.get("top_logprobs"), found.get("content")
    if isinstance(first, list) and first and isinstance(first[0], dict):
        pairs = list(first[0].items())
    elif isinstance(content, list) and content and isinstance(content[0], dict):
        tops = content[0].get("top_logprobs") or [content[0]]
        pairs = [
            (one.get("id", one.get("token")) if by_id else one.get("token"), one.get("logprob"))
            for one in tops
            if isinstance(one, dict)
        ]
    given: dict[int | str, float] = {}
    for key, value in pairs:
        if not isinstance(value, int | float) or not value <= 0.001:  # nor NaN
            raise unreadable("a log-probability is no number below 0")
        name = _key(key)
        old = given.get(name)
        # The same word with and without a space before it: both are the answer.
        given[name] = float(value) if old is None or isinstance(name, int) else _sum(old, value)
    if not given:
        raise unreadable("no log-probabilities")
    return given


def _key(token: Any) -> int | str:
    if isinstance(token, int):
        return token
    kind, colon, number = str(token).partition(":")
    if kind == "token_id" and colon and number.isdecimal():
        return int(number)
    return str(token).replace("▁", " ").strip()


def _sum(one: float, other: float) -> float:
    return max(one, other) + math.log1p(math.exp(-abs(one - other)))


def mass(logprobs: Iterable[float]) -> float:
    """Return the probability of all of them together."""
    return math.fsum(math.exp(value) for value in logprobs)


def usage_of(answers: Sequence[Any]) -> dict[str, float]:
    """Return the prompt's tokens and, where the server tells, those of them that were cached."""
    counts: Counter[str] = Counter()
    for answer in answers:
        usage = answer.get("usage")
        if not isinstance(usage, dict):
            continue
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else None
        for name, value in (("prompt_tokens", usage.get("prompt_tokens")),
                            ("cached_tokens", cached)):  # fmt: skip
            if isinstance(value, int):
                counts[name] += value
    return {name: float(value) for name, value in counts.items()}
