"""The vLLM tagger with the real engine, whose steps take a second while a file is there."""

from pathlib import Path

from pika_emotion.parameters import Parameter
from pika_emotion.taggers import vllm
from pika_emotion.taggers.worker import WorkerTagger

PARAMETERS = (
    *vllm.PARAMETERS,
    Parameter("slow.while", "", "steps take a second while this file is there"),
    Parameter("slow.load", False, "the load never ends"),
)
ENGINE = f"{Path(__file__).with_name('slow_vllm_engine.py')}:create"


def create(labels, settings):
    told = {
        **vllm.engine_settings(labels, settings),
        "slow_while": settings["slow.while"],
        "slow_load": settings["slow.load"],
    }
    return WorkerTagger(
        "vllm",
        ENGINE,
        told,
        labels,
        python=settings["vllm.python"],
        stall_s=settings["vllm.stall_s"],
    )
