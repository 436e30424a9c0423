"""Varies turns for training: other lesson words in their places.

Seeded by the caller; it makes no labels, so that nothing in it may change what a turn means.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from pika_emotion.corpus import Row

_WORD = re.compile(r"[^\W\d_]{3,}")
# A word in more rows than this share of them is no lesson word.
_COMMON = 0.01


class Variations:
    """Varies rows like those that it was made from.

    Args:
        rows: where the lesson words come from.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        counts = Counter(word for row in rows for word in set(_words(row)))
        most = max(2, int(_COMMON * len(rows)))
        self._lesson = {word for word, count in counts.items() if count <= most}
        said = {word for row in rows for word in _WORD.findall(row.turn.child.lower())}
        self._pool = sorted(said & self._lesson)

    def reworded(self, row: Row, draw: Random) -> Row:
        """Put another word, the same everywhere, for each lesson word that two texts share."""
        turn = row.turn
        texts = (turn.question, turn.child, turn.reply)
        places = Counter(
            word for text in texts for word in set(_WORD.findall(text.lower())) & self._lesson
        )
        shared = sorted(word for word, count in places.items() if count > 1)
        if turn.event or not shared or not self._pool:
            return row
        other = {word: draw.choice(self._pool) for word in shared}

        def change(match: re.Match[str]) -> str:
            word = str(match[0])
            new: str | None = other.get(word.lower())
            if new is None:
                return word
            if word.isupper():
                return new.upper()
            return new.title() if word.istitle() else new

        question, child, reply = (_WORD.sub(change, text) for text in texts)
        turn = replace(turn, question=question, child=child, reply=reply)
        # The copy stays with the row's scene, which may be known by its question alone.
        return replace(row, turn=turn, scenario=row.scene)


def _words(row: Row) -> list[str]:
    turn = row.turn
    return _WORD.findall(f"{turn.question} {turn.child} {turn.reply}".lower())
