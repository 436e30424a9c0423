"""How the three texts of a turn relate, as a short vector: what no single text can tell.

Overlaps of words and of character trigrams, lengths, punctuation, kind of event. Nothing here
knows a word of any language.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

WORD = re.compile(r"[^\W_]+")
_SENTENCE = re.compile(r"[^.!?…\n]+[.!?…]*")
_QUOTE = re.compile(r'["“”«»]([^"“”«»]{2,}?)["“”«»]' + r"|(?<!\w)['‘]([^'‘’]{2,}?)['’](?!\w)")
_PAUSE = re.compile(r"\.{2,}|…")

DENSE = (
    *("event", "button", "bracket", "silent", "no_question", "no_child"),
    *("child_length", "child_one_word", "child_few_words", "child_many_words"),
    *("child_in_question", "child_in_reply", "child_in_opening", "child_in_request"),
    *("new_in_reply", "new_in_opening", "has_new"),
    *("trigrams_in_question", "trigrams_in_reply", "trigrams_in_opening"),
    *("whole_in_question", "whole_in_reply", "whole_in_opening", "reply_starts_with_child"),
    *("question_quotes", "quote_match", "quote_equal", "quote_cover", "quote_near", "quote_miss"),
    *("reply_quotes", "same_quote_again", "other_quote"),
    *("reply_in_question", "question_in_reply", "opening_in_question"),
    *("request_in_child", "has_colon", "colon_in_child", "colon_in_reply"),
    *("reply_length", "opening_length", "sentences"),
    *("reply_asks", "reply_exclaims", "opening_asks", "opening_exclaims", "opening_trails_off"),
    *("reply_ends_asking", "reply_pauses"),
    *("question_asks", "question_ends_asking", "question_exclaims"),
    *("child_has_digit", "child_repeats"),
)


@dataclass(frozen=True, slots=True)
class Part:
    """A text, or a piece of one, folded.

    Attributes:
        text: the folded text.
        words: its words, without punctuation.
        unique: the same, each once.
    """

    text: str
    words: tuple[str, ...]
    unique: frozenset[str]

    @classmethod
    def of(cls, text: str) -> "Part":
        """Split a folded text into its words."""
        words = tuple(WORD.findall(text))
        return cls(text, words, frozenset(words))


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of a turn before its reply.

    Attributes:
        question, child: the texts.
        request: the question's last sentence.
        event: whether the child's text is an event and not speech.
        spoken: the child's words, each once; none of an event.
        new: those of them that the question does not have.
        phrase: the child's words in a row.
        trigrams: the phrase's runs of three letters.
        quotes: what the question quotes.
        ordered: the words after the question's last colon.
        values: those of ``DENSE`` that need no reply, by name.
    """

    question: Part
    child: Part
    request: Part
    event: bool
    spoken: frozenset[str]
    new: frozenset[str]
    phrase: str
    trigrams: frozenset[str]
    quotes: tuple[str, ...]
    ordered: frozenset[str]
    values: Mapping[str, float]

    @classmethod
    def of(cls, question: str, child: str, *, event: bool) -> "Asked":
        """Cut folded texts into pieces and relate them."""
        sentences = _sentences(question)
        heard = Part.of(child)
        words = () if event else heard.words
        _, colon, after = question.rpartition(":")
        phrase = " ".join(words)
        whole = Part.of(question)
        asked = cls(
            whole,
            heard,
            Part.of(sentences[-1] if sentences else ""),
            event,
            frozenset(words),
            frozenset(words) - whole.unique,
            phrase,
            _trigrams(phrase),
            _quotes(question),
            frozenset(WORD.findall(after) if colon else ()),
            {},
        )
        return replace(asked, values=_before_reply(asked, len(words)))


@dataclass(frozen=True, slots=True)
class Said:
    """A reply; ``opening`` is its first sentence, ``closing`` its last of so many."""

    reply: Part
    opening: Part
    closing: Part
    sentences: int

    @classmethod
    def of(cls, reply: str) -> "Said":
        """Cut a folded text into pieces."""
        sentences = _sentences(reply)
        opening, closing = (sentences[0], sentences[-1]) if sentences else ("", "")
        return cls(Part.of(reply), Part.of(opening), Part.of(closing), len(sentences))


def _sentences(text: str) -> list[str]:
    return [s for s in (s.strip() for s in _SENTENCE.findall(text)) if WORD.search(s)]


def _share(part: frozenset[str], whole: frozenset[str]) -> float:
    return len(part & whole) / len(part) if part else 0.0


def _trigrams(text: str) -> frozenset[str]:
    if len(text) < 3:
        return frozenset({text} if text else ())
    return frozenset(text[i : i + 3] for i in range(len(text) - 2))


def _spelt(trigrams: frozenset[str], text: str) -> float:
    """Return the share of the trigrams that the text has; faster than cutting the text up."""
    if not trigrams:
        return 0.0
    return sum(t in text if len(t) == 3 else t == text for t in trigrams) / len(trigrams)


def _quotes(text: str) -> tuple[str, ...]:
    return tuple(" ".join(WORD.findall(one or other)) for one, other in _QUOTE.findall(text))


def _before_reply(a: Asked, words: int) -> dict[str, float]:
    """Return the values that the question and the child's words give alone."""
    text, question, spoken = a.question.text, a.question.unique, a.spoken
    match = equal = cover = 0.0
    for quote in a.quotes:
        wanted = _trigrams(quote)
        if a.trigrams:
            match = max(match, 2 * len(wanted & a.trigrams) / (len(wanted) + len(a.trigrams)))
            cover = max(cover, _share(wanted, a.trigrams))
        if a.phrase.replace(" ", "") == quote.replace(" ", ""):
            equal = 1.0
    button, bracket = a.event and "_" in a.child.text, a.event and "[" in a.child.text
    joined = " ".join(a.question.words)
    return {
        "event": a.event,
        "button": button,
        "bracket": bracket,
        "silent": a.event and not button and not bracket,
        "no_question": not question,
        "no_child": not a.child.text,
        "child_length": min(math.log1p(words), 3.0) / 2,
        "child_one_word": words == 1,
        "child_few_words": 2 <= words <= 3,
        "child_many_words": words >= 4,
        "child_in_question": _share(spoken, question),
        "child_in_request": _share(spoken, a.request.unique),
        "has_new": bool(a.new),
        "trigrams_in_question": _spelt(a.trigrams, joined),
        "whole_in_question": words > 0 and f" {a.phrase} " in f" {joined} ",
        "question_quotes": bool(a.quotes),
        "quote_match": match,
        "quote_equal": equal,
        "quote_cover": cover,
        "quote_near": match > 0.5 and not equal,
        "quote_miss": bool(a.quotes) and words > 0 and match <= 0.5,
        "request_in_child": _share(a.request.unique, spoken),
        "has_colon": bool(a.ordered),
        "colon_in_child": _share(a.ordered, spoken),
        "question_asks": "?" in text,
        "question_ends_asking": text.endswith("?"),
        "question_exclaims": "!" in text,
        "child_has_digit": any(c.isdigit() for c in a.phrase),
        "child_repeats": words > len(spoken),
    }


def _with_reply(a: Asked, s: Said) -> dict[str, float]:
    """Return the values that need the reply."""
    question, reply, opening = a.question.unique, s.reply.unique, s.opening.unique
    texts = [" ".join(part.words) for part in (s.reply, s.opening)]
    quotes = frozenset(_quotes(s.reply.text))
    inside, spoken = f" {a.phrase} ", bool(a.phrase)
    return {
        "child_in_reply": _share(a.spoken, reply),
        "child_in_opening": _share(a.spoken, opening),
        "new_in_reply": _share(a.new, reply),
        "new_in_opening": _share(a.new, opening),
        "trigrams_in_reply": _spelt(a.trigrams, texts[0]),
        "trigrams_in_opening": _spelt(a.trigrams, texts[1]),
        "whole_in_reply": spoken and inside in f" {texts[0]} ",
        "whole_in_opening": spoken and inside in f" {texts[1]} ",
        "reply_starts_with_child": spoken and texts[0].startswith(a.phrase),
        "reply_quotes": bool(quotes),
        "same_quote_again": not quotes.isdisjoint(a.quotes),
        "other_quote": not quotes.issubset(a.quotes),
        "reply_in_question": _share(reply, question),
        "question_in_reply": _share(question, reply),
        "opening_in_question": _share(opening, question),
        "colon_in_reply": _share(a.ordered, reply),
        "reply_length": min(math.log1p(len(s.reply.words)), 4.5) / 2,
        "opening_length": min(math.log1p(len(s.opening.words)), 3.5) / 2,
        "sentences": min(s.sentences, 6) / 3,
        "reply_asks": min(s.reply.text.count("?"), 3) / 2,
        "reply_exclaims": min(s.reply.text.count("!"), 4) / 2,
        "opening_asks": s.opening.text.endswith("?"),
        "opening_exclaims": s.opening.text.endswith("!"),
        "opening_trails_off": s.opening.text.endswith(("..", "…")),
        "reply_ends_asking": s.reply.text.endswith("?"),
        "reply_pauses": min(len(_PAUSE.findall(s.reply.text)), 3) / 2,
    }


def relate(asked: Asked, said: Said) -> npt.NDArray[np.float32]:
    """Return the values named in ``DENSE``, most of them from 0 to 1, none far above 2."""
    values = {**asked.values, **_with_reply(asked, said)}
    return np.array([values[name] for name in DENSE], np.float32)
