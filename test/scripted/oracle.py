"""A tagger of known quality for ``tagger: scripted.oracle``: it knows the right answers of a file
and gives them as often as it is told, as sure of itself as it is told."""

import random
import time
from pathlib import Path

from pika_emotion.corpus import read_file
from pika_emotion.labels import load_labels
from pika_emotion.parameters import Parameter
from pika_emotion.tag import Tag

PARAMETERS = (
    Parameter("oracle.data", "", "TSV file of labelled turns"),
    Parameter("oracle.right", 1.0, "how often it is right", low=0.0, high=1.0),
    Parameter("oracle.sure", 0.9, "the probability that it gives to its answer", low=0.0, high=1.0),
    Parameter("oracle.model", "one", "the name of its model"),
    Parameter("oracle.answers", 0, "so many answers, then it hangs; 0: no end of them"),
)


def create(labels, settings):
    return Oracle(
        labels, **{name.split(".")[1]: settings[name] for name in (p.name for p in PARAMETERS)}
    )


class Oracle:
    name = "oracle"

    def __init__(self, labels, data="", right=1.0, sure=0.9, model="one", answers=0):
        self._labels = labels
        self._data = data
        self._right = right
        self._sure = sure
        self._model = model
        self._left = answers or float("inf")
        self.hints = []
        self.closed = False

    def load(self):
        rows = read_file(Path(self._data), load_labels()) if self._data else []
        self._rows = {row.turn: row for row in rows}

    def prefill(self, turn):
        self.hints.append(turn)

    def tag(self, turn, deadline):
        self._left -= 1
        if self._left < 0:
            time.sleep(3600)
        draw = random.Random(repr(turn))
        names, row = self._labels.names, self._rows.get(turn)
        best, celebrate = draw.choice(names), draw.random() < 0.5
        if row is not None and draw.random() < self._right:
            best = row.emotions[0]
        if row is not None and draw.random() < self._right:
            celebrate = row.celebrate == "yes"
        rest = (1.0 - self._sure) / (len(names) - 1)
        scores = tuple(self._sure if name == best else rest for name in names)
        return Tag(self._labels, scores, self._sure if celebrate else 1 - self._sure, self.name)

    def describe(self):
        return {"model": self._model}

    def close(self):
        self.closed = True
