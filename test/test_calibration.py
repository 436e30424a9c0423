"""Calibration cards: made by the command, found by the node's tagger, refused where they differ."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT
from scripted.oracle import Oracle

from pika_emotion import calibration, taggers
from pika_emotion.calibration import Card, Fit, Key, Mix, Scale
from pika_emotion.cli import main
from pika_emotion.dialogue import Turn
from pika_emotion.errors import CalibrationError, TaggerError
from pika_emotion.labels import load_labels
from pika_emotion.tag import Tag
from pika_emotion.taggers import Tagger
from pika_emotion.taggers.calibrated import CalibratedTagger

DEV = str(ROOT / "data/dialogues/dev.tsv")
TURN = Turn("2+2?", "four", "Yes, four!")
ORACLE = ("--tagger", "scripted.oracle", "--set", f"oracle.data={DEV}")


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Run calibrate, once for each quality; return the card's file."""
    made = {}

    def make(*settings):
        if settings not in made:
            made[settings] = tmp_path_factory.mktemp("card") / "card.json"
            given = [part for setting in settings for part in ("--set", f"oracle.{setting}")]
            out = ("--out", str(made[settings]), "--json")
            assert main(["calibrate", *ORACLE, *given, "--data", DEV, *out]) == 0
        return made[settings]

    return make


@pytest.fixture(scope="module")
def real_reflex(labels):
    reflex = taggers.create("reflex", labels, {"reflex.model": ""})
    reflex.load()
    return reflex


@pytest.fixture
def load(labels, real_reflex):
    """Load an oracle with a card."""

    def load(place, pool=False, **oracle):
        told = {"data": DEV, "right": 1.0, "sure": 0.9, "model": "one", **oracle}
        settings = {"calibration": str(place), "pool": pool, "reflex.model": ""}
        tagger = CalibratedTagger(Oracle(labels, **told), real_reflex, labels, settings)
        tagger.load()
        return tagger

    return load


def card(labels, **changes):
    key = calibration.key_of(Oracle(labels, "", 1.0, 0.9, "one"), labels)
    flat = (0.0,) * len(labels)
    line = [0.5, 0.4, 0.6]
    metrics = dict.fromkeys(calibration.JUDGED_BY, line)
    values = {
        "tagger": "oracle",
        "key": key,
        "reflex": "0" * 64,
        "labels": labels.names,
        "fit": Fit(Scale(2.0, flat), Scale(2.0, (0.0,)), Mix(0.5, 1.0), Mix(0.5, 1.0)),
        "data": {"rows": 100, "scenarios": 10, "sha256": "", "threshold": 0.5},
        "metrics": dict.fromkeys(("tagger", "calibrated", "reflex", "pool"), metrics),
        "differences": {
            f"{who} - reflex": {name: [0.0, -0.1, 0.1] for name in calibration.JUDGED_BY}
            for who in ("calibrated", "pool")
        },
    }
    return Card(**{**values, **changes})


# The card's file.


def test_a_card_is_read_as_it_was_written(labels, tmp_path):
    file = tmp_path / "deep/er/card.json"
    calibration.write(card(labels), file)
    assert calibration.read(file) == card(labels)
    assert [found.name for found in file.parent.iterdir()] == ["card.json"]


def test_a_card_that_cannot_be_written_is_told(labels, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CalibrationError, match=r"cannot be written .*; name a file that can be"):
        calibration.write(card(labels), tmp_path / "file/card.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: None, "is no calibration card"),
        (lambda c: {**c, "format": "x"}, "is no calibration card; make one"),
        (lambda c: {**c, "version": 2}, "has version 2, this program reads 1; make one"),
        (lambda c: {k: v for k, v in c.items() if k != "key"}, "is damaged"),
        (lambda c: {**c, "key": {"model": "x"}}, "is damaged"),
        (lambda c: {**c, "labels": c["labels"][1:]}, "is damaged"),
        (lambda c: {**c, "differences": {}}, "is damaged"),
        (lambda c: {**c, "metrics": []}, "is damaged"),
        (lambda c: bent(c, "emotion", "temperature", 0), "is damaged"),
        (lambda c: bent(c, "emotion", "temperature", float("nan")), "is damaged"),
        (lambda c: bent(c, "celebrate", "prior", [0, 0]), "is damaged"),
        (lambda c: bent(c, "celebrate", "prior", ["x"]), "is damaged"),
        (lambda c: bent(c, "pool_emotion", "reflex", 1.5), "is damaged"),
        (lambda c: bent(c, "pool_celebrate", "sharpness", -1), "is damaged"),
    ],
)
def test_a_card_that_is_wrong_is_refused(labels, tmp_path, change, message):
    file = tmp_path / "card.json"
    calibration.write(card(labels), file)
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    with pytest.raises(CalibrationError, match=message):
        calibration.read(file)


def bent(card, part, name, value):
    return {**card, "fit": {**card["fit"], part: {**card["fit"][part], name: value}}}


def test_a_card_that_is_missing_or_no_json_is_refused(tmp_path):
    with pytest.raises(CalibrationError, match=r"cannot be read .No such file.*; make one with"):
        calibration.read(tmp_path / "none.json")
    (tmp_path / "bytes").write_bytes(b"\xff{")
    with pytest.raises(CalibrationError, match="is no JSON"):
        calibration.read(tmp_path / "bytes")


def test_cards_are_kept_in_the_users_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    key = Key("a", "b", "c")
    file = calibration.file_of("vllm", key)
    assert file == tmp_path / f"pika_emotion/calibration/vllm-{key.short}.json"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert str(calibration.folder()).endswith("/.local/share/pika_emotion/calibration")


# What a card belongs to.


class Told:
    name = "told"

    def __init__(self, **told):
        self._told = told

    def describe(self):
        return self._told


def test_the_key_is_what_the_tagger_tells_of_itself(labels):
    key = calibration.key_of(Told(model_sha256="m", prompt_sha256="p", model="x"), labels)
    assert (key.model, key.prompt) == ("m", "p")
    keys = {calibration.key_of(Told(model=m), labels) for m in ("a", "a", "b")}
    assert len(keys) == 2


def test_the_key_changes_with_the_labels_and_what_they_mean(labels, tmp_path):
    text = (ROOT / "config/labels.yaml").read_text()
    keys = {calibration.key_of(Told(), labels)}
    for number, change in enumerate([("noisy", "loud"), ("did not expect it", "a shock")]):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text.replace(*change))
        keys.add(calibration.key_of(Told(), load_labels(file)))
    assert len(keys) == len({key.short for key in keys}) == 3


# Applying it.


def test_a_temperature_takes_the_root_and_a_prior_multiplies(labels):
    prior = (math.log(3),) + (0.0,) * (len(labels) - 1)
    fit = Fit(Scale(2.0, prior), Scale(0.5, (math.log(2),)), Mix(0, 1), Mix(0, 1))
    scores = (0.36, 0.64) + (0.0,) * (len(labels) - 2)
    found = fit.calibrate(Tag(labels, scores, 0.8, "t"))
    assert found.scores[0] / found.scores[1] == pytest.approx(3 * 0.6 / 0.8)
    assert found.celebrate / (1 - found.celebrate) == pytest.approx(2 * 4**2)
    assert found.tagger == "t"


def test_a_pool_is_the_weighted_product(labels):
    flat = (0.0,) * len(labels)
    fit = Fit(Scale(1.0, flat), Scale(1.0, (0.0,)), Mix(0.25, 2.0), Mix(1.0, 1.0))
    rest = (0.0,) * (len(labels) - 2)
    one, two = Tag(labels, (0.8, 0.2, *rest), 0.9, "a"), Tag(labels, (0.1, 0.9, *rest), 0.3, "b")
    found = fit.pool(one, two)
    assert found.scores[0] / found.scores[1] == pytest.approx(4**1.5 * (1 / 9) ** 0.5)
    assert found.celebrate == pytest.approx(0.3)
    assert found.tagger == "a+b"


@pytest.mark.parametrize("celebrate", [0.0, 1.0])
def test_a_tagger_that_is_sure_stays_a_tag(labels, celebrate):
    sure = (1.0,) + (0.0,) * (len(labels) - 1)
    found = card(labels).fit.calibrate(Tag(labels, sure, celebrate, "t"))
    assert found.emotion == labels.names[0]
    assert 0 < found.celebrate < 1


# Taggers with cards.


def test_it_is_a_tagger_that_passes_everything_on(labels, load):
    tagger = load("none")
    assert isinstance(tagger, Tagger)
    tagger.prefill(TURN)
    assert tagger._tagger.hints == [TURN]
    assert tagger.tag(TURN, math.inf) == tagger._tagger.tag(TURN, math.inf)
    assert tagger.describe() == {"model": "one", "calibration": "off"}
    assert (tagger.warning, tagger.uncalibrated) == (None, False)
    tagger.close()
    assert tagger._tagger.closed


def test_without_a_card_it_answers_as_it_is_and_says_uncalibrated(load, tmp_path):
    tagger = load(tmp_path)
    told = tagger.describe()["calibration"]
    assert told.startswith("UNCALIBRATED: no card for this model, prompt and labels (oracle-")
    assert told.endswith("; make it with 'pika-emotion calibrate --tagger oracle'")
    assert tagger.uncalibrated
    assert tagger.warning is None
    assert tagger.tag(TURN, math.inf) == tagger._tagger.tag(TURN, math.inf)


def test_a_pool_without_a_card_is_a_warning(load, tmp_path):
    tagger = load(tmp_path, pool=True)
    assert tagger.warning.startswith("pool is not used; oracle is UNCALIBRATED: no card for")
    assert tagger.tag(TURN, math.inf).tagger == "oracle"


def test_a_card_of_another_model_or_labels_is_not_used(labels, load, tmp_path):
    file = tmp_path / "card.json"
    calibration.write(card(labels), file)
    assert load(file, right=0.5).uncalibrated is False  # how good it is does not show in its model
    assert "was made for other model;" in load(file, model="two").describe()["calibration"]
    other = replace(card(labels).key, labels="0", prompt="0")
    calibration.write(card(labels, key=other), file)
    assert "was made for other prompt, labels;" in load(file).describe()["calibration"]


def test_a_damaged_card_does_not_stop_the_tagger(load, tmp_path):
    (tmp_path / "card.json").write_text("{}")
    tagger = load(tmp_path / "card.json")
    assert "is no calibration card" in tagger.describe()["calibration"]
    assert tagger.tag(TURN, math.inf).tagger == "oracle"


def test_a_pool_with_another_reflex_is_not_used_but_the_temperature_is(labels, load, tmp_path):
    file = tmp_path / "card.json"
    calibration.write(card(labels), file)
    assert not load(file).uncalibrated
    assert "the card's pool was fitted with another reflex" in load(file, pool=True).warning


def test_a_fault_of_the_tagger_is_passed_on(labels, real_reflex):
    missing = taggers.create("no.such", labels, {})
    settings = {"calibration": "", "pool": False}
    with pytest.raises(TaggerError, match=r"no\.such"):
        CalibratedTagger(missing, real_reflex, labels, settings).load()


def test_what_is_no_tag_is_left_to_the_caller(labels, load, make):
    tagger = load(make("right=0.9"))
    tagger._tagger.tag = lambda turn, deadline: {"emotion": "angry"}
    assert tagger.tag(TURN, math.inf) == {"emotion": "angry"}


# The command.


def test_the_command_writes_a_card_that_the_tagger_finds_by_itself(load, tmp_path, capsys):
    shown = calibrate(capsys, "--out", str(tmp_path / "card.json"))
    assert shown["format"] == "pika_emotion calibration"
    assert shown["data"]["rows"] == 615
    for who in ("tagger", "calibrated", "reflex", "pool"):
        for value, low, high in shown["metrics"][who].values():
            assert low <= value + 1e-6
            assert value <= high + 0.02  # ECE is biased upwards in resamples
    key = Key(**shown["key"])
    (tmp_path / "card.json").rename(calibration.file_of("oracle", key, tmp_path))
    assert load(tmp_path).describe()["calibration"].startswith(f"oracle-{key.short}, temperature ")


def calibrate(capsys, *arguments):
    assert main(["calibrate", *ORACLE, "--data", DEV, *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_card_is_written_where_the_node_looks(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert main(["calibrate", *ORACLE, "--data", DEV]) == 0
    shown = capsys.readouterr().out
    (file,) = tmp_path.rglob("oracle-*.json")
    assert shown.endswith(f"written: {file}\n")
    assert "worse than the reflex: not significantly" in shown
    tag = ["tag", "--reply", "Yes!", "--tagger", "scripted.oracle", "--json"]
    assert main([*tag, "--pool"]) == 0
    assert json.loads(capsys.readouterr().out)["tagger"] == "oracle+reflex"
    assert main(tag) == 0
    assert json.loads(capsys.readouterr().out)["tagger"] == "oracle"


def test_a_tagger_that_guesses_is_significantly_worse_and_the_pool_leaves_it_out(make, load):
    file = make("right=0.1", "sure=0.8")
    found = calibration.read(file)
    assert found.fit.emotion.temperature > 3
    low, high = found.differences["pool - reflex"]["emotion_acceptable"][1:]
    assert low < 0 < high
    assert found.fit.pool_celebrate.reflex > 0.8
    worse = found.worse_than_reflex(pooled=False)
    assert worse.startswith("emotion_acceptable 0.")
    assert "95 % interval -0." in worse
    assert found.worse_than_reflex(pooled=True) == ""
    tagger = load(file, right=0.1, sure=0.8)
    assert tagger.warning.startswith("oracle is worse than the reflex on 615 turns: emotion_")
    assert tagger.warning.endswith("; use a better model, or set tagger to reflex or pool to true")
    assert load(file, pool=True, right=0.1, sure=0.8).warning is None


def test_a_tagger_that_knows_is_better_and_the_pool_follows_it(make, load):
    found = calibration.read(make("right=0.95"))
    assert found.worse_than_reflex(pooled=False) == ""
    assert found.differences["calibrated - reflex"]["emotion_primary"][1] > 0
    assert found.fit.pool_emotion.reflex < 0.6
    assert load(make("right=0.95"), right=0.95).warning is None


def test_a_middling_tagger_and_the_reflex_are_better_together(make):
    found = calibration.read(make("right=0.6", "sure=0.6"))
    for other in ("reflex", "calibrated"):
        assert found.differences[f"pool - {other}"]["emotion_nll"][2] < 0
    assert 0.05 < found.fit.pool_emotion.reflex < 0.95


def test_an_overconfident_tagger_is_made_honest(make, load):
    found = calibration.read(make("right=0.6", "sure=0.99"))
    assert found.metrics["tagger"]["ece"][0] > 0.3
    assert found.metrics["calibrated"]["ece"][0] < 0.1
    sure = load(make("right=0.6", "sure=0.99"), right=0.6, sure=0.99).tag(TURN, math.inf)
    assert sure.confidence < 0.8


def test_the_same_data_gives_the_same_card(capsys, tmp_path):
    first, second = (calibrate(capsys, "--out", str(tmp_path / name)) for name in "ab")
    assert {**first, "file": ""} == {**second, "file": ""}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tagger", "reflex", "--data", DEV), "--tagger reflex: 'pika-emotion train' calib"),
        (("--tagger", "scripted.oracle", "--data", "/none"), "data file '/none' cannot be read"),
        ((*ORACLE, "--data", DEV, "--out", "/proc/none/card"), "cannot be written"),
        ((*ORACLE, "--data", DEV, "--reflex", "/none.npz"), "model file '/none.npz' does not"),
    ],
)
def test_what_cannot_be_is_told(arguments, message, capsys):
    assert main(["calibrate", *arguments]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("threshold", ["nan", "75", "-1"])
def test_a_threshold_that_is_no_probability_is_told_first(threshold, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["calibrate", *ORACLE, "--data", "/none", f"--threshold={threshold}"])
    assert f"'{threshold}' is not a number from 0 to 1" in capsys.readouterr().err


def test_a_card_that_was_asked_for_must_fit(capsys):
    tag = ["tag", "--reply", "Yes!", "--tagger", "scripted.oracle"]
    for asked in (("--pool",), ("--calibration", str(Path(DEV).parent))):
        assert main([*tag, *asked]) == 1
        assert "UNCALIBRATED: no card" in capsys.readouterr().err
    assert main([*tag, "--calibration", "none"]) == 0
