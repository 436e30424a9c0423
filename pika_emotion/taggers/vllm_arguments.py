"""vLLM's engine arguments from ours, adapted to what a version of vLLM knows. Imports no vLLM."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pika_emotion.errors import TaggerError

# Set before vLLM is imported: its engine in this process, nothing sent anywhere, nobody's words in
# its log, what torch listens on for itself (even of one process) not on the robot's network, and no
# thread of ours tied to one core.
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_IFNAME": "lo",
}
DEFAULT_ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the engine is built with.

    Attributes:
        values: by vLLM's names.
        scoring: how log-probabilities are had: ``ids``, ``allowed`` or ``all``.
        notes: what this version lacks and what is done instead, a line each.
    """

    values: dict[str, Any]
    scoring: str
    notes: list[str] = field(default_factory=list)


def environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment variables that must be set before vLLM is imported."""
    return ENVIRONMENT if settings["download"] else {**ENVIRONMENT, **_OFFLINE}


def capture_sizes(longest: int) -> list[int]:
    """Return the step sizes, in tokens, that are worth a CUDA graph each, up to the longest."""
    sizes = [1, 2, 4, *range(8, 129, 8), *range(144, 257, 16), *range(288, 8193, 32)]
    kept = [size for size in sizes if size < longest]
    return [*kept, next((size for size in sizes if size >= longest), sizes[-1])]


def adapt(
    settings: Mapping[str, Any],
    folder: str,
    longest_turn: int,
    known: Collection[str],
    known_sampling: Collection[str],
) -> Arguments:
    """Return the arguments for a version of vLLM.

    Args:
        settings: this package's, by names without ``vllm.``.
        folder: the checkpoint's.
        longest_turn: tokens of the longest step that one reply makes.
        known: names of the arguments that this version has.
        known_sampling: names of the sampling parameters that it has.

    Raises:
        TaggerError: an argument of the user's, or the scoring, does not exist in this version.
    """
    values: dict[str, Any] = {
        "model": folder,
        "tokenizer": folder,
        "dtype": settings["dtype"],
        "quantization": settings["quantization"] or None,
        "gpu_memory_utilization": settings["gpu_memory_utilization"],
        "kv_cache_dtype": settings["kv_cache_dtype"],
        "max_model_len": settings["max_model_len"],
        "max_num_batched_tokens": settings["max_num_batched_tokens"],
        "max_num_seqs": 2 * settings["max_replies"] + 1,
        "enforce_eager": settings["enforce_eager"],
        "enable_prefix_caching": True,
        "enable_chunked_prefill": True,
        "async_scheduling": False,
        "disable_log_stats": True,
        "generation_config": "vllm",
        "seed": 0,
    }
    if settings["block_size"]:
        values["block_size"] = settings["block_size"]
    if settings["kv_cache_mb"]:
        values["kv_cache_memory_bytes"] = settings["kv_cache_mb"] << 20
    if not settings["enforce_eager"]:
        sizes = capture_sizes(settings["capture_tokens"] or longest_turn)
        if "cudagraph_capture_sizes" in known:
            values["cudagraph_capture_sizes"] = sizes
        else:
            values["compilation_config"] = {"cudagraph_capture_sizes": sizes}
    scoring = _scoring(settings["scoring"], known, known_sampling)
    if scoring == "allowed":
        values["logprobs_mode"] = "processed_logprobs"
        values["max_logprobs"] = 128
    elif scoring == "all":
        values["max_logprobs"] = 1 << 20
    values.update(settings["engine_args"])
    for name in settings["engine_args"]:
        if name not in known:
            raise TaggerError(
                f"vllm.engine_args '{name}' is no argument of this vLLM's engine; take it out"
            )
    missing = [name for name in values if name not in known]
    notes = [f"this vLLM has no engine argument '{name}'; left out" for name in missing]
    if scoring != "ids":
        notes.append(f"label scores are read by way of '{scoring}', not by token ids")
    kept = {name: value for name, value in values.items() if name in known}
    return Arguments(kept, scoring, notes)


def _scoring(wanted: str, known: Collection[str], known_sampling: Collection[str]) -> str:
    """Choose how scores are read.

    ``ids``: the log-probabilities of given tokens. ``allowed``: only the answers may be sampled,
    and log-probabilities are taken after that mask; the same shares, without the mass outside.
    ``all``: the whole vocabulary's, which is slow.
    """
    able = {
        "ids": "logprob_token_ids" in known_sampling,
        "allowed": "logprobs_mode" in known and "allowed_token_ids" in known_sampling,
        "all": "max_logprobs" in known,
    }
    if wanted != "auto" and able[wanted]:
        return wanted
    if wanted == "auto" and any(able.values()):
        return next(way for way, possible in able.items() if possible)
    raise TaggerError(
        f"vllm.scoring '{wanted}' is not possible with this vLLM; set it to auto, "
        "or install vLLM 0.10 or later"
    )


def explain(model: str, error: BaseException) -> str:
    """Say why the engine could not be built, and what to do. Nobody has said anything yet."""
    what = " ".join(str(error).split())[:400] or type(error).__name__
    lower = what.lower()
    if "config file for" in lower or "quantiz" in lower:
        remedy = (
            "leave vllm.quantization empty, and use a checkpoint that is quantized already: see "
            "'pika-emotion quantize'"
        )
    elif "memory" in lower or "kv cache" in lower:
        remedy = (
            "lower vllm.gpu_memory_utilization, vllm.kv_cache_mb or vllm.max_model_len, "
            "or free GPU memory"
        )
    elif "device type" in lower or "cuda" in lower or "driver" in lower:
        remedy = (
            "check 'nvidia-smi' and that vLLM was installed for this GPU's driver, "
            "or set tagger to reflex"
        )
    else:
        remedy = "see the worker's output above"
    return f"vLLM cannot load '{model}' ({type(error).__name__}: {what}); {remedy}"
