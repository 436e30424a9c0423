"""From received messages to answers: one thread that pairs, tags and answers in order. No ROS.

Every reply that is put in comes out once, in the order of the replies, by its deadline.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from pika_emotion.deadline import Answer, DeadlineTagger, Pending
from pika_emotion.dialogue import Dialogue, Message, Role, merge

Publish = Callable[[Message, Answer], None]
Failed = Callable[[Exception], None]


class Pipeline:
    """Runs a dialogue through a deadline tagger.

    Args:
        dialogue: used by this pipeline's thread alone once started.
        tagger: started by the caller, and closed by the caller after ``stop``.
        publish: called for each reply with its answer, from the pipeline's thread.
        failed: called with what a message's handling or ``publish`` raised; the next goes on.
    """

    def __init__(
        self, dialogue: Dialogue, tagger: DeadlineTagger, publish: Publish, failed: Failed
    ) -> None:
        self._dialogue = dialogue
        self._tagger = tagger
        self._publish = publish
        self._failed = failed
        self._inbox: list[Message] = []
        self._pending: deque[tuple[Message, Pending]] = deque()
        self._wake = threading.Condition()
        self._rested = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="pipeline", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._tagger.on_settled = self._notify
        self._thread.start()

    def put(self, messages: Iterable[Message], patience_s: float = 0.0) -> None:
        """Take what the middleware had ready at one time; its source times give the order.

        Waits until it is dealt with, but for ``patience_s`` seconds at most: a caller that went
        on at once would compete with this pipeline's thread for Python's global lock.
        """
        with self._wake:
            self._inbox.extend(messages)
            self._rested.clear()
            self._wake.notify()
        self._rested.wait(patience_s)

    def stop(self) -> None:
        """Answer everything that was put in, then end; returns when that is done."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()
        self._tagger.on_settled = lambda: None

    @property
    def queued(self) -> int:
        """Messages and replies that are not dealt with yet."""
        return len(self._inbox) + len(self._pending)

    def _notify(self) -> None:
        with self._wake:
            self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._inbox:
                    self._rested.set()
                self._wake.wait_for(self._has_work, self._patience())
                batch, self._inbox = self._inbox, []
                done = self._stopping and not batch and not self._pending
            if done:
                return
            for message in merge(batch):
                self._guard(self._take, message)
                self._answer_ready()
            self._answer_ready()

    def _has_work(self) -> bool:
        head_ready = bool(self._pending) and self._pending[0][1].settled
        return bool(self._inbox) or head_ready or (self._stopping and not self._pending)

    def _patience(self) -> float | None:
        if not self._pending:
            return None
        return max(0.0, self._pending[0][1].cutoff - time.monotonic())

    def _take(self, message: Message) -> None:
        if message.role is Role.REPLY:
            turn = self._dialogue.pika_said(message.text, message.source_ns)
            self._pending.append((message, self._tagger.submit(turn, message.received_s)))
        elif message.role is Role.CHILD:
            self._tagger.prefill(self._dialogue.child_said(message.text, message.source_ns))
        else:
            self._tagger.prefill(self._dialogue.hint(message))

    def _answer_ready(self) -> None:
        while self._pending:
            message, pending = self._pending[0]
            if not pending.settled and time.monotonic() < pending.cutoff:
                return
            self._pending.popleft()
            self._guard(self._publish, message, pending.take())

    def _guard(self, act: Callable[..., None], *arguments: object) -> None:
        try:
            act(*arguments)
        except Exception as error:
            self._failed(error)
