"""Finds the turn that a tag is about, from the conversation as the monitor heard it. No ROS."""

from collections import deque
from dataclasses import dataclass

from pika_emotion.dialogue import Dialogue, Message, Role, Turn

# A reply without a tag for so long never gets one: the node was not active, or not there.
_FORGET_NS = 2_000_000_000
# A node mostly receives a reply within this time; a reply that waits for longer while another fits
# better is one whose tag was missed, and would shift every later pair.
_PROMPT_NS = 100_000_000
# Clocks read in two processes may differ by this much.
_SLACK_NS = 5_000_000
_MOST = 1000


@dataclass(frozen=True, slots=True)
class _Reply:
    id: str
    at_ns: int
    turn: Turn


@dataclass(frozen=True, slots=True)
class _Tag:
    n: int
    reply_id: str
    received_ns: int

    def is_about(self, reply: _Reply) -> bool:
        """Whether the reply may be the tag's: in order, the first that may is it."""
        if reply.at_ns < self.received_ns - _FORGET_NS:
            return False
        if self.reply_id:
            return self.reply_id == reply.id
        return reply.at_ns <= self.received_ns + _SLACK_NS


class Turns:
    """Replies that wait for their tags, and tags that overtook their replies; not thread-safe."""

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self._replies: deque[_Reply] = deque(maxlen=_MOST)
        self._tags: deque[_Tag] = deque(maxlen=_MOST)
        self._last_seq: int | None = None

    def heard(self, message: Message) -> tuple[int, Turn] | None:
        """Take one message; partial ones do not matter here.

        Returns:
            The number of a tag that came before its reply, and its turn; None where there is none.
        """
        if message.role is Role.CHILD:
            self._dialogue.child_said(message.text, message.source_ns)
        if message.role is not Role.REPLY:
            return None
        turn = self._dialogue.pika_said(message.text, message.source_ns)
        reply = _Reply(message.id, message.source_ns, turn)
        for tag in self._tags:
            if tag.is_about(reply):
                self._tags.remove(tag)
                return tag.n, turn
        self._replies.append(reply)
        return None

    def of_tag(self, n: int, seq: int, reply_id: str, received_ns: int) -> Turn | None:
        """Return the turn that a tag is about; None where its reply was not heard yet.

        Args:
            n: the tag's number here, which ``heard`` may return later.
            seq: its number by the node.
            reply_id: the reply's id, or empty.
            received_ns: when the node received the reply, by the clock of the source times.
        """
        tag = _Tag(n, reply_id, received_ns)
        # Replies of tags that were missed would shift every later pair.
        missed = 0 if self._last_seq is None else seq - self._last_seq - 1
        self._last_seq = seq
        while self._replies and self._replies[0].at_ns < received_ns - _FORGET_NS:
            self._replies.popleft()
            missed -= 1
        while self._tags and self._tags[0].received_ns < received_ns - _FORGET_NS:
            self._tags.popleft()
        fitting = [reply for reply in self._replies if tag.is_about(reply)]
        prompt = [reply for reply in fitting if reply.at_ns >= received_ns - _PROMPT_NS]
        found_in = prompt or fitting
        missed -= len(fitting) - len(found_in)  # those are passed over already
        for found in found_in[max(0, min(missed, len(found_in) - 1)) :][:1]:
            while self._replies.popleft() is not found:
                pass
            return found.turn
        self._tags.append(tag)
        return None
