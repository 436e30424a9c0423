"""The vLLM tagger: a language model answers both questions about a reply in one engine step.

The engine (``taggers.vllm_engine``) runs in a process of its own, under an interpreter that may be
another one than the node's; nothing here imports vLLM.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pika_emotion.errors import ConfigError, TaggerError
from pika_emotion.labels import LabelSet
from pika_emotion.parameters import Parameter
from pika_emotion.prompt import HEADS
from pika_emotion.prompt_file import load_prompt
from pika_emotion.taggers.worker import ISOLATIONS, WorkerTagger, check_isolation

ENGINE = f"{Path(__file__).with_name('vllm_engine.py')}:create"
SCORINGS = ("auto", "ids", "allowed", "all")
PADDINGS = ("auto", "always", "never")

PARAMETERS = (
    Parameter("vllm.model", "", "the model: a checkpoint's folder, or its name on the hub"),
    Parameter("vllm.revision", "", "the hub's branch, tag or commit; empty for the default"),
    Parameter("vllm.download", False, "whether the hub may be asked; else only this machine"),
    Parameter(
        "vllm.isolation", "process", "where the engine runs: process or thread",
        choices=ISOLATIONS,
    ),
    Parameter("vllm.python", "", "the worker's interpreter, which has vLLM; empty for the node's"),
    Parameter(
        "vllm.heads", "two", "two questions in one step, or joint: one code for both",
        choices=HEADS,
    ),
    Parameter("vllm.prompt_file", "", "what the model is told; empty for the package's own"),
    Parameter("vllm.read_ahead", True, "read the child's words and partial replies at once"),
    Parameter(
        "vllm.pad_child", "auto",
        "fill the child's words up to a cache block: always, never, auto (over 16 tokens)",
        choices=PADDINGS,
    ),
    Parameter(
        "vllm.max_turn_tokens", 512, "tokens of a turn's texts; longer ones are shortened",
        low=200, high=4096,
    ),
    Parameter("vllm.max_replies", 4, "replies that one step works on", low=1, high=64),
    Parameter("vllm.dtype", "auto", "the weights' type: auto, half, bfloat16, float32"),
    Parameter("vllm.quantization", "", "empty: as the checkpoint says, which is right for AWQ"),
    Parameter(
        "vllm.gpu_memory_utilization", 0.4,
        "start only where this share of the GPU's memory is free; with kv_cache_mb 0, use it",
        low=0.01, high=1.0,
    ),
    Parameter(
        "vllm.kv_cache_mb", 1536, "memory of the KV cache, MB; 0: what the share leaves",
        low=0, high=1_000_000,
    ),
    Parameter("vllm.kv_cache_dtype", "auto", "the KV cache's type: auto, fp8 and others"),
    Parameter(
        "vllm.max_model_len", 2048, "tokens of the longest prompt; bounds the KV cache's least",
        low=256, high=131_072,
    ),
    Parameter(
        "vllm.max_num_batched_tokens", 1024, "tokens of one step at most: bounds a step's time",
        low=64, high=65_536,
    ),
    Parameter("vllm.block_size", 0, "tokens of a cache block; 0: vLLM's choice", low=0, high=512),
    Parameter("vllm.enforce_eager", False, "no compiling, no CUDA graphs: starts fast, runs slow"),
    Parameter(
        "vllm.capture_tokens", 0, "steps up to so many tokens are CUDA graphs; 0: the longest turn",
        low=0, high=8192,
    ),
    Parameter(
        "vllm.scoring", "auto", "how scores are read: ids, allowed, all; auto: the best",
        choices=SCORINGS,
    ),
    Parameter("vllm.engine_args", "", "more arguments of vLLM's engine, a JSON object"),
    Parameter(
        "vllm.stall_s", 10.0, "a worker silent for so long while asked is replaced, s",
        low=0.5, high=600.0,
    ),
)  # fmt: skip


def create(labels: LabelSet, settings: Mapping[str, Any]) -> WorkerTagger:
    """Build the tagger, not loaded yet.

    Raises:
        ConfigError: a setting cannot work.
        PromptError: the prompt file is wrong.
        TaggerError: no model is set.
    """
    check_isolation(settings, "vllm")
    if not settings["vllm.model"]:
        raise TaggerError(
            "vllm.model is empty; set it to the folder of an AWQ checkpoint, "
            "or to a model's name on the hub"
        )
    return WorkerTagger(
        "vllm",
        ENGINE,
        engine_settings(labels, settings),
        labels,
        python=settings["vllm.python"],
        isolation=settings["vllm.isolation"],
        stall_s=settings["vllm.stall_s"],
    )


def engine_settings(labels: LabelSet, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the engine is told, as JSON knows it: it needs no file of this package's.

    Raises:
        ConfigError: ``vllm.engine_args`` is not a JSON object.
        PromptError: the prompt file is wrong.
    """
    own = {p.name.partition(".")[2]: settings[p.name] for p in PARAMETERS}
    try:
        own["engine_args"] = json.loads(own["engine_args"] or "{}")
    except ValueError:
        own["engine_args"] = None
    if not isinstance(own["engine_args"], dict):
        raise ConfigError(
            f"vllm.engine_args '{settings['vllm.engine_args']}' is not a JSON object; "
            'write one such as {"swap_space": 0}'
        )
    return {
        **own,
        "prompt": load_prompt(own["prompt_file"] or None).to_plain(),
        "labels": [(label.name, label.description) for label in labels],
    }
