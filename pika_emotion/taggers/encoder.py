"""The encoder tagger: a small fine-tuned encoder answers both questions about a reply at once.

The engine (``taggers.encoder_engine``) runs in a process of its own, under an interpreter that may
be another one than the node's; nothing here imports onnxruntime.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pika_emotion.encoder.turns import FEWEST_TOKENS
from pika_emotion.errors import ConfigError, TaggerError
from pika_emotion.labels import LabelSet
from pika_emotion.parameters import Parameter
from pika_emotion.taggers.worker import ISOLATIONS, WorkerTagger, check_isolation

ENGINE = f"{Path(__file__).with_name('encoder_engine.py')}:create"
PROVIDERS = ("auto", "cpu", "cuda", "tensorrt")

PARAMETERS = (
    Parameter("encoder.model", "", "the encoder: a folder that train-encoder made"),
    Parameter(
        "encoder.isolation", "process", "where the engine runs: process or thread",
        choices=ISOLATIONS,
    ),
    Parameter(
        "encoder.python", "", "the worker's interpreter, which has onnxruntime; empty: the node's"
    ),
    Parameter(
        "encoder.provider", "auto", "what computes: cpu, cuda, tensorrt; auto: the best",
        choices=PROVIDERS,
    ),
    Parameter(
        "encoder.threads", 0, "threads that compute on the CPU; 0: onnxruntime's choice",
        low=0, high=256,
    ),
    Parameter(
        "encoder.max_tokens", 0,
        "tokens of a turn's texts, longer ones are shortened; 0: as it was trained",
        low=0, high=8192,
    ),
    Parameter("encoder.max_replies", 4, "replies that one step works on", low=1, high=64),
    Parameter(
        "encoder.stall_s", 10.0, "a worker silent for so long while asked is replaced, s",
        low=0.5, high=600.0,
    ),
)  # fmt: skip


def create(labels: LabelSet, settings: Mapping[str, Any]) -> WorkerTagger:
    """Build the tagger, not loaded yet.

    Raises:
        ConfigError: a setting cannot work.
        TaggerError: no model is set.
    """
    check_isolation(settings, "encoder")
    if 0 < settings["encoder.max_tokens"] < FEWEST_TOKENS:
        raise ConfigError(
            f"encoder.max_tokens {settings['encoder.max_tokens']} leaves the texts no room; "
            f"set {FEWEST_TOKENS} or more, or 0 for as many as it was trained with"
        )
    if not settings["encoder.model"]:
        raise TaggerError(
            "encoder.model is empty; set it to a folder that 'pika-emotion train-encoder' made"
        )
    return WorkerTagger(
        "encoder",
        ENGINE,
        {p.name.partition(".")[2]: settings[p.name] for p in PARAMETERS},
        labels,
        python=settings["encoder.python"],
        isolation=settings["encoder.isolation"],
        stall_s=settings["encoder.stall_s"],
    )
