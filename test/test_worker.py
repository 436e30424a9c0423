"""The worker process: real processes, real signals, and a scripted engine in them."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict

import pytest
from scripted.tagger import ENGINE, angry

from pika_emotion.deadline import DeadlineTagger, Source
from pika_emotion.dialogue import Turn
from pika_emotion.errors import (
    TagError,
    TaggerBusyError,
    TaggerError,
    TaggerLateError,
    TaggerLoadingError,
)
from pika_emotion.taggers.worker import WorkerTagger
from pika_emotion.taggers.worker_process import Worker

TURN = Turn("What is it?", "con mèo", "Đúng rồi, con mèo!")


@pytest.fixture
def make(labels):
    made = []

    def make(does, **options):
        options = {"stall_s": 1.0, "first_pause_s": 0.2, **options}
        tagger = WorkerTagger("scripted", ENGINE, {"does": does}, labels, **options)
        made.append(tagger)
        return tagger

    yield make
    for tagger in made:
        tagger.close()


def soon(seconds=10.0):
    return time.monotonic() + seconds


def until(condition, seconds=20.0):
    end = soon(seconds)
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def pid_of(tagger):
    return int(tagger.describe()["worker pid"])


def test_it_answers(make, labels):
    tagger = make("answers")
    tagger.load()
    assert tagger.tag(TURN, soon()) == angry(labels)
    assert tagger.describe()["worker"] == "ready"
    assert tagger.describe()["model"] == "scripted"
    tagger.prefill(TURN)
    assert tagger.tag(TURN, soon()) == angry(labels)


def test_requests_that_come_together_share_a_step(make):
    tagger = make("echoes", max_requests=64, stall_s=60.0)
    tagger.load()
    os.kill(pid_of(tagger), signal.SIGSTOP)
    shares, sent, send = [], [], tagger._send

    def send_and_tell(packet):
        send(packet)
        sent.append(packet)

    tagger._send = send_and_tell

    def ask():
        shares.append(round(100 * tagger.tag(TURN, soon(60.0)).celebrate))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: len(sent) == 8)
    os.kill(pid_of(tagger), signal.SIGCONT)
    for thread in threads:
        thread.join()
    assert shares == [8] * 8


@pytest.mark.parametrize(
    ("does", "error", "match"),
    [
        ("fails_to_load", TaggerError, "no GPU; set tagger to reflex"),
        ("crashes_loading", TaggerError, "ended with exit code 7"),
        ("raises_loading", TaggerError, "^RuntimeError in the engine$"),
        ("is_too_big", TaggerError, "the engine is out of memory; free some"),
    ],
)
def test_a_load_that_fails_says_why(make, does, error, match):
    with pytest.raises(error, match=match):
        make(does).load()


def test_an_interpreter_that_is_not_there_is_named(make):
    with pytest.raises(TaggerError, match="interpreter '/no/such/python'"):
        make("answers", python="/no/such/python").load()


def test_an_interpreter_that_ends_at_once_is_told(make, monkeypatch):
    from pika_emotion.taggers import worker_link

    spawn = worker_link._spawn

    def spawn_and_wait(*arguments):
        process = spawn(*arguments)
        process.wait(20)
        return process

    monkeypatch.setattr(worker_link, "_spawn", spawn_and_wait)
    with pytest.raises(TaggerError, match="ended with exit code 1; see its output above"):
        make("answers", python="/bin/false").load()


def test_settings_that_no_socket_takes_are_told(make):
    tagger = make("answers")
    tagger._settings["prompt"] = "x" * (8 << 20)
    with pytest.raises(TaggerError, match="cannot be told 8192 KiB at once; shorten the prompt"):
        tagger.load()


@pytest.mark.parametrize(
    ("does", "error", "match"),
    [
        ("raises", TaggerError, "^ValueError in the engine$"),
        ("refuses", TaggerError, "^RuntimeError in the engine$"),
        ("gives_nan", TagError, "nan from tagger 'scripted' is not a probability"),
        ("short", TagError, "16 scores for 17 labels"),
    ],
)
def test_an_answer_that_fails_says_why_and_quotes_nobody(make, does, error, match):
    tagger = make(does)
    tagger.load()
    for _ in range(2):  # the engine goes on after a fault
        with pytest.raises(error, match=match):
            tagger.tag(TURN, soon())


def test_what_an_engine_refuses_is_taken_out_of_it():
    class Refuses:
        def __init__(self):
            self.cancelled = []

        def submit(self, request_id, turn):
            raise RuntimeError(turn.child)

        def cancel(self, request_id):
            self.cancelled.append(request_id)

    engine = Refuses()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        order = {"do": "tag", "id": 7, "turn": asdict(TURN), "deadline": soon()}
        Worker(theirs, ENGINE)._obey(engine, order)
        assert engine.cancelled == [7]
        assert json.loads(ours.recv(4096)) == {"id": 7, "error": "RuntimeError in the engine"}


def test_what_changes_while_it_serves_is_told_and_ends_with_the_worker(make):
    tagger = make("on_gpu", first_pause_s=30.0)
    tagger.load()
    until(lambda: tagger.describe().get("gpu_memory_total_mb") == "16384")
    first = int(tagger.describe()["gpu_memory_held_mb"])
    assert tagger.tag(TURN, soon())
    until(lambda: int(tagger.describe()["gpu_memory_held_mb"]) > first)
    os.kill(pid_of(tagger), signal.SIGKILL)
    until(lambda: "gpu_memory_total_mb" not in tagger.describe())


def test_a_status_that_fails_is_left_out_and_stops_nothing(make, labels):
    tagger = make("status_fails")
    tagger.load()
    until(lambda: "gpu_memory_total_mb" in tagger.describe())
    until(lambda: "gpu_memory_total_mb" not in tagger.describe())
    assert tagger.tag(TURN, soon()) == angry(labels)
    assert tagger.describe()["worker restarts"] == "0"


def test_before_load_it_is_loading(make):
    with pytest.raises(TaggerLoadingError, match="not started"):
        make("answers").tag(TURN, soon())


def test_a_killed_worker_fails_at_once_and_is_replaced(make, labels):
    tagger = make("answers")
    tagger.load()
    first = pid_of(tagger)
    os.kill(first, signal.SIGKILL)
    until(lambda: tagger.describe()["worker restarts"] == "1")
    until(lambda: tagger.describe()["worker"] == "ready")
    assert pid_of(tagger) != first
    assert tagger.tag(TURN, soon()) == angry(labels)


def test_an_interpreter_that_goes_away_is_told_once(make, tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    tagger = make("answers", python=str(python), first_pause_s=0.05)
    tagger.load()
    python.unlink()
    os.kill(pid_of(tagger), signal.SIGKILL)
    until(lambda: int(tagger.describe()["worker restarts"]) >= 3)
    told = tagger.describe()["worker"]
    assert f"interpreter '{python}' (No such file or directory)" in told
    assert told.count("restarting in") <= 1


def test_a_worker_that_dies_while_asked_fails_the_request(make):
    tagger = make("dies", first_pause_s=30.0)
    tagger.load()
    with pytest.raises(TaggerError, match="died; it is restarted by itself"):
        tagger.tag(TURN, soon())
    until(lambda: "restarting in 30 s" in tagger.describe()["worker"])
    with pytest.raises(TaggerLoadingError, match="exit code 1"):
        tagger.tag(TURN, soon())


def test_pauses_between_restarts_grow(make):
    tagger = make("dies", first_pause_s=0.05)
    tagger.load()
    seen = []
    end = soon(30)
    while len(seen) < 3 and time.monotonic() < end:
        try:
            tagger.tag(TURN, soon())
        except TaggerError:
            text = tagger.describe()["worker"]
            if "restarting in" in text and text not in seen:
                seen.append(text)
        time.sleep(0.01)
    pauses = [float(text.split("restarting in ")[1].split()[0]) for text in seen]
    assert pauses == sorted(pauses)
    assert pauses[-1] > pauses[0]


def test_a_stopped_worker_is_late_and_answers_again_when_continued(make, labels):
    tagger = make("answers", stall_s=60.0)
    tagger.load()
    os.kill(pid_of(tagger), signal.SIGSTOP)
    with pytest.raises(TaggerLateError, match="before the deadline"):
        tagger.tag(TURN, soon(0.05))
    os.kill(pid_of(tagger), signal.SIGCONT)
    assert tagger.tag(TURN, soon()) == angry(labels)
    assert tagger.describe()["worker restarts"] == "0"


def test_a_worker_that_stays_stopped_is_replaced(make, labels):
    tagger = make("answers", stall_s=0.5)
    tagger.load()
    os.kill(pid_of(tagger), signal.SIGSTOP)
    with pytest.raises(TaggerLateError):
        tagger.tag(TURN, soon(0.05))
    until(lambda: tagger.describe()["worker restarts"] == "1")
    until(lambda: tagger.describe()["worker"] == "ready")
    assert tagger.tag(TURN, soon()) == angry(labels)


def test_a_worker_that_hangs_at_a_hint_is_replaced_however_many_follow(make, labels):
    tagger = make("answers", stall_s=0.5)
    tagger.load()
    os.kill(pid_of(tagger), signal.SIGSTOP)
    for _ in range(2000):  # more than a socket takes
        tagger.prefill(TURN)
    with pytest.raises(TaggerLateError):
        tagger.tag(TURN, soon(0.05))
    until(lambda: tagger.describe()["worker restarts"] == "1")
    until(lambda: tagger.describe()["worker"] == "ready")
    assert tagger.tag(TURN, soon()) == angry(labels)


def test_unanswered_requests_are_bounded(make):
    tagger = make("answers", stall_s=60.0, max_requests=3)
    tagger.load()
    os.kill(pid_of(tagger), signal.SIGSTOP)
    for _ in range(3):
        with pytest.raises(TaggerLateError):
            tagger.tag(TURN, soon(0.01))
    with pytest.raises(TaggerBusyError, match="3 unanswered requests"):
        tagger.tag(TURN, soon(0.01))


def test_a_worker_that_does_not_read_never_blocks_us(make):
    tagger = make("answers", stall_s=60.0, max_requests=10_000)
    tagger.load()
    os.kill(pid_of(tagger), signal.SIGSTOP)
    big = Turn("q" * 1200, "c" * 400, "r" * 1200)
    refusal = None
    for _ in range(1000):
        try:
            tagger.tag(big, soon(-1))
        except TaggerLateError:
            continue
        except TaggerBusyError as error:
            refusal = error
            break
    assert "does not read" in str(refusal)


def test_what_an_engine_prints_is_not_in_the_tools_own_output(make, capfd):
    make("prints").load()
    seen = capfd.readouterr()
    assert "chatter" not in seen.out
    assert "a library's chatter" in seen.err


@pytest.mark.parametrize("does", ["answers", "never_loads", "sleeps"])
def test_close_leaves_no_process(make, does):
    tagger = make(does, stall_s=60.0)
    loading = threading.Thread(target=lambda: _quietly(tagger.load))
    loading.start()
    until(lambda: tagger.describe()["worker pid"] != "none")
    if does == "sleeps":
        loading.join()
        with pytest.raises(TaggerLateError):
            tagger.tag(TURN, soon(0.05))
    pid = pid_of(tagger)
    tagger.close()
    loading.join(10)
    assert not loading.is_alive()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def _quietly(function):
    with contextlib.suppress(TaggerError):
        function()


def test_an_engine_in_a_thread_answers_the_same(make, labels):
    tagger = make("answers", isolation="thread")
    tagger.load()
    assert pid_of(tagger) == os.getpid()
    assert tagger.tag(TURN, soon()) == angry(labels)
    tagger.close()
    assert not any(thread.name == "engine" for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("does", "match"),
    [("fails_to_load", "no GPU; set tagger to reflex"), ("raises_loading", "^RuntimeError in")],
)
def test_an_engine_in_a_thread_says_why_it_cannot_load(make, does, match):
    with pytest.raises(TaggerError, match=match):
        make(does, isolation="thread").load()


def test_an_engine_in_a_thread_that_gives_itself_up_is_replaced(make, labels):
    tagger = make("gives_up", isolation="thread")
    tagger.load()
    with pytest.raises(TaggerError, match="died; it is restarted by itself"):
        tagger.tag(TURN, soon())
    until(lambda: tagger.describe()["worker restarts"] == "1")
    until(lambda: tagger.describe()["worker"] == "ready")


def test_a_stalled_engine_in_a_thread_is_told_and_not_doubled(make):
    tagger = make("naps", isolation="thread", stall_s=0.5, first_pause_s=0.1)
    tagger.load()
    with pytest.raises(TaggerLateError):
        tagger.tag(TURN, soon(0.05))
    until(lambda: "cannot be ended in isolation 'thread'" in tagger.describe()["worker"])
    assert sum(thread.name == "engine" for thread in threading.enumerate()) == 1
    until(lambda: tagger.describe()["worker"] == "ready", 40.0)


def test_what_answers_took_is_averaged(make):
    tagger = make("counts")
    tagger.load()
    for _ in range(2):
        tagger.tag(TURN, soon())
    assert tagger.counts == {"tokens": 1.5}
    assert tagger.describe()["tokens per reply"] == "1.5"


def test_the_worker_ends_with_its_parent(labels, tmp_path):
    program = (
        "import sys, time\n"
        "from pika_emotion.labels import load_labels\n"
        "from pika_emotion.taggers.worker import WorkerTagger\n"
        f"t = WorkerTagger('x', {ENGINE!r}, {{'does': 'answers'}}, load_labels())\n"
        "t.load()\n"
        "print(t.describe()['worker pid'], flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()

    def gone():
        try:
            with open(f"/proc/{pid}/stat") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
        except FileNotFoundError:
            return True

    until(gone)


@pytest.mark.parametrize("fault", ["holds_gil", "SIGKILL", "SIGSTOP"])
def test_the_deadline_holds_and_the_primary_comes_back(make, labels, reflex, fault):
    worker = make("holds_gil" if fault == "holds_gil" else "answers", stall_s=2.0)
    tagger = DeadlineTagger(labels, reflex, worker, deadline_ms=100)
    tagger.start()
    tagger.wait_loaded(30)
    if fault.startswith("SIG"):
        until(lambda: tagger.tag(TURN).source is Source.PRIMARY)
        os.kill(pid_of(worker), getattr(signal, fault))
    sources = set()
    longest = 0.0
    end = soon(30)
    while time.monotonic() < end:
        started = time.monotonic()
        source = tagger.tag(TURN).source
        longest = max(longest, time.monotonic() - started)
        if sources and source is Source.PRIMARY:
            break
        sources.add(source)
        time.sleep(0.02)
    assert source is Source.PRIMARY
    expected = {
        "holds_gil": {Source.DEADLINE},
        "SIGKILL": {Source.LOADING, Source.ERROR},
        "SIGSTOP": {Source.DEADLINE, Source.OVERLOAD, Source.LOADING, Source.ERROR},
    }[fault]
    assert sources - {Source.PRIMARY} <= expected
    assert longest < 1.0, "the fault's length came through"
