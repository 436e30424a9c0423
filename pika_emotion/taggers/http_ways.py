"""Ways of asking a model server about a turn, from the best to the poorest, and finding one out.

A way says what to send and reads what comes back. Which ones a server has is found by asking it
about a turn of ours, never by its name.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pika_emotion.codes import Answers
from pika_emotion.dialogue import Turn
from pika_emotion.errors import TaggerError, TaggerUnreachableError
from pika_emotion.prompt import Prompt, distribution
from pika_emotion.taggers.http_answers import (
    NEVER,
    UnreadableError,
    as_chosen,
    by_word,
    choices_of,
    logprobs_of,
    mass,
    off_the_prompt,
    text_of,
    unreadable,
    usage_of,
)
from pika_emotion.taggers.http_client import Client, RequestRefusedError

PROBE = Turn("What is two and two?", "four", "Yes, four! Well done.")
# Log-probabilities of a token that servers give at most: by the OpenAI protocol, or its first form.
_MANY = (100, 20, 5)
# What a word of an answer may take.
_WORD_TOKENS = 8
# How often a server may have a fault before a way is given up.
_TRIES = 2
# As much bias as the OpenAI protocol has.
_BIAS = 100
# Characters that special tokens of the known model families have, and what looks like them.
_LOOKS_LIKE = str.maketrans("<>|[]", "‹›¦()")


@dataclass(frozen=True, slots=True)
class Post:
    """A request: what is sent where."""

    path: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """What an answer says.

    Attributes:
        scores: probability of each label.
        celebrate: probability.
        counts: what the answer took and how sure its reading is, by name.
    """

    scores: Sequence[float]
    celebrate: float
    counts: Mapping[str, float] = field(default_factory=dict)


class Way(Protocol):
    """One way of asking."""

    @property
    def name(self) -> str:
        """What diagnostics call it."""

    @property
    def confident(self) -> bool:
        """Whether the probabilities are the model's own."""

    def posts(self, turn: Turn) -> list[Post]:
        """Return the requests about a turn; they are sent at once."""

    def read(self, answers: Sequence[Any]) -> Reading:
        """Read the answers to ``posts``, in their order; the values as they come from JSON.

        Raises:
            UnreadableError: they are not what this way expects.
        """

    def ahead(self, turn: Turn) -> Post | None:
        """Return a request that makes the server read a turn whose reply is still to come."""


# Raw completions: token ids in, so that nobody's words can be a special token.


@dataclass(frozen=True, slots=True)
class Completions:
    """The prompt's token ids; one token comes back, with log-probabilities where there are some.

    Attributes:
        prompt: makes the ids.
        decode: gives a token's text, for servers that do not name tokens by their ids.
        model: the server's name for it.
        scoring: ``ids`` (the log-probabilities of given tokens), ``allowed`` (of the only tokens
            that may come), ``top`` (of the most probable tokens) or ``restricted`` (none, but only
            an answer can come).
        many: how many log-probabilities ``top`` asks for.
        together: both heads in one request.
        named: ask for tokens by their ids; a server may refuse a field that it does not know.
    """

    prompt: Prompt
    decode: Callable[[int], str]
    model: str
    scoring: str
    many: int = 0
    together: bool = True
    named: bool = True

    @property
    def name(self) -> str:
        """What diagnostics call it."""
        how = f"top {self.many}" if self.scoring == "top" else self.scoring
        return f"completions, token ids, {how}{'' if self.together else ', one head a request'}"

    @property
    def confident(self) -> bool:
        """Whether the probabilities are the model's own."""
        return self.scoring != "restricted"

    def posts(self, turn: Turn) -> list[Post]:
        """One request of two prompts, or two requests."""
        requests = self.prompt.requests(turn)
        heads = [list(self.prompt.answers)] if self.together else [[r.head] for r in requests]
        ids = {request.head: request.ids for request in requests}
        return [
            Post("/completions", self._body([ids[head] for head in each], each)) for each in heads
        ]

    def ahead(self, turn: Turn) -> Post | None:
        """The ids that are known already."""
        body = {"model": self.model, "prompt": self.prompt.ahead(turn), "max_tokens": 1}
        return Post("/completions", {**body, "temperature": 0.0})

    def read(self, answers: Sequence[Any]) -> Reading:
        """Read log-probabilities, or the token that came."""
        choices = [choice for answer in answers for choice in choices_of(answer)]
        heads = list(self.prompt.answers)
        if len(choices) != len(heads):
            raise unreadable(f"{len(choices)} choices for {len(heads)} prompts")
        logprobs = {}
        for head, choice in zip(heads, choices, strict=True):
            wanted = self.prompt.answers[head]
            if self.scoring == "restricted":
                logprobs[head] = self._chosen(wanted, text_of(choice))
            else:
                logprobs[head] = self._found(wanted, logprobs_of(choice))
        scores, celebrate, outside = distribution(self.prompt, logprobs)
        counts = usage_of(answers)
        if self.scoring in ("ids", "top"):  # else they are shares among the answers
            counts["outside"] = outside
        return Reading(scores, celebrate, counts)

    def _body(self, prompts: list[list[int]], heads: Sequence[str]) -> dict[str, Any]:
        tokens = sorted({t for head in heads for t in self.prompt.answers[head].tokens})
        how: dict[str, dict[str, Any]] = {
            "ids": {"logprob_token_ids": tokens, "logprobs": 1},
            "allowed": {"allowed_token_ids": tokens, "logprobs": len(tokens)},
            "top": {"logprobs": self.many},
            "restricted": {"logit_bias": {str(token): _BIAS for token in tokens}},
        }
        names = {"return_tokens_as_token_ids": True} if self.named else {}
        return {
            "model": self.model,
            "prompt": prompts if len(prompts) > 1 else prompts[0],
            "max_tokens": 1,
            "temperature": 0.0,
            **names,
            **how[self.scoring],
        }

    def _chosen(self, wanted: Answers, text: str) -> dict[int, float]:
        """Return log-probabilities that are sure of the token that came: an answer's first one."""
        said = [t for t in wanted.tokens if self.decode(t).strip() == text.strip()]
        if len(said) != 1:
            return as_chosen(wanted, text)
        return {token: 0.0 if token == said[0] else NEVER for token in wanted.tokens}

    def _found(self, wanted: Answers, given: Mapping[int | str, float]) -> dict[int, float]:
        """Return each answer's log-probability: by its token's id, else by its text."""
        texts = Counter(self.decode(token).strip() for token in wanted.tokens)
        found = {}
        for token in wanted.tokens:
            text = self.decode(token).strip()
            if token in given:
                found[token] = given[token]
            elif texts[text] == 1 and text in given:
                found[token] = given[text]
        if self.scoring != "top" and len(found) < len(wanted.tokens):
            raise unreadable(f"{len(found)} of {len(wanted.tokens)} answers have a probability")
        if not found:
            raise off_the_prompt(len(given))
        if self.scoring == "allowed" and mass(given.values()) < 0.99:
            raise unreadable("the probabilities are not those of the allowed tokens")
        # What is not among the most probable is at most as probable as the last of them.
        least = min(given.values())
        return {token: found.get(token, least) for token in wanted.tokens}


# Chat: the server makes the tokens, from text in which no special token can be spelt.


@dataclass(frozen=True, slots=True)
class Chat:
    """A user's message a head; the answer's first token has log-probabilities, or its text counts.

    Attributes:
        prompt: makes the message; its answers are words.
        instruction: what is said last of a head's answer.
        model: the server's name for it.
        many: how many log-probabilities are asked for; 0: the answer's text is read.
    """

    prompt: Prompt
    instruction: str
    model: str
    many: int = 0

    @property
    def name(self) -> str:
        """What diagnostics call it."""
        return f"chat, top {self.many}" if self.many else "chat, text"

    @property
    def confident(self) -> bool:
        """Whether the probabilities are the model's own."""
        return self.many > 0

    def posts(self, turn: Turn) -> list[Post]:
        """One request a head: a chat has one message."""
        plain = replace(
            turn, **{name: getattr(turn, name).translate(_LOOKS_LIKE) for name in _TEXTS}
        )
        content = self.prompt.content(plain)
        how = {"logprobs": True, "top_logprobs": self.many} if self.many else {}
        return [
            Post(
                "/chat/completions",
                {
                    "model": self.model,
                    "messages": [{"role": "user", "content": f"{content}\n{self._last(head)}"}],
                    "max_tokens": 1 if self.many else _WORD_TOKENS,
                    "temperature": 0.0,
                    **how,
                },
            )
            for head in self.prompt.answers
        ]

    def ahead(self, turn: Turn) -> Post | None:
        """Nothing: a template closes the message after what is known."""
        return None

    def read(self, answers: Sequence[Any]) -> Reading:
        """Read the answers' words, or their first tokens' log-probabilities."""
        logprobs = {}
        for (head, wanted), answer in zip(self.prompt.answers.items(), answers, strict=True):
            choice = choices_of(answer)[0]
            if self.many:
                logprobs[head] = by_word(wanted, logprobs_of(choice, by_id=False))
            else:
                logprobs[head] = as_chosen(wanted, text_of(choice))
        scores, celebrate, outside = distribution(self.prompt, logprobs)
        counts = usage_of(answers)
        if self.many:
            counts["outside"] = outside
        return Reading(scores, celebrate, counts)

    def _last(self, head: str) -> str:
        return f"{self.instruction} {self.prompt.answer_start(head)}"


_TEXTS = ("question", "child", "reply")
# Finding out.


@dataclass(frozen=True, slots=True)
class Prompts:
    """The same prompt for each kind of way.

    Attributes:
        ids: as token ids; None without the model's tokenizer.
        decode: gives a token's text.
        coded: as text, answered with a letter.
        named: as text, answered with a name.
        instruction: what a chat is told last.
    """

    ids: Prompt | None
    decode: Callable[[int], str]
    coded: Prompt
    named: Prompt
    instruction: str


def candidates(prompts: Prompts, model: str) -> Iterator[Way]:
    """Yield every way there is, the best first."""
    if prompts.ids is not None:
        for scoring, many in (("ids", 0), ("allowed", 0), *(("top", m) for m in _MANY)):
            for named in (True, False) if scoring == "top" else (True,):
                for together in (True, False):
                    yield Completions(
                        prompts.ids, prompts.decode, model, scoring, many, together, named
                    )
    for many in _MANY[1:]:
        yield Chat(prompts.coded, prompts.instruction, model, many)
    if prompts.ids is not None:
        for together in (True, False):
            yield Completions(prompts.ids, prompts.decode, model, "restricted", 0, together, False)
    yield Chat(prompts.named, prompts.instruction, model)


async def ask(client: Client, way: Way, turn: Turn) -> Reading:
    """Ask about a turn, all requests at once; raises as ``Client.post`` and ``Way.read``."""
    posts = way.posts(turn)
    if len(posts) == 1:
        return _read(way, [await client.post(posts[0].path, posts[0].body)])
    tasks = [asyncio.ensure_future(client.post(post.path, post.body)) for post in posts]
    try:
        return _read(way, await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


def _read(way: Way, answers: Sequence[Any]) -> Reading:
    try:
        return way.read(answers)
    # JSON of other types than the protocol's; the error's own text may quote the answer.
    except (TypeError, ValueError, ArithmeticError) as error:
        raise unreadable(type(error).__name__) from None


async def find_way(client: Client, prompts: Prompts, model: str) -> Way:
    """Return the best way that the server answers in.

    Raises:
        TaggerUnreachableError: it does not serve now.
        TaggerError: it answers in none.
    """
    last: TaggerError | None = None
    for way in candidates(prompts, model):
        for _ in range(_TRIES):
            try:
                await ask(client, way, PROBE)
            except (UnreadableError, RequestRefusedError) as error:
                last = error
                break
            # Some servers have a fault, or break off, where they do not know what is asked; but
            # one fault alone must not leave us with a poorer way for good.
            except TaggerUnreachableError as error:
                last = error
            else:
                return way
    if isinstance(last, TaggerUnreachableError):
        raise last
    raise TaggerError(
        f"server '{client.url}' answers in none of the ways that this tagger has (the last: "
        f"{last}); use a server of the OpenAI protocol with a chat model"
    )


async def find_model(client: Client, wanted: str) -> str:
    """Return the model to ask for: the wanted one, else the only one that the server has.

    Raises:
        TaggerError: it does not have the wanted one, or has none or several and none is wanted.
    """
    try:
        listing = await client.get("/models")
    except RequestRefusedError:  # it keeps no list
        return wanted
    data = listing.get("data") if isinstance(listing, dict) else None
    listed = data if isinstance(data, list) else []
    names = [str(one.get("id")) for one in listed if isinstance(one, dict)]
    if wanted in names or (wanted and not names):
        return wanted
    if not wanted and len(names) == 1:
        return names[0]
    if not names:
        raise TaggerError(
            f"server '{client.url}' lists no model; load one there, or set http.model to its name"
        )
    shown = ", ".join(names[:10])
    raise TaggerError(
        f"server '{client.url}' has no model '{wanted}'; set http.model to one of: {shown}"
        if wanted
        else f"server '{client.url}' has several models; set http.model to one of: {shown}"
    )
