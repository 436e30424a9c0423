"""An encoder's model file opened in onnxruntime, and run."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pika_emotion.encoder.card import INPUTS, OUTPUTS
from pika_emotion.encoder.turns import Ids
from pika_emotion.errors import ModelError, TaggerError

Shape = tuple[int, int]
Logits = npt.NDArray[np.float64]

_PROVIDERS = {"cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}


def open_session(
    file: Path,
    provider: str,
    threads: int,
    shapes: tuple[Shape, Shape],
    told: Mapping[str, Any],
) -> Any:
    """Open a model file.

    Args:
        file: the model.
        provider: ``cpu``, ``cuda`` or ``tensorrt``.
        threads: that compute on the CPU; 0 for onnxruntime's choice.
        shapes: the smallest and the largest batch, turns and tokens.
        told: what the card says of the file.

    Returns:
        onnxruntime's ``InferenceSession``.

    Raises:
        ModelError: the file is no model, or another one's.
        TaggerError: the GPU cannot be used.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # its warnings are of its own optimisations
    # A thread that spins between two replies takes a core from the robot.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            str(file), options, providers=_providers(provider, shapes, told)
        )
    except Exception as error:
        raise ModelError(
            f"model file '{file}' cannot be opened by onnxruntime {onnxruntime.__version__} with "
            f"provider '{provider}' ({type(error).__name__}); update onnxruntime, check the GPU "
            "with 'nvidia-smi', or make it again with 'pika-emotion train-encoder'"
        ) from error
    # Where a GPU's libraries are missing, onnxruntime computes on the CPU and only logs it.
    if provider != "cpu" and session.get_providers()[0] != _PROVIDERS[provider]:
        raise TaggerError(
            f"onnxruntime {onnxruntime.__version__} cannot use provider '{provider}' here; install "
            "the CUDA and cuDNN libraries that it was built for, or set encoder.provider to cpu"
        )
    for what, has, needs in (
        ("inputs", [one.name for one in session.get_inputs()], INPUTS),
        ("outputs", [one.name for one in session.get_outputs()], OUTPUTS),
    ):
        if set(has) != set(needs):
            raise ModelError(
                f"model file '{file}' has {what} {', '.join(has)} where {', '.join(needs)} fit; "
                "make it again with 'pika-emotion train-encoder'"
            )
    return session


def run(session: Any, ids: Ids, mask: Ids) -> tuple[Logits, Logits]:
    """Return the labels' logits, a row a turn, and celebrate's, one a turn."""
    emotion, celebrate = session.run(list(OUTPUTS), dict(zip(INPUTS, (ids, mask), strict=True)))
    return np.asarray(emotion, np.float64), np.asarray(celebrate, np.float64)


def _providers(
    provider: str, shapes: tuple[Shape, Shape], told: Mapping[str, Any]
) -> list[str | tuple[str, dict[str, Any]]]:
    cpu: list[str | tuple[str, dict[str, Any]]] = ["CPUExecutionProvider"]
    if provider == "cpu":
        return cpu
    if provider == "cuda":
        return ["CUDAExecutionProvider", *cpu]
    smallest, largest = (
        ",".join(f"{name}:{turns}x{tokens}" for name in INPUTS) for turns, tokens in shapes
    )
    usual = ",".join(f"{name}:1x{shapes[1][1]}" for name in INPUTS)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    tensorrt = {
        "trt_fp16_enable": True,
        "trt_profile_min_shapes": smallest,
        "trt_profile_max_shapes": largest,
        "trt_profile_opt_shapes": usual,
        # Building takes minutes; the next start finds it.
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(cache / f"pika_emotion/tensorrt/{told['sha256'][:12]}"),
    }
    return [("TensorrtExecutionProvider", tensorrt), "CUDAExecutionProvider", *cpu]
