"""How the three texts of a turn relate, as a short vector: what no single text can tell.

Overlaps of words and of character trigrams, lengths, punctuation, kind of event. Nothing here
knows a word of any language.
"""

import math
import re
from dataclasses import dataclass

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
    """What is known of a turn before its reply; ``request`` is the question's last sentence."""

    question: Part
    child: Part
    request: Part
    event: bool

    @classmethod
    def of(cls, question: str, child: str, *, event: bool) -> "Asked":
        """Cut folded texts into pieces."""
        sentences = _sentences(question)
        request = sentences[-1] if sentences else ""
        return cls(Part.of(question), Part.of(child), Part.of(request), event)


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


def _share(part: set[str] | frozenset[str], whole: set[str] | frozenset[str]) -> float:
    return len(part & whole) / len(part) if part else 0.0


def _trigrams(text: str) -> set[str]:
    if len(text) < 3:
        return {text} if text else set()
    return {text[i : i + 3] for i in range(len(text) - 2)}


def _spelt(trigrams: set[str], text: str) -> float:
    """Return the share of the trigrams that the text has; faster than cutting the text up."""
    if not trigrams:
        return 0.0
    return sum(t in text if len(t) == 3 else t == text for t in trigrams) / len(trigrams)


def _quotes(text: str) -> list[str]:
    return [" ".join(WORD.findall(one or other)) for one, other in _QUOTE.findall(text)]


def relate(asked: Asked, said: Said) -> npt.NDArray[np.float32]:
    """Return the values named in ``DENSE``, most of them from 0 to 1, none far above 2."""
    a, s = asked, said
    spoken = () if a.event else a.child.words
    child = frozenset(spoken)
    question, request = a.question.unique, a.request.unique
    reply, opening = s.reply.unique, s.opening.unique
    new = child - question
    phrase = " ".join(spoken)
    texts = [" ".join(part.words) for part in (a.question, s.reply, s.opening)]
    trigrams = _trigrams(phrase)
    question_quotes, reply_quotes = _quotes(a.question.text), _quotes(s.reply.text)

    match = equal = cover = 0.0
    for quote in question_quotes:
        wanted = _trigrams(quote)
        if trigrams:
            match = max(match, 2 * len(wanted & trigrams) / (len(wanted) + len(trigrams)))
            cover = max(cover, _share(wanted, trigrams))
        if phrase.replace(" ", "") == quote.replace(" ", ""):
            equal = 1.0
    _, colon, after = a.question.text.rpartition(":")
    ordered = set(WORD.findall(after)) if colon else set()
    button, bracket = a.event and "_" in a.child.text, a.event and "[" in a.child.text
    inside = f" {phrase} "
    n = len(spoken)
    values = (
        *(a.event, button, bracket, a.event and not button and not bracket),
        *(not question, not a.child.text),
        *(min(math.log1p(n), 3.0) / 2, n == 1, 2 <= n <= 3, n >= 4),
        *(_share(child, question), _share(child, reply)),
        *(_share(child, opening), _share(child, request)),
        *(_share(new, reply), _share(new, opening), bool(new)),
        *(_spelt(trigrams, text) for text in texts),
        *(n > 0 and inside in f" {text} " for text in texts),
        n > 0 and texts[1].startswith(phrase),
        *(bool(question_quotes), match, equal, cover),
        *(match > 0.5 and not equal, bool(question_quotes) and n > 0 and match <= 0.5),
        bool(reply_quotes),
        bool(set(reply_quotes) & set(question_quotes)),
        bool(set(reply_quotes) - set(question_quotes)),
        *(_share(reply, question), _share(question, reply), _share(opening, question)),
        *(_share(request, child), bool(ordered), _share(ordered, child), _share(ordered, reply)),
        min(math.log1p(len(s.reply.words)), 4.5) / 2,
        min(math.log1p(len(s.opening.words)), 3.5) / 2,
        min(s.sentences, 6) / 3,
        *(min(s.reply.text.count("?"), 3) / 2, min(s.reply.text.count("!"), 4) / 2),
        *(s.opening.text.endswith("?"), s.opening.text.endswith("!")),
        s.opening.text.endswith(("..", "…")),
        s.reply.text.endswith("?"),
        min(len(_PAUSE.findall(s.reply.text)), 3) / 2,
        *("?" in a.question.text, a.question.text.endswith("?"), "!" in a.question.text),
        any(c.isdigit() for c in phrase),
        n > len(child),
    )
    return np.array(values, np.float32)
