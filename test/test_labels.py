"""The label file: what it gives, and for each fault an error with file, line and remedy."""

import pytest

from pika_emotion.errors import LabelError
from pika_emotion.labels import MOST_LABELS, Label, LabelSet, load_labels

DEFAULT = (
    "happy excited playful proud thats_right encouraging no_problem calm curious thinking "
    "surprised sad worry afraid angry noisy idle"
)

GOOD = "{name: glad, description: pleased, group: joy, valence: 1, arousal: 0}"
OTHER = "{name: low, description: not pleased, group: sorrow, valence: -1.0, arousal: 1e-1}"


@pytest.fixture
def write(tmp_path):
    def write(text, encoding="utf-8"):
        file = tmp_path / "labels.yaml"
        file.write_bytes(text.encode(encoding))
        return file

    return write


def test_the_packages_own_labels_are_the_designs(labels):
    assert " ".join(labels.names) == DEFAULT
    assert labels.names[labels.neutral] == "idle"
    assert all(label.description for label in labels)


def test_without_a_file_the_packages_own_is_read(labels):
    assert load_labels("") == load_labels(None) == labels


def test_a_file_of_the_users_gives_its_labels_in_its_order(write):
    labels = load_labels(str(write(f"labels:\n  - {GOOD}\n  - {OTHER}\n")))
    assert labels == LabelSet(
        (
            Label("glad", "pleased", "joy", 1.0, 0.0),
            Label("low", "not pleased", "sorrow", -1.0, 0.1),
        )
    )
    assert len(labels) == 2


def test_vietnamese_descriptions_and_a_byte_order_mark_are_read(write):
    text = f"\ufefflabels:\n  - {GOOD}\n  - {OTHER.replace('not pleased', 'buồn')}\n"
    assert list(load_labels(write(text)))[1].description == "buồn"


def test_without_idle_the_label_that_shows_least_is_the_neutral_one(write):
    quiet = "{name: quiet, description: still, group: rest, valence: -0.1, arousal: 0.2}"
    wild = "{name: wild, description: all over, group: play, valence: 0, arousal: 0.9}"
    assert load_labels(write(f"labels: [{GOOD}, {quiet}, {wild}, {OTHER}]")).neutral == 1


def test_idle_is_the_neutral_one_whatever_it_shows(write):
    idle = "{name: idle, description: rests, group: rest, valence: 0.5, arousal: 0.5}"
    quiet = "{name: quiet, description: still, group: rest, valence: 0, arousal: 0}"
    assert load_labels(write(f"labels: [{quiet}, {idle}, {OTHER}]")).neutral == 1


def label(**changes):
    fields = {"name": "a", "description": "b", "group": "c", "valence": "0", "arousal": "0"}
    fields = {key: value for key, value in {**fields, **changes}.items() if value is not None}
    return "{" + ", ".join(f"{key}: {value}" for key, value in fields.items()) + "}"


NUMBER = "must be a number from {} to 1; correct it"
FIELDS = "name, description, group, valence, arousal"


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (GOOD, "label 'glad' is there twice; rename or drop one of the two"),
        ("happy", f"a label must be a mapping with {FIELDS}"),
        ("[happy]", f"a label must be a mapping with {FIELDS}"),
        (label(colour="red"), f"unknown field 'colour'; a label has {FIELDS}"),
        ("{[name]: a}", "unknown field '"),
        ("{name: a, name: b}", "'name' is there twice; drop one of the two"),
        (label(name=None), "label without 'name'; add it"),
        (label(description=None), "label without 'description'; add it"),
        (label(group=None), "label without 'group'; add it"),
        (label(valence=None), "label without 'valence'; add it"),
        (label(arousal=None), "label without 'arousal'; add it"),
        (label(name="Happy"), "name 'Happy' must be lower-case letters, digits and underscores"),
        (label(name="vui_vẻ"), "name 'vui_vẻ' must be lower-case letters"),
        (label(name="1st"), "digits and underscores, a letter first; rename it"),
        (label(name="''"), ": name must be one line of text"),
        (label(name="'a b'"), "name 'a b' must be lower-case letters"),
        (label(description="''"), "description must be one line of text"),
        (label(description="[b]"), "description must be one line of text"),
        (label(description='"b\\nc"'), "description must be one line; join its lines"),
        (label(group="' '"), "group must be one line of text"),
        (label(valence="-1.1"), f"valence '-1.1' {NUMBER.format(-1)}"),
        (label(valence="nice"), f"valence 'nice' {NUMBER.format(-1)}"),
        (label(valence=".nan"), f"valence '.nan' {NUMBER.format(-1)}"),
        (label(valence="nan"), f"valence 'nan' {NUMBER.format(-1)}"),
        (label(valence="[0]"), NUMBER.format(-1)),
        (label(arousal="-0.1"), f"arousal '-0.1' {NUMBER.format(0)}"),
        (label(arousal="1.01"), f"arousal '1.01' {NUMBER.format(0)}"),
        (label(arousal="inf"), f"arousal 'inf' {NUMBER.format(0)}"),
    ],
)
def test_a_wrong_label_is_named_with_file_line_and_remedy(write, second, message):
    file = write(f"# mine\nlabels:\n  - {GOOD}\n  - {second}\n")
    with pytest.raises(LabelError, match=r"labels\.yaml:4: ") as error:
        load_labels(file)
    assert str(error.value).startswith(f"{file}:4: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, r"no list 'labels:'; write 'labels:' and below it one '- \{…\}' each$"),
        ("\n\n- happy\n", 3, "no list 'labels:'"),
        ("label:\n  - happy\n", 1, "no list 'labels:'"),
        ("labels: happy\n", 1, "no list 'labels:'"),
        ("[labels]: [a]\n", 1, "no list 'labels:'"),
        ("labels: []\n", 1, "0 labels; list at least two under 'labels:'"),
        (f"\nlabels:\n  - {GOOD}\n", 2, "1 labels; list at least two"),
        ("labels:\n  - {name: a\n", 3, r"not valid YAML \(.*\); correct this line"),
        ("labels:\n\t- happy\n", 2, r"not valid YAML \(.*'\\t'.*\); correct this line"),
        ("a: 1\n---\nb: 2\n", 2, "not valid YAML .*another document"),
        ("labels:\n  - *glad\n", 2, r"not valid YAML \(found undefined alias 'glad'\)"),
        ("labels: &a\n  - *a\n", 2, r"not valid YAML \(alias '\*a' is not taken; write it out\)"),
        ("# one\n# two\nlabels: \x00\n", 3, r"not valid YAML \(character U\+0000 is not allowed\)"),
        ("\n\x07", 2, r"not valid YAML \(character U\+0007 is not allowed\)"),
    ],
)
def test_a_wrong_file_is_named_with_line_and_remedy(write, text, line, message):
    with pytest.raises(LabelError, match=rf"labels\.yaml:{line}: {message}"):
        load_labels(write(text))


def test_more_labels_than_any_robot_has_faces_are_refused(write):
    def of(count):
        names = (label(name=f"a{number}") for number in range(count))
        return write("\nlabels:\n" + "".join(f"  - {name}\n" for name in names))

    assert len(load_labels(of(MOST_LABELS))) == MOST_LABELS == 256
    with pytest.raises(LabelError, match=r"labels\.yaml:2: 257 labels; list at most 256$"):
        load_labels(of(MOST_LABELS + 1))


UNREADABLE = "cannot be read .*; set labels_file to a readable UTF-8 file, or leave it empty"


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(LabelError, match=f"none.yaml' {UNREADABLE}"):
        load_labels(tmp_path / "none.yaml")


def test_a_folder_is_told(tmp_path):
    with pytest.raises(LabelError, match=UNREADABLE):
        load_labels(tmp_path)


def test_a_file_that_is_not_utf8_is_told(write):
    with pytest.raises(LabelError, match=UNREADABLE):
        load_labels(write("labels: [buồn]", "utf-16"))


def test_a_path_that_is_none_is_told():
    with pytest.raises(LabelError, match=UNREADABLE):
        load_labels("a\0b")


def test_no_tag_of_the_file_makes_an_object(write):
    text = f"labels:\n  - {GOOD}\n  - !!python/object/apply:os.system [exit]\n"
    with pytest.raises(LabelError, match="a label must be a mapping"):
        load_labels(write(text))
