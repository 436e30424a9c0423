"""Trains the reflex from labelled turns, reproducibly: the same data gives the same file.

First the heads: linear models of single parts of a turn (the question alone, the reply alone …)
and of all of it. Then a small layer of rectifiers learns to decide from the heads' outputs and
the dense features; what it learns from are outputs for scenarios that the heads were not fitted
to. So it can learn what no linear model can say: that praise counts only after a question that
has a right answer. Last, the probabilities are calibrated on the development rows.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.optimize import minimize, minimize_scalar

from pika_emotion import features, layer
from pika_emotion.corpus import Row
from pika_emotion.evaluation import measure
from pika_emotion.labels import LabelSet
from pika_emotion.logits import sigmoid, softmax
from pika_emotion.model import FORMAT, INPUT_LIMIT, VERSION, Model, Vocabulary
from pika_emotion.parameters import CELEBRATE_THRESHOLD
from pika_emotion.tag import Tag

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Say = Callable[[str], None]

SEED = 7
MAX_ROWS = 65_535
FOLDS = 5
# Share of a row's weight that its other acceptable labels have between them.
ACCEPTABLE_SHARE = 0.3
DENSE_SCALE = 0.5
SCALE = {
    "reply.words": 1.0,
    "reply.pairs": 1.0,
    "reply.chars": 1.0,
    "opening.words": 1.0,
    "opening.pairs": 1.0,
    "opening.chars": 1.0,
    "closing.words": 0.5,
    "question.words": 0.6,
    "question.pairs": 0.4,
    "question.chars": 0.5,
    "request.words": 0.6,
    "child.words": 0.4,
    "child.pairs": 0.3,
    "child.chars": 0.4,
    "marked.words": 0.7,
    "marked.pairs": 1.0,
    "echoed.words": 0.4,
    "echoed.pairs": 0.4,
}


@dataclass(frozen=True, slots=True)
class Head:
    """One linear model.

    Attributes:
        name: what it reads.
        parts: the first halves of the names of its blocks.
        dense: whether it reads the dense features too.
        emotion: whether it gives the labels' logits and not celebrate's alone.
        ridge: weight of the squared coefficients in celebrate's loss.
    """

    name: str
    parts: tuple[str, ...]
    dense: bool = False
    emotion: bool = False
    ridge: float = 0.3


_QUESTION, _CHILD = ("question", "request"), ("child", "echoed")
_REPLY = ("reply", "opening", "closing", "marked")
HEADS = (
    Head("question", _QUESTION, ridge=0.15),
    Head("child", ("child",), ridge=0.1),
    Head("asked", (*_QUESTION, *_CHILD), dense=True, ridge=0.2),
    Head("opening", ("opening",), emotion=True, ridge=0.5),
    Head("reply", _REPLY, emotion=True, ridge=0.5),
    Head("turn", (*_QUESTION, *_CHILD, *_REPLY), dense=True, emotion=True),
)
EMOTION_RIDGE = 0.3
EMOTION_STEPS = 25
CELEBRATE_STEPS = 40


@dataclass(frozen=True, slots=True)
class Examples:
    """What is learned from, as arrays of one row a turn.

    Attributes:
        seen: the turns' n-grams.
        dense: their dense features.
        emotions: target distribution over the labels.
        celebrate: 1 for yes, 0 for no.
        judged: whether celebrate is known (not ``either``).
        fold: which part of the scenarios the turn belongs to.
    """

    seen: list[features.Grams]
    dense: Floats
    emotions: Floats
    celebrate: Floats
    judged: npt.NDArray[np.bool_]
    fold: npt.NDArray[np.intp]

    def take(self, rows: npt.NDArray[np.intp]) -> "Examples":
        """Return some of the rows."""
        return Examples(
            [self.seen[i] for i in rows],
            self.dense[rows],
            self.emotions[rows],
            self.celebrate[rows],
            self.judged[rows],
            self.fold[rows],
        )


def examples(rows: Sequence[Row], names: Sequence[str]) -> Examples:
    """Turn rows into arrays."""
    seen = [features.extract(row.turn) for row in rows]
    emotions = np.zeros((len(rows), len(names)), np.float32)
    for target, row in zip(emotions, rows, strict=True):
        first, *others = (names.index(name) for name in row.emotions)
        target[first] = 1.0 - ACCEPTABLE_SHARE * bool(others)
        target[others] = ACCEPTABLE_SHARE / max(1, len(others))
    # A scenario's turns stay together: they share questions and words.
    scenes = [row.scene for row in rows]
    return Examples(
        [one.grams for one in seen],
        np.stack([one.dense for one in seen]),
        emotions,
        np.array([row.celebrate == "yes" for row in rows], np.float32),
        np.array([row.celebrate != "either" for row in rows]),
        np.array([zlib.crc32(scene.encode()) % FOLDS for scene in scenes]),
    )


def train(
    rows: Sequence[Row],
    dev: Sequence[Row],
    labels: LabelSet,
    data_sha256: str = "",
    say: Say = print,
) -> Model:
    """Train a model for the labels and calibrate it on the development rows."""
    model = fit(examples(rows, labels.names), labels.names, say)
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
        "train": {"rows": len(rows)},
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


def fit(data: Examples, names: Sequence[str], say: Say) -> Model:
    """Fit heads and the deciding layer; not calibrated yet."""
    outputs = np.zeros((len(data.seen), _width(len(names))), np.float32)
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


@dataclass(frozen=True, slots=True)
class Heads:
    """Fitted heads; the fields are those of ``Model``."""

    vocabulary: Vocabulary
    table: npt.NDArray[np.int8]
    unit: Floats
    dense: Floats
    bias: Floats

    def outputs(self, data: Examples) -> Floats:
        """Return what the heads say of each turn."""
        sparse = design(self.vocabulary, data.seen)
        sums = (sparse @ self.table.astype(np.float32)) * self.unit
        return np.asarray(sums + data.dense @ self.dense + self.bias, np.float32)


def _width(labels: int) -> int:
    return sum(1 + labels * head.emotion for head in HEADS)


def vocabulary(seen: Sequence[features.Grams]) -> Vocabulary:
    """Choose the n-grams that are in most turns."""
    buckets, counts = np.unique(
        np.concatenate([np.unique(one.buckets) for one in seen]), return_counts=True
    )
    kept = np.sort(np.argsort(-counts, kind="stable")[:MAX_ROWS])
    weights = np.log((1 + len(seen)) / (1 + counts[kept])) + 1
    scale = np.array([SCALE[name] for name in features.BLOCKS], np.float32)
    return Vocabulary(buckets[kept].astype(np.uint32), weights.astype(np.float32), scale)


def design(words: Vocabulary, seen: Sequence[features.Grams]) -> sp.csr_matrix:
    """Return the turns as a sparse matrix, a column for each row of the table."""
    found = [words.rows(one) for one in seen]
    matrix = sp.csr_matrix(
        (
            np.concatenate([values for _, values in found]),
            np.concatenate([rows for rows, _ in found]),
            np.cumsum([0, *(len(rows) for rows, _ in found)]),
        ),
        shape=(len(seen), len(words.buckets)),
    )
    matrix.sum_duplicates()
    return matrix


def owners(words: Vocabulary, seen: Sequence[features.Grams]) -> npt.NDArray[np.intp]:
    """Return the block that each row of the table belongs to: the first that was met there."""
    buckets = np.concatenate([one.buckets for one in seen])
    blocks = np.concatenate([one.blocks for one in seen])
    met, first = np.unique(buckets, return_index=True)
    return blocks[first[np.searchsorted(met, words.buckets)]]


def fit_heads(data: Examples) -> Heads:
    """Fit all heads to the same turns."""
    words = vocabulary(data.seen)
    matrix = design(words, data.seen).tocsc().astype(np.float64)
    part_of = np.array([name.split(".")[0] for name in features.BLOCKS])[owners(words, data.seen)]
    labels = data.emotions.shape[1]
    width = _width(labels)
    table = np.zeros((len(words.buckets), width), np.float32)
    dense = np.zeros((data.dense.shape[1], width), np.float32)
    bias = np.zeros(width, np.float32)
    yes = data.celebrate[data.judged].astype(np.float64)
    at = 0
    for head in HEADS:
        rows = np.flatnonzero(np.isin(part_of, head.parts))
        inputs = matrix[:, rows].tocsr()
        if head.dense:
            inputs = sp.hstack([inputs, sp.csr_matrix(data.dense * DENSE_SCALE)]).tocsr()
        fitted = []
        if head.emotion:
            logits = fit_softmax(inputs, data.emotions, EMOTION_RIDGE, EMOTION_STEPS)
            fitted.append(logits - logits.mean(axis=1, keepdims=True))
        two = fit_softmax(
            inputs[data.judged], np.stack([1 - yes, yes], 1), head.ridge, CELEBRATE_STEPS
        )
        fitted.append(two[:, 1:] - two[:, :1])
        weights = np.concatenate(fitted, axis=1)
        here = slice(at, at + weights.shape[1])
        table[rows, here] = weights[: len(rows)]
        dense[:, here] = DENSE_SCALE * weights[len(rows) : -1] if head.dense else 0
        bias[here] = weights[-1]
        at = here.stop
    unit = np.maximum(np.abs(table).max(axis=0), 1e-12) / np.float32(127)
    return Heads(words, np.round(table / unit).astype(np.int8), unit, dense, bias)


def fit_softmax(inputs: sp.csr_matrix, targets: Any, ridge: float, steps: int) -> Doubles:
    """Fit multinomial logistic regression to target distributions, by L-BFGS.

    Returns the coefficients: a row for each input, then the intercepts.
    """
    width, count = inputs.shape[1], targets.shape[1]
    turned = inputs.T.tocsr()

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        weights = flat.reshape(width + 1, count)
        logits = inputs @ weights[:-1] + weights[-1]
        logits -= logits.max(axis=1, keepdims=True)
        raised = np.exp(logits)
        total = raised.sum(axis=1, keepdims=True)
        value = -np.sum(targets * (logits - np.log(total)))
        value += 0.5 * ridge * np.sum(weights[:-1] ** 2)
        error = raised / total - targets
        slope = np.vstack([turned @ error + ridge * weights[:-1], error.sum(axis=0)])
        return float(value), slope.ravel()

    found = minimize(
        loss,
        np.zeros((width + 1) * count),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": steps, "maxcor": 8},
    )
    return np.asarray(found.x).reshape(width + 1, count)


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
