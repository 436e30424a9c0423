"""The prompt file: what it may say, and what is told where it is wrong."""

import json

import pytest
import yaml

from pika_emotion import resources
from pika_emotion.errors import PromptError
from pika_emotion.prompt_file import PromptText, load_prompt


@pytest.fixture
def content():
    return yaml.safe_load(resources.find("config/prompt.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def load(tmp_path):
    def load(content):
        file = tmp_path / "prompt.yaml"
        file.write_text(
            content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8"
        )
        return load_prompt(file)

    return load


def test_the_packages_own_is_read_and_survives_json():
    text = load_prompt()
    assert PromptText.from_plain(json.loads(json.dumps(text.to_plain()))) == text


def test_its_examples_contrast_and_have_known_labels(labels):
    examples = load_prompt().examples
    assert {example.emotion for example in examples} <= set(labels.names)
    assert {example.celebrate for example in examples} == {True, False}
    assert any(example.turn.event for example in examples)
    questions = [example.turn.question for example in examples]
    assert any(questions.count(question) > 1 for question in questions)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"task": ""}, "'task' must be one line of text"),
        ({"turn": "a\nb"}, "'turn' must be one line of text"),
        ({"heads": {"emotion": "Emotion:"}}, "'celebrate' must be one line of text"),
        ({"heads": None}, "'heads' must be a mapping with celebrate, emotion, joint"),
        ({"tsak": "x"}, "unknown 'tsak' in the file"),
        ({"template": {"tokenize": True}}, "'tokenize' of 'template' is .* here; take it out"),
        ({"template": {"messages": "x"}}, "'messages' of 'template' is .* here; take it out"),
        ({"examples": "x"}, "'examples' must be a list"),
        ({"examples": [{"reply": "x"}]}, "example 1 must have a reply and an emotion"),
        (
            {"examples": [{"reply": "x", "emotion": "sad", "celebrate": "no"}]},
            "celebrate of example 1 must be true or false",
        ),
        (
            {"examples": [{"reply": 5, "emotion": "sad", "celebrate": True}]},
            "reply of example 1 is not a text",
        ),
    ],
)
def test_what_is_wrong_is_named(load, content, change, match):
    with pytest.raises(PromptError, match=match):
        load({**content, **change})


def test_a_file_that_is_not_yaml_is_named(load):
    with pytest.raises(PromptError, match="is not valid YAML"):
        load("task: [")


def test_a_missing_file_is_named():
    with pytest.raises(
        PromptError, match=r"such.yaml' cannot be read .* prompt_file to a readable"
    ):
        load_prompt("/no/such.yaml")
