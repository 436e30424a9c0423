"""The vLLM tagger with the real engine, whose model fails once each time a file appears."""

from pathlib import Path

from pika_emotion.parameters import Parameter
from pika_emotion.taggers import vllm
from pika_emotion.taggers.worker import WorkerTagger

PARAMETERS = (*vllm.PARAMETERS, Parameter("breaking.on", "", "the file"))
ENGINE = f"{Path(__file__).with_name('breaking_vllm_engine.py')}:create"


def create(labels, settings):
    told = {**vllm.engine_settings(labels, settings), "breaking_on": settings["breaking.on"]}
    return WorkerTagger("vllm", ENGINE, told, labels, python=settings["vllm.python"])
