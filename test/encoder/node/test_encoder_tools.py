"""The encoder from labelled turns to tags, with the tools that its users have."""

import json
import shutil
from collections import Counter

import pytest
from encoder.training import PYTHON, make_base, some_rows, train

from pika_emotion import calibration
from pika_emotion.cli import main
from pika_emotion.corpus import read_rows
from pika_emotion.errors import TaggerError
from pika_emotion.labels import load_labels
from pika_emotion.taggers import encoder

ROWS = 200


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A trained encoder, and its train and dev files."""
    folder = tmp_path_factory.mktemp("encoder")
    files = some_rows(folder, ROWS)
    base = make_base("xlmr", folder / "base")
    assert train(base, files, folder / "out", "--epochs", 14, "--rate", 3e-3) == 0
    return folder / "out", files


def chosen(folder, *more):
    settings = {"encoder.model": folder, "encoder.python": PYTHON}
    given = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    return ["--tagger", "encoder", *given, *more]


def printed(capsys, *arguments):
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_it_has_learned_its_own_turns(made, labels, capsys):
    folder, (data, _) = made
    shown = printed(capsys, "evaluate", *chosen(folder), "--data", str(data))
    rows = read_rows([data], labels)
    assert shown["n"] == len(rows) == ROWS
    majority = Counter(row.emotions[0] for row in rows).most_common(1)[0][1] / len(rows)
    assert shown["emotion_primary"] > majority + 0.2
    judged = [row.celebrate for row in rows if row.celebrate != "either"]
    most = Counter(judged).most_common(1)[0][1] / len(judged)
    assert shown["celebrate_accuracy"] > most + 0.05


def test_what_is_served_is_what_the_card_measured(made, capsys):
    folder, (_, dev) = made
    card = json.loads((folder / "encoder.json").read_text("utf-8"))
    shown = printed(capsys, "evaluate", *chosen(folder), "--data", str(dev))
    for name in ("n", "emotion_primary", "emotion_acceptable", "celebrate_accuracy", "ece"):
        assert shown[name] == pytest.approx(card["dev"][name], abs=0.02), name
    told = card["agreement"]["model.onnx"]
    assert told["turns"] == 80
    assert told["same_emotion"] > 0.9


def test_one_turn_is_tagged(made, capsys):
    said = ["--question", "What is two and two?", "--child", "four", "--reply", "Four! Right!"]
    shown = printed(capsys, "tag", *chosen(made[0]), *said)
    assert shown["tagger"] == "encoder"
    assert sum(shown["scores"]) == pytest.approx(1.0)


def test_a_thread_of_the_nodes_interpreter_says_what_it_lacks(made, capsys):
    """The tree's own environment has no onnxruntime."""
    given = ["--set", f"encoder.model={made[0]}", "--set", "encoder.isolation=thread"]
    assert main(["tag", "--tagger", "encoder", *given, "--reply", "Hi"]) == 1
    assert "onnxruntime cannot be imported by interpreter" in capsys.readouterr().err


def test_its_calibration_card_is_found_again(made, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder, (_, dev) = made
    shown = printed(capsys, "calibrate", *chosen(folder), "--data", str(dev))
    model = json.loads((folder / "encoder.json").read_text("utf-8"))["files"]["model.onnx"]
    card = calibration.read(tmp_path / shown["file"])
    assert card.key.model == model["sha256"]
    assert card.tagger == "encoder"
    shown = printed(capsys, "tag", *chosen(folder, "--pool"), "--reply", "Giỏi quá!")
    assert shown["tagger"] == "encoder+reflex"


LABELS = """labels:
- {name: happy, description: pleased, group: warm, valence: 0.8, arousal: 0.5}
- {name: smug, description: too pleased, group: warm, valence: 0.3, arousal: 0.4}
"""


def test_another_label_file_gets_what_the_model_knows(made, tmp_path):
    (tmp_path / "labels.yaml").write_text(LABELS)
    (tmp_path / "none.yaml").write_text(LABELS.replace("happy", "bored"))
    settings = {p.name: p.default for p in encoder.PARAMETERS}
    settings.update({"encoder.model": str(made[0]), "encoder.python": str(PYTHON)})
    tagger = encoder.create(load_labels(tmp_path / "labels.yaml"), settings)
    tagger.load()
    assert tagger.describe()["cannot give"] == "smug"
    tagger.close()
    tagger = encoder.create(load_labels(tmp_path / "none.yaml"), settings)
    with pytest.raises(
        TaggerError, match="trained for none of the labels bored, smug but for happy"
    ):
        tagger.load()
    tagger.close()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (shutil.rmtree, "is not a folder; make one with"),
        (lambda folder: (folder / "encoder.json").unlink(), "is no encoder: encoder.json cannot"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json' cannot be read"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"short"), "model.onnx' is damaged"),
    ],
)
def test_a_folder_that_is_spoiled_is_told(made, tmp_path, spoil, told, capsys):
    folder = shutil.copytree(made[0], tmp_path / "copy")
    spoil(folder)
    assert main(["tag", *chosen(folder), "--reply", "Hi"]) == 1
    assert told in capsys.readouterr().err
