"""The node with an encoder as its users meet it: the installed program, DDS, a worker."""

import os
import signal
import time
from pathlib import Path

import pytest
from encoder.training import PYTHON, make_base, some_rows, train
from ros import NodeProcess, Robot, conversation, until

from pika_emotion.deadline import Source

CANARY = "xylophonecanary"
LOAD_S = 120.0
# What is tested is what happens, not how fast.
PATIENT_MS = 3000.0


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    base = make_base("bert", folder / "base")
    assert train(base, some_rows(folder, 80), folder / "out", "--epochs", 1) == 0
    return folder / "out"


@pytest.fixture
def meet(tmp_path, model):
    met = []

    def meet(**params):
        own = {
            "tagger": "encoder",
            "encoder.model": str(model),
            "encoder.python": str(PYTHON),
            "encoder.threads": 1,
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


def newest(robot):
    for status in reversed(robot.statuses):
        return {pair.key: pair.value for pair in status.values}
    return {}


def ready(robot):
    """Wait until the engine answers; return the diagnostics' values."""
    return until(lambda: (v := newest(robot)).get("encoder: worker") == "ready" and v, LOAD_S)


def source_of_one(robot):
    robot.forget()
    (tag,) = robot.say(("child", "con mèo"), ("pika", "Đúng rồi, con mèo!"))[-1:]
    return Source(tag.source)


def test_a_conversation_is_tagged_by_the_encoder_and_nobody_is_quoted(meet):
    node, robot = meet(deadline_ms=PATIENT_MS)
    values = ready(robot)
    assert values["encoder: provider"] == "cpu"
    assert values["encoder: cannot give"] == "none"
    tags = []
    for said in (*conversation(), ("child", CANARY), ("pika", f"{CANARY}!")):
        robot.forget()  # one by one: more at once than primary_slots would be overload
        tags += robot.say(said)
    assert len(tags) > 5
    assert {Source(tag.source) for tag in tags} == {Source.PRIMARY}
    assert {tag.tagger for tag in tags} == {"encoder"}
    values = until(lambda: (v := newest(robot)) and "encoder: tokens per reply" in v and v)
    assert CANARY not in str(values)
    assert node.end() == 0
    assert CANARY not in node.output


def test_a_worker_that_is_killed_costs_no_tag_and_comes_back(meet):
    _, robot = meet(deadline_ms=PATIENT_MS)
    os.kill(int(ready(robot)["encoder: worker pid"]), signal.SIGKILL)
    seen = set()
    end = time.monotonic() + LOAD_S
    while not (seen and Source.PRIMARY in seen):
        assert time.monotonic() < end, f"did not come back; seen {seen}"
        source = source_of_one(robot)
        if seen or source is not Source.PRIMARY:  # it may answer once before it dies
            seen.add(source)
        time.sleep(0.1)
    assert seen <= {Source.PRIMARY, Source.ERROR, Source.LOADING, Source.DEADLINE}


def test_cleanup_ends_the_worker(meet):
    node, robot = meet(deadline_ms=PATIENT_MS)
    pid = int(ready(robot)["encoder: worker pid"])
    assert robot.transition("deactivate")
    assert robot.transition("cleanup")
    until(lambda: not Path(f"/proc/{pid}").exists())
    assert robot.state == "unconfigured"
    assert node.process.poll() is None


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"encoder.model": "/no/such/folder"}, "encoder '/no/such/folder' is not a folder"),
        ({"encoder.model": "''"}, "encoder.model is empty"),
        ({"encoder.python": "''"}, "onnxruntime cannot be imported by interpreter"),
        ({"encoder.python": "/no/such/python"}, "interpreter '/no/such/python'"),
        ({"encoder.provider": "cuda"}, "encoder.provider 'cuda' is not in this onnxruntime"),
    ],
)
def test_what_is_missing_is_told_once_and_the_reflex_serves(meet, params, told):
    node, robot = meet(**params)
    _, status = robot.status(lambda v, s: told in s.message)
    assert status.level == b"\x02"
    assert source_of_one(robot) is Source.ERROR
    assert node.end() == 0
    assert node.output.count("the reflex answers instead of the primary") == 1
