"""Pairs what the child said with what Pika replies: a conversation becomes turns.

Knows no ROS: times are integers in nanoseconds of whatever clock stamped the messages.
"""

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from pika_emotion.patterns import compile_patterns
from pika_emotion.text import CHILD_CHARS, clean_child, clean_reply

DEFAULT_EVENTS = (r"\[[A-Za-z_ ]+\]", r"BUTTON_[A-Z0-9_]+")
DEFAULT_SILENCES = ("SILENCE", "-+", r"\.{2,}", "…")


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange; the tag is about its reply.

    Attributes:
        question: what Pika said before the child spoke; may be empty.
        child: the child's words as heard, or an event; may be empty.
        reply: what Pika says now; empty in a hint, while it is not known yet.
        event: whether ``child`` is an event (a button, silence) and not speech.
    """

    question: str
    child: str
    reply: str
    event: bool = False


class Role(enum.IntEnum):
    """Who spoke; the order decides between messages of the same source time."""

    CHILD = 0
    CHILD_PARTIAL = 1
    REPLY_PARTIAL = 2
    REPLY = 3


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the conversation as it was received.

    Attributes:
        role: who spoke, and whether this is all of it.
        text: as received, not cleaned.
        source_ns: when it was published, by the publisher's clock; orders and times the dialogue.
        received_s: when the middleware received it, monotonic clock; starts the deadline.
        id: the utterance's id, or empty.
        stamp_ns: the message's own stamp, else when it arrived, by the node's clock.
        frame_id: the message's own frame, or empty.
    """

    role: Role
    text: str
    source_ns: int
    received_s: float = 0.0
    id: str = ""
    stamp_ns: int = 0
    frame_id: str = ""


def merge(messages: Iterable[Message]) -> list[Message]:
    """Return the messages in the order in which they were published.

    An executor does not keep the order between topics; the source times do. Messages of one
    topic and time keep their order of arrival.
    """
    return sorted(messages, key=lambda message: (message.source_ns, message.role))


@dataclass(frozen=True, slots=True)
class EventRules:
    """Which transcripts are events and not speech, as regular expressions matching them whole.

    Attributes:
        events: something happened: a button, the lesson moved on.
        silences: nothing was heard; gives way to any words of the same turn.

    Raises:
        ConfigError: a pattern is not a regular expression, or could take long to match.
    """

    events: tuple[str, ...] = DEFAULT_EVENTS
    silences: tuple[str, ...] = DEFAULT_SILENCES
    _events: tuple[re.Pattern[str], ...] = field(init=False, repr=False, compare=False)
    _silences: tuple[re.Pattern[str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_events", compile_patterns(self.events))
        object.__setattr__(self, "_silences", compile_patterns(self.silences))

    def is_silence(self, text: str) -> bool:
        """Whether the transcript says that nothing was heard."""
        return not text or any(pattern.fullmatch(text) for pattern in self._silences)

    def is_event(self, text: str) -> bool:
        """Whether the transcript is anything but speech."""
        return self.is_silence(text) or any(pattern.fullmatch(text) for pattern in self._events)


def make_turn(question: str, child: str, reply: str, rules: EventRules | None = None) -> Turn:
    """Build a turn from raw texts, by the same rules as a live conversation."""
    child = clean_child(child)
    rules = rules or EventRules()
    return Turn(clean_reply(question), child, clean_reply(reply), rules.is_event(child))


class Dialogue:
    """A conversation so far; not thread-safe.

    The question of a turn is Pika's last utterance before the child spoke. Several transcripts
    before one reply join; silence gives way to words. A reply that follows a reply keeps the
    turn's question and child, until the next transcript or ``turn_timeout_s`` after the last
    message. A gap over ``session_timeout_s`` forgets everything.
    """

    def __init__(
        self,
        rules: EventRules | None = None,
        turn_timeout_s: float = 30.0,
        session_timeout_s: float = 300.0,
    ) -> None:
        self.rules = rules or EventRules()
        self.turn_timeout_s = turn_timeout_s
        self.session_timeout_s = session_timeout_s
        self._last_ns: int | None = None
        self._utterance = ""  # Pika's last
        self._question = ""
        self._heard: tuple[str, ...] = ()
        self._answered = True

    def child_said(self, text: str, at_ns: int) -> Turn:
        """Take a transcript; return the turn so far, whose reply is not known yet."""
        self._pass_time(at_ns)
        if self._answered:
            self._question, self._heard, self._answered = self._utterance, (), False
        # What cannot show in the turn is not kept: a room may be heard for hours without a reply.
        heard = tuple(said for said in self._heard if not self.rules.is_silence(said))
        if len(" ".join(heard)) < CHILD_CHARS:
            heard = (*heard, clean_child(text))
        self._heard = heard
        return self._turn(self._heard, "")

    def pika_said(self, text: str, at_ns: int) -> Turn:
        """Take a reply and return its turn."""
        gap_s = self._pass_time(at_ns)
        if self._answered and gap_s > self.turn_timeout_s:
            self._question, self._heard = "", ()
        reply = clean_reply(text)
        self._utterance = reply or self._utterance
        self._answered = True
        return self._turn(self._heard, reply)

    def hint(self, message: Message) -> Turn:
        """Return the turn as a partial text makes it look; the conversation stays as it is."""
        if message.role is Role.CHILD_PARTIAL:
            heard = () if self._answered else self._heard
            return self._turn((*heard, clean_child(message.text)), "", self._utterance)
        return self._turn(self._heard, clean_reply(message.text))

    def _turn(self, heard: tuple[str, ...], reply: str, question: str | None = None) -> Turn:
        spoken = [text for text in heard if not self.rules.is_silence(text)]
        child = " ".join(spoken) or (heard[-1] if heard else "")
        event = all(self.rules.is_event(text) for text in heard)
        asked = self._question if question is None else question
        return Turn(asked, clean_child(child), reply, event)

    def _pass_time(self, at_ns: int) -> float:
        """Move the dialogue's clock; return the seconds since the last message (never negative)."""
        last_ns, self._last_ns = self._last_ns, at_ns
        gap_s = 0.0 if last_ns is None else max(0.0, (at_ns - last_ns) / 1e9)
        if gap_s > self.session_timeout_s:
            self.forget()
        return gap_s

    def forget(self) -> None:
        """Begin a new conversation."""
        self._utterance = self._question = ""
        self._heard = ()
        self._answered = True
