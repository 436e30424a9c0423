"""What the reflex sees of a turn: hashed n-grams of its pieces, and how its texts relate.

The same code serves training and the robot. All text is folded first: capitals, diacritics,
emoji and runs of space make no difference.
"""

import functools
import itertools
import re
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pika_emotion.dialogue import Turn
from pika_emotion.relations import Asked, Part, Said, relate

VERSION = 2
BUCKET_BITS = 20
# Each block is one piece of a turn seen one way: single words, word pairs and triples, or
# runs of 3 to 5 characters. Two pieces have signs in place of some words, so that what is learned
# of one lesson's words holds for another's: ``marked`` is the reply's beginning with signs for
# words of the question and of the child; ``echoed`` is the child's words with signs for the
# question's.
BLOCKS = (
    *("reply.words", "reply.pairs", "reply.chars"),
    *("opening.words", "opening.pairs", "opening.chars", "closing.words"),
    *("question.words", "question.pairs", "question.chars", "request.words"),
    *("child.words", "child.pairs", "child.chars"),
    *("marked.words", "marked.pairs", "echoed.words", "echoed.pairs"),
)
# What stands for a word that the question, the child or both have said.
_ASKED, _ANSWERED, _BOTH = "=q", "=c", "=b"
_MARKED_TOKENS = 24

_LENGTHS = {"words": (1,), "pairs": (2, 3), "chars": (3, 4, 5)}

_MARKS = re.compile("[\u0300-\u036f]+")
# Neither letter nor punctuation: emoji and the like.
_PICTURES = re.compile(r"[^\w\s!-/:-@\[-`{-~“”‘’«»…]+")
_STAMMER = re.compile(r"\b(\w+)(?:\W+\1\b)+")
_TOKEN = re.compile(r"[^\W_]+|[!?]|\.{2,}|…")

_STEP = np.uint64(0x100000001B3)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(64 - BUCKET_BITS)
_SALTS = np.array([zlib.crc32(name.encode()) * 0x100010001 for name in BLOCKS], np.uint64)

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Grams:
    """Hashed n-grams.

    Attributes:
        buckets: hash bucket of each, below ``2 ** BUCKET_BITS``; all blocks in a row.
        blocks: index into ``BLOCKS`` of each.
    """

    buckets: npt.NDArray[np.intp]
    blocks: npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Features:
    """The features of one turn.

    Attributes:
        context: n-grams of the question and the child's words.
        reply: n-grams of the reply.
        dense: the values named in ``relations.DENSE``.
    """

    context: Grams
    reply: Grams
    dense: npt.NDArray[np.float32]

    @property
    def grams(self) -> Grams:
        """All n-grams of the turn."""
        halves = (self.context, self.reply)
        return Grams(
            np.concatenate([half.buckets for half in halves]),
            np.concatenate([half.blocks for half in halves]),
        )


@dataclass(frozen=True, slots=True)
class Context:
    """The features that a turn has before its reply is known."""

    asked: Asked
    grams: Grams


class _Layout:
    """How some pieces are hashed: each kind of n-gram in one go over all of them in a row.

    The few n-grams that would reach from one piece into the next are left out by slices.
    """

    def __init__(self, pieces: tuple[str, ...]) -> None:
        names = [name.split(".") for name in BLOCKS]
        self.spelt = [piece for piece in pieces if [piece, "chars"] in names]
        self.pieces = pieces
        self.slices = [
            (kind, length, (self.spelt if kind == "chars" else pieces).index(piece))
            for piece, kind in names
            if piece in pieces
            for length in _LENGTHS[kind]
        ]
        self.block_of_slice = np.array(
            [
                block
                for block, (piece, kind) in enumerate(names)
                if piece in pieces
                for _ in _LENGTHS[kind]
            ]
        )

    def grams(self, tokens: Mapping[str, Sequence[str]]) -> Grams:
        """Hash the pieces of a turn's half, given as their tokens."""
        texts = [f" {' '.join(tokens[piece])} " for piece in self.spelt]
        words = [0, *itertools.accumulate(len(tokens[piece]) for piece in self.pieces)]
        letters = [0, *itertools.accumulate(len(text) for text in texts)]
        runs = {
            **_hash_words(
                list(itertools.chain.from_iterable(tokens[piece] for piece in self.pieces))
            ),
            **_hash_characters("".join(texts)),
        }
        hashes = []
        for kind, length, piece in self.slices:
            starts = letters if kind == "chars" else words
            first, end = starts[piece], starts[piece + 1] - length + 1
            hashes.append(runs[kind, length][first : max(first, end)])
        blocks = np.repeat(self.block_of_slice, [len(each) for each in hashes])
        mixed = (np.concatenate(hashes) ^ _SALTS[blocks]) * _SPREAD
        return Grams((mixed >> _SHIFT).astype(np.intp), blocks)


_CONTEXT = _Layout(("question", "child", "request", "echoed"))
_REPLY = _Layout(("reply", "opening", "closing", "marked"))


def fold(text: str) -> str:
    """Return the text in lower case, without diacritics and emoji, compatibility forms plain."""
    plain = unicodedata.normalize("NFKD", text.lower()).replace("đ", "d")
    return " ".join(_PICTURES.sub(" ", _MARKS.sub("", plain)).split())


def extract(turn: Turn) -> Features:
    """Return the features of a turn."""
    return complete(begin(turn), turn)


def begin(turn: Turn) -> Context:
    """Return what a turn shows before its reply is known."""
    child = _STAMMER.sub(r"\1", fold(turn.child))
    asked = Asked.of(fold(turn.question), child, event=turn.event)
    tokens = {name: _tokens(getattr(asked, name)) for name in ("question", "child", "request")}
    tokens["echoed"] = _marked(tokens["child"], asked.question.unique, frozenset())
    return Context(asked, _CONTEXT.grams(tokens))


def complete(context: Context, turn: Turn) -> Features:
    """Return the features of a turn whose context is known already."""
    asked, said = context.asked, Said.of(fold(turn.reply))
    tokens = {name: _tokens(getattr(said, name)) for name in ("reply", "opening", "closing")}
    child = frozenset[str]() if asked.event else asked.child.unique
    tokens["marked"] = _marked(tokens["reply"][:_MARKED_TOKENS], asked.question.unique, child)
    return Features(context.grams, _REPLY.grams(tokens), relate(asked, said))


def _tokens(part: Part) -> list[str]:
    return _TOKEN.findall(part.text)


def _marked(tokens: Sequence[str], question: frozenset[str], child: frozenset[str]) -> list[str]:
    """Return the tokens with a sign for each that the question or the child has."""
    return [
        (_BOTH if token in question else _ANSWERED)
        if token in child
        else (_ASKED if token in question else token)
        for token in tokens
    ]


def _hash_words(tokens: Sequence[str]) -> dict[tuple[str, int], Hashes]:
    single = np.fromiter(map(_hash_word, tokens), np.uint64, len(tokens))
    double = single[:-1] * _STEP + single[1:] * _SPREAD
    triple = double[:-1] * _STEP + single[2:] * _SPREAD
    return {("words", 1): single, ("pairs", 2): double, ("pairs", 3): triple}


@functools.lru_cache(maxsize=4096)
def _hash_word(token: str) -> int:
    return zlib.crc32(token.encode())


def _hash_characters(text: str) -> dict[tuple[str, int], Hashes]:
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.uint64)
    hashes, runs = codes, {}
    for length in range(2, 6):
        hashes = hashes[:-1] * _STEP + codes[length - 1 :]
        if length >= 3:
            runs["chars", length] = hashes + np.uint64(length)
    return runs
