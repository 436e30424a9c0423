"""Trains the reflex from labelled turns, reproducibly: the same data gives the same file.

First the heads: linear models of single parts of a turn (the question alone, the reply alone …)
and of all of it; some learn whether something is asked for that can be right, some whether the
reply says that it was. Then a small layer of rectifiers learns to decide from the heads' outputs
and the dense features; what it learns from are outputs for scenarios that the heads were not
fitted to. So it can learn what no linear model can say: that praise counts only after a question
that has a right answer. Last, the probabilities are calibrated on the development rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar

from pika_emotion import features, layer
from pika_emotion.corpus import Row
from pika_emotion.evaluation import measure
from pika_emotion.examples import FOLDS, Examples, examples
from pika_emotion.heads import SCALE, Heads, fit_heads, width
from pika_emotion.labels import LabelSet
from pika_emotion.logits import sigmoid, softmax
from pika_emotion.model import FORMAT, INPUT_LIMIT, VERSION, Model
from pika_emotion.parameters import CELEBRATE_THRESHOLD
from pika_emotion.tag import Tag
from pika_emotion.variations import Variations

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Say = Callable[[str], None]

SEED = 7
# A teacher's answer counts so much of its weight where it is learned how far the heads can be
# trusted: they know the robot's turns less well. Chosen on the development split.
TAUGHT_SHARE = 0.5


def train(
    rows: Sequence[Row],
    dev: Sequence[Row],
    labels: LabelSet,
    data_sha256: str = "",
    say: Say = print,
    more: Examples | None = None,
) -> Model:
    """Train a model for the labels, of rows and more; calibrate it on the development rows."""
    varied = with_other_words(rows)
    data = examples(varied, labels.names)
    model = fit(data if more is None else data.joined(more), labels.names, say)
    model = calibrate(model, dev)
    card = {
        "format": FORMAT,
        "version": VERSION,
        "labels": list(labels.names),
        "features": {
            "version": features.VERSION,
            "bucket_bits": features.BUCKET_BITS,
            "blocks": SCALE,
            "rows": len(model.table),
        },
        "data_sha256": data_sha256,
        "train": {"rows": len(rows), "with_other_words": len(varied) - len(rows)},
        "seed": SEED,
    }
    model = replace(model, card=card)
    tags = []
    for row in dev:
        scores, celebrate = model.predict(row.turn)
        tags.append(Tag(labels, tuple(scores.tolist()), celebrate, "reflex"))
    measures = measure("reflex", dev, tags, [], CELEBRATE_THRESHOLD).shown()
    card["dev"] = {k: v for k, v in measures.items() if k not in {"tagger", "latency_ms"}}
    return model


def with_other_words(rows: Sequence[Row]) -> list[Row]:
    """Return the rows and, of those that have lesson words, a copy with others in their places.

    What is right of a fork is right of a lantern: so words that a lesson happens to be about weigh
    less than what is said around them.
    """
    variations, draw = Variations(rows), Random(SEED)
    copies = [variations.reworded(row, draw) for row in rows]
    pairs = zip(rows, copies, strict=True)
    return [*rows, *(copy for row, copy in pairs if copy.turn != row.turn)]


def fit(data: Examples, names: Sequence[str], say: Say) -> Model:
    """Fit heads and the deciding layer; not calibrated yet."""
    outputs = np.zeros((len(data.seen), width(len(names))), np.float32)
    for fold in range(FOLDS):
        say(f"heads without part {fold + 1} of {FOLDS} of the scenarios")
        inside, outside = np.flatnonzero(data.fold != fold), np.flatnonzero(data.fold == fold)
        if len(inside) and len(outside):
            heads = fit_heads(data.take(inside))
            outputs[outside] = heads.outputs(data.take(outside))
    say("heads of all scenarios")
    heads = fit_heads(data)
    say("deciding layer")
    return decide(heads, outputs, data, names)


def decide(heads: Heads, outputs: Floats, data: Examples, names: Sequence[str]) -> Model:
    """Fit the deciding layer to outputs of heads that had not met the turns' scenarios."""
    inputs = np.concatenate([outputs, data.dense], axis=1)
    centre, spread = inputs.mean(axis=0), inputs.std(axis=0) + 1e-3
    count = len(names) + 1
    fitted = layer.fit(
        layer.Task(
            np.clip((inputs - centre) / spread, -INPUT_LIMIT, INPUT_LIMIT),
            outputs[:, -count:-1],
            data.emotions,
            data.celebrate,
            data.judged.astype(np.float32),
            np.where(data.written, data.weight, np.float32(TAUGHT_SHARE) * data.weight),
        ),
        SEED,
    )
    return Model(
        {"labels": list(names)},
        heads.vocabulary,
        heads.table,
        heads.unit,
        heads.dense,
        heads.bias,
        centre,
        spread,
        fitted.inward,
        fitted.threshold,
        fitted.outward,
        fitted.offset,
        np.array([fitted.share, 1.0, 1.0, 0.0], np.float32),
    )


def logits_of(model: Model, rows: Sequence[Row]) -> Doubles:
    """Return the logits of each row's turn before calibration."""
    data = examples(rows, model.labels)
    heads = Heads(model.vocabulary, model.table, model.unit, model.dense, model.bias)
    return model.decide(heads.outputs(data), data.dense)


def calibrate(model: Model, dev: Sequence[Row]) -> Model:
    """Set the labels' temperature and celebrate's slope and offset (Platt) on rows."""
    logits = logits_of(model, dev)
    primary = [model.labels.index(row.emotions[0]) for row in dev]

    def emotion_loss(temperature: float) -> float:
        chosen = softmax(logits[:, :-1] / temperature)[np.arange(len(dev)), primary]
        return float(-np.log(chosen + 1e-12).mean())

    temperature = minimize_scalar(emotion_loss, bounds=(0.3, 3.0), method="bounded").x
    judged = np.array([row.celebrate != "either" for row in dev])
    yes = np.array([row.celebrate == "yes" for row in dev])[judged]
    # Platt's targets keep the slope finite where the rows can be told apart without a fault.
    target = np.where(yes, (yes.sum() + 1) / (yes.sum() + 2), 1 / ((~yes).sum() + 2))

    def celebrate_loss(line: Doubles) -> float:
        chance = np.clip(sigmoid(line[0] * logits[judged, -1] + line[1]), 1e-9, 1 - 1e-9)
        return float(-np.mean(target * np.log(chance) + (1 - target) * np.log(1 - chance)))

    slope, offset = minimize(celebrate_loss, np.array([1.0, 0.0]), method="Nelder-Mead").x
    share = model.calibration[0]
    return replace(model, calibration=np.array([share, temperature, slope, offset], np.float32))
