"""The real engine leaves nobody's words anywhere and speaks with nobody."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from canaries import SPOKEN, Room, found, found_in_processes
from conftest import TEST
from ros import NodeProcess, Robot, until

from pika_emotion.deadline import Source
from pika_emotion.tokenizer import Tokenizer

ROOT = TEST.parent
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
ALONE = TEST / "scripted"
LOAD_S = 900.0  # in a fresh folder everything is compiled anew
PATIENT_MS = 5000.0
REPLY = "Right, xylophonecanary, khuỷu nghễnh 🦤🪗🫧!"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "phi3"
    subprocess.run(
        [PYTHON, ROOT / "scripts" / "make_tiny_checkpoint.py", "phi3", "tiny", folder], check=True
    )
    return folder


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONFAULTHANDLER", "1")
        patch.setenv("VLLM_LOGGING_LEVEL", "DEBUG")
        yield Room(tmp_path_factory.mktemp("room"), patch)


def values_of(robot):
    for status in reversed(robot.statuses):
        return {pair.key: pair.value for pair in status.values}
    return {}


def converse(robot):
    """Say all canaries; return who answered."""
    sources = set()
    for words in SPOKEN:
        robot.forget()
        robot.child_says(words)
        robot.pika_says(f"{REPLY} {words}")
        robot.wait_for_tags(30.0)
        sources |= {Source(row.tag.source) for row in robot.rows}
    return sources


def token_runs(model):
    """Four tokens in a row of each canary, as a list of them is printed."""
    tokenizer = Tokenizer(model)
    for words in SPOKEN:
        ids = [str(token) for token in tokenizer.encode(words)]
        for start in range(len(ids) - 3):
            yield re.compile(r"[,\s]+".join(ids[start : start + 4]) + r"\b")


def test_whatever_happens_to_the_engine_nobody_is_quoted(room, model, tmp_path):
    flag = tmp_path / "break"
    params = {
        "tagger": "scripted.breaking_vllm", "breaking.on": str(flag), "deadline_ms": PATIENT_MS,
        "vllm.model": str(model), "vllm.python": str(PYTHON), "vllm.enforce_eager": True,
        "vllm.kv_cache_mb": 64, "vllm.dtype": "float32", "vllm.block_size": 32,
    }  # fmt: skip
    node = NodeProcess(room.folder, params=params, log_level="debug")
    try:
        with Robot(node) as robot:
            robot.wait_for_node(60.0)
            assert converse(robot) == {Source.LOADING}
            until(lambda: values_of(robot).get("vllm: worker") == "ready", LOAD_S)
            until(lambda: Source.PRIMARY in converse(robot), LOAD_S)
            flag.touch()
            until(lambda: Source.ERROR in converse(robot), LOAD_S)
            until(lambda: "RuntimeError in the engine" in str(values_of(robot)))
            leaks = found_in_processes(node.process.pid)
            os.kill(int(values_of(robot)["vllm: worker pid"]), signal.SIGSEGV)
            converse(robot)
            until(lambda: values_of(robot).get("vllm: worker restarts") == "1", LOAD_S)
            shown = "\n".join(map(str, robot.statuses))
        assert node.end() == 0
    finally:
        node.close()
    assert "Dumping scheduler output" in node.output  # vLLM told of the fault what it tells
    assert {**leaks, **room.leaks()} == {}
    assert found(shown) == []
    for run in token_runs(model):
        assert not run.search(node.output + shown)
    assert not list(Path.cwd().iterdir()), "a core file"
    assert not list(room.folder.rglob("usage_stats.json"))


def test_the_engine_listens_to_nobody_and_calls_nobody(room, model):
    isolated = ["unshare", "--net", "--mount", "--uts", "sh", str(ALONE / "alone.sh")]
    if subprocess.run([*isolated, "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs root, iproute2 and the right to make a network of its own")
    script = [ROOT / ".venv/bin/python", ALONE / "alone.py", model, PYTHON]
    environment = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{ROOT}"}
    done = subprocess.run(
        [*isolated, *map(str, script)], check=True, capture_output=True, text=True,
        env=environment, timeout=LOAD_S,
    )  # fmt: skip
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["sent_on_purpose"] > 0
    assert (told["sockets"], told["sent"]) == ([], 0)
