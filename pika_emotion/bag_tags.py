"""Tags out of a recorded bag, and which reply each of them is about. Knows no ROS.

Every reply comes out once, in the order of the replies, and only a few are kept at a time.
"""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pika_emotion.deadline import Source
from pika_emotion.dialogue import Turn
from pika_emotion.taggers import Tagger

# A reply without a tag after this long never gets one: no deadline is as long.
_FORGET_S = 10.0
# How long a tagger may take where nobody waits for a face.
_PATIENCE_S = 60.0
# How far a recorder's times of two topics may be apart.
_JITTER_S = 1.0


@dataclass(frozen=True, slots=True)
class GivenTag:
    """What was answered to one reply, as far as tools compare it.

    Attributes:
        emotion: the label's name.
        confidence: its probability, 0 to 1.
        celebrate: whether to celebrate.
        celebrate_probability: 0 to 1.
        tagger: who answered.
        source: name of the ``Source``, such as ``PRIMARY``.
        latency_ms: from the reply's receipt to the answer.
    """

    emotion: str
    confidence: float
    celebrate: bool
    celebrate_probability: float
    tagger: str
    source: str
    latency_ms: float


@dataclass(frozen=True, slots=True)
class RecordedTag:
    """One recorded ``EmotionTag``.

    Attributes:
        at_ns: when it was recorded.
        seq: the node's count of its tags, from 1.
        reply_id: the id of the reply, or empty.
        given: what it says.
    """

    at_ns: int
    seq: int
    reply_id: str
    given: GivenTag


@dataclass(frozen=True, slots=True)
class RecordedTurn:
    """One turn of a recorded conversation.

    Attributes:
        at_ns: when its reply was recorded.
        at_s: the same, in seconds after the bag's first message.
        turn: as the node pairs it.
        id: the reply's id, or empty.
        tag: the tag that was recorded for it, or None.
    """

    at_ns: int
    at_s: float
    turn: Turn
    id: str = ""
    tag: GivenTag | None = None


def tag_of(message: Any, at_ns: int) -> RecordedTag:
    """Return what a deserialized ``EmotionTag`` says."""
    known = {source.value: source.name for source in Source}
    given = GivenTag(
        emotion=str(message.emotion),
        confidence=float(message.confidence),
        celebrate=bool(message.celebrate),
        celebrate_probability=float(message.celebrate_probability),
        tagger=str(message.tagger),
        source=known.get(int(message.source), f"source {message.source}"),
        latency_ms=1e3 * message.latency.sec + message.latency.nanosec / 1e6,
    )
    return RecordedTag(at_ns, int(message.seq), str(message.reply_id), given)


def tag_anew(tagger: Tagger, turn: Turn, threshold: float) -> GivenTag:
    """Ask a loaded tagger about a turn, without a robot's deadline.

    Raises:
        TaggerError: it cannot answer.
    """
    started = time.monotonic()
    tag = tagger.tag(turn, started + _PATIENCE_S)
    source = Source.REFLEX if tagger.name == "reflex" else Source.PRIMARY
    return GivenTag(
        emotion=tag.emotion,
        confidence=tag.confidence,
        celebrate=tag.celebrates(threshold),
        celebrate_probability=tag.celebrate,
        tagger=tag.tagger,
        source=source.name,
        latency_ms=1e3 * (time.monotonic() - started),
    )


class Pairing:
    """Finds each reply's tag: by the id where both have one, else by the order.

    A node answers every reply once and in order; a gap in ``seq`` says how many tags the recorder
    missed, and a tag's own latency when its reply came.

    Attributes:
        tags: tags so far.
        lost: how many are missing by the gaps in ``seq``.
        restarts: how often ``seq`` went back: the node was started anew.
        orphans: tags whose reply is not in the bag.
    """

    def __init__(self) -> None:
        self.tags = self.lost = self.restarts = self.orphans = 0
        self._last_seq: int | None = None
        self._given_up = 0  # replies since the last tag that will have none
        # At most one of these two holds anything: a recorder may see a tag before its reply.
        self._waiting: deque[RecordedTurn] = deque()
        self._early: deque[RecordedTag] = deque()

    def replied(self, turn: RecordedTurn) -> Iterator[RecordedTurn]:
        """Take a reply; yield the turns that are settled by it."""
        yield from self._give_up_before(turn.at_ns - int(_FORGET_S * 1e9))
        while self._early:
            tag = self._early.popleft()
            sent_ns = tag.at_ns - tag.given.latency_ms * 1e6
            if abs(turn.at_ns - sent_ns) <= _JITTER_S * 1e9 and _may_match(turn, tag):
                yield replace(turn, tag=tag.given)
                return
            self.orphans += 1
        self._waiting.append(turn)

    def tagged(self, tag: RecordedTag) -> Iterator[RecordedTurn]:
        """Take a tag; yield the turns that are settled by it."""
        missed = self._count(tag)
        yield from self._give_up_before(
            tag.at_ns - int(tag.given.latency_ms * 1e6) - int(_JITTER_S * 1e9)
        )
        given_up, self._given_up = self._given_up, 0
        if not self._waiting:
            self._early.append(tag)
            return
        place = self._place(tag, missed - given_up)
        if place is None:
            self.orphans += 1
            return
        for _ in range(place):
            yield self._waiting.popleft()
        yield replace(self._waiting.popleft(), tag=tag.given)

    def finish(self) -> Iterator[RecordedTurn]:
        """Yield what is left when the bag has ended."""
        yield from self._waiting
        self.orphans += len(self._early)
        self._waiting.clear()
        self._early.clear()

    def _count(self, tag: RecordedTag) -> int:
        """Count a tag; return how many are missing before it."""
        last, self._last_seq = self._last_seq, tag.seq
        self.tags += 1
        if last is None:
            return 0
        if tag.seq <= last:
            self.restarts += 1
            return 0
        self.lost += tag.seq - last - 1
        return tag.seq - last - 1

    def _place(self, tag: RecordedTag, missed: int) -> int | None:
        if tag.reply_id and self._waiting[0].id:
            ids = [turn.id for turn in self._waiting]
            return ids.index(tag.reply_id) if tag.reply_id in ids else None
        return min(max(0, missed), len(self._waiting) - 1)

    def _give_up_before(self, at_ns: int) -> Iterator[RecordedTurn]:
        while self._waiting and self._waiting[0].at_ns < at_ns:
            self._given_up += 1
            yield self._waiting.popleft()


def _may_match(turn: RecordedTurn, tag: RecordedTag) -> bool:
    return not (turn.id and tag.reply_id) or turn.id == tag.reply_id
