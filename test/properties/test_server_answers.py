"""Whatever JSON a model server sends, each way of asking reads a distribution out of it or says
that the answer is of another form; the network apart, this is all that is between the two."""

import asyncio
import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("tokenizers")
from attempts import attempt
from model_servers import TURN, make_prompt, make_tokenizer

from pika_emotion.errors import TaggerError
from pika_emotion.labels import load_labels
from pika_emotion.prompt import Prompt
from pika_emotion.prompt_file import load_prompt
from pika_emotion.taggers.http_ways import Prompts, ask, candidates
from pika_emotion.text_chat import TextChat

LABELS = load_labels()
CANARY = "Rumpelstilzchen"


@pytest.fixture(scope="module")
def ways(tmp_path_factory):
    ids, decode = make_prompt(make_tokenizer(tmp_path_factory.mktemp("tokenizer")), LABELS)
    named = [(label.name, label.description) for label in LABELS]
    coded, by_name = (
        Prompt(TextChat(coded=coded), load_prompt(), named) for coded in (True, False)
    )
    return list(candidates(Prompts(ids, decode, coded, by_name, "Answer."), "model"))


class Said:
    """Answers every request with the same JSON."""

    def __init__(self, answer):
        self._answer = answer

    async def post(self, path, body):
        return self._answer


NUMBERS = st.one_of(
    st.floats(), st.integers(), st.floats(-30, 0), st.sampled_from([0, -1.5, 0.001, -(10**400)])
)
WORDS = st.one_of(
    st.sampled_from([*LABELS.names, *(f" {name}" for name in LABELS.names)]),
    st.sampled_from(["yes", "no", "A", "▁a"]),
    st.integers(0, 2000).map(lambda number: f"token_id:{number}"),
    st.sampled_from(["token_id:", "token_id:²", "token_id:9999999999999999999999"]),
    st.just(CANARY),
    st.text(max_size=4),
)
JUNK = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


def object_of(**fields):
    """An object of the protocol's, in which any field may be junk or missing."""
    return st.fixed_dictionaries({}, optional={k: v | JUNK for k, v in fields.items()})


TOKEN = object_of(token=WORDS | st.integers(0, 2000), logprob=NUMBERS, id=st.integers(0, 2000))
CHAT = object_of(content=st.lists(
    object_of(top_logprobs=st.lists(TOKEN, max_size=5), token=WORDS, logprob=NUMBERS), max_size=2
))  # fmt: skip
COMPLETION = object_of(top_logprobs=st.lists(st.dictionaries(WORDS, NUMBERS), max_size=2))
CHOICE = object_of(
    index=st.integers(0, 2),
    text=WORDS,
    message=object_of(content=WORDS),
    logprobs=CHAT | COMPLETION,
)
USAGE = object_of(
    prompt_tokens=st.integers(),
    prompt_tokens_details=object_of(cached_tokens=st.integers()),
)
ANSWER = object_of(choices=st.lists(CHOICE, max_size=3), usage=USAGE) | JUNK
COMPLETE = {
    "choices": [
        {"index": 0, "text": CANARY, "logprobs": {"top_logprobs": [{"happy": -0.1, "yes": -0.2}]}},
        {"index": 1, "text": "no", "logprobs": {"top_logprobs": [{"happy": -0.1, "yes": -0.2}]}},
    ]
}


def read(way, answer):
    """Return what a way reads of an answer, or None; nothing else than our error may come."""
    reading, fault = attempt(TaggerError, lambda: asyncio.run(ask(Said(answer), way, TURN)))
    assert CANARY not in fault
    return reading


def check(reading):
    assert len(reading.scores) == len(LABELS)
    assert math.isclose(math.fsum(reading.scores), 1.0, abs_tol=1e-9)
    assert all(0 <= score <= 1 for score in (*reading.scores, reading.celebrate))
    assert all(math.isfinite(value) for value in reading.counts.values())


@given(ANSWER, st.data())
@example(COMPLETE, None)
@example({"choices": [{"logprobs": {"top_logprobs": [{"happy": -(10**400)}]}}] * 2}, None)
@example({"choices": [{"logprobs": {"top_logprobs": [{"A": -1e308, "yes": -1e308}]}}] * 2}, None)
@example({"choices": [{"index": "a"}, {"index": 1}]}, None)
@example({"choices": [{"index": [1]}, {"index": {}}]}, None)
@example({**COMPLETE, "usage": {"prompt_tokens": 10**400}}, None)
def test_any_answer_is_a_distribution_or_of_another_form(ways, answer, data):
    json.dumps(answer)  # what comes is JSON, or Python's idea of it
    for way in ways if data is None else [data.draw(st.sampled_from(ways))]:
        reading = read(way, answer)
        if reading is not None:
            check(reading)


def test_a_sound_answer_is_read_by_the_ways_that_it_is_for(ways):
    assert sum(read(way, COMPLETE) is not None for way in ways) >= 3
