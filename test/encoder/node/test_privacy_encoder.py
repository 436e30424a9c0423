"""The encoder's node and worker leave nobody's words anywhere."""

import os
import signal

import pytest
from canaries import SPOKEN, Room, found, found_in_processes
from encoder.training import PYTHON, make_base, some_rows, train
from ros import NodeProcess, Robot, until

from pika_emotion.deadline import Source

LOAD_S = 300.0
REPLY = "Right, xylophonecanary, khuỷu nghễnh 🦤🪗🫧!"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    base = make_base("bert", folder / "base")
    assert train(base, some_rows(folder, 80), folder / "out", "--epochs", 1) == 0
    return folder / "out"


def test_nobody_is_quoted_when_the_worker_crashes_either(model, tmp_path, monkeypatch):
    (tmp_path / "room").mkdir()
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")
    room = Room(tmp_path / "room", monkeypatch)
    params = {
        "tagger": "encoder", "encoder.model": str(model), "encoder.python": str(PYTHON),
        "encoder.threads": 1, "deadline_ms": 5000.0,
    }  # fmt: skip
    node = NodeProcess(room.folder, params=params, log_level="debug")
    try:
        with Robot(node) as robot:
            robot.wait_for_node(60.0)

            def values():
                for status in reversed(robot.statuses):
                    return {pair.key: pair.value for pair in status.values}
                return {}

            def converse():
                for words in SPOKEN:
                    robot.forget()
                    robot.child_says(words)
                    robot.pika_says(f"{REPLY} {words}")
                    robot.wait_for_tags(30.0)
                return Source(robot.rows[-1].tag.source)

            until(lambda: values().get("encoder: worker") == "ready", LOAD_S)
            until(lambda: converse() is Source.PRIMARY, LOAD_S)
            leaks = found_in_processes(node.process.pid)
            os.kill(int(values()["encoder: worker pid"]), signal.SIGABRT)
            until(lambda: values().get("encoder: worker restarts") == "1", LOAD_S)
            until(lambda: converse() is Source.PRIMARY, LOAD_S)
            shown = "\n".join(map(str, robot.statuses))
        assert node.end() == 0
    finally:
        node.close()
    assert "Fatal Python error: Aborted" in node.output
    assert {**leaks, **room.leaks()} == {}
    assert found(shown) == []
