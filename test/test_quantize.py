"""The AWQ checkpoint: which turns are shown, what is refused, and the whole way on a tiny Phi-3.

The whole way needs llm-compressor: name an interpreter that has it in PIKA_QUANTIZE_PYTHON.
"""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from conftest import ROOT

from pika_emotion import quantize_process
from pika_emotion.cli import main
from pika_emotion.commands import quantize
from pika_emotion.corpus import read_rows
from pika_emotion.errors import ConfigError, ModelError

DEV = str(ROOT / "data/dialogues/dev.tsv")
PYTHON = os.environ.get("PIKA_QUANTIZE_PYTHON", "")
MAKER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import make_tiny_checkpoint as tiny
# Sizes that AWQ's groups of 128 divide, and the head size of Phi-3-mini.
tiny.make("phi3", tiny.Size(hidden=384, layers=2, heads=4, tokens=3000), Path(sys.argv[2]))
"""


def test_the_turns_shown_and_held_out_are_others_and_always_the_same(labels):
    rows = read_rows([DEV], labels)
    shown, held_out = quantize.choose(rows, 40, 20)
    assert (len(shown), len(held_out)) == (40, 20)
    assert not {row.turn for row in shown} & {row.turn for row in held_out}
    assert (shown, held_out) == quantize.choose(rows, 40, 20)
    assert len({row.scenario for row in shown}) > 20


def test_too_few_turns_are_refused(labels):
    rows = read_rows([DEV], labels)[:10]
    message = "--data has 10 turns, 8 to show and 3 to check are asked for; give more files"
    with pytest.raises(ConfigError, match=message):
        quantize.choose(rows, 8, 3)


@pytest.mark.parametrize("sizes", [(64, 256), (3072, 170)])
def test_a_model_whose_widths_are_no_groups_is_refused(sizes):
    config = SimpleNamespace(hidden_size=sizes[0], intermediate_size=sizes[1])
    with pytest.raises(ModelError, match=r"_size (64|170) of the model is no multiple of AWQ's"):
        quantize_process.check_sizes(config)


def test_phi_3_minis_widths_are_groups():
    quantize_process.check_sizes(SimpleNamespace(hidden_size=3072, intermediate_size=8192))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "{tmp}"), "is there already; name a new folder"),
        (("--out", "{tmp}/new", "--turns", "0"), "--turns 0 must be 1 or more"),
        (("--out", "{tmp}/new", "--turns", "600"), "--data has 615 turns, 600 to show and 64"),
        (("--out", "{tmp}/new", "--python", "/none"), "--python '/none' cannot be started (No"),
        (("--out", "{tmp}/new", "--python", "/bin/false"), "ended with exit code 1; see its out"),
    ],
)
def test_what_cannot_be_is_told(arguments, message, tmp_path, capsys):
    (tmp_path / "file").touch()
    given = [part.replace("{tmp}", str(tmp_path)) for part in arguments]
    assert main(["quantize", "--data", DEV, *given]) == 1
    assert message in capsys.readouterr().err


def test_an_interpreter_without_llm_compressor_is_told_with_the_remedy(tmp_path, capsys):
    blocked = tmp_path / "llmcompressor.py"
    blocked.write_text("raise ModuleNotFoundError('no', name='llmcompressor')\n")
    starter = tmp_path / "python"
    starter.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    starter.chmod(0o755)
    command = ["quantize", "--data", DEV, "--out", str(tmp_path / "new"), "--python", str(starter)]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert f"'{starter}' has no module 'llmcompressor'; make an environment" in error


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    if not PYTHON:
        pytest.skip("PIKA_QUANTIZE_PYTHON names no interpreter with llm-compressor")
    folder = tmp_path_factory.mktemp("quantize")
    command = [PYTHON, "-c", MAKER, str(ROOT / "scripts"), str(folder / "tiny")]
    subprocess.run(command, check=True, capture_output=True)
    rows = ["--turns", "8", "--check", "8", "--data", DEV, "--python", PYTHON]
    with (folder / "result").open("w") as result, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", result)
        model = ["--model", str(folder / "tiny"), "--out", str(folder / "awq")]
        assert main(["quantize", *model, *rows, "--json"]) == 0
    return folder / "awq", json.loads((folder / "result").read_text())


def test_a_tiny_phi_3_is_quantized_but_for_its_head(made):
    folder, result = made
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    (group,) = config["config_groups"].values()
    weights = group["weights"]
    assert (config["quant_method"], config["format"]) == ("compressed-tensors", "pack-quantized")
    assert (weights["num_bits"], weights["group_size"], weights["symmetric"]) == (4, 128, False)
    assert config["ignore"] == ["lm_head"]
    assert (folder / "tokenizer.json").exists()
    assert result["prompts"] == 8
    assert result["checked"] == 8


def test_how_far_the_answers_moved_is_told(made):
    # No bound: random weights have no answer that they are sure of, and move far.
    _, result = made
    assert 0 < result["kl_mean"] <= result["kl_max"]
    assert 0 <= result["same_answer"] <= 1
    assert result["bytes"] == (made[0] / "model.safetensors").stat().st_size
