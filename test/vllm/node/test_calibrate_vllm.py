"""Calibrating a model whose weights are random: it knows nothing, and its card must say so."""

import json
import subprocess
from pathlib import Path

import pytest

from pika_emotion import calibration
from pika_emotion.cli import main

ROOT = Path(__file__).resolve().parents[3]
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
SETTINGS = {
    "vllm.python": PYTHON,
    "vllm.enforce_eager": "true",
    "vllm.kv_cache_mb": 64,
    "vllm.dtype": "float32",
    "vllm.block_size": 32,
    "vllm.max_replies": 1,
}


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """The options that choose a tiny model, and a small part of the dev split."""
    folder = tmp_path_factory.mktemp("calibrate")
    script = ROOT / "scripts/make_tiny_checkpoint.py"
    subprocess.run([PYTHON, script, "phi3", "tiny", folder / "phi3"], check=True)
    lines = (ROOT / "data/dialogues/dev.tsv").read_text(encoding="utf-8").splitlines()
    data = folder / "dev.tsv"
    data.write_text("\n".join([lines[0], *lines[1::8]]) + "\n", encoding="utf-8")
    settings = {**SETTINGS, "vllm.model": folder / "phi3"}
    chosen = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    return ["--tagger", "vllm", *chosen], data


def test_a_model_that_knows_nothing_is_told_from_the_reflex_and_left_out(
    arguments, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    chosen, data = arguments
    assert main(["calibrate", *chosen, "--data", str(data), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    card = calibration.read(Path(shown["file"]))
    assert Path(shown["file"]).is_relative_to(tmp_path)
    assert card.worse_than_reflex(pooled=False).startswith("emotion_acceptable ")
    assert card.worse_than_reflex(pooled=True) == ""
    assert card.fit.pool_emotion.reflex > 0.8
    assert main(["tag", *chosen, "--pool", "--reply", "Đúng rồi, giỏi quá!", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tagger"] == "vllm+reflex"
