"""A turn as an encoder's token ids, the same in training and in service.

Question, child and reply stand in this order, with what the tokenizer itself puts around and
between texts. Nobody's words can become one of those tokens.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pika_emotion import files
from pika_emotion.dialogue import Turn
from pika_emotion.errors import ModelError

Ids = npt.NDArray[np.int64]

TOKENIZER_FILE = "tokenizer.json"
FEWEST_TOKENS = 32
# Batches are filled up to a multiple: few lengths, which can all be warmed up.
LENGTH_STEP = 16
# The question's end and the child's beginning are sure of so much of the room each, the reply of
# the rest; of a reply that is too long this share is its tail.
_CONTEXT_SHARE = 0.25
_TAIL_SHARE = 0.25


class TurnTokens:
    """Makes token ids of turns.

    Args:
        file: a ``tokenizer.json``.
        max_tokens: the most tokens of a turn, those around the texts included.

    Attributes:
        begin, between, end: the ids around and between texts.

    Raises:
        ModelError: the file is no tokenizer, or puts nothing between texts.
    """

    def __init__(self, file: Path, max_tokens: int) -> None:
        import tokenizers

        try:
            description = files.read_json(file, files.TOKENIZER_BYTES)
            description.update(truncation=None, padding=None)
            whole = tokenizers.Tokenizer.from_str(json.dumps(description))
            # Without added tokens, '</s>' in somebody's words is text.
            description.update(added_tokens=[], post_processor=None)
            self._plain = tokenizers.Tokenizer.from_str(json.dumps(description))
        except Exception as error:  # the library raises bare Exceptions
            raise ModelError(
                f"tokenizer file '{file}' cannot be read ({type(error).__name__}); take a model "
                "with a tokenizer.json, or make the encoder again with 'pika-emotion train-encoder'"
            ) from error
        self.max_tokens = max_tokens
        self.begin, self.between, self.end = _frame(whole, file)
        self._frame = {*self.begin, *self.between, *self.end}

    def ids(self, turn: Turn) -> list[int]:
        """Return a turn's token ids, at most ``max_tokens``."""
        room = self.max_tokens - len(self.begin) - 2 * len(self.between) - len(self.end)
        question, child, reply = shorten(
            self._text(turn.question), self._text(turn.child), self._text(turn.reply), room
        )
        before_reply = [*self.begin, *question, *self.between, *child, *self.between]
        return [*before_reply, *reply, *self.end]

    def _text(self, text: str) -> list[int]:
        # A vocabulary may hold the frame's tokens as pieces of text, as SentencePiece's do.
        found = self._plain.encode(text, add_special_tokens=False).ids
        return [i for i in found if i not in self._frame]


def _frame(tokenizer: Any, file: Path) -> tuple[list[int], list[int], list[int]]:
    """Return what the tokenizer puts before, between and after two texts."""
    pair = tokenizer.encode("a", "a")
    plain = [place for place, special in enumerate(pair.special_tokens_mask) if not special]
    first, last = plain[0], plain[-1]
    between = [i for place, i in enumerate(pair.ids) if first < place < last and place not in plain]
    if not between:
        raise ModelError(
            f"tokenizer file '{file}' puts nothing between two texts; take an encoder such as "
            "XLM-R, BERT or ModernBERT, whose tokenizer does"
        )
    return list(pair.ids[:first]), between, list(pair.ids[last + 1 :])


def shorten(
    question: list[int], child: list[int], reply: list[int], room: int
) -> tuple[list[int], list[int], list[int]]:
    """Return the three with at most ``room`` ids together.

    Of a question the end is kept, of the child's words the beginning, of a reply beginning and
    end. What one does not need the others may use.
    """
    share = int(room * _CONTEXT_SHARE)
    least = (min(len(question), share), min(len(child), share))
    kept_reply = min(len(reply), room - sum(least))
    kept_child = min(len(child), room - least[0] - kept_reply)
    kept_question = min(len(question), room - kept_child - kept_reply)
    if kept_reply < len(reply):
        tail = int(kept_reply * _TAIL_SHARE)
        reply = reply[: kept_reply - tail] + reply[len(reply) - tail :]
    return question[len(question) - kept_question :], child[:kept_child], reply


def lengths(max_tokens: int) -> list[int]:
    """Return every length that ``batch`` makes, ascending."""
    return sorted({min(n + LENGTH_STEP, max_tokens) for n in range(0, max_tokens, LENGTH_STEP)})


def batch(rows: Sequence[Sequence[int]], pad_id: int, max_tokens: int) -> tuple[Ids, Ids]:
    """Return the rows' ids, filled up to one length, and 1 where an id is a row's own."""
    longest = max(map(len, rows))
    width = next(length for length in lengths(max_tokens) if length >= longest)
    ids = np.full((len(rows), width), pad_id, np.int64)
    mask = np.zeros((len(rows), width), np.int64)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row
        mask[place, : len(row)] = 1
    return ids, mask
