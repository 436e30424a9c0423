"""YAML that swells or nests without end is refused by the label file and the prompt file."""

import pytest
import yaml

from pika_emotion import plain_yaml, resources
from pika_emotion.errors import LabelError, PromptError
from pika_emotion.labels import MOST_LABELS, load_labels
from pika_emotion.prompt_file import load_prompt

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
    for before, name in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)


@pytest.mark.parametrize("text", [LAUGHS, MERGES, "a: &a [*a]\n"])
def test_aliases_are_refused(text, tmp_path):
    with pytest.raises(yaml.YAMLError, match=r"alias '\*a' is not taken; write it out"):
        plain_yaml.load(text)
    file = tmp_path / "file.yaml"
    file.write_text(text)
    with pytest.raises(LabelError, match=r"file.yaml:[12]: not valid YAML \(alias '\*a' is not"):
        load_labels(file)
    with pytest.raises(PromptError, match=r"is not valid YAML \(alias '\*a' is not taken"):
        load_prompt(file)


def test_nesting_is_bounded():
    assert plain_yaml.load("[" * 19 + "x" + "]" * 19)
    for text in ("[" * 21 + "]" * 21, "[" * 100_000, "- " * 1000 + "x", "{a: " * 1000):
        with pytest.raises(yaml.YAMLError):
            plain_yaml.load(text)


def test_plain_files_read_as_before():
    for name in ("config/labels.yaml", "config/prompt.yaml"):
        text = resources.find(name).read_text(encoding="utf-8")
        assert plain_yaml.load(text) == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["!!python/object/apply:os.system [exit]", "!!python/name:os.sep"])
def test_no_tag_makes_an_object(text):
    with pytest.raises(yaml.YAMLError, match="could not determine a constructor"):
        plain_yaml.load(text)


@pytest.mark.parametrize("text", ["!!bool maybe", "!!timestamp soon", "!!int ''", "!!float ''"])
def test_a_value_that_is_not_what_its_tag_names_is_told(text, tmp_path):
    with pytest.raises(ValueError, match="not of the kind that its tag names"):
        plain_yaml.load(text)
    file = tmp_path / "file.yaml"
    file.write_text(f"template: {{a: {text}}}")
    with pytest.raises(PromptError, match=r"file\.yaml"):
        load_prompt(file)


def test_there_is_a_most_of_labels(tmp_path):
    file = tmp_path / "labels.yaml"
    label = "  - {{name: a{}, description: d, group: g, valence: 0, arousal: 0}}\n"
    lines = [label.format(number) for number in range(MOST_LABELS + 1)]
    file.write_text("labels:\n" + "".join(lines[:-1]))
    assert len(load_labels(file)) == MOST_LABELS
    file.write_text("labels:\n" + "".join(lines))
    with pytest.raises(LabelError, match="257 labels; list at most 256"):
        load_labels(file)


@pytest.mark.parametrize(
    ("template", "match"),
    [
        ("[a]", "'template' must be a mapping"),
        ("x", "'template' must be a mapping"),
        ("{a: [1]}", "'a' of 'template' must be a text, a number, true or false"),
        ("{a: {b: c}}", "'a' of 'template' must be a text, a number, true or false"),
        ("{1: c}", "'1' of 'template' must be a text, a number, true or false"),
    ],
)
def test_what_the_chat_template_is_told_is_plain(tmp_path, template, match):
    whole = resources.find("config/prompt.yaml").read_text(encoding="utf-8")
    file = tmp_path / "prompt.yaml"
    changed = whole.replace("template: {enable_thinking: false}", f"template: {template}")
    assert changed != whole
    file.write_text(changed, encoding="utf-8")
    with pytest.raises(PromptError, match=match):
        load_prompt(file)
