"""The real engine in this process: the model's own answers, and no token computed twice."""

import gc

import pytest
import torch
import transformers
from tiny import BLOCK, TURNS, engine_settings

from pika_emotion.dialogue import Turn
from pika_emotion.errors import TaggerError
from pika_emotion.prompt import distribution
from pika_emotion.taggers.vllm_engine import VllmEngine

FP32, BF16 = 1e-5, 3e-2
SUFFIX = 8


class Engines:
    """One engine at a time: they share what vLLM keeps for a whole process."""

    def __init__(self, checkpoints, labels):
        self._checkpoints = checkpoints
        self._labels = labels
        self._key = None
        self.engine = None

    def load(self, family="phi3", *more):
        """Return the engine, its card and what it reported; a new one only for other settings."""
        if self._key != (family, *more):
            self.close()
            lines = []
            engine = VllmEngine(engine_settings(self._checkpoints[family], self._labels, *more))
            card = engine.load(self._labels.names, lines.append)
            self.engine, self._key = engine, (family, *more)
            self._loaded = engine, card, lines
        return self._loaded

    def close(self):
        if self.engine is not None:
            self.engine.close()
        self.engine = self._key = self._loaded = None
        gc.collect()


@pytest.fixture(scope="module")
def engines(checkpoints, labels):
    engines = Engines(checkpoints, labels)
    yield engines
    engines.close()


@pytest.fixture
def engine(engines):
    engine = engines.load()[0]
    engine.model.engine.reset_prefix_cache()
    engine._read = []
    engine._ahead_tokens = 0
    ask(engine, [Turn("", "", "warm")])  # the prefix is in the cache, as it is on a robot
    return engine


def run(engine):
    results = []
    while engine.busy:
        results += engine.step()
    return results


def ask(engine, turns):
    for number, turn in enumerate(turns):
        engine.submit(number, turn)
    results = sorted(run(engine), key=lambda result: result.id)
    assert [result.id for result in results] == list(range(len(turns)))
    return results


def difference(one, other):
    pairs = zip((*one.scores, one.celebrate), (*other.scores, other.celebrate), strict=True)
    return max(abs(a - b) for a, b in pairs)


def by_transformers(engine, model, turn):
    """The same distribution out of transformers, on the same ids."""
    logprobs = {}
    for request in engine.model.prompt.requests(turn):
        with torch.inference_mode():
            logits = model(torch.tensor([request.ids])).logits[0, -1].float()
        values = torch.log_softmax(logits, -1)
        logprobs[request.head] = {t: float(values[t]) for t in request.answers}
    return distribution(engine.model.prompt, logprobs)


@pytest.mark.parametrize(
    ("family", "heads", "dtype", "tolerance"),
    [
        ("phi3", "two", "float32", FP32),
        ("phi3", "joint", "float32", FP32),
        ("phi3", "two", "bfloat16", BF16),
        ("qwen2", "two", "float32", FP32),
        ("qwen2", "joint", "bfloat16", BF16),
    ],
)
def test_probabilities_are_those_of_transformers(
    engines, checkpoints, labels, family, heads, dtype, tolerance
):
    folder = checkpoints[family]
    engine, card, _ = engines.load(family, f"vllm.heads={heads}", f"vllm.dtype={dtype}")
    assert (card["heads"], card["dtype"], card["scoring"]) == (heads, dtype, "ids")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    for turn in TURNS:
        (result,) = ask(engine, [turn])
        scores, celebrate, outside = by_transformers(engine, model, turn)
        assert max(abs(a - b) for a, b in zip(result.scores, scores, strict=True)) <= tolerance
        assert result.celebrate == pytest.approx(celebrate, abs=tolerance)
        assert result.counts["outside"] == pytest.approx(outside, abs=tolerance)
    spread = max(max(ask(engine, [turn])[0].scores) for turn in TURNS)
    assert spread > 2 / len(labels), "the model says the same of everything; this tests nothing"


def test_where_scores_cannot_be_read_by_ids_the_numbers_are_the_same(engine, engines):
    expected = [ask(engine, [turn])[0] for turn in TURNS]
    for scoring in ("allowed", "all"):
        other, card, lines = engines.load("phi3", f"vllm.scoring={scoring}")
        assert card["scoring"] == scoring
        assert f"label scores are read by way of '{scoring}', not by token ids" in lines
        for turn, result in zip(TURNS, expected, strict=True):
            assert difference(ask(other, [turn])[0], result) <= FP32


def test_cached_equals_uncached(engine):
    for turn in TURNS:
        (cached,) = ask(engine, [turn])
        engine.model.engine.reset_prefix_cache()
        (uncached,) = ask(engine, [turn])
        assert uncached.counts["computed_tokens"] > len(engine.model.prompt.prefix)
        assert cached.counts["computed_tokens"] < len(engine.model.prompt.prefix)
        assert difference(cached, uncached) <= FP32


def test_batched_equals_alone_in_one_step(engine):
    alone = [ask(engine, [turn])[0] for turn in TURNS[:4]]
    engine.model.engine.reset_prefix_cache()
    ask(engine, [Turn("", "", "warm")])
    before = engine.steps
    together = ask(engine, TURNS[:4])
    assert engine.steps == before + 1
    assert max(difference(a, b) for a, b in zip(alone, together, strict=True)) <= FP32


def test_partially_read_ahead_equals_whole(engine):
    for turn in TURNS:
        (whole,) = ask(engine, [turn])
        engine.model.engine.reset_prefix_cache()
        words = turn.reply.split(" ")
        for end in range(len(words)):
            engine.prefill(Turn(turn.question, turn.child, " ".join(words[:end]), turn.event))
            run(engine)
        (partial,) = ask(engine, [turn])
        assert difference(whole, partial) <= FP32


def test_a_reply_takes_one_step_and_computes_no_more_than_its_own_tokens(engine):
    for turn in TURNS:
        (result,) = ask(engine, [turn])
        uncached = engine.model.prompt.requests(turn)[0].ids[len(engine.model.prompt.prefix) :]
        assert result.counts["engine_steps"] == 1
        assert result.counts["computed_tokens"] <= len(uncached) + 2 * BLOCK - 1 + 2 * SUFFIX


def test_words_read_ahead_are_not_computed_again(engine):
    for turn in TURNS[:3]:
        before_reply = engine.model.prompt.fixed_tokens(turn)
        engine.prefill(Turn(turn.question, turn.child, "", turn.event))
        run(engine)
        (result,) = ask(engine, [turn])
        whole = len(engine.model.prompt.requests(turn)[0].ids)
        assert result.counts["ahead_tokens"] > 0
        # The second head computes at most a block and its suffix again.
        most = (whole - before_reply) + (BLOCK - 1) + SUFFIX
        cut_block = before_reply % BLOCK
        assert result.counts["computed_tokens"] <= most + cut_block


def test_a_reply_read_while_it_is_written_leaves_its_tail(engine):
    turn = Turn("Tell me a story!", "kể chuyện đi", "Ngày xưa có một con mèo nhỏ. " * 12)
    words = turn.reply.split(" ")
    hints = 0
    for end in range(len(words)):
        engine.prefill(Turn(turn.question, turn.child, " ".join(words[:end])))
        hints += engine.busy
        run(engine)
    (result,) = ask(engine, [turn])
    assert hints < len(words) / 2, "a hint that fills no new block costs a step"
    assert result.counts["computed_tokens"] <= 4 * BLOCK
    assert result.counts["new_tokens"] > 4 * BLOCK


def test_a_reply_takes_the_place_of_a_hint_that_is_not_read_yet(engine):
    engine.prefill(Turn("Tell me!", "kể chuyện đi", "Ngày xưa có một con mèo nhỏ. " * 12))
    assert engine.busy
    (result,) = ask(engine, [TURNS[0]])
    assert result.counts["engine_steps"] == 1
    assert result.counts["ahead_tokens"] == 0


def test_a_hint_without_news_is_not_read(engine):
    engine.prefill(Turn("", "", ""))
    assert not engine.busy


def test_a_cancelled_reply_leaves_the_engine(engine):
    (expected,) = ask(engine, [TURNS[0]])
    engine.submit(1, TURNS[1])
    engine.cancel(1)
    assert not engine.busy
    assert engine.model.engine.get_num_unfinished_requests() == 0
    assert difference(ask(engine, [TURNS[0]])[0], expected) <= FP32


def test_a_reply_is_cancelled_between_its_steps(engines):
    engine, _, _ = engines.load("phi3", "vllm.max_num_batched_tokens=64")
    (expected,) = ask(engine, [TURNS[0]])
    engine.model.engine.reset_prefix_cache()
    engine.submit(1, TURNS[1])
    assert engine.step() == []
    engine.cancel(1)
    assert not engine.busy
    assert engine.model.engine.get_num_unfinished_requests() == 0
    assert difference(ask(engine, [TURNS[0]])[0], expected) <= FP32


def test_an_engine_that_keeps_failing_gives_itself_up(engine, monkeypatch):
    def fail():
        raise RuntimeError("CUDA error")

    monkeypatch.setattr(engine.model.engine, "step", fail)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            engine.step()
    with pytest.raises(SystemExit):
        engine.step()
    engine._failures = 0


def test_the_card_says_what_answered(engines):
    _, card, lines = engines.load()
    assert card["vllm"]
    assert card["device"] == "cpu"
    assert card["labels"] == "17"
    assert card["block_tokens"] == str(BLOCK)
    assert len(card["model_sha256"]) == len(card["prompt_sha256"]) == 64
    assert any(line.startswith("warming up ") for line in lines)
    assert lines[-1].startswith("ready in ")


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (["vllm.model=/no/such/folder"], "'/no/such/folder' is not a folder"),
        (["vllm.model=nobody/no-such-model"], "is not on this machine .*hf download"),
        (["vllm.max_model_len=600"], "raise it, lower vllm.max_turn_tokens"),
        (["vllm.quantization=awq"], "leave vllm.quantization empty"),
        (["vllm.engine_args='{\"no_such\": 1}'"], "'no_such' is no argument"),
    ],
)
def test_what_cannot_be_loaded_is_named_with_its_remedy(engines, more, match):
    with pytest.raises(TaggerError, match=match):
        engines.load("phi3", *more)


def test_a_machine_without_a_gpu_is_told(engines, monkeypatch):
    from vllm.platforms import current_platform

    monkeypatch.setattr(current_platform, "device_type", "", raising=False)
    with pytest.raises(TaggerError, match="finds no GPU that it can use; check 'nvidia-smi'"):
        engines.load("phi3", "vllm.max_replies=1")


def test_a_folder_without_a_tokenizer_is_told(engines, checkpoints, tmp_path):
    (tmp_path / "config.json").write_text((checkpoints["phi3"] / "config.json").read_text())
    with pytest.raises(TaggerError, match=r"tokenizer of vllm.model .* cannot be read"):
        engines.load("phi3", f"vllm.model={tmp_path}")
