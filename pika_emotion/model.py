"""The reflex's model: arrays and a card in one ``.npz`` file, and what they make of a turn.

A turn's n-grams, hashed, have rows in a table. The weighted rows and the dense features add up
to the outputs of the heads: linear models that each read a part of the turn, and one that reads
all of it. A layer of rectifiers reads these and the dense features and decides. numpy only.
"""

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pika_emotion import features, npz
from pika_emotion.dialogue import Turn
from pika_emotion.errors import ModelError
from pika_emotion.logits import sigmoid, softmax
from pika_emotion.relations import DENSE

FORMAT = "pika_emotion reflex"
VERSION = 2
# More than any model that fits a table of 65535 rows.
MOST_BYTES = 64 << 20
MOST_ROWS = np.iinfo(np.uint16).max
# An input of the second layer, standardised: what training never met must not shout.
INPUT_LIMIT = 6.0

Floats = npt.NDArray[np.float32]


class Vocabulary:
    """The hashed n-grams that training met often enough, and how much each counts.

    Args:
        buckets: their buckets, R, ascending; at most 65535.
        weights: their inverse document frequencies, R.
        scale: how much each block of n-grams counts.
    """

    def __init__(self, buckets: npt.NDArray[np.uint32], weights: Floats, scale: Floats) -> None:
        self.buckets = buckets
        self.weights = weights
        self.scale = scale
        # Row 0 is for what training did not meet, so row i + 1 is for buckets[i].
        self._row_of = np.zeros(1 << features.BUCKET_BITS, np.uint16)
        self._row_of[buckets] = np.arange(1, len(buckets) + 1)
        self._weight_of = np.concatenate((np.zeros(1, np.float32), weights))

    def rows(self, grams: features.Grams) -> tuple[npt.NDArray[np.intp], Floats]:
        """Return rows of the table and how much each counts; a block's squares sum to 1."""
        found = self._row_of[grams.buckets]
        known = np.flatnonzero(found)
        rows, blocks = found[known].astype(np.intp), grams.blocks[known]
        weights = self._weight_of[rows]
        squares = np.bincount(blocks, weights * weights, len(self.scale))
        scale = self.scale / np.sqrt(np.maximum(squares, 1e-12))
        return rows - 1, (weights * scale[blocks]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Model:
    """A trained model of L labels, with O outputs of heads, D dense features and H rectifiers.

    The last L + 1 outputs are the whole turn's: its labels' logits, then celebrate's.

    Attributes:
        card: where it comes from; ``labels`` are the labels' names in order.
        vocabulary: the rows' n-grams.
        table: a row of O for each n-gram, in steps of ``unit``.
        unit: O.
        dense: D rows of O.
        bias: O.
        centre, spread: mean and standard deviation of the second layer's inputs, O + D.
        inward: O + D rows of H.
        threshold: H.
        outward: H rows of L + 1.
        offset: L + 1.
        calibration: share of the whole turn's label logits that is added, the labels'
            temperature, and celebrate's slope and offset.
    """

    card: Mapping[str, Any]
    vocabulary: Vocabulary
    table: npt.NDArray[np.int8]
    unit: Floats
    dense: Floats
    bias: Floats
    centre: Floats
    spread: Floats
    inward: Floats
    threshold: Floats
    outward: Floats
    offset: Floats
    calibration: Floats

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it was trained for, in order."""
        return tuple(self.card["labels"])

    def begin(self, turn: Turn) -> "Begun":
        """Return what can be worked out before the turn's reply is known."""
        context = features.begin(turn)
        return Begun(context, self._sums(context.grams))

    def predict(
        self, turn: Turn, begun: "Begun | None" = None
    ) -> tuple[npt.NDArray[np.float64], float]:
        """Return the probability of each label, and of celebrate.

        ``begun`` saves time where the question and the child's words are the turn's; the
        numbers are the same.
        """
        begun = begun or self.begin(turn)
        seen = features.complete(begun.context, turn)
        sums = begun.sums + self._sums(seen.reply)
        heads = sums * self.unit + seen.dense @ self.dense + self.bias
        logits = self.decide(heads, seen.dense)
        _, temperature, slope, offset = self.calibration.tolist()
        return softmax(logits[:-1] / temperature), sigmoid(slope * float(logits[-1]) + offset)

    def _sums(self, grams: features.Grams) -> Floats:
        rows, values = self.vocabulary.rows(grams)
        # Steps of 8 bits stay in the processor's cache, which is most of the time they take.
        sums: Floats = values @ self.table[rows].astype(np.float32)
        return sums

    def decide(self, heads: Floats, dense: Floats) -> npt.NDArray[np.float64]:
        """Return the logits, L + 1, before calibration; of one turn or of a row each."""
        inputs = (np.concatenate((heads, dense), axis=-1) - self.centre) / self.spread
        # As np.clip, which takes as long as the product below for one turn.
        inputs = np.minimum(np.maximum(inputs, -INPUT_LIMIT), INPUT_LIMIT)
        units = np.maximum(inputs @ self.inward + self.threshold, 0)
        logits: npt.NDArray[np.float64] = (units @ self.outward + self.offset).astype(np.float64)
        count = len(self.offset)
        logits[..., :-1] += self.calibration[0] * heads[..., -count:-1]
        return logits


@dataclass(frozen=True, slots=True)
class Begun:
    """A turn without its reply: its context, and the context's share of the heads' sums."""

    context: features.Context
    sums: Floats


_WORDS = ("buckets", "weights", "scale")
_ARRAYS = (
    *(*_WORDS, "table", "unit", "dense", "bias"),
    *("centre", "spread", "inward", "threshold", "outward", "offset", "calibration"),
)
_TYPES = {**dict.fromkeys(_ARRAYS, np.float32), "buckets": np.uint32, "table": np.int8}
_REMEDY = "make one with 'pika-emotion train', or leave reflex.model empty for the package's own"


def save(model: Model, file: str | Path) -> None:
    """Write a model; the same model gives the same bytes. The card gets a hash of the arrays.

    Raises:
        ModelError: the file cannot be written.
    """
    arrays: dict[str, Any] = {
        name: getattr(model.vocabulary if name in _WORDS else model, name) for name in _ARRAYS
    }
    card = {**model.card, "version": VERSION, "arrays_sha256": npz.digest(arrays)}
    text = json.dumps(card, ensure_ascii=False, sort_keys=True)
    arrays = {"card": np.frombuffer(text.encode(), np.uint8), **arrays}
    try:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        with Path(file).open("wb") as out:
            np.savez(out, **arrays)
    except OSError as error:
        raise ModelError(
            f"model file '{file}' cannot be written ({error}); name a place that can be"
        ) from error


def read_card(file: str | Path) -> dict[str, Any]:
    """Return a model file's card.

    Raises:
        ModelError: as ``load``.
    """
    return _read(Path(file), ())[0]


def load(file: str | Path) -> Model:
    """Read a model.

    Raises:
        ModelError: the file is missing, damaged, not a reflex model, or one of another version.
    """
    path = Path(file)
    card, arrays = _read(path, _ARRAYS)
    _check_arrays(path, card, arrays)
    words = Vocabulary(*(arrays.pop(name) for name in _WORDS))
    return Model(card, words, **arrays)


def _read(file: Path, names: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    if not file.is_file():
        raise ModelError(f"model file '{file}' does not exist; {_REMEDY}")
    try:
        types = {"card": np.uint8, **{name: _TYPES[name] for name in names}}
        arrays = npz.read(file, types, MOST_BYTES)
        card = json.loads(arrays.pop("card").tobytes())
        _check_card(file, card)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ModelError(f"model file '{file}' is no reflex model ({error}); {_REMEDY}") from error
    except (
        *(OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error),
        RuntimeError,  # a way of packing that is unknown or encrypted; JSON nested too deeply
    ) as error:
        raise ModelError(f"model file '{file}' is damaged ({error}); {_REMEDY}") from error
    return card, arrays


def _check_card(file: Path, card: dict[str, Any]) -> None:
    if card["format"] != FORMAT:
        raise ModelError(
            f"model file '{file}' is a '{card['format']}', not a '{FORMAT}'; {_REMEDY}"
        )
    for what, has, needs in (
        ("format version", card["version"], VERSION),
        ("features version", card["features"]["version"], features.VERSION),
    ):
        if has != needs:
            raise ModelError(
                f"model file '{file}' has {what} {has}, this program needs {needs}; "
                "train it again with this program's 'pika-emotion train'"
            )
    labels = card["labels"]
    if not isinstance(labels, list) or not all(isinstance(name, str) for name in labels):
        raise ValueError("its card's labels are no list of names")
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise ValueError("its card's labels are fewer than two, or one is there twice")


def _check_arrays(file: Path, card: dict[str, Any], arrays: dict[str, Any]) -> None:
    rows, outputs = arrays["buckets"].size, arrays["unit"].size
    inputs, logits = outputs + len(DENSE), len(card["labels"]) + 1
    units = arrays["threshold"].size
    shapes = {
        "buckets": (rows,),
        "weights": (rows,),
        "scale": (len(features.BLOCKS),),
        "table": (rows, outputs),
        "unit": (outputs,),
        "dense": (len(DENSE), outputs),
        "bias": (outputs,),
        "centre": (inputs,),
        "spread": (inputs,),
        "inward": (inputs, units),
        "threshold": (units,),
        "outward": (units, logits),
        "offset": (logits,),
        "calibration": (4,),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ModelError(
                f"model file '{file}' is damaged (array '{name}' has shape "
                f"{arrays[name].shape} where {shape} fits); {_REMEDY}"
            )
        if not np.isfinite(arrays[name]).all():
            raise ModelError(
                f"model file '{file}' is damaged (array '{name}' holds values that are no "
                f"numbers); {_REMEDY}"
            )
    for fault, there in (
        ("a bucket is out of range", rows and arrays["buckets"].max() >> features.BUCKET_BITS),
        (f"more than {MOST_ROWS} rows", rows > MOST_ROWS),
        ("fewer outputs than labels", outputs < logits),
        ("a spread is not above 0", arrays["spread"].min() <= 0),
        ("the temperature is not above 0", arrays["calibration"][1] <= 0),
        (
            "its values are not those that were saved: arrays_sha256 differs",
            card.get("arrays_sha256") != npz.digest(arrays),
        ),
    ):
        if there:
            raise ModelError(f"model file '{file}' is damaged ({fault}); {_REMEDY}")
