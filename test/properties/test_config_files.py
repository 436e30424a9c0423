"""Label files, prompt files and turns, whatever is in them: what they mean, or an error of ours."""

import json
import math
import re

import pytest
import yaml
from attempts import attempt
from conftest import ROOT
from hypothesis import example, given
from hypothesis import strategies as st

from pika_emotion.corpus import read_file, read_turns
from pika_emotion.errors import CorpusError, LabelError, PromptError
from pika_emotion.labels import load_labels
from pika_emotion.prompt_file import PromptText, load_prompt

LABELS = (ROOT / "config/labels.yaml").read_text(encoding="utf-8")
PROMPT = (ROOT / "config/prompt.yaml").read_text(encoding="utf-8")
TURNS = "\n".join((ROOT / "data/dialogues/test.tsv").read_text(encoding="utf-8").splitlines()[:6])
# Ten lists of ten of the ones before: ten thousand million items, where they are written out.
BOMB = "\n".join(
    ["l0: &l0 [x]", *(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 11))]
)
DEEP = "[" * 20_000


def scalars():
    return st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.dates()
    )


def trees(keys):
    """YAML's own kinds of values, with the keys that the file knows among others."""
    names = st.one_of(st.sampled_from(keys), st.text(max_size=6))
    return st.recursive(
        scalars(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5),
        max_leaves=12,
    )


def damaged(text):
    """A valid file with some of its lines taken out, doubled or put elsewhere, or characters."""
    lines = text.splitlines()
    spot = st.integers(0, len(text) - 1)
    cut = st.tuples(spot, st.integers(0, 40), st.text(max_size=10)).map(
        lambda c: text[: c[0]] + c[2] + text[c[0] + c[1] :]
    )
    shuffled = st.lists(st.sampled_from(lines), max_size=2 * len(lines)).map("\n".join)
    return cut | shuffled


def changed(text, keys):
    """A valid file in which one value, at any depth, is another one."""
    content = yaml.safe_load(text)
    paths = list(paths_of(content))

    def change(path, value):
        root = yaml.safe_load(text)
        place = root
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        return yaml.safe_dump(root, allow_unicode=True)

    return st.builds(change, st.sampled_from(paths), trees(keys))


def paths_of(value, path=()):
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, one in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths_of(one, (*path, key))


def files(text, keys):
    return st.one_of(
        st.binary(max_size=200),
        damaged(text).map(lambda t: t.encode("utf-8", "surrogatepass")),
        changed(text, keys).map(str.encode),
        trees(keys).map(lambda tree: yaml.safe_dump(tree).encode()),
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("config") / "file.yaml"


@given(files(LABELS, ["labels", "name", "description", "group", "valence", "arousal"]))
@example(LABELS.encode())
@example(DEEP.encode())
@example(f"labels: {DEEP}".encode())
@example(f"{BOMB}\nlabels:\n- {{name: a, description: b, group: c, valence: *l10}}".encode())
@example(b"labels: &a [*a, *a]")
@example(b"labels: [{name: &a [*a], description: a, group: a, valence: 0, arousal: 0}]")
@example(b"? [labels]\n: []")
@example(b"? &a [*a]\n: []")
def test_a_label_file_is_labels_or_an_error_of_ours(file, content):
    file.write_bytes(content)
    labels, fault = attempt(LabelError, load_labels, file)
    if labels is None:
        assert str(file) in fault
        assert len(fault) < 2000
        return
    assert len(set(labels.names)) == len(labels) >= 2
    for label in labels:
        assert re.fullmatch("[a-z][a-z0-9_]*", label.name)
        assert label.description
        assert label.group
        assert "\n" not in label.description + label.group
        assert -1 <= label.valence <= 1
        assert 0 <= label.arousal <= 1
    assert 0 <= labels.neutral < len(labels)


PROMPT_KEYS = [
    *("task", "labels", "examples_title", "turn", "chat", "celebrate_yes", "celebrate_no"),
    *("fields", "heads", "template", "examples", "question", "child", "event", "reply"),
    *("emotion", "celebrate", "joint"),
]


@given(files(PROMPT, PROMPT_KEYS))
@example(PROMPT.encode())
@example(DEEP.encode())
@example(BOMB.encode())
@example(f"{PROMPT}\ntemplate: [a]".encode())
@example(f"{PROMPT}\ntemplate: text".encode())
@example(f"{PROMPT}\ntemplate: {{1: a}}".encode())
@example(f"{PROMPT}\ntemplate: {{day: 2024-01-01}}".encode())
@example(f"{PROMPT}\ntemplate: {{a: &a [*a]}}".encode())
@example(f"{PROMPT}\ntemplate: {{a: .nan}}".encode())
@example(f"{BOMB}\ntemplate: {{a: *l10}}\n{PROMPT}".encode())
def test_a_prompt_file_is_a_prompt_that_survives_json_or_an_error_of_ours(file, content):
    file.write_bytes(content)
    prompt, fault = attempt(PromptError, load_prompt, file)
    if prompt is None:
        assert str(file) in fault
        assert len(fault) < 2000
        return
    for line in (prompt.task, prompt.turn, *prompt.heads.values(), prompt.celebrate_yes):
        assert line == line.strip()
        assert line
        assert "\n" not in line
    plain = prompt.to_plain()
    assert PromptText.from_plain(json.loads(json.dumps(plain, allow_nan=False))) == prompt
    for one in prompt.examples:
        assert one.turn.reply
        assert one.emotion


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9), st.booleans())
def test_numbers_come_back_as_they_were_written(file, values, other_order):
    rows = [
        {"name": f"label_{n}", "description": "d", "group": "g", "valence": v, "arousal": abs(v)}
        for n, v in enumerate(values)
    ]
    if other_order:
        rows = [dict(reversed(row.items())) for row in rows]
    file.write_text(yaml.safe_dump({"labels": rows}), encoding="utf-8")
    labels = load_labels(file)
    for label, value in zip(labels, values, strict=True):
        assert math.isclose(label.valence, value)
        assert math.isclose(label.arousal, abs(value))


@given(st.binary(max_size=200) | damaged(TURNS).map(lambda t: t.encode("utf-8", "surrogatepass")))
@example(TURNS.encode())
@example(TURNS.replace("\n", "\r\n").encode())
@example(b"")
@example(TURNS.splitlines()[0].encode())
def test_a_file_of_turns_is_rows_or_an_error_of_ours(file, content):
    labels = load_labels()
    file.write_bytes(content)
    rows, fault = attempt(CorpusError, read_file, file, labels)
    turns, fault_of_turns = attempt(CorpusError, read_turns, file)
    assert all(str(file) in text for text in (fault, fault_of_turns) if text)
    for row in rows or []:
        assert row.emotions
        assert set(row.emotions) <= set(labels.names)
        assert row.celebrate in ("yes", "no", "either")
    if rows is not None:
        assert [turn for turn, _ in turns] == [row.turn for row in rows]
