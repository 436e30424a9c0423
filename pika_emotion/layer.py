"""Trains the reflex's deciding layer: one layer of rectifiers, by Adam, several seeds averaged."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

MEMBERS = 8
UNITS = 64
EPOCHS = 40
BATCH = 64
RATE = 3e-3
DECAY = 0.03
INPUT_DROPOUT = 0.1
UNIT_DROPOUT = 0.3


@dataclass(frozen=True, slots=True)
class Task:
    """What to learn, a row for each turn.

    Attributes:
        inputs: standardised.
        logits: the labels' logits that a share of is added to the layer's own.
        emotions: target distribution over the labels.
        celebrate: 1 for yes, 0 for no.
        judged: weight of celebrate, 1 or 0.
        weight: of the whole turn.
    """

    inputs: Floats
    logits: Floats
    emotions: Floats
    celebrate: Floats
    judged: Floats
    weight: Floats


@dataclass(frozen=True, slots=True)
class Layer:
    """The fitted layer; the fields are those of ``model.Model``, ``share`` is in calibration."""

    inward: Floats
    threshold: Floats
    outward: Floats
    offset: Floats
    share: float


def fit(task: Task, seed: int) -> Layer:
    """Fit members from different seeds; their mean logits are one layer side by side."""
    members = [_fit_member(task, np.random.default_rng([seed, i])) for i in range(MEMBERS)]
    return Layer(
        np.concatenate([m["inward"] for m in members], axis=1),
        np.concatenate([m["threshold"] for m in members]),
        np.asarray(np.concatenate([m["outward"] for m in members]) / MEMBERS, np.float32),
        np.asarray(np.mean([m["offset"] for m in members], axis=0, dtype=np.float32)),
        float(np.mean([m["share"] for m in members])),
    )


def _fit_member(task: Task, rng: np.random.Generator) -> dict[str, Floats]:
    count, width = task.inputs.shape
    logits = task.emotions.shape[1] + 1
    weights = {
        "inward": rng.normal(0, width**-0.5, (width, UNITS)).astype(np.float32),
        "threshold": np.zeros(UNITS, np.float32),
        "outward": rng.normal(0, 0.3 * UNITS**-0.5, (UNITS, logits)).astype(np.float32),
        "offset": np.zeros(logits, np.float32),
        "share": np.ones(1, np.float32),
    }
    adam = _Adam(weights, EPOCHS * -(-count // BATCH))
    for _ in range(EPOCHS):
        order = rng.permutation(count)
        for start in range(0, count, BATCH):
            batch = order[start : start + BATCH]
            adam.step(weights, _slopes(task, batch, weights, rng))
    return weights


def _slopes(
    task: Task,
    batch: npt.NDArray[np.intp],
    weights: dict[str, Floats],
    rng: np.random.Generator,
) -> dict[str, Floats]:
    """Return the gradient of the loss of a batch (Kingma and Ba's g), with dropout."""
    inputs = task.inputs[batch] * _dropout(task.inputs[batch].shape, INPUT_DROPOUT, rng)
    sums = inputs @ weights["inward"] + weights["threshold"]
    open_units = _dropout(sums.shape, UNIT_DROPOUT, rng) * (sums > 0)
    units = sums * open_units
    logits = units @ weights["outward"] + weights["offset"]
    logits[:, :-1] += weights["share"] * task.logits[batch]
    raised = np.exp(logits[:, :-1] - logits[:, :-1].max(axis=1, keepdims=True))
    error = np.empty_like(logits)
    error[:, :-1] = raised / raised.sum(axis=1, keepdims=True) - task.emotions[batch]
    error[:, -1] = task.judged[batch] * (
        0.5 + 0.5 * np.tanh(0.5 * logits[:, -1]) - task.celebrate[batch]
    )
    error *= task.weight[batch, None]
    error /= np.float32(len(batch))
    back = (error @ weights["outward"].T) * open_units
    return {
        "inward": inputs.T @ back,
        "threshold": back.sum(axis=0),
        "outward": units.T @ error,
        "offset": error.sum(axis=0),
        "share": np.array([np.sum(error[:, :-1] * task.logits[batch])], np.float32),
    }


def _dropout(shape: tuple[int, ...], share: float, rng: np.random.Generator) -> Floats:
    kept: Floats = (rng.random(shape, dtype=np.float32) >= share).astype(np.float32)
    return np.asarray(kept / (1 - share), np.float32)


class _Adam:
    """Adam (Kingma and Ba 2015) with decoupled decay and a rate that falls along a cosine."""

    def __init__(self, weights: dict[str, Floats], steps: int) -> None:
        self._steps = steps
        self._done = 0
        self._mean = {name: np.zeros_like(w) for name, w in weights.items()}
        self._square = {name: np.zeros_like(w) for name, w in weights.items()}

    def step(self, weights: dict[str, Floats], slopes: dict[str, Floats]) -> None:
        self._done += 1
        rate = RATE * 0.5 * (1 + np.cos(np.pi * self._done / self._steps))
        first, second = 1 - 0.9**self._done, 1 - 0.999**self._done
        for name, slope in slopes.items():
            mean, square = self._mean[name], self._square[name]
            mean += np.float32(0.1) * (slope - mean)
            square += np.float32(0.001) * (slope * slope - square)
            move = (mean / first) / (np.sqrt(square / second) + 1e-8)
            if name in {"inward", "outward"}:
                move = move + DECAY * weights[name]
            weights[name] -= (rate * move).astype(np.float32)
