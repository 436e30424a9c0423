"""A circuit breaker: a server that fails again and again is left alone for a while."""

import time

from pika_emotion.errors import TaggerBusyError, TaggerError

MOST_FAILURES = 3
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0


class Breaker:
    """Counts failures in a row; opens after ``MOST_FAILURES``, with pauses that double.

    While it is open nothing is asked. Whoever asked when it opened tries the server again after
    ``pause_s`` seconds, and says how that went. Used by one thread alone, but for ``check``.
    """

    def __init__(self) -> None:
        self.pause_s = FIRST_PAUSE_S
        self._failures = 0
        self._reason: TaggerError | None = None
        self._until = 0.0

    @property
    def open(self) -> bool:
        """Whether the server is left alone."""
        return self._reason is not None

    def check(self) -> None:
        """Raise what opened the breaker, if it is open.

        Raises:
            TaggerBusyError: the server said that it has too much to do.
            TaggerError: it failed.
        """
        reason = self._reason
        if reason is not None:
            kind = TaggerBusyError if isinstance(reason, TaggerBusyError) else TaggerError
            wait_s = max(0.0, self._until - time.monotonic())
            raise kind(f"{reason}; it is tried again by itself in {wait_s:.1f} s")

    def succeeded(self) -> None:
        """Take in an answer: all is well again."""
        self._failures = 0
        self._reason = None
        self.pause_s = FIRST_PAUSE_S

    def failed(self, reason: TaggerError, pause_s: float | None = None) -> bool:
        """Take in a failure; return whether the breaker is open now.

        Args:
            reason: what the server did.
            pause_s: how long it asked to be left alone, if it did; opens at once.
        """
        self._failures += 1
        if self._reason is not None:  # it was tried again, in vain
            self.pause_s = min(2 * self.pause_s, LONGEST_PAUSE_S)
        if pause_s is not None:
            self.pause_s = min(max(pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        if pause_s is not None or self._failures >= MOST_FAILURES or self._reason is not None:
            self._reason = reason
            self._until = time.monotonic() + self.pause_s
        return self.open
