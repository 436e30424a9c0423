"""The prompt as token ids: a fixed prefix, then the turn, then one short suffix a head.

What changes comes last, so that a model's prefix cache holds everything else. A turn's ids depend
on the turn alone: reading ahead, in part or not at all, never changes an answer.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from pika_emotion.chat import ChatFormat, check_joints
from pika_emotion.codes import Answers, choose
from pika_emotion.dialogue import Turn
from pika_emotion.prompt_file import Example, PromptText

HEADS = ("two", "joint")
# Tokens of a turn's texts: what the question and the child may take of them at most.
_QUESTION_TOKENS = 64
_CHILD_TOKENS = 96
# The share of a long reply's tokens that its closing words keep.
_TAIL_SHARE = 4
_GAP = " … "
# More than the words before a turn's texts, and the gap in a long reply, ever take.
_SCAFFOLD_TOKENS = 40
# Padding: words that most tokenizers make one token each.
_FILLERS = (" -", " .", " ~", " x", " a")
_PAD_TRIES = 4
_PROBE = Turn("Con gì đây?", 'um "cat" 3 con mèo!', "Đúng rồi: it's a cat! 5 điểm.")


@dataclass(frozen=True, slots=True)
class Request:
    """One question to the model: the ids to read, and where its answer is found.

    Attributes:
        head: ``emotion``, ``celebrate`` or ``joint``.
        ids: the whole prompt.
        answers: the token of each possible answer, in order.
    """

    head: str
    ids: list[int]
    answers: tuple[int, ...]


class Prompt:
    """Makes token ids of turns.

    Args:
        chat: the model's chat format.
        text: what the prompt says.
        labels: name and description of each label, in order.
        heads: ``two`` questions, emotion and celebrate, or one ``joint`` code for both.
        block: tokens of a block of the engine's prefix cache; 1 if it has none.
        pad_child: fill the child's words up to a block, so that all of them can be read ahead.
        max_turn_tokens: a turn's texts take no more than about this many.

    Attributes:
        answers: of each head: the words that answer, and their tokens.
        coded: whether codes stand for labels, because their names' first tokens are not unique.
        padded: whether the prefix ends with a block; the tokenizer may have no filler for it.
        exact: whether the ids are those of the whole text tokenized at once.

    Raises:
        PromptError: the tokenizer cannot carry this prompt; the message says why.
    """

    def __init__(
        self,
        chat: ChatFormat,
        text: PromptText,
        labels: Sequence[tuple[str, str]],
        *,
        heads: str = "two",
        block: int = 1,
        pad_child: bool = False,
        max_turn_tokens: int = 512,
    ) -> None:
        self.chat = chat
        self._text = text
        self._labels = tuple((name, description) for name, description in labels)
        self._block = block
        self._pad_child = pad_child and block > 1
        self._max_turn_tokens = max_turn_tokens
        self.answers = self._choose_answers(heads)
        self.coded = heads == "joint" or self.answers["emotion"].coded
        self._suffixes = {head: chat.closing(text.heads[head]) for head in self.answers}
        self._filler, self._prefix_text, self.prefix = self._pad_prefix()
        self.padded = len(self.prefix) % block == 0
        self.exact = check_joints(chat, [self._prefix_text, self._open_text(_PROBE), _PROBE.reply])

    @property
    def digest(self) -> str:
        """SHA-256 of everything in the prompt that is the same for every turn."""
        fixed = [asdict(self._text), self._labels, sorted(self.answers), self._prefix_text]
        return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()

    @property
    def suffix_tokens(self) -> dict[str, int]:
        """Tokens of each head's suffix."""
        return {head: len(ids) for head, ids in self._suffixes.items()}

    def content(self, turn: Turn) -> str:
        """Return the user message of a turn, as text."""
        turn = self._fit(turn)
        return self._prefix_text + self._open_text(turn) + turn.reply

    def answer_start(self, head: str) -> str:
        """Return how the model's answer to a head begins, as text."""
        return self._text.heads[head]

    def requests(self, turn: Turn) -> list[Request]:
        """Return what to ask about a turn; the requests share all but their suffixes."""
        turn = self._fit(turn)
        shared = [*self._open(turn), *self.chat.following(turn.reply)]
        return [
            Request(head, [*shared, *suffix], self.answers[head].tokens)
            for head, suffix in self._suffixes.items()
        ]

    def ahead(self, turn: Turn) -> list[int]:
        """Return what can be read of a turn whose reply is not there yet, or only in part.

        Whole blocks only: a cache keeps no others. The reply's last word may still grow, so it is
        left out.
        """
        turn = self._fit(turn)
        ids = self._open(turn)
        begun, space, _ = turn.reply.rpartition(" ")
        if space:
            ids += self.chat.following(begun)
        return ids[: len(ids) // self._block * self._block]

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt, the prefix included; a bound, not exact."""
        suffix = max(self.suffix_tokens.values())
        return (
            len(self.prefix) + self._max_turn_tokens + _SCAFFOLD_TOKENS + 2 * self._block + suffix
        )

    def fixed_tokens(self, turn: Turn) -> int:
        """Return how many tokens of a turn's prompt are there before its reply."""
        return len(self._open(self._fit(turn)))

    def _open(self, turn: Turn) -> list[int]:
        return [*self.prefix, *self.chat.following(self._open_text(turn))]

    def _fit(self, turn: Turn) -> Turn:
        """Shorten the texts to their tokens: a question's end, a reply's beginning and end."""
        question = self.chat.cut(turn.question, _QUESTION_TOKENS, tail=True)
        child = self.chat.cut(turn.child, _CHILD_TOKENS)
        most = self._max_turn_tokens - _QUESTION_TOKENS - _CHILD_TOKENS
        reply = turn.reply
        if self.chat.cut(reply, most) != reply:
            end = most // _TAIL_SHARE
            head = self.chat.cut(reply, most - end)
            reply = head + _GAP + self.chat.cut(reply, end, tail=True)
        return Turn(question, child, reply, turn.event)

    def _open_text(self, turn: Turn) -> str:
        """Return the lines before the reply's own, padded to a block where that gains."""
        if not self._pad_child or not (turn.question or turn.child):
            return self._lines(turn, "")
        return self._pad(
            lambda filler: self._lines(turn, filler),
            lambda text: len(self.prefix) + len(self.chat.following(text)),
            self._filler,
        )[0]

    def _lines(self, turn: Turn, filler: str) -> str:
        fields = self._text.fields
        lines = []
        if turn.question:
            lines.append(fields["question"] + turn.question)
        if turn.child:
            lines.append(fields["event" if turn.event else "child"] + turn.child)
        lines[-1:] = [line + filler for line in lines[-1:]]
        return "".join(f"{line}\n" for line in [*lines, fields["reply"]])

    # The prefix.

    def _choose_answers(self, heads: str) -> dict[str, Answers]:
        names = [name for name, _ in self._labels]
        start = self._text.heads
        if heads == "joint":
            return {"joint": choose(self.chat, start["joint"], None, 2 * len(names))}
        words = [self._text.celebrate_yes, self._text.celebrate_no]
        return {
            "emotion": choose(self.chat, start["emotion"], names, len(names)),
            "celebrate": choose(self.chat, start["celebrate"], words, len(words)),
        }

    def _pad_prefix(self) -> tuple[str, str, list[int]]:
        for filler in _FILLERS:
            if self._is_additive(filler):
                text, full = self._pad(self._prefix, lambda t: len(self.chat.opening(t)), filler)
                if full:
                    return filler, text, self.chat.opening(text)
        text = self._prefix("")
        return "", text, self.chat.opening(text)

    def _pad(
        self, render: Callable[[str], str], measure: Callable[[str], int], filler: str
    ) -> tuple[str, bool]:
        """Return the text with as much filler as makes its tokens whole blocks, where that works.

        More than one try, because the first filler may part two tokens that were one.
        """
        number = 0
        for _ in range(_PAD_TRIES):
            text = render(filler * number)
            missing = -measure(text) % self._block
            if not missing:
                return text, True
            number += missing
        return render(""), False

    def _is_additive(self, filler: str) -> bool:
        sizes = [len(self.chat.following(f"Child: mèo{filler * n}\n")) for n in (1, 2, 41)]
        return [size - sizes[0] for size in sizes] == [0, 1, 40]

    def _prefix(self, filler: str) -> str:
        text = self._text
        examples = [example for example in text.examples if self._known(example)]
        lines = [text.task, "", text.labels, *self._legend()]
        if examples:
            lines += ["", text.examples_title]
            for example in examples:
                lines += [self._lines(example.turn, "") + example.turn.reply, *self._said(example)]
                lines.append("")
        else:
            lines.append("")
        return "\n".join([*lines, text.turn + filler]) + "\n"

    def _known(self, example: Example) -> bool:
        return example.emotion in (name for name, _ in self._labels)

    def _legend(self) -> list[str]:
        text = self._text
        if "joint" in self.answers:
            codes = self.answers["joint"].words
            said = text.heads["celebrate"]
            lines = [
                "Each emotion has two codes: "
                f"the first {said} {text.celebrate_no}, the second {said} {text.celebrate_yes}"
            ]
            for i, (name, description) in enumerate(self._labels):
                lines.append(f"{codes[2 * i]} {codes[2 * i + 1]} = {name}: {description}")
            return lines
        words = self.answers["emotion"].words
        lines = [
            f"{word}: {description}" if word == name else f"{word} = {name}: {description}"
            for word, (name, description) in zip(words, self._labels, strict=True)
        ]
        if self.answers["celebrate"].coded:
            yes, no = self.answers["celebrate"].words
            said = text.heads["celebrate"]
            lines.append(f"{said} {yes} = {text.celebrate_yes}, {no} = {text.celebrate_no}")
        return lines

    def _said(self, example: Example) -> list[str]:
        place = [name for name, _ in self._labels].index(example.emotion)
        start = self._text.heads
        if "joint" in self.answers:
            return [
                f"{start['joint']} {self.answers['joint'].words[2 * place + example.celebrate]}"
            ]
        yes, no = self.answers["celebrate"].words
        return [
            f"{start['emotion']} {self.answers['emotion'].words[place]}",
            f"{start['celebrate']} {yes if example.celebrate else no}",
        ]


def distribution(
    prompt: Prompt, logprobs: Mapping[str, Mapping[int, float]]
) -> tuple[list[float], float, float]:
    """Turn the answers' log-probabilities into scores, celebrate and the mass outside.

    Args:
        prompt: that was asked.
        logprobs: of each head, by token; over the whole vocabulary.

    Returns:
        Each label's probability among the labels, celebrate's between its two words, and the
        probability of the first token being no answer at all (the larger of the heads').
    """
    shares, outside = {}, 0.0
    for head, answers in prompt.answers.items():
        shares[head], off = answers.shares(logprobs[head])
        outside = max(outside, off)
    if "joint" in shares:
        joint = shares["joint"]
        scores = [no + yes for no, yes in zip(joint[::2], joint[1::2], strict=True)]
        return scores, sum(joint[1::2]), outside
    return shares["emotion"], shares["celebrate"][0], outside
