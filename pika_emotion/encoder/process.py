"""The job behind ``pika-emotion train-encoder``: fine-tunes, exports, checks and writes an encoder.

Started by ``foreign`` under an interpreter that has torch, transformers, onnx, onnxscript and
onnxruntime.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import onnxscript
import tokenizers
import torch
import transformers

from pika_emotion import fitting
from pika_emotion.corpus import Row
from pika_emotion.dialogue import Turn
from pika_emotion.encoder import card as encoder_card
from pika_emotion.encoder import export as encoder_export
from pika_emotion.encoder import network as encoder_network
from pika_emotion.encoder.card import CPU_MODEL, Calibration, Card
from pika_emotion.encoder.export import Answers
from pika_emotion.encoder.network import Encoded, Plan
from pika_emotion.encoder.turns import TOKENIZER_FILE, TurnTokens
from pika_emotion.errors import ModelError
from pika_emotion.evaluation import measure
from pika_emotion.examples import examples
from pika_emotion.labels import Label, LabelSet
from pika_emotion.logits import sigmoid, softmax
from pika_emotion.parameters import CELEBRATE_THRESHOLD
from pika_emotion.tag import Tag

_LIBRARIES = (torch, transformers, tokenizers, onnx, onnxscript, onnxruntime, np)


def obey(order: Mapping[str, Any]) -> dict[str, Any]:
    """Make the encoder that the order describes; return its card and where it is.

    Raises:
        ModelError: the base cannot be used, or what was exported is not what was trained.
    """
    started = time.monotonic()
    if not order["download"]:
        os.environ["HF_HUB_OFFLINE"] = "1"
    transformers.logging.disable_progress_bar()
    labels = LabelSet(tuple(Label(**label) for label in order["labels"]))
    rows, dev = ([_row(row) for row in order[part]] for part in ("rows", "dev"))
    folder = Path(order["out"])
    folder.mkdir(parents=True, exist_ok=True)
    pad_id = save_tokenizer(order["base"], folder, download=order["download"])
    plan = Plan(pad_id=pad_id, **order["plan"])
    tokens = TurnTokens(folder / TOKENIZER_FILE, plan.max_tokens)
    network = encoder_network.build(
        order["base"], len(labels), order["pooling"], plan.seed, download=order["download"]
    )
    encoder_network.check_length(network, plan)
    known = examples(rows, labels.names)
    encoded = Encoded(
        [tokens.ids(row.turn) for row in rows],
        known.emotions,
        known.celebrate,
        known.judged.astype(np.float32),
    )
    encoder_network.fit(network, encoded, plan, _say)
    dev_ids = [tokens.ids(row.turn) for row in dev]
    trained = encoder_network.logits(network, dev_ids, plan)
    _say("exporting")
    names = encoder_export.export(network, folder, gpu=order["gpu"])
    found = {name: encoder_export.answers(folder / name, dev_ids, plan) for name in names}
    scale = calibrate(found[CPU_MODEL], dev, labels)
    card = Card(
        labels=labels.names,
        base=order["base"],
        pooling=order["pooling"],
        max_tokens=plan.max_tokens,
        pad_id=pad_id,
        data_sha256=order["data_sha256"],
        files={name: _describe(folder / name) for name in (*names, TOKENIZER_FILE)},
        calibration=scale,
        train={
            "rows": len(rows),
            "seconds": round(time.monotonic() - started, 1),
            "parameters": sum(p.numel() for p in network.parameters()),
            **{name: order["plan"][name] for name in ("epochs", "batch", "rate", "seed")},
        },
        dev=_measures(found[CPU_MODEL], scale, dev, labels),
        agreement={name: encoder_export.agreement(name, found[name], trained) for name in names},
        versions={library.__name__: str(library.__version__) for library in _LIBRARIES},
    )
    encoder_card.write(card, folder)
    return {"out": str(folder), **card.shown()}


def save_tokenizer(base: str, folder: Path, *, download: bool) -> int:
    """Write the base's tokenizer into the folder; return the id that fills batches up.

    Raises:
        ModelError: the base is not here, or its tokenizer is none of the tokenizers library's.
    """
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(base, local_files_only=not download)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise encoder_network.missing(base, error) from error
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            f"tokenizer of base '{base}' ({type(tokenizer).__name__}) has no tokenizer.json, which "
            "is all that the tagger reads; take a base that has one, such as "
            "FacebookAI/xlm-roberta-base (PhoBERT has none, and wants its words segmented first)"
        )
    backend.no_truncation()
    backend.no_padding()
    backend.save(str(folder / TOKENIZER_FILE))
    return int(tokenizer.pad_token_id or 0)


def calibrate(found: Answers, dev: Sequence[Row], labels: LabelSet) -> Calibration:
    """Fit the labels' temperature and celebrate's line on the dev turns."""
    known = examples(dev, labels.names)
    primary = known.emotions.argmax(axis=1)
    (slope,) = fitting.solve(
        found.emotion[:, :, None],
        np.eye(len(labels))[primary],
        np.ones(1),
        np.ones(1),
        np.array([fitting.LEAST_SLOPE]),
    )
    yes = known.celebrate[known.judged] == 1
    line = fitting.fit_line(found.celebrate[known.judged], yes)
    return Calibration(1 / float(slope), 1 / line.temperature, line.prior[0])


def _measures(
    found: Answers, scale: Calibration, dev: Sequence[Row], labels: LabelSet
) -> dict[str, Any]:
    scores = softmax(found.emotion / scale.temperature)
    chances = sigmoid(scale.slope * found.celebrate + scale.offset)
    tags = [
        Tag(labels, tuple(row.tolist()), float(chance), "encoder")
        for row, chance in zip(scores, chances, strict=True)
    ]
    return measure("encoder", dev, tags, found.times_ms, CELEBRATE_THRESHOLD).shown()


def _row(told: Mapping[str, Any]) -> Row:
    return replace(Row(**told), turn=Turn(**told["turn"]), emotions=tuple(told["emotions"]))


def _describe(file: Path) -> dict[str, Any]:
    return {"sha256": encoder_card.file_hash(file), "bytes": file.stat().st_size}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
