"""A recorded conversation as turns, paired as the node pairs them, with their recorded tags.

Streams: memory does not grow with the bag.
"""

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pika_emotion.bag_reader import BagReader, reading
from pika_emotion.bag_tags import Pairing, RecordedTurn, tag_of
from pika_emotion.bags import is_partial, text_of
from pika_emotion.dialogue import Dialogue
from pika_emotion.errors import BagError

_TAG = "pika_emotion/msg/EmotionTag"
# How far two bags of one conversation are searched for the turn that both have.
_WINDOW = 64
_CHILD, _REPLY, _TAGGED = range(3)


@dataclass(frozen=True, slots=True)
class Conversation:
    """Where a bag holds the conversation, and when the node would begin another turn.

    Attributes:
        transcript_topic: the child's transcripts.
        reply_topic: Pika's replies.
        transcript_field: path of the text in a transcript, with dots; empty: data, text or final.
        reply_field: the same for a reply.
        tag_topic: the tags; empty: the one topic of ``EmotionTag``, whatever its name.
        turn_timeout_s: as the node's parameter.
        session_timeout_s: as the node's parameter.
    """

    transcript_topic: str = "/child/transcript"
    reply_topic: str = "/pika/reply"
    transcript_field: str = ""
    reply_field: str = ""
    tag_topic: str = ""
    turn_timeout_s: float = 30.0
    session_timeout_s: float = 300.0


class Recording:
    """An opened bag; a context manager.

    Attributes:
        path: the bag.
        tag_topic: the topic of its tags, or empty where it has none.
        pairing: counts of the tags that ``turns`` has seen so far.

    Raises:
        BagError: the bag is missing or damaged, or lacks a topic; names the remedy.
    """

    def __init__(self, path: Path, conversation: Conversation | None = None) -> None:
        self.path = path
        self.tag_topic = ""
        self.pairing = Pairing()
        self._conversation = conversation or Conversation()
        self._reader = BagReader(path)

    def __enter__(self) -> "Recording":
        with contextlib.ExitStack() as undo:
            undo.enter_context(self._reader)
            self.tag_topic = self._find_tag_topic()
            self._reader.require(self._topics())
            undo.pop_all()  # nothing to undo: it stays open
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.__exit__()

    @property
    def messages_by_topic(self) -> dict[str, int]:
        """How many messages each topic of the bag has, by name."""
        return self._reader.messages_by_topic

    @property
    def duration_s(self) -> float:
        """From the bag's first message to its last."""
        return self._reader.duration_s

    @property
    def messages(self) -> int:
        """How many messages ``turns`` reads."""
        counts = self._reader.messages_by_topic
        return sum(counts[topic] for topic in self._topics())

    def turns(self, advance: Callable[[], None] = lambda: None) -> Iterator[RecordedTurn]:
        """Yield the turns in the order of their replies; ``advance`` is called for each message.

        Raises:
            BagError: the bag is damaged, or a message has no text field, or there is no turn.
        """
        where = self._conversation
        dialogue = Dialogue(
            turn_timeout_s=where.turn_timeout_s, session_timeout_s=where.session_timeout_s
        )
        self.pairing = Pairing()
        start_ns, replies = self._reader.start_ns, 0
        for at_ns, kind, message, text in self._merged(advance):
            if kind == _TAGGED:
                yield from self.pairing.tagged(message)
            elif kind == _CHILD:
                dialogue.child_said(text, at_ns)
            else:
                replies += 1
                turn = dialogue.pika_said(text, at_ns)
                identity = str(getattr(message, "id", ""))
                said = RecordedTurn(at_ns, (at_ns - start_ns) / 1e9, turn, identity)
                if self.tag_topic:
                    yield from self.pairing.replied(said)
                else:
                    yield said
        yield from self.pairing.finish()
        if not replies:
            raise BagError(
                f"bag '{self.path}' has no turn: nothing was said on '{where.reply_topic}'; "
                "name Pika's topic with --reply-topic, or record again while Pika speaks"
            )

    def _topics(self) -> dict[str, int]:
        where = self._conversation
        kinds = {where.transcript_topic: _CHILD, where.reply_topic: _REPLY}
        return {**kinds, self.tag_topic: _TAGGED} if self.tag_topic else kinds

    def _find_tag_topic(self) -> str:
        found = self._reader.topics_of_type(_TAG)
        wanted = self._conversation.tag_topic
        if wanted:
            if wanted not in found:
                raise BagError(
                    f"bag '{self.path}' has no tags on '{wanted}' (topics of EmotionTag: "
                    f"{', '.join(found) or 'none'}); name one of these with --tag-topic"
                )
            return wanted
        if len(found) > 1:
            raise BagError(
                f"bag '{self.path}' has tags on {', '.join(found)}; choose with --tag-topic"
            )
        return found[0] if found else ""

    def _merged(self, advance: Callable[[], None]) -> Iterator[tuple[int, int, Any, str]]:
        """Yield time, kind, message and text; of one time, what was heard comes first."""
        for _, same_time in itertools.groupby(self._read(advance), key=lambda each: each[0]):
            yield from sorted(same_time, key=lambda each: each[1])

    def _read(self, advance: Callable[[], None]) -> Iterator[tuple[int, int, Any, str]]:
        kinds = self._topics()
        where = self._conversation
        fields = {_CHILD: where.transcript_field, _REPLY: where.reply_field}
        for at_ns, topic, type_name, message in self._reader.messages(kinds):
            advance()
            kind = kinds[topic]
            if kind == _TAGGED:
                with reading(self.path):  # another definition of the type has other fields
                    tag = tag_of(message, at_ns)
                yield at_ns, kind, tag, ""
            elif not is_partial(message):
                yield at_ns, kind, message, text_of(message, fields[kind], type_name)


def align(
    a: Iterable[RecordedTurn], b: Iterable[RecordedTurn]
) -> Iterator[tuple[RecordedTurn | None, RecordedTurn | None]]:
    """Yield the turns of two recordings of one conversation side by side, in order.

    A turn belongs to the next one with the same three texts; None stands where the other
    recording has no such turn.
    """
    left, right = iter(a), iter(b)
    ahead_a: deque[RecordedTurn] = deque()
    ahead_b: deque[RecordedTurn] = deque()
    while True:
        ahead_a.extend(itertools.islice(left, _WINDOW - len(ahead_a)))
        ahead_b.extend(itertools.islice(right, _WINDOW - len(ahead_b)))
        if not ahead_a or not ahead_b:
            break
        skip_a, skip_b = _place(ahead_b[0], ahead_a), _place(ahead_a[0], ahead_b)
        if skip_a == skip_b == _WINDOW:
            yield ahead_a.popleft(), None
            yield None, ahead_b.popleft()
            continue
        if skip_a <= skip_b:
            yield from ((ahead_a.popleft(), None) for _ in range(skip_a))
        else:
            yield from ((None, ahead_b.popleft()) for _ in range(skip_b))
        yield ahead_a.popleft(), ahead_b.popleft()
    yield from ((turn, None) for turn in itertools.chain(ahead_a, left))
    yield from ((None, turn) for turn in itertools.chain(ahead_b, right))


def _place(turn: RecordedTurn, ahead: Iterable[RecordedTurn]) -> int:
    """Return how many turns come before the same one; ``_WINDOW`` where it is not there."""
    texts = _texts(turn)
    return next((i for i, each in enumerate(ahead) if _texts(each) == texts), _WINDOW)


def _texts(turn: RecordedTurn) -> tuple[str, str, str]:
    return turn.turn.question, turn.turn.child, turn.turn.reply
