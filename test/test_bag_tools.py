"""``pika-emotion bag``: real bags of both storages, evaluated, exported, compared and summed up."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from pika_emotion import resources
from pika_emotion.bag_measures import Comparison, Latencies
from pika_emotion.bag_tags import GivenTag, Pairing, RecordedTag, RecordedTurn
from pika_emotion.bag_turns import Conversation, Recording, align
from pika_emotion.cli import main
from pika_emotion.corpus import read_file
from pika_emotion.dialogue import Turn
from pika_emotion.errors import BagError, CorpusError

S, MS = 1_000_000_000, 1_000_000
STRING, UTTERANCE = "std_msgs/msg/String", "pika_emotion/msg/Utterance"
TAG = "pika_emotion/msg/EmotionTag"
STORE = get_typestore(Stores.ROS2_JAZZY)
for name in (UTTERANCE, TAG):
    definition = resources.find(f"msg/{name.rpartition('/')[2]}.msg").read_text()
    STORE.register(get_types_from_msg(definition, name))
DEMO = ROOT / "resource/demo/conversation"


def string(text):
    return STORE.types[STRING](text)


def header():
    return STORE.types["std_msgs/msg/Header"](STORE.types["builtin_interfaces/msg/Time"](0, 0), "")


def utterance(text, identity, partial=False):
    return STORE.types[UTTERANCE](header(), identity, text, partial)


def emotion_tag(seq, emotion, *, celebrate=False, source=1, latency_ms=20, reply_id=""):
    kind = STORE.types[TAG]
    values = {
        "header": header(), "seq": seq, "reply_id": reply_id, "emotion": emotion,
        "confidence": 0.75, "celebrate": celebrate, "celebrate_probability": 0.9,
        "labels": [emotion], "scores": np.array([1.0], np.float32), "valence": 0.0,
        "arousal": 0.0, "tagger": "vllm", "source": source,
        "latency": STORE.types["builtin_interfaces/msg/Duration"](0, latency_ms * MS),
    }  # fmt: skip
    return kind(**values)


TEXTS = [
    ("What is two plus two?", "four", "Yes! Four, you are right!"),
    ("Yes! Four, you are right!", "I like green", "Ooh, green is lovely!"),
    ("Ooh, green is lovely!", "I am sad", "Oh no. Come here, I am with you."),
]
GIVEN = [("thats_right", True, 1, 20), ("happy", False, 3, 49), ("calm", False, 1, 25)]


def conversation(given=GIVEN, texts=TEXTS, tag_topic="/robot/emotion_tag", ids=False):
    """Pika asks, then child, reply and tag of each turn; None in ``given``: no tag recorded."""
    said = [("/pika/reply", S, string(texts[0][0]))]
    said += [(tag_topic, S + 20 * MS, emotion_tag(1, "curious"))]
    for n, ((_, child, reply), tag) in enumerate(zip(texts, given, strict=True)):
        at = (10 * n + 3) * S
        said.append(("/child/transcript", at, string(child)))
        said.append(("/pika/reply", at + S, string(reply)))
        if tag:
            emotion, celebrate, source, ms = tag
            message = emotion_tag(n + 2, emotion, celebrate=celebrate, source=source, latency_ms=ms)
            said.append((tag_topic, at + S + ms * MS, message))
    return said


@pytest.fixture(params=list(StoragePlugin), ids=lambda plugin: plugin.name.lower())
def plugin(request):
    return request.param


@pytest.fixture
def write(tmp_path, plugin):
    def write(messages, name="bag", topics=()):
        bag = tmp_path / name
        with Writer(bag, version=9, storage_plugin=plugin) as writer:
            wanted = {(topic, message.__msgtype__) for topic, _, message in messages}
            connections = {
                topic: writer.add_connection(topic, kind, typestore=STORE)
                for topic, kind in sorted({*wanted, *topics})
            }
            for topic, at_ns, message in messages:
                data = STORE.serialize_cdr(message, message.__msgtype__)
                writer.write(connections[topic], at_ns, bytes(data))
        return bag

    return write


@pytest.fixture
def tool(capsys):
    def tool(*arguments):
        """Run ``pika-emotion bag``; return the exit code, stdout and stderr."""
        code = main(["bag", *map(str, arguments)])
        return code, *capsys.readouterr()

    return tool


@pytest.fixture
def ask(tool):
    def ask(*arguments):
        code, out, err = tool(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return ask


def turns_of(bag, **where):
    with Recording(bag, Conversation(**where)) as recording:
        return list(recording.turns()), recording.pairing


def no_words(text):
    return not any(part in text for row in TEXTS for part in row)


# Turns and their tags.


def test_turns_are_paired_as_the_node_does_and_have_their_tags(write):
    turns, _ = turns_of(write(conversation()))
    texts = [(t.turn.question, t.turn.child, t.turn.reply) for t in turns]
    assert texts == [("", "", TEXTS[0][0]), *TEXTS]
    assert [t.tag.emotion for t in turns] == ["curious", "thats_right", "happy", "calm"]
    assert [t.tag.source for t in turns] == ["PRIMARY", "PRIMARY", "DEADLINE", "PRIMARY"]
    assert turns[1].tag.celebrate
    assert turns[1].tag.latency_ms == pytest.approx(20)
    assert [t.at_s for t in turns] == [0, 3, 13, 23]


def test_at_the_same_time_the_child_was_first(write):
    said = [("/pika/reply", S, string("Yes!")), ("/child/transcript", S, string("four"))]
    turns, _ = turns_of(write(said))
    assert [t.turn for t in turns] == [Turn("", "four", "Yes!")]


def test_a_partial_utterance_is_no_turn(write):
    said = [
        ("/child/transcript", S, utterance("fo", "c", partial=True)),
        ("/child/transcript", 2 * S, utterance("four", "c")),
        ("/pika/reply", 3 * S, utterance("Ye", "r", partial=True)),
        ("/pika/reply", 4 * S, utterance("Yes!", "r")),
    ]
    turns, _ = turns_of(write(said))
    assert [(t.turn, t.id) for t in turns] == [(Turn("", "four", "Yes!"), "r")]


def test_the_nodes_timeouts_can_be_named(write):
    bag = write(conversation())
    assert turns_of(bag, session_timeout_s=5.0)[0][2].turn.question == ""
    assert turns_of(bag, session_timeout_s=10.0)[0][2].turn.question == TEXTS[1][0]


def test_a_lost_tag_leaves_its_turn_without_one(write):
    turns, pairing = turns_of(write(conversation([GIVEN[0], None, GIVEN[2]])))
    assert [t.tag and t.tag.emotion for t in turns] == ["curious", "thats_right", None, "calm"]
    assert (pairing.tags, pairing.lost, pairing.orphans) == (3, 1, 0)


def test_tags_are_read_as_ros_writes_them(tmp_path, plugin):
    serialization = pytest.importorskip("rclpy.serialization")
    from builtin_interfaces.msg import Duration
    from pika_emotion.msg import EmotionTag
    from std_msgs.msg import String

    published = EmotionTag(
        seq=2**40, reply_id="r1", emotion="calm", confidence=0.5, celebrate=True,
        celebrate_probability=0.25, labels=["calm", "sad"], scores=[0.5, 0.5], tagger="vllm",
        source=EmotionTag.LOADING, latency=Duration(nanosec=12_500_000),
    )  # fmt: skip
    said = [
        ("/child/transcript", STRING, S, String(data="four")),
        ("/pika/reply", STRING, 2 * S, String(data="Yes!")),
        ("/emotion_tag", TAG, 2 * S + 13 * MS, published),
    ]
    with Writer(tmp_path / "bag", version=9, storage_plugin=plugin) as writer:
        for topic, kind, at_ns, message in said:
            connection = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connection, at_ns, serialization.serialize_message(message))
    (turn,), _ = turns_of(tmp_path / "bag")
    assert turn.turn == Turn("", "four", "Yes!")
    assert turn.tag == GivenTag("calm", 0.5, True, 0.25, "vllm", "LOADING", 12.5)


def test_a_tag_of_another_definition_is_told(tmp_path, plugin):
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg("string emotion\n", TAG))
    messages = {
        "/child/transcript": string("four"),
        "/pika/reply": string("Yes!"),
        "/emotion_tag": store.types[TAG]("calm"),
    }
    with Writer(tmp_path / "bag", version=9, storage_plugin=plugin) as writer:
        for at_ns, (topic, message) in enumerate(messages.items()):
            connection = writer.add_connection(topic, message.__msgtype__, typestore=store)
            data = store.serialize_cdr(message, message.__msgtype__)
            writer.write(connection, at_ns, bytes(data))
    with pytest.raises(BagError, match=r"cannot be read .AttributeError"):
        turns_of(tmp_path / "bag")


def reply(n, at_ms, identity=""):
    return RecordedTurn(at_ms * MS, at_ms / 1e3, Turn("", "", f"reply {n}"), identity)


def given(emotion="happy", latency_ms=20.0):
    return GivenTag(emotion, 0.5, False, 0.1, "vllm", "PRIMARY", latency_ms)


def tag(seq, at_ms, identity="", latency_ms=20.0):
    return RecordedTag(at_ms * MS, seq, identity, given(f"tag {seq}", latency_ms))


def pair(*events):
    pairing = Pairing()
    settled = []
    for event in events:
        take = pairing.tagged if isinstance(event, RecordedTag) else pairing.replied
        settled += take(event)
    settled += pairing.finish()
    return [(t.turn.reply[-1], t.tag and t.tag.emotion[-1]) for t in settled], pairing


@pytest.mark.parametrize(
    ("events", "pairs"),
    [
        ([reply(1, 0), reply(2, 1), tag(1, 20), tag(2, 21)], [("1", "1"), ("2", "2")]),
        ([tag(1, 20), reply(1, 21), reply(2, 30), tag(2, 50)], [("1", "1"), ("2", "2")]),
        ([reply(1, 0), tag(1, 20), reply(2, 30), reply(3, 31), tag(3, 51)],
         [("1", "1"), ("2", None), ("3", "3")]),
        # Given up by its age: the gap in seq must not be counted a second time.
        ([reply(1, 0), tag(1, 20), reply(2, 5_000), reply(3, 9_000), tag(3, 9_020)],
         [("1", "1"), ("2", None), ("3", "3")]),
        # The same, and the tag that tells of it was seen before its reply.
        ([reply(1, 0), tag(1, 20), reply(2, 5_000), tag(3, 9_020), reply(3, 9_021),
          reply(4, 15_000), reply(5, 15_030), tag(5, 15_050)],
         [("1", "1"), ("2", None), ("3", "3"), ("4", None), ("5", "5")]),
        ([reply(1, 0, "a"), reply(2, 1, "b"), tag(1, 20, "b")], [("1", None), ("2", "1")]),
        ([reply(1, 0, "a"), tag(1, 20, "z")], [("1", None)]),
        # The node was started anew before it answered the first.
        ([reply(1, 0), reply(2, 4_000), tag(1, 4_020)], [("1", None), ("2", "1")]),
        ([reply(1, 0), reply(2, 60_000)], [("1", None), ("2", None)]),
    ],
)  # fmt: skip
def test_each_reply_finds_its_own_tag(events, pairs):
    assert pair(*events)[0] == pairs


def test_a_tag_from_before_the_bag_is_nobodys():
    pairs, pairing = pair(tag(7, 20), reply(1, 60_000), tag(8, 60_020))
    assert pairs == [("1", "8")]
    assert (pairing.orphans, pairing.lost) == (1, 0)


def test_a_new_start_of_the_node_is_no_loss():
    _, pairing = pair(reply(1, 0), tag(9, 20), reply(2, 5_000), tag(1, 5_020))
    assert (pairing.restarts, pairing.lost) == (1, 0)


def test_replies_that_nobody_answers_are_not_kept():
    pairing = Pairing()
    settled = [t for n in range(1_000) for t in pairing.replied(reply(n, 1_000 * n))]
    assert len(settled) > 980


# Evaluate.


@pytest.fixture
def truth(tmp_path):
    def truth(rows):
        file = tmp_path / "truth.tsv"
        lines = ["question\tchild\treply\temotions\tcelebrate", *map("\t".join, rows)]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return file

    return truth


LABELLED = [
    (*TEXTS[0], "thats_right,proud", "yes"),
    ("Never", "said", "by anybody", "sad", "no"),
    (*TEXTS[2], "calm,sad", "no"),
]


def test_evaluate_measures_the_turns_that_have_a_row(write, truth, ask):
    file = truth(LABELLED)
    found = ask("evaluate", write(conversation()), "--truth", file)
    assert (found["n"], found["matched"], found["truth_rows"], found["turns"]) == (2, 2, 3, 4)
    assert found["unmatched_lines"] == [3]


def test_evaluate_agrees_with_the_command_evaluate(write, truth, ask, capsys):
    rows = [LABELLED[0], LABELLED[2]]
    found = ask("evaluate", write(conversation()), "--truth", truth(rows))
    assert main(["evaluate", "--data", str(truth(rows)), "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    for name in ("n", "emotion_acceptable", "emotion_macro_f1", "celebrate_accuracy", "ece"):
        assert found[name] == expected[name]


def test_evaluate_says_for_people_which_lines_have_no_turn(write, truth, tool):
    code, out, _ = tool("evaluate", write(conversation()), "--truth", truth(LABELLED))
    assert code == 0
    assert "2 of 3 rows matched; the bag has 4 turns" in out
    assert "no turn for the lines 3 of" in out
    assert no_words(out)


def test_many_lines_without_a_turn_are_not_all_named(write, truth, tool):
    rows = [LABELLED[0], *([LABELLED[1]] * 30)]
    _, out, _ = tool("evaluate", write(conversation()), "--truth", truth(rows))
    assert "no turn for the lines 3, 4, 5, " in out
    assert ", 21, 22 and 10 more of" in out


def test_a_row_is_of_one_turn_and_the_same_texts_are_taken_in_order(write, truth, ask):
    twice = [TEXTS[0], (TEXTS[0][2], "four", TEXTS[0][2]), (TEXTS[0][2], "four", TEXTS[0][2])]
    bag = write(conversation([None] * 3, twice))
    row = (*twice[1], "happy", "no")
    assert ask("evaluate", bag, "--truth", truth([row] * 3))["unmatched_lines"] == [4]


def test_a_truth_of_another_conversation_is_refused(write, truth, tool):
    code, out, err = tool("evaluate", write(conversation()), "--truth", truth(LABELLED[1:2]))
    assert (code, out) == (1, "")
    assert "none of the 1 rows of" in err
    assert no_words(err)


# Export.


def rows_in(file):
    head, *lines = file.read_text(encoding="utf-8").splitlines()
    return [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]


def test_export_writes_the_recorded_tags_as_evaluate_reads_them(write, tmp_path, ask, labels):
    out = tmp_path / "turns.tsv"
    found = ask("export", write(conversation()), "--out", out)
    assert found == {"turns": 4, "tagged": 4, "empty": 0, "file": str(out)}
    rows = read_file(out, labels)
    assert [(r.turn.question, r.turn.child, r.turn.reply) for r in rows[1:]] == TEXTS
    assert [r.emotions for r in rows] == [("curious",), ("thats_right",), ("happy",), ("calm",)]
    assert [r.celebrate for r in rows] == ["no", "yes", "no", "no"]
    second = rows_in(out)[1]
    assert (second["at_s"], second["tagger"], second["source"]) == ("3.000", "vllm", "PRIMARY")
    assert (second["confidence"], second["celebrate_probability"]) == ("0.750", "0.900")


def test_what_was_exported_is_a_truth_of_the_same_bag(write, tmp_path, ask):
    bag, out = write(conversation()), tmp_path / "turns.tsv"
    ask("export", bag, "--out", out, "--tags", "reflex")
    found = ask("evaluate", bag, "--truth", out)
    assert (found["matched"], found["unmatched_lines"]) == (4, [])
    assert (found["emotion_primary"], found["celebrate_accuracy"]) == (1.0, 1.0)


def test_export_without_tags_is_refused_until_it_is_labelled(write, tmp_path, ask, labels):
    out = tmp_path / "turns.tsv"
    assert ask("export", write(conversation()), "--out", out, "--tags", "none")["tagged"] == 0
    with pytest.raises(CorpusError, match=r"turns.tsv:2: unknown label ''"):
        read_file(out, labels)
    assert {(row["emotions"], row["celebrate"]) for row in rows_in(out)} == {("", "")}
    out.write_text(out.read_text().replace("\t\t\t", "\tidle\teither\t"))
    assert len(read_file(out, labels)) == 4


def test_a_turn_whose_tag_was_lost_is_left_to_label(write, tmp_path, ask):
    out = tmp_path / "turns.tsv"
    bag = write(conversation([GIVEN[0], None, GIVEN[2]]))
    assert ask("export", bag, "--out", out)["tagged"] == 3
    assert [row["emotions"] for row in rows_in(out)] == ["curious", "thats_right", "", "calm"]


def test_an_empty_reply_is_left_out(write, tmp_path, ask):
    said = [*conversation(), ("/pika/reply", 90 * S, string(" "))]
    found = ask("export", write(said), "--out", tmp_path / "turns.tsv")
    assert (found["turns"], found["empty"]) == (4, 1)


def test_labels_made_by_hand_are_not_written_over(write, tmp_path, tool, ask):
    bag, out = write(conversation()), tmp_path / "turns.tsv"
    out.write_text("hours of work")
    code, _, err = tool("export", bag, "--out", out)
    assert code == 1
    assert "is there already and may hold somebody's labels" in err
    assert out.read_text() == "hours of work"
    assert ask("export", bag, "--out", out, "--force")["turns"] == 4


def test_tabs_and_newlines_cannot_break_a_row(write, tmp_path, ask, labels):
    texts = [("Q\t1?", "a\nb", "Yes!\r\n\tRight!"), *TEXTS[1:]]
    out = tmp_path / "turns.tsv"
    ask("export", write(conversation(texts=texts)), "--out", out)
    assert read_file(out, labels)[1].turn == Turn("Q 1?", "a b", "Yes! Right!")


def test_a_bag_without_tags_says_how_to_export_it(tool, tmp_path):
    code, _, err = tool("export", DEMO, "--out", tmp_path / "turns.tsv")
    assert code == 1
    assert "has no topic of EmotionTag; begin with --tags reflex" in err
    assert list(tmp_path.iterdir()) == []


# Compare.


def test_compare_counts_and_writes_where_two_bags_differ(write, tmp_path, ask):
    other = [("proud", False, 1, 10), GIVEN[1], ("sad", False, 2, 12)]
    a, b = write(conversation(), "a"), write(conversation(other, tag_topic="/emotion_tag"), "b")
    out = tmp_path / "differences.tsv"
    found = ask("compare", a, b, "--out", out)
    counts = ("turns", "only_a", "only_b", "differing", "emotion_differing")
    assert [found[name] for name in counts] == [4, 0, 0, 2, 2]
    assert found["celebrate"] == {"both": 0, "only_a": 1, "only_b": 0, "neither": 3}
    assert {(c["a"], c["b"], c["n"]) for c in found["confusion"]} == {
        ("thats_right", "proud", 1), ("calm", "sad", 1),
    }  # fmt: skip
    assert {s: c["n"] for s, c in found["latency_ms"]["a"].items()} == {"PRIMARY": 3, "DEADLINE": 1}
    assert found["latency_ms"]["a"]["DEADLINE"]["max"] == pytest.approx(49)
    assert found["latency_ms"]["b"]["REFLEX"]["p50"] == pytest.approx(12, rel=0.01)
    rows = rows_in(out)
    assert [(r["emotion_a"], r["emotion_b"]) for r in rows] == [
        ("thats_right", "proud"), ("calm", "sad"),
    ]  # fmt: skip
    assert rows[0]["child"] == "four"


def test_a_turn_that_one_bag_lacks_is_counted_for_the_other(write, ask):
    a = write(conversation(), "a")
    b = write(conversation([GIVEN[0], None, GIVEN[2]]), "b")
    found = ask("compare", a, b)
    assert (found["turns"], found["only_a"], found["only_b"]) == (3, 1, 0)


def test_two_taggers_are_compared_on_one_bag(write, ask, tool):
    bag = write(conversation())
    same = ask("compare", bag, "--taggers", "reflex", "reflex")
    assert (same["turns"], same["differing"]) == (4, 0)
    assert same["latency_ms"]["a"]["REFLEX"]["n"] == 4
    found = ask("compare", bag, "--taggers", "recorded", "reflex")
    assert (found["a"], found["b"], found["turns"]) == ("recorded", "reflex", 4)
    code, out, _ = tool("compare", bag, "--taggers", "recorded", "reflex")
    assert code == 0
    assert "tagged by both 4, only by A 0, only by B 0" in out
    assert no_words(out)


def test_a_parameter_that_neither_tagger_has_is_told(write, tool):
    sides = ("--taggers", "recorded", "reflex")
    code, _, err = tool("compare", write(conversation()), *sides, "--set", "nonsense=1")
    assert code == 1
    assert "nonsense" in err


@pytest.mark.parametrize("sides", [[DEMO], [DEMO, DEMO, "--taggers", "reflex", "reflex"]])
def test_two_sides_are_needed(tool, sides):
    code, _, err = tool("compare", *sides)
    assert code == 1
    assert "cannot be compared; name two bags, or one and --taggers A B" in err


def test_a_bag_without_tags_cannot_be_compared(write, tool):
    code, _, err = tool("compare", write(conversation()), DEMO)
    assert code == 1
    assert "has no topic of EmotionTag; record 'emotion_tag' too" in err


def numbered(*numbers):
    return [RecordedTurn(n, 0.0, Turn("", "", f"reply {n}")) for n in numbers]


@pytest.mark.parametrize(
    ("a", "b", "pairs"),
    [
        ((1, 2, 3), (1, 2, 3), [(1, 1), (2, 2), (3, 3)]),
        ((1, 3), (1, 2, 3), [(1, 1), (None, 2), (3, 3)]),
        ((1, 2, 3), (3,), [(1, None), (2, None), (3, 3)]),
        ((1, 2), (3, 4), [(1, None), (None, 3), (2, None), (None, 4)]),
        ((1, 1), (1,), [(1, 1), (1, None)]),
        ((), (1,), [(None, 1)]),
        (range(200), range(50, 200),
         [(n, None) for n in range(50)] + [(n, n) for n in range(50, 200)]),
    ],
)  # fmt: skip
def test_turns_stand_beside_the_same_turns(a, b, pairs):
    found = align(numbered(*a), numbered(*b))
    assert [(x and x.at_ns, y and y.at_ns) for x, y in found] == pairs


def test_nothing_differs_where_one_side_has_no_tag():
    comparison = Comparison()
    assert not comparison.add(given(), None)
    assert comparison.add(given("happy"), given("sad"))
    assert (comparison.turns, comparison.only_a) == (1, 1)


# Stats.


def test_stats_sum_up_a_bag(write, ask):
    found = ask("stats", write([("/rosout", S, string("x")), *conversation()]))
    assert found["messages"] == {
        "/child/transcript": 3, "/pika/reply": 4, "/robot/emotion_tag": 4, "/rosout": 1,
    }  # fmt: skip
    assert found["tag_topic"] == "/robot/emotion_tag"
    assert (found["turns"], found["untagged"], found["tags"], found["lost"]) == (4, 0, 4, 0)
    assert found["labels"] == {"curious": 1, "thats_right": 1, "happy": 1, "calm": 1}
    assert found["sources"] == {"PRIMARY": 3, "DEADLINE": 1}
    assert found["celebrations"] == 1
    assert found["duration_s"] == pytest.approx(23.025, abs=0.001)
    assert found["latency_ms"]["PRIMARY"]["max"] == 25


def test_stats_tell_of_losses(write, tool):
    code, out, _ = tool("stats", write(conversation([GIVEN[0], None, GIVEN[2]])))
    assert code == 0
    assert "turns 4, without a tag 1" in out
    assert "tags 3, lost by the gaps in seq 1" in out
    assert no_words(out)


def test_stats_of_a_bag_without_tags(ask):
    found = ask("stats", DEMO)
    assert found["tag_topic"] is None
    assert found["untagged"] == found["turns"] == found["messages"]["/pika/reply"]


def test_stats_are_drawn(write, tmp_path, tool):
    for name, bag in (("tagged", write(conversation())), ("bare", DEMO)):
        folder = tmp_path / name
        assert tool("stats", bag, "--plots", folder)[0] == 0
        assert sorted(file.name for file in folder.iterdir()) == ["labels.png", "latency.png"]
        for file in folder.iterdir():
            assert file.read_bytes().startswith(b"\x89PNG")


def test_percentiles_are_right_to_a_hundredth():
    latencies = Latencies()
    for n in range(1, 1001):
        latencies.add(n / 10)
    assert latencies.percentile(50) == pytest.approx(50, rel=0.01)
    assert latencies.percentile(99) == pytest.approx(99, rel=0.01)
    assert latencies.percentile(100) <= latencies.max_ms == 100
    assert len(latencies.counts()) < 800
    assert Latencies().shown() == {"n": 0, "p50": None, "p99": None, "max": None}


def test_latencies_of_nothing_or_less_are_counted():
    latencies = Latencies()
    latencies.add(0.0)
    latencies.add(-1.0)
    assert latencies.shown() == {"n": 2, "p50": 0.0, "p99": 0.0, "max": 0.0}


# Faults.


def test_a_missing_topic_is_named_with_those_that_are_there(write, tool):
    code, _, err = tool("stats", write(conversation()), "--reply-topic", "/tts")
    assert code == 1
    assert (
        "has no topic '/tts' (it has /child/transcript, /pika/reply, /robot/emotion_tag); "
        "name yours with --transcript-topic and --reply-topic" in err
    )


def test_several_topics_of_tags_must_be_chosen_from(write, tool, ask):
    other = ("/b/emotion_tag", 3 * S, emotion_tag(1, "sad"))
    bag = write([*conversation(), other])
    code, _, err = tool("stats", bag)
    assert code == 1
    assert "has tags on /b/emotion_tag, /robot/emotion_tag; choose with --tag-topic" in err
    assert ask("stats", bag, "--tag-topic", "/b/emotion_tag")["tags"] == 1
    code, _, err = tool("stats", bag, "--tag-topic", "/c")
    assert code == 1
    assert "has no tags on '/c' (topics of EmotionTag: /b/emotion_tag, /robot/emotion_tag)" in err


def test_a_bag_without_turns_is_told(write, tool):
    bag = write([("/child/transcript", S, string("four"))], topics={("/pika/reply", STRING)})
    code, _, err = tool("stats", bag)
    assert code == 1
    assert "has no turn: nothing was said on '/pika/reply'" in err


def test_a_missing_bag_is_told(tool, tmp_path):
    code, _, err = tool("stats", tmp_path / "none")
    assert code == 1
    assert "none' not found; give a rosbag2 folder, or an .mcap or .db3 file" in err


@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
def test_a_damaged_bag_is_told_and_leaves_no_file(write, tool, tmp_path, part):
    bag = write([*conversation(), *(("/rosout", n, string("la" * 99)) for n in range(200))])
    (storage,) = (file for file in bag.iterdir() if file.suffix in (".mcap", ".db3"))
    whole = storage.read_bytes()
    storage.write_bytes(whole[: int(len(whole) * part)])
    code, _, err = tool("export", bag, "--out", tmp_path / "turns.tsv")
    assert code == 1
    assert "cannot be read" in err
    assert [file.name for file in tmp_path.iterdir()] == ["bag"]


def test_a_message_that_cannot_be_read_is_told(write):
    bag = write(conversation())
    with pytest.raises(BagError, match="has no text field nothing"):
        turns_of(bag, reply_field="nothing")


@pytest.mark.parametrize("option", ["--turn-timeout", "--session-timeout"])
@pytest.mark.parametrize("value", ["0", "-1", "nan"])
def test_a_timeout_that_cannot_be_is_told(tool, option, value):
    code, _, err = tool("stats", DEMO, f"{option}={value}")
    assert code == 1
    assert f"{option} {float(value):g} must be above 0 seconds" in err


def test_it_needs_no_ros_and_shows_no_bar_where_nobody_looks():
    program = (
        "import sys; from pika_emotion.cli import main; "
        f"code = main(['bag', 'stats', {str(DEMO)!r}]); "
        "sys.exit(code or 'rclpy' in sys.modules or 'rich' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
