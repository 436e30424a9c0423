"""Replies go in, answers come out: each once, in order, paired by the source times, by its end."""

import random
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import UTTERANCES, expected_pairs, messages_of
from scripted.tagger import Scripted, angry

from pika_emotion.deadline import DeadlineTagger, Source
from pika_emotion.dialogue import Dialogue, Message, Role, Turn
from pika_emotion.pipeline import Pipeline
from pika_emotion.tag import Tag


class Recorder:
    """A reflex that keeps the turns that it was asked about."""

    name = "reflex"

    def __init__(self, labels):
        self._labels = labels
        self.turns = []

    def prefill(self, turn):
        pass

    def tag(self, turn, deadline):
        self.turns.append(turn)
        return Tag.neutral(self._labels, self.name)


class Run:
    """A pipeline with what came out of it."""

    def __init__(self, labels, primary=None, **options):
        self.reflex = Recorder(labels)
        self.tagger = DeadlineTagger(labels, self.reflex, primary, **options)
        self.tagger.start()
        self.tagger._loaded.wait(5)
        self.out = []
        self.failures = []
        self.pipeline = Pipeline(Dialogue(), self.tagger, self._publish, self.failures.append)
        self.pipeline.start()
        self.put = self.pipeline.put

    def _publish(self, message, answer):
        self.out.append((message, answer, time.monotonic()))

    def stop(self):
        self.pipeline.stop()
        self.tagger.close()
        return [message for message, _, _ in self.out]

    @property
    def sources(self):
        return [answer.source for _, answer, _ in self.out]


def replies(count, received_s=None):
    received_s = time.monotonic() if received_s is None else received_s
    return [Message(Role.REPLY, f"reply {n}", n, received_s, str(n)) for n in range(count)]


@given(UTTERANCES, st.integers(1, 12), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_any_interleaving_of_what_was_queued_gives_the_pairs_that_the_times_say(
    labels, utterances, scale, chance
):
    messages = messages_of(utterances, scale)
    queued = chance.sample(messages, len(messages))
    run = Run(labels)
    run.put(queued)
    published = run.stop()
    assert published == [message for message in messages if message.role is Role.REPLY]
    assert run.reflex.turns == expected_pairs(messages)


@given(
    UTTERANCES, st.integers(1, 12), st.lists(st.integers(1, 5)), st.randoms(use_true_random=False)
)
@settings(deadline=None)
def test_a_conversation_that_comes_in_pieces_gives_the_same_pairs(
    labels, utterances, scale, sizes, chance
):
    messages = messages_of(utterances, scale)
    rest, run = list(messages), Run(labels)
    for size in [*sizes, len(rest)]:
        piece, rest = rest[:size], rest[size:]
        run.put(chance.sample(piece, len(piece)))
    published = run.stop()
    assert published == [message for message in messages if message.role is Role.REPLY]
    assert run.reflex.turns == expected_pairs(messages)


def test_what_an_executor_mixes_up_is_put_right(labels):
    # Measured: r1, t1, r2, t2 reached a busy executor as t1, r1, t2, r2.
    r1, t1, r2, t2 = messages_of(
        [(Role.REPLY, 1), (Role.CHILD, 1), (Role.REPLY, 1), (Role.CHILD, 1)], 1
    )
    run = Run(labels)
    run.put([t1, r1, t2, r2])
    assert run.stop() == [r1, r2]
    assert run.reflex.turns[1] == Turn("REPLY 0", "CHILD 1", "REPLY 2")


@pytest.mark.parametrize(
    "does", ["answers", "late", "sleeps", "raises", "dies", "garbage", "gives_nan", "fails_to_load"]
)
def test_whatever_the_primary_does_every_reply_comes_out_once_and_in_order(labels, does):
    run = Run(labels, Scripted(labels, does), deadline_ms=100)
    sent = replies(30)
    for message in sent:
        run.put([message])
    assert run.stop() == sent
    assert run.pipeline.queued == 0


class Waits(Scripted):
    """Answers about its first reply only after it has answered about another."""

    def __init__(self, labels):
        super().__init__(labels, "answers")
        self.other = threading.Event()

    def tag(self, turn, deadline):
        if turn.reply == "reply 0":
            assert self.other.wait(20)
        else:
            self.other.set()
        return super().tag(turn, deadline)


def test_a_reply_answered_early_waits_for_the_one_before(labels):
    run = Run(labels, Waits(labels), deadline_ms=20_000)
    sent = replies(2)
    run.put(sent)
    assert run.stop() == sent
    assert run.sources == [Source.PRIMARY] * 2
    assert [answer.tag for _, answer, _ in run.out] == [angry(labels)] * 2


def test_no_answer_is_given_up_before_its_cutoff_or_kept_after_it(labels):
    run = Run(labels, Scripted(labels, "sleeps"), deadline_ms=200, publish_margin_ms=20)
    sent = replies(1)
    run.put(sent)
    run.stop()
    ((_, answer, at_s),) = run.out
    assert answer.source is Source.DEADLINE
    assert 0.18 <= at_s - sent[0].received_s < 9  # the primary sleeps for 10


def test_a_primary_in_time_is_not_waited_out(labels):
    run = Run(labels, Scripted(labels, "answers"), deadline_ms=60_000)
    sent = replies(1)
    run.put(sent)
    run.stop()
    ((_, answer, at_s),) = run.out
    assert answer.source is Source.PRIMARY
    assert at_s - sent[0].received_s < 30


def test_a_reply_that_lay_in_the_queue_past_its_cutoff_is_answered_at_once(labels):
    run = Run(labels, Scripted(labels, "sleeps"), deadline_ms=60_000)
    run.put(replies(1, time.monotonic() - 100))
    run.stop()
    assert run.sources == [Source.DEADLINE]


def test_stop_answers_what_is_pending_and_nothing_is_needed_to_stop(labels):
    run = Run(labels)
    assert run.stop() == []
    run = Run(labels, Scripted(labels, "sleeps"), deadline_ms=300)
    sent = replies(6)
    run.put(sent)
    assert run.stop() == sent
    assert set(run.sources) == {Source.DEADLINE, Source.OVERLOAD}


def test_a_fault_while_one_is_published_is_told_and_the_next_goes_on(labels):
    run = Run(labels)
    publish, fault = run._publish, RuntimeError("the publisher is gone")

    def publish_or_fail(message, answer):
        if message.text == "reply 1":
            raise fault
        publish(message, answer)

    run.pipeline._publish = publish_or_fail
    sent = replies(3)
    run.put(sent)
    assert run.stop() == [sent[0], sent[2]]
    assert run.failures == [fault]


def test_many_writers_lose_nothing(labels):
    run = Run(labels)
    sent = replies(400)
    chance = random.Random(1)
    parts = [chance.sample(sent[start::4], 100) for start in range(4)]
    threads = [threading.Thread(target=lambda p=part: [run.put([m]) for m in p]) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out = run.stop()
    assert sorted(message.id for message in out) == sorted(message.id for message in sent)


def test_the_message_that_comes_out_is_the_one_that_went_in(labels):
    run = Run(labels)
    message = Message(Role.REPLY, "\x00 raw ", 7, 3.0, "id-1", 42, "head")
    run.put([message])
    assert run.stop() == [message]


def test_the_primary_is_hinted_at_each_transcript_and_partial(labels):
    primary = Scripted(labels, "answers")
    run = Run(labels, primary, deadline_ms=5000)
    steps = [
        (Message(Role.REPLY, "Q?", 1, time.monotonic()), None),
        (Message(Role.CHILD_PARTIAL, "fo", 2), Turn("Q?", "fo", "")),
        (Message(Role.CHILD, "four", 3), Turn("Q?", "four", "")),
        (Message(Role.REPLY_PARTIAL, "Ye", 4), Turn("Q?", "four", "Ye")),
    ]
    for message, hint in steps:
        run.put([message])
        end = time.monotonic() + 5
        while hint is not None and hint not in primary.hints and time.monotonic() < end:
            time.sleep(0.001)
    run.stop()
    assert primary.hints == [hint for _, hint in steps if hint is not None]
    assert len(run.out) == 1  # hints are never answered
