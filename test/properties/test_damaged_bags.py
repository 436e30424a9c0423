"""Bags with wrong, missing or more bytes: what they hold, or an error of ours; never a crash."""

import shutil

import pytest
from attempts import attempt
from hypothesis import given
from hypothesis import strategies as st
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from pika_emotion.bag_turns import Recording
from pika_emotion.bags import Recorded, read_bag
from pika_emotion.errors import BagError

STORE = get_typestore(Stores.ROS2_JAZZY)
STRING = "std_msgs/msg/String"
SAID = [("/pika/reply", f"Con gì kêu {n}?") if n % 2 else ("/child/transcript", f"mèo {n}")
        for n in range(1, 40)]  # fmt: skip
# Bytes of it that are changed: where, as a share of the file, and what is put there instead.
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 12), st.binary(max_size=12)), min_size=1, max_size=4
)


@pytest.fixture(scope="module", params=list(StoragePlugin), ids=lambda plugin: plugin.name)
def bag(request, tmp_path_factory):
    bag = tmp_path_factory.mktemp("bags") / "bag"
    with Writer(bag, version=9, storage_plugin=request.param) as writer:
        topics = {t: writer.add_connection(t, STRING, typestore=STORE) for t in sorted(dict(SAID))}
        for number, (topic, text) in enumerate(SAID):
            data = STORE.serialize_cdr(STORE.types[STRING](text), STRING)
            writer.write(topics[topic], number * 1_000_000_000, data)
    return bag


@pytest.fixture(scope="module")
def copy(bag, tmp_path_factory):
    """Return a folder for copies of the bag, each with another content."""
    return tmp_path_factory.mktemp("damaged") / "bag"


def with_content(bag, copy, name, content):
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(bag, copy)
    (copy / name).write_bytes(content)
    return copy


def storage_of(bag):
    (file,) = (file for file in bag.iterdir() if file.suffix in (".mcap", ".db3"))
    return file


def turns_of(bag):
    with Recording(bag) as recording:
        return list(recording.turns())


def read_all(bag):
    """Read a bag in both ways; return its texts, or None where it is refused."""
    said, fault = attempt(BagError, read_bag, bag)
    turns, fault_of_turns = attempt(BagError, turns_of, bag)
    if said is None or turns is None:
        assert all(str(bag) in text for text in (fault, fault_of_turns) if text)
        return None
    assert all(isinstance(one, Recorded) and isinstance(one.text, str) for one in said)
    assert len(turns) <= len(said)
    return [one.text for one in said]


def edited(content, edits):
    for share, cut, put in edits:
        at = int(share * len(content))
        content = content[:at] + put + content[at + cut :]
    return content


@given(EDITS)
def test_changed_bytes_are_data_or_an_error_of_ours(bag, copy, edits):
    file = storage_of(bag)
    read_all(with_content(bag, copy, file.name, edited(file.read_bytes(), edits)))


@given(st.floats(0, 1, exclude_max=True))
def test_a_bag_that_was_cut_off_is_refused_or_loses_nothing_before(bag, copy, share):
    file = storage_of(bag)
    content = file.read_bytes()
    texts = read_all(with_content(bag, copy, file.name, content[: int(share * len(content))]))
    if texts is not None:
        assert texts == [text for _, text in SAID][: len(texts)]


@given(EDITS)
def test_changed_metadata_is_data_or_an_error_of_ours(bag, copy, edits):
    content = edited((bag / "metadata.yaml").read_bytes(), edits)
    read_all(with_content(bag, copy, "metadata.yaml", content))


@given(st.binary(max_size=300))
def test_any_bytes_are_no_bag(bag, copy, content):
    assert read_all(with_content(bag, copy, storage_of(bag).name, content)) is None


def test_an_undamaged_bag_is_read_whole(bag, copy):
    file = storage_of(bag)
    texts = read_all(with_content(bag, copy, file.name, file.read_bytes()))
    assert texts == [text for _, text in SAID]
