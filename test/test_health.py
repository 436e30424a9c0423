"""What diagnostics say: counts, percentiles, and the worst thing that is true or just was."""

import time

import pytest
from scripted.tagger import Scripted

from pika_emotion.deadline import DeadlineTagger, Source
from pika_emotion.dialogue import Turn
from pika_emotion.health import Health, Level, LossCounter, Report


@pytest.fixture
def health():
    health = Health()
    health.deadline_ms = 50.0
    return health


def report(health, tagger=None, state="active", cards=None, lost=0, **more):
    return health.report(state, tagger, cards or {}, lost, **more)


def test_a_node_that_has_done_nothing_is_well(health):
    assert report(health) == Report(
        Level.OK,
        "active",
        {
            "state": "active",
            **{
                f"tags {source}": "0"
                for source in ["PRIMARY", "REFLEX", "DEADLINE", "ERROR", "LOADING", "OVERLOAD"]
            },
            "deadline_ms": "50",
            "deadline misses": "0",
            "lost messages": "0",
        },
    )


def test_tags_are_counted_by_source_with_their_latencies(health):
    for latency_ms in range(1, 50):
        health.answered(Source.PRIMARY, latency_ms)
    health.answered(Source.DEADLINE, 50.0)
    health.waited(3.0)
    found = report(health)
    assert found.level is Level.OK  # 50 ms is not over the deadline
    assert found.values["tags PRIMARY"] == "49"
    assert found.values["tags DEADLINE"] == "1"
    assert found.values["latency p50 ms"] == "25.50"
    assert found.values["latency p99 ms"] == "49.51"
    assert found.values["queue wait p95 ms"] == "3.00"


def test_old_latencies_give_way(health):
    for latency_ms in [49.0] * 1000 + [1.0] * 1000:
        health.answered(Source.REFLEX, latency_ms)
    assert report(health).values["latency p99 ms"] == "1.00"


def test_a_missed_deadline_is_a_warning_once_and_counted_for_good(health):
    health.answered(Source.DEADLINE, 50.1)
    health.answered(Source.DEADLINE, 90.0)
    first, second = report(health), report(health)
    assert (first.level, first.summary) == (Level.WARN, "2 deadline misses")
    assert (second.level, second.summary) == (Level.OK, "active")
    assert second.values["deadline misses"] == "2"


def test_anything_counted_is_a_warning_with_its_name(health):
    health.count("publishers of incompatible QoS")
    found = report(health, lost=3)
    assert (found.level, found.summary) == (
        Level.WARN,
        "3 lost messages, 1 publishers of incompatible QoS",
    )
    health.count("publishers of incompatible QoS", 4)
    assert report(health, lost=5).summary == "2 lost messages, 4 publishers of incompatible QoS"


def test_losses_show_whether_they_were_numbered_or_told(health):
    health.count("lost messages", 2)
    assert report(health, lost=0).values["lost messages"] == "2"
    assert report(health, lost=7).values["lost messages"] == "7"


def test_cards_are_shown(health):
    assert report(health, cards={"reflex: model": "x"}).values["reflex: model"] == "x"


@pytest.fixture
def asked(labels, reflex):
    taggers = []

    def asked(does, times=0):
        tagger = DeadlineTagger(labels, reflex, Scripted(labels, does), deadline_ms=2000)
        taggers.append(tagger)
        tagger.start()
        if does != "never_loads":
            tagger._loaded.wait(5)
        for _ in range(times):
            tagger.tag(Turn("", "my secret", "Oh!"), time.monotonic())
        return tagger

    yield asked
    for tagger in taggers:
        tagger.close()


def test_what_was_counted_before_a_cleanup_is_not_forgotten(health, asked):
    first = asked("raises", times=2)
    assert report(health, first, lost=3).values["primary errors"] == "2"
    health.keep(first, 3)
    found = report(health, asked("raises", times=1), lost=1)
    assert (found.values["primary errors"], found.values["lost messages"]) == ("3", "4")
    assert found.summary == "1 lost messages, 1 primary errors"


def test_a_primary_that_loads_is_a_warning(health, asked):
    found = report(health, asked("never_loads"))
    assert (found.level, found.summary) == (Level.WARN, "primary is loading; the reflex answers")


def test_a_primary_that_cannot_load_is_an_error_with_the_remedy(health, asked):
    health.count("other")
    found = report(health, asked("fails_to_load"))
    assert found.level is Level.ERROR
    assert found.summary == "serving with the reflex: no GPU; set tagger to reflex"


def test_a_primary_that_answers_is_well(health, asked):
    found = report(health, asked("answers", times=2))
    assert (found.level, found.summary) == (Level.OK, "active")
    assert found.values["primary errors"] == found.values["late dropped"] == "0"
    assert "last primary error" not in found.values


def test_a_primary_that_fails_is_a_warning_that_repeats_nobodys_words(health, asked):
    tagger = asked("raises", times=3)
    found = report(health, tagger)
    assert (found.level, found.summary) == (Level.WARN, "3 primary errors")
    assert found.values["last primary error"].startswith("ValueError")
    assert "secret" not in str(found)
    assert report(health, tagger).level is Level.OK


def test_a_note_shows_while_there_is_nothing_worse(health):
    assert report(health, note="so it is").summary == "active; so it is"
    health.count("other")
    found = report(health, note="so it is")
    assert (found.level, found.summary) == (Level.WARN, "1 other")


def test_a_warning_stays_until_it_is_no_longer_given(health, asked):
    for _ in range(2):
        found = report(health, warning="worse than the reflex")
        assert (found.level, found.summary) == (Level.WARN, "worse than the reflex")
    found = report(health, asked("fails_to_load"), warning="worse than the reflex")
    assert found.level is Level.ERROR
    assert report(health).level is Level.OK


def test_a_late_primary_is_a_warning(health, asked):
    tagger = asked("late")
    tagger.deadline_ms = 100
    tagger.tag(Turn("", "", "Oh!"))
    end = time.monotonic() + 5
    while not tagger.counts["late_dropped"] and time.monotonic() < end:
        time.sleep(0.01)
    assert report(health, tagger).summary == "1 late dropped"


# Losses.


def losses(*numbers, publishers=1):
    counter = LossCounter()
    for number in numbers:
        counter.saw(number, lambda: publishers)
    return counter.lost


@pytest.mark.parametrize(
    ("numbers", "lost"),
    [
        ((), 0),
        ((1, 2, 3), 0),
        ((40, 41), 0),  # we came later than the publisher
        ((1, 2, 5, 6), 2),
        ((1, 3, 5), 2),
        ((7, 8, 1, 2), 0),  # the publisher was started again
        ((7, 8, 1, 4), 2),
        ((None, None), 0),  # a middleware that does not number
        ((0, 0), 0),
        ((1, None, 2), 0),
    ],
)
def test_one_publishers_losses_are_counted(numbers, lost):
    assert losses(*numbers) == lost


@pytest.mark.parametrize(
    ("numbers", "lost"),
    [
        ((1, 1, 2, 2, 3, 3), 0),
        ((1, 2, 1, 3, 2), 0),
        ((10, 50, 11, 51, 14, 52), 2),
        ((10, 50, 11, 53), 2),
    ],
)
def test_two_publishers_are_told_apart(numbers, lost):
    assert losses(*numbers, publishers=2) == lost


def test_a_publisher_that_left_is_forgotten():
    assert losses(1, 9, 2, publishers=2) == 0
    counter = LossCounter()
    for number, publishers in [(1, 2), (9, 2), (10, 1), (12, 1), (2, 1)]:
        counter.saw(number, lambda p=publishers: p)
    assert counter.lost == 1


def test_publishers_are_only_counted_where_numbers_do_not_go_on():
    counter = LossCounter()
    counter.saw(1, lambda: 1)

    def never():
        raise AssertionError

    counter.saw(2, never)
    counter.saw(None, never)
