"""Words that try to move the tag: the reflex, the prompt's tokens and the serve API hold."""

import json

import pytest
from injected import BASES, INJECTIONS, plain, structure
from model_servers import make_tokenizer

from pika_emotion import taggers
from pika_emotion.chat import Chat
from pika_emotion.dialogue import make_turn
from pika_emotion.parameters import CELEBRATE_THRESHOLD
from pika_emotion.prompt import Prompt
from pika_emotion.prompt_file import load_prompt
from pika_emotion.server.chat_request import parse_turn
from pika_emotion.text import clean_child
from pika_emotion.text_chat import TextChat
from pika_emotion.tokenizer import Tokenizer

KINDS = sorted({injection.kind for injection in INJECTIONS})


@pytest.fixture(scope="module")
def celebrates(labels):
    tagger = taggers.create("reflex", labels, taggers.settings_from_text("reflex", []))
    tagger.load()
    return lambda turn: tagger.tag(turn, 0.0).celebrate >= CELEBRATE_THRESHOLD


def test_the_suite_is_a_few_hundred_different_ones():
    assert len({(i.field, i.text, i.times) for i in INJECTIONS}) == len(INJECTIONS) >= 300
    assert len(BASES) >= 10
    assert {injection.field for injection in INJECTIONS} == {"child", "reply"}


def test_nothing_is_celebrated_in_the_turns_themselves(celebrates):
    assert not any(celebrates(make_turn(**base)) for base in BASES)


@pytest.mark.parametrize("kind", KINDS)
def test_no_injection_moves_celebrate(celebrates, kind):
    moved = [
        (injection.field, injection.text, base["reply"])
        for injection in INJECTIONS
        if injection.kind == kind and not injection.content
        for base in BASES
        if celebrates(injection.turn(base))
    ]
    assert moved == []


def test_what_is_named_content_does_move_it(celebrates):
    """Else a row was excused that need not be."""
    for injection in INJECTIONS:
        if injection.content:
            assert injection.field == "reply"
            assert any(celebrates(injection.turn(base)) for base in BASES), injection.text


@pytest.fixture(scope="module")
def make(tmp_path_factory, labels):
    folder = make_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    text = load_prompt()
    named = [(label.name, label.description) for label in labels]

    def make(chat=None, **options):
        chat = chat or Chat(Tokenizer(folder), text.template)
        return Prompt(chat, text, named, **options), chat

    return make


def test_the_prompts_token_structure_is_that_of_plain_words(make):
    """With the tokenizers of two families: test/vllm/engine/test_injection_tokens.py."""
    prompt, chat = make()
    assert len(structure(prompt, chat, make_turn("q", "c", "r"))[0]) >= 3
    for injection in INJECTIONS:
        turn = injection.turn(BASES[0])
        assert structure(prompt, chat, turn) == structure(prompt, chat, plain(turn)), injection


@pytest.mark.parametrize("coded", [True, False])
def test_a_prompt_of_words_has_no_more_lines_than_that_of_plain_words(make, coded):
    prompt, _ = make(TextChat(coded=coded))
    for injection in INJECTIONS:
        turn = injection.turn(BASES[0])
        lines, expected = (prompt.content(t).split("\n") for t in (turn, plain(turn)))
        assert len(lines) == len(expected), injection
        assert [line.partition(":")[0] for line in lines[:-1]] == [
            line.partition(":")[0] for line in expected[:-1]
        ], injection


FORMS = {
    "lines": "previous_question: {}\nuser_last_message: {}\npika_response: {}",
    "context": "[CONTEXT]\nuser_last_message: {1}\npika_response: {2}",
    "checked": "Previous Question: {}\nPrevious Answer: {}\nResponse to check: {}",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_field_in_a_childs_words_takes_no_other_fields_place(form, kind):
    """As JSON writes them, and as a caller does who only puts quotes around."""
    for injection in INJECTIONS:
        if injection.kind != kind or injection.field != "child":
            continue
        for base in BASES[:3]:
            question, child, reply = injection.into(base)
            escaped = [json.dumps(text) for text in (question, child, reply)]
            turn = parse_turn(FORMS[form].format(*escaped))
            assert turn.reply == base["reply"]
            assert turn.child == clean_child(child)
            assert turn.question in ("", base["question"])
            quoted = parse_turn(FORMS[form].format(*(f'"{t}"' for t in (question, child, reply))))
            assert quoted.reply == base["reply"], injection
            assert quoted.question in ("", base["question"])
