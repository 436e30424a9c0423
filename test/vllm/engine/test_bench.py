"""The bench's ways of asking, by what they count; how long they take is for a bench to say."""

import dataclasses
import gc
import json

import pytest
from tiny import BLOCK, TURNS, engine_settings

from pika_emotion.taggers import vllm_bench

ROUNDS = 2
ASKED = [turn for turn in TURNS if turn.question and turn.child]


@pytest.fixture(scope="module")
def found(checkpoints, labels):
    order = {"turns": [dataclasses.asdict(turn) for turn in ASKED], "rounds": ROUNDS}
    settings = engine_settings(checkpoints["phi3"], labels)
    bench = vllm_bench.create({**settings, "bench": order})
    lines = []
    card = dict(bench.load(labels.names, lines.append))
    assert not bench.busy
    assert bench.step() == []
    bench.close()
    gc.collect()
    assert f"round {ROUNDS} of {ROUNDS}" in lines
    result = json.loads(card["bench"])
    return {case["name"]: case for case in result["cases"]}, result["notes"], card


def test_every_way_is_measured_as_often(found):
    cases, notes, card = found
    assert list(cases) == [
        "json",
        "two_heads",
        "two_heads_prefilled",
        "two_heads_streamed",
        "joint_head",
        "guided_json",
    ]
    assert {case["n"] for case in cases.values()} == {ROUNDS * len(ASKED)}
    assert notes == []
    assert card["heads"] == "two"
    for case in cases.values():
        assert 0 < case["step_p50_ms"] <= case["p50_ms"] <= case["p99_ms"] <= case["max_ms"]


def test_json_is_written_in_twenty_steps_over_a_cached_prefix(found):
    cases, _, card = found
    case = cases["json"]
    assert case["written_tokens"] == case["engine_steps"] == vllm_bench.JSON_TOKENS
    assert case["cached_tokens"] == int(card["prefix_tokens"])
    assert case["computed_tokens"] == case["new_tokens"] + vllm_bench.JSON_TOKENS - 1


def test_a_grammar_ends_the_json_by_itself(found):
    assert 5 < found[0]["guided_json"]["written_tokens"] < 64


@pytest.mark.parametrize("name", ["two_heads", "two_heads_prefilled", "two_heads_streamed"])
def test_both_heads_take_one_step(found, name):
    assert found[0][name]["engine_steps"] == 1


def test_one_head_takes_one_step_and_its_new_tokens(found):
    case = found[0]["joint_head"]
    assert case["engine_steps"] == 1
    assert case["computed_tokens"] < case["new_tokens"] + BLOCK


def test_words_that_no_cache_knows_are_computed_each_time_unless_read_ahead(found):
    cases = found[0]
    plain, ahead, streamed = (
        cases[f"two_heads{way}"]["computed_tokens"] for way in ("", "_prefilled", "_streamed")
    )
    assert plain >= cases["two_heads"]["new_tokens"]
    assert cases["two_heads"]["ahead_tokens"] == 0
    assert streamed <= ahead < plain
    assert cases["two_heads_prefilled"]["ahead_tokens"] > 0


def test_a_fresh_turn_is_another_one_each_time():
    turns = {vllm_bench.fresh(ASKED[0], number) for number in range(3)}
    assert len(turns) == 3
    assert len({turn.reply for turn in turns}) == 1
    long = dataclasses.replace(ASKED[0], question="a b c " * 100)
    assert vllm_bench.fresh(long, 7).question.startswith("000007 ")
