"""The encoder tagger without its libraries: settings, card, the cutting of turns, the command."""

import json
import sys
from dataclasses import replace

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from pika_emotion import foreign, taggers
from pika_emotion.cli import main
from pika_emotion.encoder import card as encoder_card
from pika_emotion.encoder import turns as encoder_turns
from pika_emotion.encoder.card import Calibration, Card
from pika_emotion.errors import ConfigError, ModelError, TaggerError
from pika_emotion.taggers import encoder

DEV = str(ROOT / "data/dialogues/dev.tsv")


def settings(*assignments):
    return taggers.settings_from_text("encoder", ["encoder.model=/some/encoder", *assignments])


@pytest.mark.parametrize(
    ("assignments", "match"),
    [
        (["encoder.isolation=jail"], "encoder.isolation 'jail' is not known; set process or thr"),
        (["encoder.provider=tpu"], "'tpu' is not known; set auto, cpu, cuda or tensorrt"),
        (["encoder.isolation=thread", "encoder.python=/x"], "has no use in isolation 'thread'"),
        (["encoder.max_tokens=8"], "max_tokens 8 leaves the texts no room; set 32 or more, or 0"),
        (["encoder.max_replies=0"], "out of range; set it from 1 to 64"),
    ],
)
def test_settings_that_cannot_work_are_refused(labels, assignments, match):
    with pytest.raises(ConfigError, match=match):
        encoder.create(labels, settings(*assignments))


def test_without_a_model_the_load_says_what_to_set(labels):
    tagger = taggers.create("encoder", labels, settings("encoder.model="))
    with pytest.raises(TaggerError, match=r"encoder.model is empty; set it to a folder that"):
        tagger.load()


def test_every_parameter_has_a_default_that_its_own_check_takes():
    for parameter in encoder.PARAMETERS:
        parameter.check(parameter.default)


def test_an_interpreter_without_onnxruntime_is_told_with_the_remedy(labels, tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('not here')\n")
    starter = tmp_path / "python"
    starter.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    starter.chmod(0o755)
    tagger = encoder.create(labels, settings(f"encoder.python={starter}"))
    with pytest.raises(TaggerError, match=r"onnxruntime cannot be imported .* 'make setup-enc"):
        tagger.load()


@pytest.fixture
def card(labels):
    return Card(
        labels=labels.names,
        base="base",
        pooling="mean",
        max_tokens=128,
        pad_id=1,
        data_sha256="0" * 64,
        files={"model.onnx": {"sha256": "a" * 64, "bytes": 1}},
        calibration=Calibration(1.5, 0.9, -0.1),
        train={"rows": 3},
        dev={"n": 1},
        agreement={},
        versions={},
    )


def test_a_card_is_read_as_it_was_written(card, tmp_path):
    encoder_card.write(card, tmp_path)
    assert encoder_card.read(tmp_path) == card


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"format": "x"}, "is no card of an encoder; make one with 'pika-emotion train-encoder'"),
        ({"version": 2}, "has version 2, this program reads 1; .* again"),
        ({"labels": ["happy"]}, "is damaged"),
        ({"max_tokens": "many"}, "is damaged"),
        ({"calibration": {"temperature": 0, "slope": 1, "offset": 0}}, "is damaged"),
        ({"calibration": {"temperature": 1, "slope": "nan", "offset": 0}}, "is damaged"),
        ({"calibration": {"temperature": 1}}, "is damaged"),
        ({"files": {"../model.onnx": {"sha256": "a" * 64}}}, "is damaged"),
        ({"files": {"model.onnx": {"sha256": "a"}}}, "is damaged"),
    ],
)
def test_a_card_that_is_wrong_is_refused(card, tmp_path, change, match):
    (tmp_path / encoder_card.FILE).write_text(json.dumps({**card.shown(), **change}))
    with pytest.raises(ModelError, match=match):
        encoder_card.read(tmp_path)


def test_a_card_that_lacks_a_part_is_refused(card, tmp_path):
    for name in card.shown():
        shown = {key: value for key, value in card.shown().items() if key != name}
        (tmp_path / encoder_card.FILE).write_text(json.dumps(shown))
        with pytest.raises(ModelError):
            encoder_card.read(tmp_path)


def test_a_folder_without_an_encoder_is_told(tmp_path):
    with pytest.raises(ModelError, match="is not a folder; make one with"):
        encoder_card.read(tmp_path / "none")
    with pytest.raises(ModelError, match=r"is no encoder: encoder.json cannot be read \(No such"):
        encoder_card.read(tmp_path)
    (tmp_path / encoder_card.FILE).write_bytes(b"\xff{")
    with pytest.raises(ModelError, match="is no JSON"):
        encoder_card.read(tmp_path)


def test_a_file_is_checked_against_the_card(card, tmp_path):
    with pytest.raises(ModelError, match=r"has no tokenizer.json"):
        encoder_card.checked(tmp_path, card, "tokenizer.json")
    with pytest.raises(ModelError, match=r"cannot be read \(No such file or directory\); copy the"):
        encoder_card.checked(tmp_path, card, "model.onnx")
    file = tmp_path / "model.onnx"
    file.write_bytes(b"weights")
    with pytest.raises(ModelError, match="is damaged: its SHA-256 begins with"):
        encoder_card.checked(tmp_path, card, "model.onnx")
    told = {"model.onnx": {"sha256": encoder_card.file_hash(file), "bytes": 7}}
    assert encoder_card.checked(tmp_path, replace(card, files=told), "model.onnx") == file


IDS = st.lists(st.integers(0, 9), max_size=60)


@given(IDS, IDS, IDS, st.integers(8, 100))
def test_a_turn_is_cut_to_its_room_and_no_more_than_it_must(question, child, reply, room):
    cut = encoder_turns.shorten(question, child, reply, room)
    whole = len(question) + len(child) + len(reply)
    assert sum(map(len, cut)) == min(room, whole)
    kept_question, kept_child, kept_reply = cut
    assert kept_question == question[len(question) - len(kept_question) :]
    assert kept_child == child[: len(kept_child)]
    tail = len(kept_reply) // 4 if len(kept_reply) < len(reply) else 0
    head = len(kept_reply) - tail
    assert kept_reply == reply[:head] + reply[len(reply) - tail :]
    assert len(kept_reply) >= min(len(reply), room // 2)
    assert len(kept_child) >= min(len(child), room // 4)


@given(st.lists(st.lists(st.integers(2, 9), min_size=1, max_size=70), min_size=1, max_size=5))
def test_a_batch_holds_every_row_and_has_a_length_that_is_warmed_up(rows):
    ids, mask = encoder_turns.batch(rows, 1, 70)
    assert ids.shape == mask.shape == (len(rows), ids.shape[1])
    assert ids.shape[1] in encoder_turns.lengths(70)
    for row, one, own in zip(rows, ids, mask, strict=True):
        assert one[own == 1].tolist() == row
        assert set(one[own == 0]) <= {1}


def test_the_lengths_end_with_the_greatest():
    assert encoder_turns.lengths(70) == [16, 32, 48, 64, 70]
    assert encoder_turns.lengths(64) == [16, 32, 48, 64]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "{tmp}"), "is there already; name a new folder"),
        (("--out", "{tmp}/new", "--epochs", "0"), "--epochs 0 must be 1 or more"),
        (("--out", "{tmp}/new", "--max-tokens", "8"), "--max-tokens 8 must be 32 or more"),
        (("--out", "{tmp}/new", "--rate", "0"), "--rate 0 must be above 0; 3e-5 is usual"),
        (("--out", "{tmp}/new", "--python", "/none"), "--python '/none' cannot be started (No"),
        (("--out", "{tmp}/new", "--python", "/bin/false"), "ended with exit code 1; see its out"),
        (("--out", "{tmp}/new", "--labels", "{tmp}/labels.yaml"), "unknown label"),
    ],
)
def test_what_cannot_be_is_told(arguments, message, tmp_path, capsys):
    (tmp_path / "labels.yaml").write_text(
        "labels:\n"
        "- {name: happy, description: x, group: a, valence: 0, arousal: 0}\n"
        "- {name: smug, description: x, group: a, valence: 0, arousal: 0}\n"
    )
    given_ones = [part.replace("{tmp}", str(tmp_path)) for part in arguments]
    command = ["train-encoder", "--base", "b", "--data", DEV, "--dev", DEV, *given_ones]
    assert main(command) == 1
    assert message in capsys.readouterr().err


def test_an_interpreter_without_the_libraries_is_told_with_the_remedy(tmp_path, capsys):
    for name in ("onnx", "torch"):
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('no', name='{name}')\n")
    starter = tmp_path / "python"
    starter.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    starter.chmod(0o755)
    command = ["train-encoder", "--base", "b", "--data", DEV, "--dev", DEV, "--out"]
    assert main([*command, str(tmp_path / "new"), "--python", str(starter)]) == 1
    error = capsys.readouterr().err
    assert f"'{starter}' has no module 'onnx'; run 'make setup-encoder' and name" in error


JOB = """
from pika_emotion.errors import ModelError
def obey(order):
    print("chatter")
    if order["do"] == "refuse":
        raise ModelError("refused; do otherwise")
    if order["do"] == "die":
        raise SystemExit(7)
    return {"sum": sum(order["numbers"])}
"""


@pytest.fixture
def ask(tmp_path, monkeypatch):
    (tmp_path / "some_job.py").write_text(JOB)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    return lambda **order: foreign.run(sys.executable, "some_job", order)


def test_a_job_in_another_process_answers_and_its_chatter_is_kept_apart(ask, capfd):
    assert ask(do="add", numbers=[1, 2]) == {"sum": 3}
    seen = capfd.readouterr()
    assert (seen.out, "chatter" in seen.err) == ("", True)


def test_a_job_that_refuses_or_dies_is_told(ask):
    assert ask(do="refuse") == {"error": "refused; do otherwise"}
    assert ask(do="die") == {"died": 7}
    assert foreign.run(sys.executable, "no_such_job", {}) == {"missing": "no_such_job"}
