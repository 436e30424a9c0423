"""From logits to probabilities."""

from typing import Any

import numpy as np
import numpy.typing as npt


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return probabilities over the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def sigmoid(logit: Any) -> Any:
    """Return the logistic function of a number or an array, without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * logit)
