import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pika_emotion import cli, examples, model
from pika_emotion.corpus import Row, data_hash, read_rows
from pika_emotion.dialogue import make_turn

sp = pytest.importorskip("scipy.sparse")
training = pytest.importorskip("pika_emotion.training")
heads = pytest.importorskip("pika_emotion.heads")
layer = pytest.importorskip("pika_emotion.layer")

DATA = Path(__file__).parent.parent / "data/dialogues"


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(layer, "MEMBERS", 2)
    monkeypatch.setattr(layer, "EPOCHS", 15)
    monkeypatch.setattr(heads, "EMOTION_STEPS", 8)
    monkeypatch.setattr(heads, "CELEBRATE_STEPS", 8)
    monkeypatch.setattr(heads, "MAX_ROWS", 5_000)


@pytest.fixture(scope="module")
def rows(labels):
    return read_rows([DATA / "train" / "quizzes.tsv"], labels)[:240]


def silent(line):
    pass


def test_training_learns_what_it_is_shown(quick, rows, labels):
    trained = training.train(rows, rows, labels, say=silent)
    measures = trained.card["dev"]
    most = max(sum(row.emotions[0] == name for row in rows) for name in labels.names)
    assert measures["emotion_primary"] > most / len(rows) + 0.1
    assert measures["celebrate_accuracy"] > 0.85


def test_the_same_data_gives_the_same_bytes(quick, rows, labels, tmp_path):
    for name in ("a.npz", "b.npz"):
        model.save(training.train(rows, rows[:40], labels, "d", silent), tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_the_card_says_where_the_model_comes_from(quick, rows, labels):
    card = training.train(rows, rows[:50], labels, "abc", silent).card
    assert card["format"] == model.FORMAT
    assert card["labels"] == list(labels.names)
    assert card["data_sha256"] == "abc"
    assert card["train"]["rows"] == len(rows)
    assert 0 < card["train"]["with_other_words"] < len(rows)
    assert card["dev"]["n"] == 50
    assert set(card["features"]["blocks"]) == set(training.features.BLOCKS)


def test_the_saved_model_answers_as_the_trained_one(quick, rows, labels, tmp_path):
    trained = training.train(rows, rows[:50], labels, say=silent)
    model.save(trained, tmp_path / "m.npz")
    loaded = model.load(tmp_path / "m.npz")
    for row in rows[:20]:
        assert loaded.predict(row.turn)[0] == pytest.approx(trained.predict(row.turn)[0], abs=1e-5)


def test_targets_share_weight_among_acceptable_labels(labels):
    turn = make_turn("", "", "Hi!")
    rows = [
        Row(turn, ("happy",), "no"),
        Row(turn, ("sad", "calm", "worry"), "yes"),
        Row(turn, ("idle", "calm"), "either"),
    ]
    data = examples.examples(rows, labels.names)
    at = labels.names.index
    share = examples.ACCEPTABLE_SHARE
    assert data.emotions.sum(axis=1) == pytest.approx(1)
    assert data.emotions[0, at("happy")] == 1
    assert data.emotions[1, at("sad")] == pytest.approx(1 - share)
    assert data.emotions[1, at("worry")] == pytest.approx(share / 2)
    assert data.judged.tolist() == [True, True, False]
    assert data.celebrate.tolist() == [0, 1, 0]


def test_turns_of_a_scenario_stay_in_one_part(rows, labels):
    data = examples.examples(rows, labels.names)
    parts = {}
    for row, fold in zip(rows, data.fold, strict=True):
        parts.setdefault(row.scenario, set()).add(int(fold))
    assert all(len(folds) == 1 for folds in parts.values())
    assert len(set.union(*parts.values())) == training.FOLDS


def test_a_copy_with_other_words_is_in_its_rows_part(rows, labels):
    bare = [replace(row, scenario="") for row in rows]  # a scene is known by its question
    copies = training.with_other_words(bare)[len(bare) :]
    assert any(copy.turn.question != copy.scene for copy in copies)
    assert {copy.scene for copy in copies} <= {row.scene for row in bare}


def test_either_rows_do_not_train_celebrate(quick, rows, labels):
    undecided = [
        replace(row, celebrate="either") if i % 5 == 0 else row for i, row in enumerate(rows)
    ]
    data = examples.examples(undecided, labels.names)

    def outward(celebrate):
        changed = replace(data, celebrate=celebrate.astype(np.float32))
        return training.fit(changed, labels.names, silent).outward

    as_it_is = outward(data.celebrate)
    assert np.array_equal(outward(np.where(data.judged, data.celebrate, 1)), as_it_is)
    assert not np.array_equal(outward(1 - data.celebrate), as_it_is)


def test_heads_learn_apart_what_was_asked_and_whether_it_was_right(labels):
    said = [
        ("What is two and two?", "Four, yes!", "yes", "right"),
        ("What is two and two?", "No, try again.", "no", "right"),
        ("Do you like red?", "Yes, lovely!", "no", "free"),
        ("", "Hello there.", "no", "nothing"),
        ("Spell cat.", "Good job!", "either", "right"),
    ]
    rows = [
        Row(make_turn(question, "hm", reply), ("happy",), celebrate, asks=asks)
        for question, reply, celebrate, asks in said
    ]
    data = examples.examples(rows, labels.names)
    assert data.task.tolist() == [1, 1, 0, 0, 1]
    assert data.asked.tolist() == [True, True, False, False, True]
    unsaid = examples.examples([replace(row, asks="") for row in rows], labels.names)
    assert unsaid.task.tolist() == [1, 0, 0, 0, 0]  # celebrate is all there is to go by
    assert unsaid.asked.all()
    by_name = {head.name: head.learns for head in heads.HEADS}
    assert by_name["question"] == "task"
    assert by_name["reply"] == "confirmed"
    # What the heads that learn of tasks and confirmations say follows the column.
    outputs = [heads.fit_heads(each).bias for each in (data, unsaid)]
    assert not np.allclose(*outputs)


def test_softmax_fit_recovers_the_shares_of_its_targets():
    inputs = sp.csr_matrix(np.array([[1.0, 0.0], [0.0, 1.0]]))
    targets = np.array([[0.7, 0.3], [0.2, 0.8]])
    weights = heads.fit_softmax(inputs, targets, 1e-6, 200)
    fitted = training.softmax(inputs @ weights[:-1] + weights[-1])
    assert fitted == pytest.approx(targets, abs=1e-3)


def test_the_layer_learns_what_no_linear_model_can():
    rng = np.random.default_rng(0)
    inputs = rng.choice([-1.0, 1.0], (400, 2)).astype(np.float32)
    both = (inputs[:, 0] * inputs[:, 1] > 0).astype(np.float32)
    emotions = np.stack([both, 1 - both], axis=1)
    task = layer.Task(
        inputs, np.zeros((400, 2), np.float32), emotions, both, *np.ones((2, 400), "f4")
    )
    fitted = layer.fit(task, 1)
    units = np.maximum(inputs @ fitted.inward + fitted.threshold, 0)
    logits = units @ fitted.outward + fitted.offset
    assert (logits[:, 0] > logits[:, 1]).tolist() == (both > 0).tolist()
    assert (logits[:, 2] > 0).tolist() == (both > 0).tolist()


def test_the_command_writes_a_model(quick, tmp_path, capsys, rows):
    data = tmp_path / "data"
    data.mkdir()
    lines = (DATA / "train" / "quizzes.tsv").read_text(encoding="utf-8").splitlines()[:160]
    (data / "some.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    out = tmp_path / "new" / "m.npz"
    arguments = ["train", "--data", str(data), "--dev", str(data / "some.tsv"), "--out", str(out)]
    assert cli.main([*arguments, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["data_sha256"] == data_hash([data / "some.tsv"] * 2)
    assert shown["bytes"] == out.stat().st_size
    assert shown["dev"]["n"] == 159
    assert cli.main(["info", str(out)]) == 0


def test_training_without_its_libraries_names_the_extra(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "scipy", None)
    for name in ("training", "heads"):
        monkeypatch.delitem(sys.modules, f"pika_emotion.{name}", raising=False)
    monkeypatch.delitem(sys.modules, "scipy.sparse", raising=False)
    monkeypatch.delitem(sys.modules, "scipy.optimize", raising=False)
    assert cli.main(["train", "--out", str(tmp_path / "m.npz")]) == 1
    assert "pip install '.[train]'" in capsys.readouterr().err


def test_a_handful_of_turns_is_enough_to_run(quick, labels):
    turn = make_turn("What is it?", "a dog", "Right, a dog!")
    few = [Row(turn, ("thats_right",), "yes"), Row(make_turn("", "", "Hi!"), ("happy",), "no")]
    scores, celebrate = training.train(few, few[1:], labels, say=silent).predict(turn)
    assert np.isfinite(scores).all()
    assert 0 <= celebrate <= 1


def test_missing_data_is_named(capsys, tmp_path):
    assert cli.main(["train", "--data", str(tmp_path / "none.tsv")]) == 1
    assert "none.tsv' cannot be read" in capsys.readouterr().err
