"""What the reflex sees of a turn: hashed n-grams of its pieces, and how its texts relate.

The same code serves training and the robot. All text is folded first: capitals, diacritics,
emoji and runs of space make no difference.
"""

import functools
import itertools
import re
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pika_emotion.dialogue import Turn
from pika_emotion.relations import Pieces, relate

VERSION = 1
BUCKET_BITS = 20
# Each block is one piece of a turn seen one way: single words, word pairs and triples, or
# runs of 3 to 5 characters.
BLOCKS = (
    *("reply.words", "reply.pairs", "reply.chars"),
    *("opening.words", "opening.pairs", "opening.chars", "closing.words"),
    *("question.words", "question.pairs", "question.chars", "request.words"),
    *("child.words", "child.pairs", "child.chars"),
)

_MARKS = re.compile("[\u0300-\u036f]+")
# Neither letter nor punctuation: emoji and the like.
_PICTURES = re.compile(r"[^\w\s!-/:-@\[-`{-~“”‘’«»…]+")
_STAMMER = re.compile(r"\b(\w+)(?:\W+\1\b)+")
_TOKEN = re.compile(r"[^\W_]+|[!?]|\.{2,}|…")

_STEP = np.uint64(0x100000001B3)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(64 - BUCKET_BITS)
# The pieces in the order in which they are hashed; the first four are read as characters too.
_PIECES = ("reply", "opening", "question", "child", "closing", "request")
_SPELT = range(4)
_SLICES = [
    (kind, length, _PIECES.index(piece))
    for piece, kind in (name.split(".") for name in BLOCKS)
    for length in {"words": (1,), "pairs": (2, 3), "chars": (3, 4, 5)}[kind]
]
_BLOCK_OF_SLICE = np.array([BLOCKS.index(f"{_PIECES[piece]}.{kind}") for kind, _, piece in _SLICES])
_SALTS = np.array([zlib.crc32(name.encode()) * 0x100010001 for name in BLOCKS], np.uint64)

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Features:
    """The features of one turn.

    Attributes:
        buckets: hash bucket of each n-gram, below ``2 ** BUCKET_BITS``; all blocks in a row.
        blocks: index into ``BLOCKS`` of each n-gram.
        dense: the values named in ``relations.DENSE``.
    """

    buckets: npt.NDArray[np.intp]
    blocks: npt.NDArray[np.intp]
    dense: npt.NDArray[np.float32]


def fold(text: str) -> str:
    """Return the text in lower case, without diacritics and emoji, compatibility forms plain."""
    plain = unicodedata.normalize("NFKD", text.lower()).replace("đ", "d")
    return " ".join(_PICTURES.sub(" ", _MARKS.sub("", plain)).split())


def extract(turn: Turn) -> Features:
    """Return the features of a turn."""
    child = _STAMMER.sub(r"\1", fold(turn.child))
    pieces = Pieces.of(fold(turn.question), child, fold(turn.reply), turn.event)
    lists = [_TOKEN.findall(getattr(pieces, name).text) for name in _PIECES]
    words = [0, *itertools.accumulate(len(tokens) for tokens in lists)]
    texts = [f" {' '.join(lists[piece])} " for piece in _SPELT]
    letters = [0, *itertools.accumulate(len(text) for text in texts)]
    # Each kind of n-gram is hashed in one go over all pieces in a row; the few that would reach
    # from one piece into the next are left out by the slices.
    runs = {
        **_hash_words([token for tokens in lists for token in tokens]),
        **_hash_characters("".join(texts)),
    }
    hashes = []
    for kind, length, piece in _SLICES:
        starts = letters if kind == "chars" else words
        first, end = starts[piece], starts[piece + 1] - length + 1
        hashes.append(runs[kind, length][first : max(first, end)])
    blocks = np.repeat(_BLOCK_OF_SLICE, [len(each) for each in hashes])
    mixed = (np.concatenate(hashes) ^ _SALTS[blocks]) * _SPREAD
    return Features((mixed >> _SHIFT).astype(np.intp), blocks, relate(pieces))


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
