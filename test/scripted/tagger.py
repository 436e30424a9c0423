"""A tagger for ``tagger: scripted.tagger`` whose behaviour is a parameter."""

import sys
import time
from pathlib import Path

from pika_emotion.errors import TaggerError
from pika_emotion.labels import LabelSet
from pika_emotion.parameters import Parameter
from pika_emotion.tag import Tag
from pika_emotion.taggers.worker import WorkerTagger

PARAMETERS = (
    Parameter("scripted.does", "answers", "what the primary does"),
    Parameter("scripted.in_worker", False, "whether it does it in a process of its own"),
    Parameter("scripted.while", "", "it does it only while this file is there; empty: always"),
    Parameter("scripted.stall_s", 1.0, "a worker silent for so long while asked is replaced, s"),
)

ENGINE = f"{Path(__file__).with_name('engine.py')}:create"


def create(labels, settings):
    if settings["scripted.does"] == "cannot_be_made":
        time.sleep(0.3)
        raise RuntimeError("a fault of the tagger's author")
    if settings["scripted.in_worker"]:
        return WorkerTagger(
            "scripted",
            ENGINE,
            {"does": settings["scripted.does"], "while": settings["scripted.while"]},
            labels,
            stall_s=settings["scripted.stall_s"],
            first_pause_s=0.2,
        )
    return Scripted(labels, settings["scripted.does"], settings["scripted.while"])


def active(does, while_file):
    """What is done now: sound answers where the file that switches a fault on is not there."""
    return does if not while_file or Path(while_file).exists() else "answers"


def angry(labels, name="scripted"):
    """The scripted answer: sure to be angry, and to celebrate. No sane reflex says that."""
    scores = [0.0] * len(labels)
    scores[labels.names.index("angry")] = 1.0
    return Tag(labels, tuple(scores), 1.0, name)


class Scripted:
    name = "scripted"

    def __init__(self, labels, does, while_file=""):
        self._labels = labels
        self._told = (does, while_file)
        self.hints = []
        self.closed = False

    @property
    def _does(self):
        return active(*self._told)

    def load(self):
        if self._does == "never_loads":
            time.sleep(3600)
        if self._does == "fails_to_load":
            raise TaggerError("no GPU; set tagger to reflex")

    def prefill(self, turn):
        self.hints.append(turn)
        if self._does == "sleeps":
            time.sleep(10)

    def tag(self, turn, deadline):
        if self._does == "sleeps":
            time.sleep(10)
        if self._does == "slow":
            time.sleep(0.2)
        if self._does == "late":
            time.sleep(max(0.0, deadline - time.monotonic()) + 0.02)
        if self._does == "raises":
            raise ValueError(f"cannot read {turn.child}")
        if self._does == "dies":
            sys.exit(1)
        if self._does == "garbage":
            return {"emotion": "angry"}
        if self._does == "gives_nan":
            return Tag(self._labels, (float("nan"),) * len(self._labels), 0.0, self.name)
        if self._does == "short":
            return angry(LabelSet(self._labels.labels[:-1]))
        return angry(self._labels)

    def describe(self):
        return {"model": "scripted"}

    def close(self):
        self.closed = True
