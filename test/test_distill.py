"""A reflex that learns from a teacher: what it gains and loses, and what becomes of the answers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser, Namespace
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT, TEST
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from scripted.oracle import Oracle

from pika_emotion import answers, cli, distillation, model, resources, taggers
from pika_emotion.answers import GIVE_UP, Answers
from pika_emotion.bag_turns import Conversation
from pika_emotion.commands import distill
from pika_emotion.commands.bag_arguments import conversation_of
from pika_emotion.commands.tag import load_tagger
from pika_emotion.corpus import read_rows, read_turns
from pika_emotion.dialogue import make_turn
from pika_emotion.distillation import Heard, Taught
from pika_emotion.errors import ConfigError, CorpusError, TaggerBusyError, TaggerError
from pika_emotion.tag import Tag
from pika_emotion.taggers.reflex import MODEL_FILE

sp = pytest.importorskip("scipy.sparse")
training = pytest.importorskip("pika_emotion.training")
heads = pytest.importorskip("pika_emotion.heads")
layer = pytest.importorskip("pika_emotion.layer")

STRING = "std_msgs/msg/String"
TRAIN = ROOT / "data/dialogues/train"


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(layer, "MEMBERS", 2)
    monkeypatch.setattr(layer, "EPOCHS", 15)
    monkeypatch.setattr(heads, "EMOTION_STEPS", 8)
    monkeypatch.setattr(heads, "CELEBRATE_STEPS", 8)
    monkeypatch.setattr(heads, "MAX_ROWS", 5_000)


@pytest.fixture
def written(tmp_path):
    """Written turns of quizzes alone: to learn from, to calibrate with and to test on."""
    header, *lines = (TRAIN / "quizzes.tsv").read_text(encoding="utf-8").splitlines()
    parts = {"data": lines[:280], "dev": lines[280:340], "test": lines[340:]}
    for name, some in parts.items():
        text = "\n".join([header, *some]) + "\n"
        (tmp_path / f"{name}.tsv").write_text(text, encoding="utf-8")
    return {name: tmp_path / f"{name}.tsv" for name in parts}


def taught(labels, emotion=0.9, celebrate=0.1, reply="Hi!", scenario=""):
    rest = (1 - emotion) / (len(labels) - 1)
    scores = (emotion, *[rest] * (len(labels) - 1))
    return Taught(Heard(make_turn("", "", reply), scenario), Tag(labels, scores, celebrate, "t"))


def test_a_student_gains_where_its_teacher_knows_more_and_loses_nothing(
    quick, written, labels, tmp_path, capsys
):
    feelings = TRAIN / "feelings.tsv"
    rows = read_rows([written["data"]], labels)
    old, new = tmp_path / "old.npz", tmp_path / "new.npz"
    dev = read_rows([written["dev"]], labels)
    model.save(training.train(rows, dev, labels, say=lambda line: None), old)
    arguments = ["distill", str(feelings), "--teacher", "scripted.oracle"]
    arguments += ["--set", f"oracle.data={feelings}", "--set", "oracle.right=0.95"]
    arguments += ["--against", str(old), "--out", str(new), "--json"]
    for name, file in written.items():
        arguments += [f"--{name}", str(file)]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr()
    shown = json.loads(printed.out)
    assert {"emotion_primary", "emotion_acceptable"} <= set(
        distillation.significant(shown["held_out"], better=True)
    )
    worse = distillation.significant(shown["test"], better=False)
    assert not {"emotion_primary", "emotion_acceptable", "celebrate_accuracy"} & set(worse)
    # Not only against the teacher: against the right answers as well.
    apart = [r for r in read_rows([feelings], labels) if Heard(r.turn, r.scenario).held_out]
    tags = []
    for file in (old, new):
        student = model.load(file)
        answers = (student.predict(row.turn) for row in apart)
        tags.append([Tag(labels, tuple(s.tolist()), float(c), "reflex") for s, c in answers])
    compared = distillation.compare(*tags, apart, labels, 0.75)
    assert "emotion_acceptable" in distillation.significant(compared, better=True)
    # What it came from is in its card, and how much of it.
    card = model.read_card(new)["distilled"]
    assert card == shown["distilled"]
    assert card["learned"] + card["held_out"] + card["doubtful"] == card["turns"]
    assert card["held_out"] == shown["distilled"]["held_out"] > 40
    # Nobody's words in the answers' file, nor on the screen.
    kept = (tmp_path / "new.answers.jsonl").read_text(encoding="utf-8")
    assert len(kept.splitlines()) == card["turns"]
    for text in (kept, printed.out, printed.err):
        assert not any(row.turn.reply in text for row in apart)


class Failing(Oracle):
    """An oracle that counts what it is asked, and fails for some turns."""

    def __init__(self, labels, fails=()):
        super().__init__(labels)
        self.load()
        self.fails = fails
        self.asked = 0

    def tag(self, turn, deadline):
        assert deadline > time.monotonic()
        self.asked += 1
        if turn in self.fails:
            raise TaggerError("the server went away")
        return super().tag(turn, deadline)


TURNS = [make_turn("Who?", "a dog", f"Reply {i}.") for i in range(12)]


def nothing():
    pass


def test_a_broken_run_goes_on_where_it_stopped(labels, tmp_path):
    file = tmp_path / "new" / "answers.jsonl"
    broken = Failing(labels, TURNS[4:])
    with pytest.raises(TaggerError, match=r"no answer 5 times.*went away.*run this again"):
        Answers(broken, labels, file).ask(TURNS, nothing)
    assert broken.asked == 4 + GIVE_UP
    mended, done = Failing(labels), []
    tags = Answers(mended, labels, file).ask(TURNS, lambda: done.append(1))
    assert mended.asked == 8
    assert len(done) == 8  # what is known takes no time, and would spoil the time that remains
    assert tags == [Oracle.tag(mended, turn, 0.0) for turn in TURNS]


def test_a_turn_without_an_answer_is_passed_over(labels, tmp_path):
    teacher = Failing(labels, TURNS[::2])
    tags = Answers(teacher, labels, tmp_path / "a.jsonl").ask(TURNS, nothing)
    assert [tag is None for tag in tags] == [True, False] * 6
    with pytest.raises(TaggerError, match=r"not one answer to 1 turns \(the server went away\)"):
        Answers(teacher, labels, tmp_path / "a.jsonl").ask(TURNS[:1], nothing)


class Crowd(Oracle):
    """An oracle that answers four at once, and nobody alone."""

    def __init__(self, labels):
        super().__init__(labels)
        self.load()
        self.together = threading.Barrier(4, timeout=60.0)

    def tag(self, turn, deadline):
        self.together.wait()
        return super().tag(turn, deadline)


def test_a_server_is_asked_about_several_turns_at_once_and_the_order_stays(labels, tmp_path):
    one, four = tmp_path / "one.jsonl", tmp_path / "four.jsonl"
    alone = Answers(Failing(labels), labels, one).ask(TURNS, nothing)
    assert Answers(Crowd(labels), labels, four, at_once=4).ask(TURNS, nothing) == alone
    assert four.read_bytes() == one.read_bytes()
    alone = distill.at_once(Namespace(tagger="scripted.oracle", set=[]))
    several = distill.at_once(Namespace(tagger="http", set=["http.max_replies=7"]))
    assert (alone, several) == (1, 7)


class Busy(Failing):
    """Has too much to do, the first times."""

    def __init__(self, labels, times):
        super().__init__(labels)
        self.times = times

    def tag(self, turn, deadline):
        self.times -= 1
        if self.times >= 0:
            raise TaggerBusyError("too much to do")
        return super().tag(turn, deadline)


def test_a_busy_teacher_is_asked_again(labels, tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "_BUSY_PAUSE_S", 0.01)
    busy = Busy(labels, GIVE_UP + 2)
    assert None not in Answers(busy, labels, tmp_path / "a.jsonl").ask(TURNS, nothing)
    monkeypatch.setattr(answers, "_PATIENCE_S", 0.0)
    with pytest.raises(TaggerError, match=r"no answer 5 times in a row \(too much to do\)"):
        Answers(Busy(labels, 10**6), labels, tmp_path / "b.jsonl").ask(TURNS, nothing)


@pytest.mark.parametrize(
    ("does", "why"),
    [("raises", "ValueError at"), ("gives_nan", "nan from"), ("garbage", "dict is no Tag")],
)
def test_what_is_no_answer_is_told_without_anybodys_words(labels, tmp_path, does, why):
    settings = taggers.settings_from_text("scripted.tagger", [f"scripted.does={does}"])
    teacher = taggers.create("scripted.tagger", labels, settings)
    with pytest.raises(TaggerError, match=rf"no answer 5 times in a row \(.*{why}") as raised:
        Answers(teacher, labels, tmp_path / "a.jsonl").ask(TURNS, nothing)
    assert "a dog" not in str(raised.value)


def test_interrupted_it_tells_what_is_kept_and_goes_on_from_there(labels, tmp_path):
    """The teacher hangs in the midst of it, and the user has enough."""
    turns = distillation.turns_of_bag(ROOT / "resource/demo/conversation", Conversation())
    turns = [one.turn for one in distillation.distinct(turns)]
    kept = tmp_path / "new.answers.jsonl"
    command = [str(ROOT / "resource/demo/conversation"), "--out", str(tmp_path / "new.npz")]
    command += ["--teacher", "scripted.oracle"]
    # A background job of a shell script inherits that interrupts are ignored.
    program = ["env", "--default-signal=INT", sys.executable, "-m", "pika_emotion.cli", "distill"]
    path = os.pathsep.join([str(ROOT), str(TEST), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [*program, *command, "--set", "oracle.answers=5"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + 120
        while not (kept.exists() and kept.read_text().count("\n") == 5):
            assert time.monotonic() < end, "no answers"
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=120)[1]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert told.strip() == (
        f"stopped: 5 of {len(turns)} answers are kept in '{kept}'; "
        "run this again, and it goes on from there"
    )
    parser = ArgumentParser()
    distill.add_arguments(parser)
    again = Answers(load_tagger(parser.parse_args(command)), labels, kept)
    assert again.known(turns) == 5
    assert None not in again.ask(turns, nothing)
    assert kept.read_text().count("\n") == len(turns)


def test_another_model_is_asked_anew(labels, tmp_path):
    for name, asked in (("one", 12), ("one", 0), ("two", 12)):
        teacher = Failing(labels)
        teacher._model = name
        Answers(teacher, labels, tmp_path / "a.jsonl").ask(TURNS, nothing)
        assert teacher.asked == asked


def test_an_answer_cut_short_is_asked_for_again(labels, tmp_path):
    file = tmp_path / "a.jsonl"
    Answers(Failing(labels), labels, file).ask(TURNS, nothing)
    file.write_text(file.read_text()[:-40])
    for asked in (1, 0):
        teacher = Failing(labels)
        Answers(teacher, labels, file).ask(TURNS, nothing)
        assert teacher.asked == asked


@pytest.mark.parametrize("content", [b"question\tchild\n", b"notes", b"\xff\xfe"])
def test_a_file_of_something_else_is_left_alone(labels, tmp_path, content):
    file = tmp_path / "mine.txt"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"mine.txt' is no file of a teacher's answers"):
        Answers(Failing(labels), labels, file)
    assert file.read_bytes() == content


def test_doubtful_turns_are_listed_for_a_person_and_can_be_read_back(labels, tmp_path):
    sure = [taught(labels, reply=f"Sure {i}.") for i in range(20)]
    unsure = [
        taught(labels, emotion=0.5, reply="Pale.", scenario="s"),
        taught(labels, celebrate=0.6, reply="Half."),
        taught(labels, emotion=0.5, celebrate=0.4, reply="Both."),
    ]
    kept, doubtful = distillation.sift([*unsure, *sure], 0.6)
    assert (kept, doubtful) == (sure, unsure)
    file = tmp_path / "doubtful.tsv"
    distillation.write_doubtful(file, doubtful, 0.6)
    rows = read_rows([file], labels)
    assert [row.turn for row in rows] == [one.heard.turn for one in unsure]
    assert [row.celebrate for row in rows] == ["no", "either", "either"]
    assert rows[0].scenario == "s"
    doubts = [line.split("\t")[-1] for line in file.read_text().splitlines()[1:]]
    assert doubts == ["emotion", "celebrate", "emotion, celebrate"]


def test_what_is_corrected_and_learned_is_of_no_scene_that_is_kept_to_measure_by(labels):
    unsure = [taught(labels, emotion=0.5, scenario=f"scene {i}") for i in range(50)]
    listed = distillation.to_correct(unsure)
    assert 0 < len(listed) < len(unsure)
    assert not any(one.heard.held_out for one in listed)


def test_a_list_that_somebody_may_have_corrected_is_left_alone(labels, tmp_path):
    file, unsure = tmp_path / "doubtful.tsv", [taught(labels, emotion=0.5)]
    for _ in range(2):  # the same run, gone on with
        distillation.write_doubtful(file, unsure, 0.6)
    file.write_text(file.read_text().replace("happy", "calm"))
    with pytest.raises(ConfigError, match=r"doubtful.tsv' holds something else.*another file"):
        distillation.write_doubtful(file, unsure, 0.6)
    assert "calm" in file.read_text()


def test_one_scene_alone_makes_no_difference_significant(labels):
    for scenes, found in ((1, False), (20, True)):
        some = [taught(labels, reply=f"Yes {i}.", scenario=f"s{i % scenes}") for i in range(40)]
        new = [one.tag for one in some]
        old = [replace(tag, scores=tag.scores[::-1]) for tag in new]
        compared = distillation.compare(old, new, [one.row for one in some], labels, 0.75)
        assert ("emotion_primary" in distillation.significant(compared, better=True)) is found
        assert compared["emotion_primary"]["new"] == [1.0, 1.0, 1.0]


def test_a_teacher_that_is_sure_of_nothing_teaches_nothing(labels):
    with pytest.raises(CorpusError, match=r"sure of 0 of 1 turns.*--confidence"):
        distillation.sift([taught(labels, emotion=0.3)], 0.6)


def test_a_turn_of_weight_two_counts_as_two(labels):
    rows = read_rows([TRAIN / "quizzes.tsv"], labels)[:60]
    data = training.examples(rows, labels.names)
    first = data.take(np.arange(20))
    first.weight[:] = 2
    weighted = data.take(np.arange(20, 60)).joined(first)
    doubled = data.joined(data.take(np.arange(20)))
    words = [heads.vocabulary(some.seen, some.weight) for some in (weighted, doubled)]
    assert np.array_equal(words[0].buckets, words[1].buckets)
    assert np.array_equal(words[0].weights, words[1].weights)
    inputs = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    targets = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    fitted = [
        heads.fit_softmax(sp.csr_matrix(inputs[rows]), targets[rows], 0.1, 200, weight)
        for rows, weight in (([0, 1, 2], np.array([2.0, 1.0, 1.0])), ([0, 0, 1, 2], 1.0))
    ]
    assert fitted[0] == pytest.approx(fitted[1], abs=1e-3)


def test_a_turn_of_no_weight_teaches_the_layer_nothing():
    inputs = np.array([[1.0, 0.0], [0.0, 1.0]] * 100, np.float32)
    truth = inputs[:, 0]
    emotions = np.stack([truth, 1 - truth], 1)
    emotions[::3], truth[::3] = 1 - emotions[::3], 1 - truth[::3]  # wrong, and more of them
    weight = np.ones(200, np.float32)
    weight[::3] = 0
    nothing, always = np.zeros((200, 2), np.float32), np.ones(200, np.float32)
    fitted = layer.fit(layer.Task(inputs, nothing, emotions, truth, always, weight), 1)
    units = np.maximum(np.eye(2, dtype=np.float32) @ fitted.inward + fitted.threshold, 0)
    logits = units @ fitted.outward + fitted.offset
    assert logits[0, 0] - logits[0, 1] > 2
    assert logits[1, 1] - logits[1, 0] > 2
    assert logits[0, 2] > 2
    assert logits[1, 2] < -2


def test_targets_are_the_teachers_probabilities_and_its_yes_or_no(labels):
    some = [taught(labels, 0.8, 0.9), taught(labels, 0.7, 0.2), taught(labels, 0.7, 0.6)]
    data = distillation.examples_of(some, 0.25)
    assert data.emotions[:, 0] == pytest.approx([0.8, 0.7, 0.7])
    assert data.emotions.sum(axis=1) == pytest.approx(1)
    assert data.celebrate.tolist()[:2] == [1, 0]
    assert data.judged.tolist() == [True, True, False]
    assert data.weight.tolist() == [0.25] * 3


def test_the_deciding_layer_half_believes_a_teacher(quick, labels):
    data = training.examples(read_rows([TRAIN / "quizzes.tsv"], labels)[:60], labels.names)
    written = np.arange(60) < 40
    fitted = heads.fit_heads(data)

    def layer_of(**changed):
        some = replace(data, **changed)
        return training.decide(fitted, fitted.outputs(data), some, labels.names).outward

    weight = np.where(written, 1, training.TAUGHT_SHARE).astype(np.float32)
    assert 0 < training.TAUGHT_SHARE < 1
    assert np.array_equal(layer_of(written=written), layer_of(weight=weight))
    assert not np.array_equal(layer_of(written=written), layer_of())


def test_what_was_asked_is_learned_from_written_turns_alone(labels):
    """A teacher that says no may mean a wrong answer as well as nothing asked."""
    rows = read_rows([TRAIN / "quizzes.tsv"], labels)[:60]
    written = training.examples(rows, labels.names)
    quizzed = [Taught(Heard(row.turn), taught(labels, 0.9, 0.1).tag) for row in rows]
    both = written.joined(distillation.examples_of(quizzed, 1.0))
    for head in heads.HEADS:
        chosen, values = heads._target(head, both)
        assert chosen[:60].any()
        assert chosen[60:].any() == (head.learns != "task")
        assert len(values) == chosen.sum()


@pytest.mark.parametrize(("learned", "weight"), [(10, 1.0), (100, 1.0), (400, 0.25)])
def test_all_taught_turns_count_no_more_than_the_written_ones(learned, weight):
    assert distillation.default_weight(100, learned) == weight


def test_a_bag_is_paired_as_the_node_pairs_it(tmp_path):
    store = get_typestore(Stores.ROS2_JAZZY)
    said = [(True, "Two and two?"), (False, "um"), (False, "four"), (True, "Yes!"), (True, "")]
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = [
            writer.add_connection(topic, STRING, typestore=store)
            for topic in ("/child/transcript", "/pika/reply")
        ]
        for i, (pika, text) in enumerate(said):
            data = store.serialize_cdr(store.types[STRING](text), STRING)
            writer.write(topics[pika], (i + 1) * 1_000_000_000, data)
    assert not distillation.is_table(tmp_path / "bag")
    turns = [one.turn for one in distillation.turns_of_bag(tmp_path / "bag", Conversation())]
    assert turns[0].reply == "Two and two?"
    assert turns[1:] == [make_turn("Two and two?", "um four", "Yes!")]


def test_a_bag_is_read_by_the_options_that_bag_export_has(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    given = [str(ROOT / "resource/demo/conversation"), "--teacher", "scripted.oracle"]
    given += ["--out", str(tmp_path / "new.npz")]
    parser = ArgumentParser()
    distill.add_arguments(parser)
    timeouts = ["--turn-timeout", "5", "--session-timeout", "50"]
    options = parser.parse_args([*given, *timeouts, "--tag-topic", "/tags", "--reply-field", "a.b"])
    assert conversation_of(options) == Conversation(
        reply_field="a.b", tag_topic="/tags", turn_timeout_s=5.0, session_timeout_s=50.0
    )
    for more, fault in (("--turn-timeout", "0"), ("--tag-topic", "/tags")):
        assert cli.main(["distill", *given, more, fault]) == 1
        assert more in capsys.readouterr().err


def test_turns_need_no_labels_and_each_is_asked_about_once(tmp_path):
    file = tmp_path / "turns.tsv"
    file.write_text("question\tchild\treply\nWho?\tme\tHi!\nWho?\tme\tHi!\n")
    assert distillation.is_table(file)
    assert distillation.is_table(tmp_path)
    assert read_turns(file) == [(make_turn("Who?", "me", "Hi!"), "")] * 2
    heard = distillation.turns_of_tables(tmp_path)
    assert distillation.distinct(heard) == heard[:1]
    first, second = (Heard(make_turn("", "", text), "one") for text in ("Hi!", "Bye!"))
    assert distillation.distinct([first, second, replace(first, scenario="two")]) == [first, second]
    file.write_text("question\tchild\nWho?\tme\n")
    with pytest.raises(CorpusError, match=r"no column 'reply'.*question, child, reply$"):
        read_turns(file)
    with pytest.raises(CorpusError, match="no turn with a reply"):
        distillation.distinct([])


def test_the_shipped_model_is_not_replaced_by_accident(tmp_path, capsys):
    copy = tmp_path / "reflex.npz"
    shutil.copy(resources.find(MODEL_FILE), copy)
    before = copy.read_bytes()
    arguments = ["distill", str(tmp_path / "none.tsv"), "--teacher", "scripted.oracle"]
    arguments += ["--out", str(copy)]
    assert cli.main(arguments) == 1
    assert "is the shipped model" in capsys.readouterr().err
    assert cli.main([*arguments, "--replace", "--data", str(tmp_path / "no.tsv")]) == 1
    told = capsys.readouterr().err
    assert "replacing the shipped model" in told
    assert "no.tsv' cannot be read" in told
    assert copy.read_bytes() == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--teacher", "reflex"], "would teach itself"),
        (["--teacher", "nobody"], "unknown tagger 'nobody'"),
        (["--confidence", "2"], "--confidence 2 must be from 0 to 1"),
        (["--weight", "0"], "--weight 0 must be a number above 0"),
        (["--out", "."], "--out '.' is a folder"),
    ],
)
def test_what_cannot_work_is_told_first(more, message, capsys):
    arguments = ["distill", "none.tsv", "--teacher", "scripted.oracle", "--out", "new.npz"]
    assert cli.main([*arguments, *more]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("name", "fault"), [("no_bag", "not there"), ("a.csv", "neither a bag")])
def test_what_is_neither_bag_nor_table_is_told(tmp_path, capsys, monkeypatch, name, fault):
    monkeypatch.chdir(ROOT)
    (tmp_path / "a.csv").write_text("question,child,reply\n")
    arguments = ["distill", str(tmp_path / name), "--teacher", "scripted.oracle"]
    assert cli.main([*arguments, "--out", str(tmp_path / "new.npz")]) == 1
    told = capsys.readouterr().err
    assert f"{name}' is {fault}" in told
    assert "give a rosbag2 folder, its .mcap or .db3 file, or a .tsv file" in told


def test_without_its_libraries_the_extra_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    monkeypatch.delitem(sys.modules, "pika_emotion.training", raising=False)
    arguments = ["distill", "none.tsv", "--teacher", "scripted.oracle", "--out", "new.npz"]
    assert cli.main(arguments) == 1
    assert "pip install '.[train]'" in capsys.readouterr().err
