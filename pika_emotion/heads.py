"""The reflex's heads: linear models that each read a part of a turn, or all of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.optimize import minimize

from pika_emotion import features
from pika_emotion.examples import Examples
from pika_emotion.model import Vocabulary

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

MAX_ROWS = 65_535
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
        emotion: whether it gives the labels' logits too.
        learns: what its last logit is about: ``task``, whether something is asked for that can be
            right; ``confirmed``, whether the reply says that it was, of such turns alone; or
            ``celebrate``, which is both.
        ridge: weight of the squared coefficients in that logit's loss.
    """

    name: str
    parts: tuple[str, ...]
    dense: bool = False
    emotion: bool = False
    learns: str = "celebrate"
    ridge: float = 0.3


_QUESTION, _CHILD = ("question", "request"), ("child", "echoed")
_REPLY = ("reply", "opening", "closing", "marked")
HEADS = (
    Head("question", _QUESTION, learns="task", ridge=0.15),
    Head("child", ("child",), ridge=0.1),
    Head("asked", (*_QUESTION, *_CHILD), dense=True, learns="task", ridge=0.2),
    Head("opening", ("opening",), emotion=True, learns="confirmed", ridge=0.5),
    Head("reply", _REPLY, emotion=True, learns="confirmed", ridge=0.5),
    Head("turn", (*_QUESTION, *_CHILD, *_REPLY), dense=True, emotion=True),
)
EMOTION_RIDGE = 0.3
EMOTION_STEPS = 25
CELEBRATE_STEPS = 40


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


def width(labels: int) -> int:
    """Return how many outputs all heads have for so many labels."""
    return sum(1 + labels * head.emotion for head in HEADS)


def vocabulary(seen: Sequence[features.Grams], weight: float | Floats = 1.0) -> Vocabulary:
    """Choose the n-grams that are in most turns; a turn counts as its weight."""
    weight = np.broadcast_to(np.asarray(weight, np.float64), len(seen))
    once = [np.unique(one.buckets) for one in seen]
    buckets, place = np.unique(np.concatenate(once), return_inverse=True)
    counts = np.bincount(place, np.repeat(weight, [len(one) for one in once]))
    kept = np.sort(np.argsort(-counts, kind="stable")[:MAX_ROWS])
    weights = np.log((1 + weight.sum()) / (1 + counts[kept])) + 1
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
    words = vocabulary(data.seen, data.weight)
    matrix = design(words, data.seen).tocsc().astype(np.float64)
    part_of = np.array([name.split(".")[0] for name in features.BLOCKS])[owners(words, data.seen)]
    labels = data.emotions.shape[1]
    outputs = width(labels)
    table = np.zeros((len(words.buckets), outputs), np.float32)
    dense = np.zeros((data.dense.shape[1], outputs), np.float32)
    bias = np.zeros(outputs, np.float32)
    at = 0
    for head in HEADS:
        rows = np.flatnonzero(np.isin(part_of, head.parts))
        inputs = matrix[:, rows].tocsr()
        if head.dense:
            inputs = sp.hstack([inputs, sp.csr_matrix(data.dense * DENSE_SCALE)]).tocsr()
        fitted = []
        if head.emotion:
            logits = fit_softmax(inputs, data.emotions, EMOTION_RIDGE, EMOTION_STEPS, data.weight)
            fitted.append(logits - logits.mean(axis=1, keepdims=True))
        chosen, yes = _target(head, data)
        two = fit_softmax(
            inputs[chosen],
            np.stack([1 - yes, yes], 1),
            head.ridge,
            CELEBRATE_STEPS,
            data.weight[chosen],
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


def _target(head: Head, data: Examples) -> tuple[Flags, Doubles]:
    """Return which turns a head's last logit is learned from, and what it is for them."""
    chosen = {
        "task": data.written,
        "confirmed": data.judged & data.asked,
        "celebrate": data.judged,
    }[head.learns]
    values = data.task if head.learns == "task" else data.celebrate
    return chosen, values[chosen].astype(np.float64)


def fit_softmax(
    inputs: sp.csr_matrix, targets: Any, ridge: float, steps: int, weight: float | Floats = 1.0
) -> Doubles:
    """Fit multinomial logistic regression to weighted target distributions, by L-BFGS.

    Returns the coefficients: a row for each input, then the intercepts.
    """
    width, count = inputs.shape[1], targets.shape[1]
    counts = np.broadcast_to(np.asarray(weight, np.float64), len(targets))[:, None]
    targets = counts * targets
    turned = inputs.T.tocsr()

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        weights = flat.reshape(width + 1, count)
        logits = inputs @ weights[:-1] + weights[-1]
        logits -= logits.max(axis=1, keepdims=True)
        raised = np.exp(logits)
        total = raised.sum(axis=1, keepdims=True)
        value = -np.sum(targets * (logits - np.log(total)))
        value += 0.5 * ridge * np.sum(weights[:-1] ** 2)
        error = counts * (raised / total) - targets
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
