"""The watch over the machine's own stalls."""

import os
import signal
import time
from pathlib import Path

import pytest

from pika_emotion.stalls import StallWatch, merged


@pytest.mark.parametrize(
    ("spans", "whole"),
    [
        ([], []),
        ([(3, 4), (1, 2)], [(1, 2), (3, 4)]),
        ([(1, 5), (2, 3)], [(1, 5)]),
        ([(1, 3), (2, 6), (6, 7)], [(1, 7)]),
    ],
)
def test_spans_that_overlap_are_one(spans, whole):
    assert merged(spans) == whole


def test_only_what_lies_within_counts():
    watch = StallWatch()
    watch.stalls = [(1.0, 2.0), (4.0, 4.5), (9.0, 9.5)]
    assert watch.within(1.5, 4.25) == pytest.approx(0.75)
    assert watch.within(2.0, 4.0) == 0.0
    assert watch.longest_s == 1.0


def sleepers():
    """Return the processes that this one has started and that still run."""
    lists = Path("/proc/self/task").glob("*/children")
    return {int(pid) for each in lists for pid in each.read_text(encoding="ascii").split()}


def begun(pids):
    """Whether each has bound itself to its core, which it does before it first sleeps."""
    cores = len(os.sched_getaffinity(0))
    return len(pids) == cores and all(len(os.sched_getaffinity(pid)) == 1 for pid in pids)


def asleep(before):
    """Wait for the sleepers to begin; return them."""
    end = time.monotonic() + 60
    while not begun(held := sleepers() - before) and time.monotonic() < end:
        time.sleep(0.1)
    return held


def test_ctrl_c_leaves_the_sleepers_to_their_bench(capfd):
    before = sleepers()
    with StallWatch():
        for pid in asleep(before):
            os.kill(pid, signal.SIGINT)
    assert capfd.readouterr().err == ""


def test_a_sleeper_that_is_held_up_tells_of_it():
    before = sleepers()
    with StallWatch() as watch:
        held = asleep(before)
        started = time.monotonic()
        for pid in held:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(0.3)
        for pid in held:
            os.kill(pid, signal.SIGCONT)
        ended = time.monotonic()
        time.sleep(0.2)
    assert watch.within(started, ended) > 0.2
    assert watch.longest_s > 0.2
    assert not sleepers() & held
