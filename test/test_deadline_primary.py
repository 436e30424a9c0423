"""The primary's load, which is tried again while its server does not serve, and its hints."""

import sys
import threading
import time

import pytest
from scripted.tagger import Scripted

from pika_emotion.deadline import DeadlineTagger, Source
from pika_emotion.dialogue import Turn
from pika_emotion.errors import TaggerError, TaggerUnreachableError

LONG_S = 60.0  # a wait that the test does not sit out unless something is broken


class Unreachable(Scripted):
    """Its server does not serve until it is let in; without a number, until ``serves`` is set."""

    def __init__(self, labels, failures=None):
        super().__init__(labels, "answers")
        self.serves = threading.Event()
        self.failures = failures

    def load(self):
        if self.failures is not None:
            self.failures -= 1
            if self.failures < 0:
                return
        elif self.serves.is_set():
            return
        raise TaggerUnreachableError("server does not serve; start it")


class Pauses(threading.Event):
    """Closing as ever, but nobody waits for it: the pauses between two attempts are kept."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def wait(self, timeout=None):
        self.asked.append(timeout)
        return self.is_set()


@pytest.fixture
def begin(labels, reflex):
    made = []

    def begin(primary, closing=None):
        tagger = DeadlineTagger(labels, reflex, primary, deadline_ms=20_000)
        made.append(tagger)
        if closing is not None:
            tagger._closing = closing
        tagger.start()
        return tagger

    yield begin
    for tagger in made:
        tagger.close()


def until(condition):
    end = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.001)


def loaded(tagger):
    tagger.wait_loaded(LONG_S)
    return tagger


def test_a_primary_that_loads_is_waited_for(begin, labels):
    tagger = begin(Scripted(labels, "answers"))
    tagger.wait_loaded(LONG_S)
    assert not tagger.loading
    assert tagger.load_error is None


def test_an_unreachable_server_is_told_at_once_and_tried_again(begin, labels):
    primary = Unreachable(labels)
    tagger = begin(primary)
    started = time.monotonic()
    with pytest.raises(TaggerError, match=r"^server does not serve; start it$"):
        tagger.wait_loaded(LONG_S)
    assert time.monotonic() - started < LONG_S / 2
    assert tagger.load_error == "server does not serve; start it"
    assert tagger.tag(Turn("", "", "Hi!")).source is Source.ERROR
    primary.serves.set()
    tagger.wait_loaded(LONG_S, patient=True)
    assert tagger.load_error is None
    assert tagger.tag(Turn("", "", "Hi!")).source is Source.PRIMARY


def test_the_pauses_between_attempts_double_up_to_half_a_minute(begin, labels):
    closing = Pauses()
    begin(Unreachable(labels, failures=8), closing).wait_loaded(LONG_S, patient=True)
    assert closing.asked == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_load_that_failed_for_good_ends_even_a_patient_wait(begin, labels):
    tagger = begin(Scripted(labels, "fails_to_load"))
    started = time.monotonic()
    with pytest.raises(TaggerError, match=r"^no GPU; set tagger to reflex$"):
        tagger.wait_loaded(LONG_S, patient=True)
    assert time.monotonic() - started < LONG_S / 2
    assert not tagger.loading


def test_a_load_that_takes_too_long_is_told_with_the_remedies(begin, labels):
    tagger = begin(Scripted(labels, "never_loads"))
    message = (
        r"^primary tagger not loaded after 0\.05 s; raise primary_load_timeout_s, "
        r"or set require_primary to false to serve with the reflex meanwhile$"
    )
    with pytest.raises(TaggerError, match=message):
        tagger.wait_loaded(0.05)
    assert tagger.loading


def test_a_wait_for_the_load_lasts_no_longer_than_it_may(begin, labels):
    tagger = begin(Scripted(labels, "never_loads"))
    started = time.monotonic()
    for _ in range(200):
        with pytest.raises(TaggerError, match="not loaded after 0 s"):
            tagger.wait_loaded(0.0)
    assert time.monotonic() - started < 10


def test_a_primary_that_hangs_does_not_keep_the_process(begin, labels):
    before = set(threading.enumerate())
    begin(Scripted(labels, "never_loads"))
    started = set(threading.enumerate()) - before
    assert {thread.name for thread in started} == {
        "primary_load",
        "primary_hint",
        "primary_serve",
    }
    assert all(thread.daemon for thread in started)


# Hints.


def test_a_primary_that_did_not_load_gets_no_hints(begin, labels):
    primary = Unreachable(labels)
    tagger = begin(primary)
    with pytest.raises(TaggerError):
        tagger.wait_loaded(LONG_S)
    tagger.prefill(Turn("", "too early", ""))
    until(tagger._hints.empty)
    primary.serves.set()
    tagger.wait_loaded(LONG_S, patient=True)
    now = Turn("", "in time", "")
    tagger.prefill(now)
    until(lambda: now in primary.hints)
    assert primary.hints == [now]


def test_a_reflex_that_fails_at_a_hint_keeps_no_hint_from_the_primary(begin, labels, reflex):
    told = []

    def prefill(turn):
        told.append(turn)
        raise ValueError("secret")

    reflex.prefill = prefill
    primary = Scripted(labels, "answers")
    tagger = loaded(begin(primary))
    hint = Turn("", "four", "")
    tagger.prefill(hint)
    until(lambda: primary.hints)
    assert told == primary.hints == [hint]
    assert tagger.counts["reflex_errors"] == 1
    assert tagger.last_error.startswith("ValueError at ")
    assert "secret" not in tagger.last_error


def test_a_primary_that_fails_at_hints_gets_the_next(begin, labels):
    class Fails(Scripted):
        def prefill(self, turn):
            super().prefill(turn)
            raise ValueError("secret")

    primary = Fails(labels, "answers")
    tagger = loaded(begin(primary))
    tagger.prefill(Turn("", "one", ""))
    until(lambda: tagger.counts["primary_errors"] == len(primary.hints) == 1)
    tagger.prefill(Turn("", "two", ""))
    until(lambda: tagger.counts["primary_errors"] == len(primary.hints) == 2)
    until(lambda: tagger.last_error is not None)
    assert tagger.last_error.startswith("ValueError at ")
    assert "secret" not in tagger.last_error


def test_hints_of_many_threads_at_once_raise_in_none(begin, labels):
    tagger = loaded(begin(Scripted(labels, "sleeps")))
    failed = []

    def hint():
        try:
            for number in range(300):
                tagger.prefill(Turn("", str(number), ""))
        except Exception as error:
            failed.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=hint) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failed == []


def test_hints_reach_the_primary_and_a_slow_one_is_not_waited_for(begin, labels):
    primary = Scripted(labels, "sleeps")
    tagger = loaded(begin(primary))
    started = time.monotonic()
    for number in range(50):
        tagger.prefill(Turn("", str(number), ""))
    assert time.monotonic() - started < 5
    until(lambda: primary.hints)
    assert len(primary.hints) == 1
