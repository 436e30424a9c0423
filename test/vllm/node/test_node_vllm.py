"""The node with the real engine as its users meet it: the installed program, DDS, a worker."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from ros import NodeProcess, Robot, conversation, until

from pika_emotion.deadline import Source

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
CANARY = "xylophonecanary"
LOAD_S = 600.0
# A tiny model on a busy machine: what is tested is what happens, not how fast.
PATIENT_MS = 3000.0
DEADLINE_MS = 50.0


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "phi3"
    subprocess.run(
        [PYTHON, ROOT / "scripts" / "make_tiny_checkpoint.py", "phi3", "tiny", folder], check=True
    )
    return folder


@pytest.fixture
def meet(tmp_path, model):
    met = []

    def meet(**params):
        own = {
            "tagger": "vllm",
            "vllm.model": str(model),
            "vllm.python": str(PYTHON),
            "vllm.enforce_eager": True,
            "vllm.kv_cache_mb": 64,
            "vllm.dtype": "float32",
            "vllm.block_size": 32,
        }
        node = NodeProcess(tmp_path, params={**own, **params})
        robot = Robot(node)
        met.append((node, robot))
        robot.wait_for_node(60.0)
        return node, robot

    yield meet
    for node, robot in met:
        robot.__exit__(None, None, None)
        node.close()


def ready(robot):
    """Wait until the engine answers; return the diagnostics' values."""
    end = time.monotonic() + LOAD_S
    while time.monotonic() < end:
        values = newest(robot)
        if values.get("vllm: worker") == "ready":
            return values
        time.sleep(0.1)
    raise AssertionError("the engine did not load in time")


def newest(robot):
    for status in reversed(robot.statuses):
        return {pair.key: pair.value for pair in status.values}
    return {}


def source_of_one(robot):
    robot.forget()
    (tag,) = robot.say(("child", "con mèo"), ("pika", "Đúng rồi, con mèo!"))[-1:]
    return Source(tag.source), 1e3 * (tag.latency.sec + tag.latency.nanosec / 1e9)


def comes_back(robot, expected):
    """Ask until the engine answers again; return what was said meanwhile."""
    seen = set()
    end = time.monotonic() + LOAD_S
    while time.monotonic() < end:
        source, latency_ms = source_of_one(robot)
        assert latency_ms < PATIENT_MS, source
        if source is Source.PRIMARY and seen:
            assert seen <= expected
            return
        if source is not Source.PRIMARY:
            seen.add(source)
        time.sleep(0.1)
    raise AssertionError(f"the engine did not come back; seen {seen}")


def test_a_conversation_is_tagged_by_the_engine_and_nobody_is_quoted(meet):
    node, robot = meet(deadline_ms=PATIENT_MS)
    source, _ = source_of_one(robot)
    assert source is Source.LOADING
    values = ready(robot)
    assert values["vllm: device"]
    assert len(values["vllm: model_sha256"]) == 64
    robot.forget()
    said = conversation()[:40]
    for one in (*said, ("child", CANARY), ("pika", f"{CANARY} {CANARY}!")):
        tags = robot.say(one)  # one by one: replies that come all at once are an overload
    assert [Source(tag.source) for tag in tags] == [Source.PRIMARY] * len(tags)
    assert all(tag.tagger == "vllm" for tag in tags)
    assert all(abs(sum(tag.scores) - 1) < 1e-5 for tag in tags)
    values, _ = robot.status(lambda v, s: "vllm: engine_steps per reply" in v)
    shown = " ".join(p.key + p.value for s in robot.statuses for p in s.values)
    assert CANARY not in shown
    assert node.end() == 0
    assert CANARY not in node.output
    assert "warming up" in node.output


def test_cleanup_ends_the_worker(meet):
    node, robot = meet(deadline_ms=PATIENT_MS)
    pid = int(ready(robot)["vllm: worker pid"])
    assert robot.transition("deactivate")
    assert robot.transition("cleanup")
    until(lambda: not Path(f"/proc/{pid}").exists())
    assert robot.state == "unconfigured"
    assert node.process.poll() is None


@pytest.mark.parametrize("fault", ["SIGKILL", "SIGSTOP"])
def test_a_worker_that_dies_or_stops_costs_no_tag_and_comes_back(meet, fault):
    _, robot = meet(deadline_ms=500.0, **{"vllm.stall_s": 2.0})
    pid = int(ready(robot)["vllm: worker pid"])
    os.kill(pid, getattr(signal, fault))
    comes_back(robot, {Source.DEADLINE, Source.OVERLOAD, Source.LOADING, Source.ERROR})


def test_steps_of_a_second_cost_no_tag(meet, tmp_path):
    flag = tmp_path / "slow"
    _, robot = meet(tagger="scripted.slow_vllm", deadline_ms=500.0, **{"slow.while": str(flag)})
    ready(robot)
    until(lambda: source_of_one(robot)[0] is Source.PRIMARY)
    flag.touch()
    for _ in range(3):
        source, latency_ms = source_of_one(robot)
        assert source in (Source.DEADLINE, Source.OVERLOAD)
        assert latency_ms < 1000.0, "the step's length came through"
    flag.unlink()
    until(lambda: source_of_one(robot)[0] is Source.PRIMARY)


def test_a_load_that_never_ends_costs_no_tag(meet):
    node, robot = meet(tagger="scripted.slow_vllm", **{"slow.load": True})
    for _ in range(3):
        assert source_of_one(robot)[0] is Source.LOADING
    values, _ = robot.status(lambda v, s: v.get("vllm: worker") == "loading for ever")
    pid = int(values["vllm: worker pid"])
    assert node.end() == 0
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"vllm.model": "/no/such/folder"}, "'/no/such/folder' is not a folder"),
        ({"vllm.model": "''"}, "vllm.model is empty"),
        ({"vllm.python": "''"}, "vLLM is not installed for interpreter"),
        ({"vllm.python": "/no/such/python"}, "interpreter '/no/such/python'"),
    ],
)
def test_what_is_missing_is_told_once_and_the_reflex_serves(meet, params, told):
    node, robot = meet(**params)
    _, status = robot.status(lambda v, s: told in s.message)
    assert status.level == b"\x02"
    assert source_of_one(robot)[0] is Source.ERROR
    time.sleep(2.5)
    assert node.end() == 0
    assert node.output.count("the reflex answers instead of the primary") == 1
