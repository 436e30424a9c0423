"""A tag for every reply before its deadline, whatever the primary tagger does. Knows no ROS.

The reflex answers at once and its answer is kept. The primary may replace it until
``deadline_ms - publish_margin_ms`` after the reply was received; later answers are dropped and
counted. The promise holds for a primary that is slow, wrong, dead or loading. It cannot hold
against a primary in this process that keeps Python's global lock (see ``taggers.worker``).
"""

import contextlib
import enum
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from pika_emotion.dialogue import Turn
from pika_emotion.errors import (
    PikaEmotionError,
    TagError,
    TaggerBusyError,
    TaggerError,
    TaggerLateError,
    TaggerLoadingError,
    TaggerUnreachableError,
    where,
)
from pika_emotion.labels import LabelSet
from pika_emotion.tag import Tag
from pika_emotion.taggers import Tagger

# Between two attempts to load a primary whose server does not serve yet; it doubles.
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
# How often a wait for the load looks whether it is still wanted.
_LOOK_S = 0.1
# For ``sys.setswitchinterval`` of a process that keeps deadlines: its threads hand Python's global
# lock over this often at least.
SWITCH_S = 0.001


class Source(enum.IntEnum):
    """Who answered; the values are those of ``EmotionTag.source``."""

    UNSET = 0
    PRIMARY = 1
    REFLEX = 2
    DEADLINE = 3
    ERROR = 4
    LOADING = 5
    OVERLOAD = 6


@dataclass(frozen=True, slots=True)
class Answer:
    """The tag that is published for a reply, and why it is this one."""

    tag: Tag
    source: Source


class Pending:
    """A reply that is being tagged; its answer is there at ``cutoff`` at the latest.

    Attributes:
        turn: what is tagged.
        cutoff: the time (``time.monotonic``, seconds) after which the primary is not waited for.
    """

    def __init__(self, turn: Turn, cutoff: float, floor: Answer, *, final: bool) -> None:
        self.turn = turn
        self.cutoff = cutoff
        self._floor = floor
        self._answer = floor if final else None
        self._lock = threading.Lock()
        self._settled = threading.Event()
        if final:
            self._settled.set()

    @property
    def settled(self) -> bool:
        """Whether there is nothing left to wait for."""
        return self._settled.is_set()

    def settle(self, answer: Answer) -> bool:
        """Offer the final answer; return whether it came first and in time."""
        with self._lock:
            if self._answer is not None or time.monotonic() > self.cutoff:
                return False
            self._answer = answer
        self._settled.set()
        return True

    def fall_back(self, source: Source) -> bool:
        """Settle for the reflex's answer, for this reason."""
        return self.settle(Answer(self._floor.tag, source))

    def wait(self) -> Answer:
        """Return the answer, at ``cutoff`` at the latest."""
        self._settled.wait(max(0.0, self.cutoff - time.monotonic()))
        return self.take()

    def take(self) -> Answer:
        """Return the answer as it stands now, and let no later one in."""
        with self._lock:
            if self._answer is None:
                self._answer = self._floor
            return self._answer


class DeadlineTagger:
    """Answers from the primary if it is in time, else from the reflex. Thread-safe.

    Args:
        labels: what both taggers answer with.
        reflex: the floor; loaded already, answers in well under a millisecond.
        primary: asked first; None where the reflex was chosen.
        deadline_ms: a reply's tag must be out this long after it was received.
        publish_margin_ms: how long before that the primary is given up.
        slots: how many replies the primary is asked about at once; more are not queued.

    Attributes:
        on_settled: called without arguments, from any thread, after the primary has been asked.
    """

    def __init__(
        self,
        labels: LabelSet,
        reflex: Tagger,
        primary: Tagger | None = None,
        *,
        deadline_ms: float = 50.0,
        publish_margin_ms: float = 5.0,
        slots: int = 4,
    ) -> None:
        self.labels = labels
        self.deadline_ms = deadline_ms
        self.publish_margin_ms = publish_margin_ms
        self._reflex = reflex
        self._primary = primary
        self._slots = slots
        self.on_settled: Callable[[], None] = lambda: None
        self._requests: queue.SimpleQueue[Pending | None] = queue.SimpleQueue()
        self._hints: queue.Queue[Turn | None] = queue.Queue(maxsize=1)
        self._free = slots
        self._lock = threading.Lock()
        self._loaded = threading.Event()
        self._ended = threading.Event()  # the load will not be tried again
        self._closing = threading.Event()
        self._load_error: str | None = None
        self._last_error: str | None = None
        self._counts: Counter[str] = Counter()

    def start(self) -> None:
        """Begin to load the primary in the background; return at once."""
        if self._primary is None:
            self._loaded.set()
            self._ended.set()
            return
        for run in (self._load, self._hint, *[self._serve] * self._slots):
            threading.Thread(target=run, name=f"primary{run.__name__}", daemon=True).start()

    def wait_loaded(
        self,
        timeout_s: float,
        *,
        patient: bool = False,
        unless: Callable[[], bool] = lambda: False,
    ) -> None:
        """Wait until the primary is loaded.

        Args:
            timeout_s: how long, in seconds.
            patient: whether to wait through attempts that fail.
            unless: asked again and again; true ends the wait.

        Raises:
            TaggerError: it failed to load, did not in time, or the wait was ended.
        """
        event = self._ended if patient else self._loaded
        end = time.monotonic() + timeout_s
        while not event.wait(max(0.0, min(_LOOK_S, end - time.monotonic()))):
            if unless():
                raise TaggerError("the load of the primary tagger was not waited for any longer")
            if time.monotonic() >= end:
                break
        if not event.is_set() and self._load_error is None:
            raise TaggerError(
                f"primary tagger not loaded after {timeout_s:g} s; raise primary_load_timeout_s, "
                "or set require_primary to false to serve with the reflex meanwhile"
            )
        if self._load_error is not None:
            raise TaggerError(self._load_error)

    @property
    def load_error(self) -> str | None:
        """Why the primary could not load, so far; None while it first loads and when it has."""
        return self._load_error

    @property
    def loading(self) -> bool:
        """Whether the primary's load is still under way."""
        return not self._loaded.is_set()

    @property
    def last_error(self) -> str | None:
        """The primary's last failure to answer, without anybody's words."""
        return self._last_error

    @property
    def counts(self) -> dict[str, int]:
        """What happened so far: ``late_dropped``, ``primary_errors`` and ``reflex_errors``."""
        names = ("late_dropped", "primary_errors", "reflex_errors")
        with self._lock:
            return {name: self._counts[name] for name in names}

    def prefill(self, turn: Turn) -> None:
        """Hand a hint to the reflex, and to the primary if it is there; never raises, never waits.

        The primary's hints go through a thread of their own, the newest replacing one that was
        not handed over yet.
        """
        try:
            self._reflex.prefill(turn)
        except Exception as error:
            self._note_error("reflex_errors", error)
        if self._primary is None or self._load_error is not None or self.loading:
            return
        with contextlib.suppress(queue.Empty):
            self._hints.get_nowait()
        with contextlib.suppress(queue.Full):
            self._hints.put_nowait(turn)

    def submit(self, turn: Turn, received: float | None = None) -> Pending:
        """Begin to tag a reply.

        Args:
            turn: the reply in its turn.
            received: when the reply was received (``time.monotonic``); now, if not given.
        """
        received = time.monotonic() if received is None else received
        cutoff = received + (self.deadline_ms - self.publish_margin_ms) / 1000.0
        floor = self._ask_reflex(turn, cutoff)
        reason = self._why_not_primary(turn)
        if reason is not None:
            return Pending(turn, cutoff, Answer(floor, reason), final=True)
        pending = Pending(turn, cutoff, Answer(floor, Source.DEADLINE), final=False)
        self._requests.put(pending)
        return pending

    def tag(self, turn: Turn, received: float | None = None) -> Answer:
        """Tag one reply and wait for the answer, until the cut-off at most."""
        return self.submit(turn, received).wait()

    def close(self) -> None:
        """End the primary; pending replies keep the reflex's answer."""
        if self._primary is None:
            return
        self._closing.set()
        for _ in range(self._slots):
            self._requests.put(None)
        with contextlib.suppress(queue.Empty):
            self._hints.get_nowait()
        self._hints.put(None)
        self._primary.close()

    def _ask_reflex(self, turn: Turn, cutoff: float) -> Tag:
        try:
            return self._reflex.tag(turn, cutoff)
        except Exception as error:
            # A fault of ours; the face still gets its tag, and diagnostics the fault.
            self._note_error("reflex_errors", error)
            return Tag.neutral(self.labels, self._reflex.name)

    def _why_not_primary(self, turn: Turn) -> Source | None:
        """Return why the primary is not asked; None, and a slot taken, where it is."""
        if self._primary is None or not turn.reply:
            return Source.REFLEX
        if self._load_error is not None:
            return Source.ERROR
        if self.loading:
            return Source.LOADING
        with self._lock:
            if not self._free:
                return Source.OVERLOAD
            self._free -= 1
        return None

    def _load(self) -> None:
        assert self._primary is not None
        pause_s = _FIRST_PAUSE_S
        while not self._closing.is_set():
            try:
                self._primary.load()
            except TaggerUnreachableError as error:
                self._load_error = _explain(error)
            except BaseException as error:  # whatever it raises, the thread ends in order
                self._load_error = _explain(error)
                break
            else:
                self._load_error = None
                break
            self._loaded.set()
            self._closing.wait(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        self._loaded.set()
        self._ended.set()

    def _hint(self) -> None:
        assert self._primary is not None
        while (turn := self._hints.get()) is not None:
            try:
                self._primary.prefill(turn)
            except BaseException as error:  # a thread of ours must outlive SystemExit too
                self._note_error("primary_errors", error)

    def _serve(self) -> None:
        while (pending := self._requests.get()) is not None:
            self._ask(pending)
            with self._lock:
                self._free += 1
            self.on_settled()

    def _ask(self, pending: Pending) -> None:
        assert self._primary is not None
        try:
            tag = self._primary.tag(pending.turn, pending.cutoff)
            if not isinstance(tag, Tag) or tag.labels != self.labels:
                raise TagError(
                    f"tagger '{self._primary.name}' answered with a {type(tag).__name__} that is "
                    "not a Tag over the configured labels; mend the tagger"
                )
        except TaggerLoadingError:
            pending.fall_back(Source.LOADING)
        except TaggerBusyError:
            pending.fall_back(Source.OVERLOAD)
        except TaggerLateError:
            pass  # the cut-off is here, and with it the reflex's answer
        except BaseException as error:  # a thread of ours must outlive SystemExit too
            self._note_error("primary_errors", error)
            pending.fall_back(Source.ERROR)
        else:
            if not pending.settle(Answer(tag, Source.PRIMARY)):
                with self._lock:
                    self._counts["late_dropped"] += 1

    def _note_error(self, what: str, error: BaseException) -> None:
        with self._lock:
            self._counts[what] += 1
        self._last_error = _explain(error)


def _explain(error: BaseException) -> str:
    if isinstance(error, PikaEmotionError):
        return str(error)
    return f"{where(error)}, inside a tagger"
