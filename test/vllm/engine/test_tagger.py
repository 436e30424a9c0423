"""The tagger with the real engine behind it: a process or a thread, faults, and nobody's words."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from tiny import TURNS, settings

from pika_emotion.deadline import DeadlineTagger, Source
from pika_emotion.dialogue import Turn
from pika_emotion.errors import TaggerError
from pika_emotion.taggers import vllm

CANARY = "xylophonecanary"
LOAD_S = 300.0


@pytest.fixture
def make(checkpoints, labels):
    made = []

    def make(*more):
        tagger = vllm.create(labels, settings(checkpoints["phi3"], *more))
        made.append(tagger)
        return tagger

    yield make
    for tagger in made:
        tagger.close()


def soon(seconds=10.0):
    return time.monotonic() + seconds


def until(condition, seconds=LOAD_S):
    end = soon(seconds)
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.05)


def pid_of(tagger):
    return int(tagger.describe()["worker pid"])


def test_process_and_thread_give_the_same(make):
    process, thread = make(), make("vllm.isolation=thread")
    process.load()
    thread.load()
    assert pid_of(process) != os.getpid()
    assert pid_of(thread) == os.getpid()
    for turn in TURNS:
        one, other = process.tag(turn, soon()), thread.tag(turn, soon())
        assert one.scores == pytest.approx(other.scores, abs=1e-5)
        assert one.celebrate == pytest.approx(other.celebrate, abs=1e-5)
    assert process.counts["engine_steps"] == thread.counts["engine_steps"] == 1
    shown = process.describe()
    assert shown["engine_steps per reply"] == "1"
    assert float(shown["computed_tokens per reply"]) > 0
    thread.close()
    assert not any(t.name == "engine" for t in threading.enumerate())


def test_replies_that_come_together_share_a_step(make):
    tagger = make()
    tagger.load()
    os.kill(pid_of(tagger), signal.SIGSTOP)
    tags = []
    threads = [
        threading.Thread(target=lambda turn=turn: tags.append(tagger.tag(turn, soon(30))))
        for turn in TURNS[:4]
    ]
    for thread in threads:
        thread.start()
    until(lambda: len(tagger._requests) == 4)
    os.kill(pid_of(tagger), signal.SIGCONT)
    for thread in threads:
        thread.join()
    assert len(tags) == 4
    assert tagger.counts["engine_steps"] == 1


def test_nobodys_words_come_out(make, capfd):
    tagger = make()
    tagger.load()
    turn = Turn(f"q{CANARY}", f"c{CANARY}", f"r{CANARY}")
    tagger.prefill(turn)
    tagger.tag(turn, soon())
    with pytest.raises(TaggerError):
        tagger.tag(turn, soon(-1))
    shown = str(tagger.describe())
    tagger.close()
    out, err = capfd.readouterr()
    assert "warming up" in err
    assert CANARY not in out + err + shown


def test_close_leaves_no_process(make):
    tagger = make()
    tagger.load()
    pid = pid_of(tagger)
    children = _descendants(pid)
    tagger.close()
    for number in (pid, *children):
        until(lambda number=number: not os.path.exists(f"/proc/{number}"), 10)


def _descendants(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        children = [int(number) for number in file.read().split()]
    return [*children, *(number for child in children for number in _descendants(child))]


@pytest.mark.parametrize("fault", ["SIGKILL", "SIGSTOP"])
def test_the_deadline_holds_and_the_engine_comes_back(make, labels, reflex, fault):
    worker = make("vllm.stall_s=2.0")
    tagger = DeadlineTagger(labels, reflex, worker, deadline_ms=500)
    tagger.start()
    tagger.wait_loaded(LOAD_S)
    assert tagger.tag(TURNS[0]).source is Source.PRIMARY
    os.kill(pid_of(worker), getattr(signal, fault))
    longest, sources = 0.0, set()
    end = soon(LOAD_S)
    while time.monotonic() < end:
        started = time.monotonic()
        source = tagger.tag(TURNS[0]).source
        longest = max(longest, time.monotonic() - started)
        if source is Source.PRIMARY:
            break
        sources.add(source)
        time.sleep(0.1)
    assert source is Source.PRIMARY
    assert worker.describe()["worker restarts"] == "1"
    assert sources <= {Source.DEADLINE, Source.OVERLOAD, Source.LOADING, Source.ERROR}
    assert sources
    assert longest < 1.5, "the fault's length came through"
    tagger.close()


def test_an_interpreter_that_lacks_what_is_needed_is_told(make, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    python = tmp_path / "bare" / "bin" / "python"
    with pytest.raises(TaggerError, match="cannot import 'yaml'; set the tagger's python"):
        make(f"vllm.python={python}").load()
