"""The tagger of ``scripted.crashing_engine``, in a process or in a thread."""

from pathlib import Path

from pika_emotion.parameters import Parameter
from pika_emotion.taggers.worker import WorkerTagger

PARAMETERS = (
    Parameter("crashing.does", "raises", "its fault"),
    Parameter("crashing.isolation", "process", "where the engine runs"),
)
ENGINE = f"{Path(__file__).with_name('crashing_engine.py')}:create"


def create(labels, settings):
    return WorkerTagger(
        "crashing",
        ENGINE,
        {"does": settings["crashing.does"]},
        labels,
        isolation=settings["crashing.isolation"],
        first_pause_s=0.1,
    )
