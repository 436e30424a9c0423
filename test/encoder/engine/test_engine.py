"""The engine with a real model file in onnxruntime."""

import json
import shutil

import numpy as np
import onnx
import pytest

from pika_emotion.dialogue import Turn
from pika_emotion.encoder import card as encoder_card
from pika_emotion.errors import ModelError, TaggerError
from pika_emotion.taggers.encoder_engine import EncoderEngine

TURNS = (
    Turn("What is the Vietnamese word for cat?", "con mèo", "Đúng rồi, con mèo!"),
    Turn("", "", "Xin chào, tớ là Pika."),
    Turn("Ready?", "SILENCE", "Không sao, mình từ từ thôi nhé. " * 8, event=True),
)


def settings(folder, **more):
    return {
        "model": str(folder), "provider": "auto", "threads": 1, "max_tokens": 0, "max_replies": 4,
        **more,
    }  # fmt: skip


@pytest.fixture
def load(labels):
    def load(folder, names=labels.names, **more):
        engine = EncoderEngine(settings(folder, **more))
        return engine, engine.load(names, lambda line: None)

    return load


def ask(engine, turns):
    """Return the results of turns that came together, by their place."""
    for number, turn in enumerate(turns):
        engine.submit(number, turn)
    results = []
    while engine.busy:
        results += engine.step()
    return {result.id: result for result in results}


@pytest.fixture
def copied(encoders, tmp_path):
    return shutil.copytree(encoders["xlmr"], tmp_path / "copy")


@pytest.mark.parametrize("family", ["xlmr", "bert"])
def test_every_turn_is_answered_with_a_distribution(load, encoders, family, labels):
    engine, card = load(encoders[family])
    assert card["provider"] == "cpu"
    assert card["cannot give"] == "none"
    file = encoders[family] / encoder_card.CPU_MODEL
    assert card["model_sha256"] == encoder_card.file_hash(file)
    found = ask(engine, TURNS)
    assert sorted(found) == [0, 1, 2]
    for result in found.values():
        assert len(result.scores) == len(labels)
        assert sum(result.scores) == pytest.approx(1.0)
        assert 0 < result.celebrate < 1
        assert result.counts["batch"] == 3
    assert found[0].scores != pytest.approx(found[1].scores, abs=1e-4)


def test_turns_that_come_together_are_answered_as_alone(load, encoders):
    engine, _ = load(encoders["xlmr"])
    together = ask(engine, TURNS)
    for number, turn in enumerate(TURNS):
        alone = ask(engine, [turn])[0]
        # Dynamic quantization scales by the whole batch, so not to the last digit.
        assert together[number].scores == pytest.approx(alone.scores, abs=0.02)
        assert together[number].celebrate == pytest.approx(alone.celebrate, abs=0.02)


def test_a_step_takes_as_many_as_it_may(load, encoders):
    engine, _ = load(encoders["xlmr"], max_replies=2)
    assert [r.counts["batch"] for r in ask(engine, TURNS).values()] == [2, 2, 1]


def test_a_request_that_is_cancelled_is_not_answered(load, encoders):
    engine, _ = load(encoders["xlmr"])
    engine.submit(1, TURNS[0])
    engine.submit(2, TURNS[1])
    engine.cancel(1)
    engine.cancel(99)
    assert [result.id for result in engine.step()] == [2]
    assert not engine.busy


def test_labels_in_another_order_and_unknown_ones(load, encoders, labels):
    engine, _ = load(encoders["xlmr"])
    usual = dict(zip(labels.names, ask(engine, TURNS[:1])[0].scores, strict=True))
    engine, card = load(encoders["xlmr"], names=["sad", "smug", "happy"])
    assert card["cannot give"] == "smug"
    sad, smug, happy = ask(engine, TURNS[:1])[0].scores
    assert smug == 0
    assert sad + happy == pytest.approx(1.0)
    assert sad / happy == pytest.approx(usual["sad"] / usual["happy"])


def test_no_label_in_common_is_refused(load, encoders):
    with pytest.raises(ModelError, match="trained for none of the labels smug, bored but for happ"):
        load(encoders["xlmr"], names=["smug", "bored"])


def test_a_model_for_a_gpu_answers_as_the_other(encoders):
    card = encoder_card.read(encoders["xlmr"])
    assert set(card.agreement) == {"model.onnx", "model_fp16.onnx"}
    assert card.agreement["model_fp16.onnx"]["emotion_max"] < 0.01
    assert card.agreement["model.onnx"]["emotion_mean"] < 0.01
    assert set(encoder_card.read(encoders["bert"]).agreement) == {"model.onnx"}


def test_the_int8_model_holds_8_bit_weights(encoders):
    """The embeddings and every matrix of the encoder, of which none is left in 32 bits."""
    model = onnx.load(encoders["xlmr"] / encoder_card.CPU_MODEL)
    large = [one for one in model.graph.initializer if np.prod(one.dims) >= 64 * 64]
    kinds = {onnx.TensorProto.DataType.Name(one.data_type) for one in large}
    assert len(large) >= 13
    assert kinds <= {"INT8", "UINT8"}


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_gpu_that_onnxruntime_does_not_know_is_told(load, encoders, provider):
    with pytest.raises(TaggerError, match=f"'{provider}' is not in this onnxruntime, which has "):
        load(encoders["xlmr"], provider=provider)


def test_more_tokens_than_it_was_trained_with_are_refused(load, encoders):
    with pytest.raises(ModelError, match="max_tokens 256 is more than the 128 that the encoder"):
        load(encoders["xlmr"], max_tokens=256)


def test_a_truncated_model_is_told(load, copied):
    file = copied / "model.onnx"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"model.onnx' is damaged: its SHA-256 begins with"):
        load(copied)


def declare(folder, name):
    """Make the card believe in the file that is there."""
    file = folder / encoder_card.FILE
    card = json.loads(file.read_text())
    card["files"][name]["sha256"] = encoder_card.file_hash(folder / name)
    file.write_text(json.dumps(card))


def test_a_file_that_is_no_model_is_told(load, copied):
    (copied / "model.onnx").write_bytes(b"no model")
    declare(copied, "model.onnx")
    with pytest.raises(ModelError, match="cannot be opened by onnxruntime"):
        load(copied)


def test_a_model_with_other_outputs_is_told(load, copied):
    model = onnx.load(copied / "model.onnx")
    del model.graph.output[1]
    onnx.save(model, copied / "model.onnx")
    declare(copied, "model.onnx")
    with pytest.raises(ModelError, match="has outputs emotion where emotion, celebrate fit"):
        load(copied)


def test_a_model_for_fewer_labels_than_the_card_says_is_told(load, copied):
    file = copied / encoder_card.FILE
    card = json.loads(file.read_text())
    card["labels"].append("smug")
    file.write_text(json.dumps(card))
    with pytest.raises(ModelError, match=r"gives emotion of shape \(1, 17\) .* where 18 labels"):
        load(copied)


def test_an_engine_that_keeps_failing_gives_itself_up(load, encoders):
    engine, _ = load(encoders["xlmr"])
    engine.submit(1, TURNS[0])
    engine._asked[1] = [10**9]  # no such token
    for _ in range(2):
        with pytest.raises(Exception, match="indices element out of data bounds"):
            engine.step()
    with pytest.raises(SystemExit):
        engine.step()
