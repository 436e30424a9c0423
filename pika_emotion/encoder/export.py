"""Turns a fine-tuned network into ONNX files and tells how far their answers are from its own.

Needs torch, onnx, onnxscript and onnxruntime; runs under an interpreter that has them.
"""

import contextlib
import copy
import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pika_emotion.encoder.card import CPU_MODEL, GPU_MODEL, INPUTS, OUTPUTS
from pika_emotion.encoder.network import Network, Plan
from pika_emotion.encoder.session import Logits, open_session, run
from pika_emotion.encoder.turns import batch
from pika_emotion.errors import ModelError
from pika_emotion.logits import sigmoid, softmax

_OPSET = 18
# A mean difference of probabilities beyond which a model is not the one that was trained.
_FAR = {CPU_MODEL: 0.05, GPU_MODEL: 0.01}


@dataclass(frozen=True, slots=True)
class Answers:
    """Logits of turns: N rows of the labels', N of celebrate, and how long each took, ms."""

    emotion: Logits
    celebrate: Logits
    times_ms: list[float]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what the exporter and the quantizer say of themselves; errors are raised."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


@_quiet()
def export(network: Network, folder: Path, *, gpu: bool) -> list[str]:
    """Write the int8 model, and with ``gpu`` the float16 one; return the files' names."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = _program(network).model_proto
    # The quantizer turns weights round; what is told of their shapes would be wrong afterwards.
    del model.graph.value_info[:]
    quantize_dynamic(
        model,
        folder / CPU_MODEL,
        weight_type=QuantType.QInt8,
        per_channel=True,
        # Processors without VNNI saturate where 8-bit weights meet 8-bit activations.
        reduce_range=True,
    )
    if not gpu:
        return [CPU_MODEL]
    _program(copy.deepcopy(network).half()).save(str(folder / GPU_MODEL))
    return [CPU_MODEL, GPU_MODEL]


def _program(network: Network) -> Any:
    """Return the network as torch's ``ONNXProgram`` for any number of turns and tokens."""
    ids = torch.full((2, 32), 5)
    sizes = {0: torch.export.Dim("turns"), 1: torch.export.Dim("tokens")}
    return torch.onnx.export(
        network.eval(),
        (ids, torch.ones_like(ids)),
        input_names=list(INPUTS),
        output_names=list(OUTPUTS),
        dynamic_shapes=dict.fromkeys(INPUTS, sizes),
        opset_version=_OPSET,
        dynamo=True,
        verbose=False,
    )


def answers(file: Path, ids: Sequence[list[int]], plan: Plan) -> Answers:
    """Ask a model file about each turn by itself, as the tagger does."""
    session = open_session(file, "cpu", 0, ((1, 1), (1, 1)), {})
    found, times = [], []
    for one in ids:
        given = batch([one], plan.pad_id, plan.max_tokens)
        started = time.perf_counter()
        found.append(run(session, *given))
        times.append(1000 * (time.perf_counter() - started))
    emotion, celebrate = zip(*found, strict=True)
    return Answers(np.concatenate(emotion), np.concatenate(celebrate), times)


def agreement(name: str, given: Answers, wanted: tuple[Logits, Logits]) -> dict[str, Any]:
    """Return how far a model file's probabilities are from the network's.

    Raises:
        ModelError: so far that it is another model.
    """
    emotion = np.abs(softmax(given.emotion) - softmax(wanted[0]))
    celebrate = np.abs(sigmoid(given.celebrate) - sigmoid(wanted[1]))
    same = given.emotion.argmax(axis=1) == wanted[0].argmax(axis=1)
    told = {
        "turns": len(same),
        "same_emotion": round(float(same.mean()), 4),
        "emotion_mean": round(float(emotion.mean()), 6),
        "emotion_max": round(float(emotion.max()), 6),
        "celebrate_mean": round(float(celebrate.mean()), 6),
        "celebrate_max": round(float(celebrate.max()), 6),
    }
    worst = max(told["emotion_mean"], told["celebrate_mean"])
    if not worst <= _FAR[name]:
        raise ModelError(
            f"{name} does not answer as the trained network does: probabilities differ by "
            f"{worst:.3f} on average, {_FAR[name]:g} is allowed; train with another --base"
        )
    return told
