import json
import sys
from pathlib import Path

import pytest

from pika_emotion import cli, evaluation
from pika_emotion.corpus import Row
from pika_emotion.dialogue import make_turn
from pika_emotion.tag import Tag

ROW = Row(make_turn("", "", "Hi!"), ("happy",), "no")


def row(emotions, celebrate="no"):
    return Row(ROW.turn, tuple(emotions.split(",")), celebrate)


@pytest.fixture
def tag(labels):
    def tag(emotion, confidence=0.9, celebrate=0.0):
        rest = (1 - confidence) / (len(labels) - 1)
        scores = tuple(confidence if name == emotion else rest for name in labels.names)
        return Tag(labels, scores, celebrate, "test")

    return tag


def measure(rows, tags, times_ms=(1.0,), threshold=0.5):
    return evaluation.measure("test", rows, tags, times_ms, threshold)


def test_emotion_counts_primary_and_acceptable(tag):
    rows = [row("happy,proud"), row("happy,proud"), row("sad"), row("idle,calm")]
    tags = [tag("happy"), tag("proud"), tag("angry"), tag("calm")]
    measures = measure(rows, tags)
    assert measures.n == 4
    assert measures.emotion_primary == 0.25
    assert measures.emotion_acceptable == 0.75


def test_macro_f1_is_over_the_labels_that_are_primary_somewhere(tag):
    rows = [row("happy"), row("happy"), row("sad"), row("sad")]
    tags = [tag("happy"), tag("sad"), tag("sad"), tag("angry")]
    # happy: precision 1, recall 1/2, so 2/3; sad: 1/2 and 1/2; angry is nobody's primary label
    assert measure(rows, tags).emotion_macro_f1 == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_celebrate_leaves_out_the_either_rows(tag):
    rows = [row("happy", c) for c in ("yes", "yes", "yes", "no", "no", "either", "either")]
    tags = [tag("happy", celebrate=c) for c in (0.9, 0.5, 0.1, 0.7, 0.2, 0.9, 0.1)]
    measures = measure(rows, tags)
    assert measures.celebrate_n == 5
    assert measures.celebrate_accuracy == pytest.approx(3 / 5)
    assert measures.celebrate_precision == pytest.approx(2 / 3)
    assert measures.celebrate_recall == pytest.approx(2 / 3)
    assert measures.either_yes_rate == 0.5
    assert measure(rows, tags, threshold=0.8).celebrate_precision == 1.0


def test_a_share_of_nothing_is_null_in_json(tag):
    shown = measure([row("happy", "no")], [tag("happy")]).shown()
    assert shown["celebrate_precision"] is None
    assert shown["celebrate_recall"] is None
    assert shown["either_yes_rate"] is None
    assert json.loads(json.dumps(shown, allow_nan=False))["celebrate_accuracy"] == 1.0


def test_the_names_are_the_contract(tag):
    assert list(measure([row("sad")], [tag("sad")], [1.0, 3.0]).shown()) == [
        "tagger", "n", "emotion_primary", "emotion_acceptable", "emotion_macro_f1",
        "celebrate_n", "celebrate_accuracy", "celebrate_precision", "celebrate_recall",
        "either_yes_rate", "ece", "latency_ms",
    ]  # fmt: skip


def test_latency_is_in_percentiles(tag):
    times = [float(t) for t in range(1, 102)]
    assert measure([row("sad")], [tag("sad")], times).latency_ms == {"p50": 51.0, "p99": 100.0}


def test_calibration_error_is_the_weighted_gap():
    # one bin of three at 0.95 with one right, one of one at 0.35 that is wrong
    error = evaluation.calibration_error([0.95, 0.95, 0.95, 0.35], [True, False, False, False])
    assert error == pytest.approx(0.75 * (0.95 - 1 / 3) + 0.25 * 0.35)


def test_full_confidence_is_in_the_last_bin():
    (only,) = evaluation.calibration_bins([1.0, 0.95], [True, True])
    assert (only.n, only.right) == (2, 1.0)


def test_label_scores_count_what_was_acceptable(tag):
    rows = [row("happy,proud"), row("sad"), row("proud")]
    scores = {s.label: s for s in evaluation.label_scores(rows, [tag("proud")] * 3)}
    assert (scores["proud"].rows, scores["proud"].given) == (1, 3)
    assert scores["proud"].acceptable == pytest.approx(2 / 3)
    assert scores["proud"].precision == pytest.approx(1 / 3)
    assert scores["proud"].recall == 1.0
    assert scores["happy"].f1 == 0.0


def test_contrast_scores_are_of_whole_pairs(tag):
    def turn(celebrate, contrast):
        return Row(ROW.turn, ("happy",), celebrate, contrast=contrast)

    rows = [turn(c, n) for n in ("news:1", "news:2", "path:1") for c in ("yes", "no")]
    rows += [turn("yes", "idea:1"), row("happy", "yes")]  # half a pair, and none
    tags = [tag("happy", celebrate=c) for c in (0.9, 0.1, 0.9, 0.9, 0.1, 0.9, 0.9, 0.9)]
    news, path = evaluation.contrast_scores(rows, tags, 0.5)
    assert (news.kind, news.pairs, news.both, news.missed, news.false) == ("news", 2, 0.5, 0, 0.5)
    assert (path.kind, path.pairs, path.both, path.missed, path.false) == ("path", 1, 0, 1, 1)


@pytest.fixture
def data(tmp_path):
    file = tmp_path / "turns.tsv"
    file.write_text(
        "question\tchild\treply\temotions\tcelebrate\n"
        "What is it?\ta dog\tRight, a dog!\tthats_right\tyes\n"
        "\t\tHello my friend!\thappy\tno\n",
        encoding="utf-8",
    )
    return file


def test_the_command_prints_json(data, capsys):
    assert cli.main(["evaluate", "--data", str(data), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["tagger"], shown["n"], shown["either_yes_rate"]) == ("reflex", 2, None)


def test_the_commands_json_has_intervals_labels_and_contrasts(capsys, labels):
    dev = Path(__file__).parent.parent / "data/dialogues/dev.tsv"
    assert cli.main(["evaluate", "--data", str(dev), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    for name in ("emotion_acceptable", "celebrate_precision", "celebrate_recall", "ece"):
        low, high = shown["intervals"][name]
        assert low < high
        assert name == "ece" or low <= shown[name] <= high  # resampling adds to an error
    assert [each["label"] for each in shown["by_label"]] == list(labels.names)
    assert {each["kind"] for each in shown["by_contrast"]} >= {"opinion", "effort", "path"}
    assert all(each["pairs"] > 0 for each in shown["by_contrast"])


def test_taggers_stand_side_by_side(data, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    command = ["evaluate", "--data", str(data), "--against", "scripted.tagger"]
    command += ["--set", "scripted.does=answers", "--set", "reflex.model="]
    assert cli.main([*command, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    (other,) = shown["against"]
    assert (shown["tagger"], other["tagger"]) == ("reflex", "scripted")
    want = shown["emotion_primary"] - other["emotion_primary"]
    assert other["differences"]["emotion_primary"][0] == pytest.approx(want)
    assert cli.main(command) == 0
    assert "reflex less scripted" in capsys.readouterr().out
    assert cli.main([*command, "--set", "scripted.dose=1"]) == 1
    assert "unknown parameter 'scripted.dose'" in capsys.readouterr().err


def test_wrong_turns_are_written_with_their_texts(data, tmp_path, capsys):
    file = tmp_path / "errors.tsv"
    asked = ["evaluate", "--data", str(data), "--errors", str(file)]
    assert cli.main([*asked, "--threshold", "0"]) == 0
    header, *lines = file.read_text(encoding="utf-8").splitlines()
    (wrong,) = [dict(zip(header.split("\t"), line.split("\t"), strict=True)) for line in lines]
    assert (wrong["reply"], wrong["celebrate"], wrong["given_celebrate"]) == (
        "Hello my friend!", "no", "yes",
    )  # fmt: skip
    assert wrong["wrong"] == "false yes"
    assert cli.main(["evaluate", "--data", str(data), "--errors", str(tmp_path)]) == 1
    assert f"errors cannot be written to '{tmp_path}'" in capsys.readouterr().err


def test_the_command_prints_a_line_for_each_label(data, capsys, labels):
    assert cli.main(["evaluate", "--data", str(data)]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[1 : 1 + len(labels)]] == list(labels.names)
    assert "either_yes_rate      none to judge by" in out


def test_the_command_draws_plots(data, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert cli.main(["evaluate", "--data", str(data), "--plots", str(tmp_path / "p")]) == 0
    for name in ("confusion.png", "reliability.png"):
        assert (tmp_path / "p" / name).read_bytes().startswith(b"\x89PNG")


def test_plots_that_cannot_be_written_are_named(data, capsys):
    pytest.importorskip("matplotlib")
    assert cli.main(["evaluate", "--data", str(data), "--plots", str(data)]) == 1
    assert f"plots cannot be written to '{data}'" in capsys.readouterr().err


def test_plots_without_matplotlib_name_the_extra(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "pika_emotion.plots", raising=False)
    assert cli.main(["evaluate", "--data", str(data), "--plots", str(tmp_path)]) == 1
    assert "pip install '.[plots]'" in capsys.readouterr().err
