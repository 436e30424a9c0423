"""Conversations out of real bags, MCAP and sqlite3, and bags that are missing or damaged."""

import sqlite3

import pytest
from conftest import ROOT
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

from pika_emotion import resources
from pika_emotion.bags import Recorded, read_bag
from pika_emotion.errors import BagError

S = 1_000_000_000
STRING, UTTERANCE, SPEECH = "std_msgs/msg/String", "pika_emotion/msg/Utterance", "hri/msg/Speech"
STORE = get_typestore(Stores.ROS2_JAZZY)
for definition, name in [
    (resources.find("msg/Utterance.msg").read_text(), UTTERANCE),
    ("std_msgs/Header header\nstring final\nstd_msgs/String said\nint32 id\n", SPEECH),
]:
    STORE.register(get_types_from_msg(definition, name))


def string(text):
    return STORE.types[STRING](text)


def header():
    stamp = STORE.types["builtin_interfaces/msg/Time"](0, 0)
    return STORE.types["std_msgs/msg/Header"](stamp, "")


def utterance(text, identity, partial=False):
    return STORE.types[UTTERANCE](header(), identity, text, partial)


def speech(text, other=""):
    return STORE.types[SPEECH](header(), text, string(other), 12)


CONVERSATION = (
    ("/pika/reply", 10 * S, string("Con gì kêu meo meo?")),
    ("/child/transcript", 12 * S, string("con mèo 🐱")),
    ("/pika/reply", 12 * S + S // 2, string("")),
)
EXPECTED = [
    Recorded(0.0, True, "Con gì kêu meo meo?", "", STRING),
    Recorded(2.0, False, "con mèo 🐱", "", STRING),
    Recorded(2.5, True, "", "", STRING),
]


@pytest.fixture(params=list(StoragePlugin), ids=lambda plugin: plugin.value)
def plugin(request):
    return request.param


@pytest.fixture
def write(tmp_path, plugin):
    def write(messages, topics=()):
        """Write a bag; ``topics``: more (topic, type) that it has, without messages."""
        bag = tmp_path / "bag"
        with Writer(bag, version=9, storage_plugin=plugin) as writer:
            wanted = {(topic, message.__msgtype__) for topic, _, message in messages}
            connections = {
                topic: writer.add_connection(topic, kind, typestore=STORE)
                for topic, kind in sorted({*wanted, *topics})
            }
            for topic, at_ns, message in messages:
                data = STORE.serialize_cdr(message, message.__msgtype__)
                writer.write(connections[topic], at_ns, data)
        return bag

    return write


def storage_of(bag):
    (file,) = (file for file in bag.iterdir() if file.suffix in (".mcap", ".db3"))
    return file


def test_a_bag_gives_its_conversation(write):
    assert read_bag(write(CONVERSATION)) == EXPECTED


def test_its_file_alone_is_enough(write):
    assert read_bag(str(storage_of(write(CONVERSATION)))) == EXPECTED


def test_what_was_written_out_of_order_is_read_in_order(write):
    assert read_bag(write(CONVERSATION[::-1])) == EXPECTED


def test_other_topics_of_the_robot_are_left_out(write):
    bag = write([("/rosout", 0, string("noise")), *CONVERSATION, ("/camera", S, speech("x"))])
    assert read_bag(bag) == EXPECTED


EVENTS = "my_robot/srv/Ask_Event"
# As 'ros2 bag record' of Jazzy writes the definition of a service's events: no message's at all.
SERVICE = "string question\n---\nstring answer\n"
IDL_SPEECH = f"""{"=" * 80}
IDL: hri/msg/Speech
module hri {{ module msg {{ struct Speech {{ string final; int32 id; }}; }}; }};
"""


def test_what_cannot_be_read_but_is_not_asked_for_is_left_out(tmp_path):
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        events = writer.add_connection("/ask/_service_event", EVENTS, msgdef=SERVICE, rihs01="-")
        writer.write(events, 0, b"\0\1\0\0")
        connections = {
            topic: writer.add_connection(topic, STRING, typestore=STORE)
            for topic in ("/child/transcript", "/pika/reply")
        }
        for topic, at_ns, message in CONVERSATION:
            writer.write(connections[topic], at_ns, STORE.serialize_cdr(message, STRING))
    assert read_bag(tmp_path / "bag") == EXPECTED


def test_types_defined_in_idl_are_read(tmp_path):
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_idl(IDL_SPEECH.split("\n", 2)[2]))
    said = store.types[SPEECH]("con mèo", 7)
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        writer.add_connection("/pika/reply", STRING, typestore=STORE)
        heard = writer.add_connection("/child/transcript", SPEECH, msgdef=IDL_SPEECH, rihs01="-")
        writer.write(heard, S, store.serialize_cdr(said, SPEECH))
    assert read_bag(tmp_path / "bag") == [Recorded(0.0, False, "con mèo", "7", SPEECH)]


def test_utterances_keep_their_ids(write):
    bag = write(
        [
            ("/child/transcript", S, utterance("four", "c7")),
            ("/pika/reply", 2 * S, utterance("Yes!", "r9")),
        ]
    )
    assert read_bag(bag) == [
        Recorded(0.0, False, "four", "c7", UTTERANCE),
        Recorded(1.0, True, "Yes!", "r9", UTTERANCE),
    ]


def test_a_partial_utterance_is_none(write):
    bag = write(
        [
            ("/child/transcript", S, utterance("fo", "c7", partial=True)),
            ("/child/transcript", 2 * S, utterance("four", "c7")),
            ("/pika/reply", 3 * S, utterance("Ye", "r9", partial=True)),
            ("/pika/reply", 4 * S, utterance("Yes!", "r9")),
        ]
    )
    assert [(said.at_s, said.text) for said in read_bag(bag)] == [(0.0, "four"), (2.0, "Yes!")]


def test_other_topics_types_and_fields_can_be_named(write):
    bag = write([("/asr", S, speech("", "four")), ("/tts", 2 * S, speech("Yes!"))])
    assert read_bag(bag, "/asr", "/tts", "said.data") == [
        Recorded(0.0, False, "four", "12", SPEECH),
        Recorded(1.0, True, "Yes!", "12", SPEECH),
    ]
    assert read_bag(bag, "/asr", "/tts", reply_field="said.data")[1].text == ""


def test_a_bag_in_which_nobody_spoke_is_empty(write):
    assert read_bag(write([], {("/child/transcript", STRING), ("/pika/reply", STRING)})) == []


def test_the_demos_bag_is_the_text_beside_it():
    demo = ROOT / "resource/demo"
    lines = (demo / "conversation.tsv").read_text(encoding="utf-8").splitlines()
    header, *rows = (line.split("\t") for line in lines)
    said = [dict(zip(header, row, strict=True)) for row in rows]
    recorded = read_bag(demo / "conversation")
    assert [(one.pika, one.text) for one in recorded] == [
        (one["topic"] == "pika", one["text"]) for one in said
    ]


def forget_definitions(bag):
    """Make of a sqlite3 bag one as ROS 2 Humble records it: without the types' definitions."""
    with sqlite3.connect(storage_of(bag)) as connection:
        connection.execute("DELETE FROM message_definitions")


@pytest.mark.parametrize("plugin", [StoragePlugin.SQLITE3], indirect=True)
def test_a_bag_without_definitions_is_read_by_the_known_types(write):
    bag = write(
        [("/child/transcript", S, string("four")), ("/pika/reply", 2 * S, utterance("Yes!", "r"))]
    )
    forget_definitions(bag)
    assert [one.text for one in read_bag(bag)] == ["four", "Yes!"]


@pytest.mark.parametrize("plugin", [StoragePlugin.SQLITE3], indirect=True)
def test_a_type_that_nobody_defines_is_named(write):
    bag = write([("/child/transcript", S, speech("four")), ("/pika/reply", S, string("Yes!"))])
    forget_definitions(bag)
    with pytest.raises(BagError, match=r"cannot be read .*hri/msg/Speech"):
        read_bag(bag)


# Faults.


@pytest.mark.parametrize(
    ("topics", "missing"),
    [(("/asr", "/pika/reply"), "/asr"), (("/child/transcript", "/tts"), "/tts")],
)
def test_a_missing_topic_is_named_with_those_that_are_there(write, topics, missing):
    message = (
        f"has no topic '{missing}' .it has /child/transcript, /pika/reply.; "
        "name yours with --transcript-topic and --reply-topic"
    )
    with pytest.raises(BagError, match=message):
        read_bag(write(CONVERSATION), *topics)


def test_a_bag_without_topics_is_told(write):
    with pytest.raises(BagError, match=r"has no topic '/child/transcript' \(it has none\)"):
        read_bag(write([]))


@pytest.mark.parametrize("field", ["text", "data.x", "said"])
def test_a_missing_field_is_named(write, field):
    message = f"'{STRING}' has no text field {field}; name it with --transcript-field or"
    with pytest.raises(BagError, match=message):
        read_bag(write(CONVERSATION), reply_field=field)


def test_a_type_without_a_usual_field_is_named(write):
    bag = write([("/child/transcript", S, header()), ("/pika/reply", S, string("Yes!"))])
    message = "'std_msgs/msg/Header' has no text field data or text or final; name it with"
    with pytest.raises(BagError, match=message):
        read_bag(bag)


CANNOT = "cannot be read .*; record it again, or mend it with 'ros2 bag reindex'"


@pytest.mark.parametrize("part", [0, 0.1, 0.5, 0.98])
def test_a_truncated_file_is_told(write, part):
    bag = write(
        [*CONVERSATION, *(("/pika/reply", 13 * S + n, string("la " * n)) for n in range(99))]
    )
    file = storage_of(bag)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(BagError, match=CANNOT) as error:
        read_bag(bag)
    assert str(bag) in str(error.value)


def test_a_bag_without_its_metadata_is_told(write):
    bag = write(CONVERSATION)
    (bag / "metadata.yaml").unlink()
    with pytest.raises(BagError, match=CANNOT):
        read_bag(bag)


def test_a_bag_without_its_storage_is_told(write):
    bag = write(CONVERSATION)
    storage_of(bag).unlink()
    with pytest.raises(BagError, match=CANNOT):
        read_bag(bag)


@pytest.mark.parametrize("name", ["notes.txt", "bag.mcap", "bag.db3", "bag.bag", "metadata.yaml"])
def test_a_file_that_is_no_bag_is_told(tmp_path, name):
    file = tmp_path / name
    file.write_text("what the child said")
    with pytest.raises(BagError, match=CANNOT) as error:
        read_bag(file)
    assert "what the child said" not in str(error.value)


def test_a_folder_that_is_no_bag_is_told(tmp_path):
    with pytest.raises(BagError, match=CANNOT):
        read_bag(tmp_path)


def test_a_missing_bag_is_told(tmp_path):
    message = "none' not found; give a rosbag2 folder, or an .mcap or .db3 file"
    with pytest.raises(BagError, match=message):
        read_bag(tmp_path / "none")
