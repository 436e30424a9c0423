"""Fine-tuning: what is learned from, what is refused, and that the seed decides."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from encoder.training import train

from pika_emotion.corpus import Row
from pika_emotion.dialogue import Turn
from pika_emotion.encoder import card as encoder_card
from pika_emotion.encoder import network as encoder_network
from pika_emotion.encoder import process as encoder_process
from pika_emotion.encoder.export import Answers, agreement
from pika_emotion.encoder.network import Encoded, Plan
from pika_emotion.errors import ModelError
from pika_emotion.logits import sigmoid, softmax

PLAN = Plan(epochs=2, batch=4, rate=1e-3, seed=3, pad_id=1, max_tokens=64)
LABELS = 5


def network(bases, pooling="mean"):
    return encoder_network.build(str(bases["xlmr"]), LABELS, pooling, PLAN.seed, download=False)


def examples(judged=1.0):
    draw = np.random.default_rng(1)
    ids = [draw.integers(4, 900, draw.integers(3, 40)).tolist() for _ in range(12)]
    emotions = np.eye(LABELS, dtype=np.float32)[draw.integers(0, LABELS, 12)]
    yes = (draw.random(12) < 0.5).astype(np.float32)
    return Encoded(ids, emotions, yes, np.full(12, judged, np.float32))


@pytest.mark.parametrize("pooling", encoder_network.POOLINGS)
def test_filling_up_changes_no_answer(bases, pooling):
    net, ids = network(bases, pooling).eval(), examples().ids
    together, _ = encoder_network.logits(net, ids, PLAN)
    alone = [encoder_network.logits(net, [one], PLAN)[0][0] for one in ids]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_rows_whose_celebrate_nobody_knows_teach_it_nothing(bases):
    before, after = network(bases), network(bases)
    encoder_network.fit(after, examples(judged=0.0), replace(PLAN, epochs=1), lambda _: None)
    # Only weight decay moves it, all weights by the same factor.
    ratio = (after.celebrate.weight / before.celebrate.weight).detach()
    assert float(ratio.std()) < 1e-4
    assert not torch.equal(after.emotion.weight, before.emotion.weight)
    known = network(bases)
    encoder_network.fit(known, examples(), replace(PLAN, epochs=1), lambda _: None)
    assert float((known.celebrate.weight / before.celebrate.weight).detach().std()) > 1e-3


def test_the_seed_decides(bases):
    found = []
    for seed in (3, 3, 4):
        net = network(bases)
        encoder_network.fit(net, examples(), replace(PLAN, seed=seed), lambda _: None)
        found.append(encoder_network.logits(net, examples().ids, PLAN)[0])
    np.testing.assert_array_equal(found[0], found[1])
    assert np.abs(found[0] - found[2]).max() > 1e-4


def test_calibration_finds_the_temperature_and_the_line(labels):
    draw = np.random.default_rng(5)
    honest = draw.normal(0, 2, (4000, len(labels)))
    chosen = (softmax(honest).cumsum(axis=1) < draw.random((4000, 1))).sum(axis=1)
    line = draw.normal(0, 2, 4000)
    yes = draw.random(4000) < sigmoid(line)
    rows = [
        Row(Turn("", "", "a"), (labels.names[one],), "yes" if right else "no")
        for one, right in zip(chosen, yes, strict=True)
    ]
    unknown = [replace(row, celebrate="either") for row in rows[:1000]]
    bent = Answers(3 * np.tile(honest, (2, 1))[:5000], np.tile((line - 1) / 0.5, 2)[:5000], [])
    found = encoder_process.calibrate(bent, [*rows, *unknown], labels)
    assert found.temperature == pytest.approx(3.0, rel=0.05)
    assert found.slope == pytest.approx(0.5, rel=0.1)
    assert found.offset == pytest.approx(1.0, abs=0.1)


def test_a_model_that_answers_otherwise_is_refused():
    draw = np.random.default_rng(5)
    given, wanted = (draw.normal(0, 3, (50, LABELS)) for _ in range(2))
    line = draw.normal(0, 1, 50)
    with pytest.raises(ModelError, match=r"model.onnx does not answer as the trained network does"):
        agreement("model.onnx", Answers(given, line, []), (wanted, line))
    told = agreement("model.onnx", Answers(given, line, []), (given, line))
    assert (told["same_emotion"], told["emotion_max"]) == (1.0, 0.0)


@pytest.fixture
def refused(files, tmp_path, capfd):
    def refused(base, *more):
        assert train(base, files, tmp_path / "new", *more) == 1
        assert not (tmp_path / "new" / encoder_card.FILE).exists()
        return capfd.readouterr().err

    return refused


@pytest.mark.parametrize("base", ["/no/such/folder", "nobody/no-such-model"])
def test_a_base_that_is_not_here_is_told_with_the_remedy(refused, base):
    told = refused(base)
    assert f"base '{base}' cannot be loaded" in told
    assert f"'hf download {base}', or give --download" in told


def test_a_tokenizer_without_tokenizer_json_is_refused(refused, bases, tmp_path):
    """PhoBERT's is of this kind."""
    base = tmp_path / "phobert"
    base.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(bases["xlmr"] / name, base / name)
    (base / "tokenizer_config.json").write_text('{"tokenizer_class": "PhobertTokenizer"}')
    (base / "vocab.txt").write_text("xin 5\nchào 4\n")
    (base / "bpe.codes").write_text("x i 5\nxi n</w> 4\n")
    told = refused(base)
    assert "(PhobertTokenizer) has no tokenizer.json, which is all that the tagger reads" in told


def test_more_tokens_than_the_base_has_places_are_refused(refused, bases):
    told = refused(bases["xlmr"], "--max-tokens", 512)
    assert "--max-tokens 512 is more than base" in told


def test_a_base_that_writes_is_no_encoder(refused, bases, tmp_path):
    base = shutil.copytree(bases["xlmr"], tmp_path / "t5")
    (base / "model.safetensors").unlink()
    import transformers

    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    config = transformers.T5Config(vocab_size=2000, **sizes)
    transformers.T5Model(config).save_pretrained(base)
    assert "is a t5, no encoder; take one such as" in refused(base)


def test_the_card_says_what_it_was_made_from(encoders, files, labels):
    card = json.loads((encoders["xlmr"] / encoder_card.FILE).read_text("utf-8"))
    assert card["labels"] == list(labels.names)
    assert card["train"]["rows"] == 120
    assert card["dev"]["n"] == 80
    assert card["dev"]["celebrate_n"] > 50
    assert card["versions"]["torch"] == torch.__version__
    for name, told in card["files"].items():
        file = encoders["xlmr"] / name
        assert told == {"sha256": encoder_card.file_hash(file), "bytes": file.stat().st_size}
    assert sorted(card["files"]) == ["model.onnx", "model_fp16.onnx", "tokenizer.json"]
