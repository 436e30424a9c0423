"""What a tagger's probabilities are worth, as a card on disk: fitted by ``fitting``, applied here.

A card belongs to one model, prompt and label set, named by their hashes; with others it is not
used. Applying it corrects each answer's temperature and class prior (Guo et al. 2017; Saerens et
al. 2002), and where asked mixes in the reflex's answer as a log-linear pool (Genest & Zidek 1986).
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pika_emotion import files
from pika_emotion.errors import CalibrationError
from pika_emotion.labels import LabelSet
from pika_emotion.logits import sigmoid, softmax
from pika_emotion.tag import Tag
from pika_emotion.taggers import Tagger

FORMAT = "pika_emotion calibration"
VERSION = 1
# A tagger that is sure is taken to err once in a million times: logarithms stay finite.
FLOOR = 1e-6
# What a primary is compared with the reflex by.
JUDGED_BY = ("emotion_acceptable", "celebrate_accuracy")

Doubles = npt.NDArray[np.float64]


def log_odds(scores: Doubles, celebrate: Doubles) -> tuple[Doubles, Doubles]:
    """Return the logarithms of label probabilities, and celebrate's log odds, all finite."""
    chance = np.clip(celebrate, FLOOR, 1 - FLOOR)
    return np.log(np.maximum(scores, FLOOR)), np.log(chance) - np.log1p(-chance)


@dataclass(frozen=True, slots=True)
class Scale:
    """A correction of logits: divide by ``temperature``, then add ``prior``, one for each."""

    temperature: float
    prior: tuple[float, ...]

    def __call__(self, logits: Doubles) -> Doubles:
        """Return the corrected logits, whose last axis has the length of ``prior``."""
        return np.asarray(logits / self.temperature + np.asarray(self.prior))


@dataclass(frozen=True, slots=True)
class Mix:
    """A log-linear pool: ``reflex`` is the reflex's weight, 0 to 1, ``sharpness`` multiplies."""

    reflex: float
    sharpness: float

    def __call__(self, primary: Doubles, reflex: Doubles) -> Doubles:
        """Return the pooled logits."""
        return np.asarray(self.sharpness * ((1 - self.reflex) * primary + self.reflex * reflex))


@dataclass(frozen=True, slots=True)
class Fit:
    """Everything that was fitted: corrections of the tagger, and its pool with the reflex."""

    emotion: Scale
    celebrate: Scale
    pool_emotion: Mix
    pool_celebrate: Mix

    def calibrate(self, tag: Tag) -> Tag:
        """Return the tagger's answer with its probabilities corrected."""
        emotion, celebrate = self._logits(tag)
        return _tag(tag.labels, emotion, celebrate, tag.tagger)

    def pool(self, tag: Tag, reflex: Tag) -> Tag:
        """Return the mix of the tagger's answer with the reflex's about the same turn."""
        emotion, celebrate = self._logits(tag)
        other = log_odds(np.asarray(reflex.scores), np.asarray([reflex.celebrate]))
        return _tag(
            tag.labels,
            self.pool_emotion(emotion, other[0]),
            self.pool_celebrate(celebrate, other[1]),
            f"{tag.tagger}+{reflex.tagger}",
        )

    def _logits(self, tag: Tag) -> tuple[Doubles, Doubles]:
        emotion, celebrate = log_odds(np.asarray(tag.scores), np.asarray([tag.celebrate]))
        return self.emotion(emotion), self.celebrate(celebrate)


def _tag(labels: LabelSet, emotion: Doubles, celebrate: Doubles, tagger: str) -> Tag:
    return Tag(labels, tuple(softmax(emotion).tolist()), float(sigmoid(celebrate)[0]), tagger)


@dataclass(frozen=True, slots=True)
class Key:
    """What a card belongs to: SHA-256 of the model, the prompt and the labels."""

    model: str
    prompt: str
    labels: str

    @property
    def short(self) -> str:
        """A name for it, for files."""
        return _sha256("\n".join((self.model, self.prompt, self.labels)))[:12]


def key_of(tagger: Tagger, labels: LabelSet) -> Key:
    """Return a loaded tagger's key.

    ``describe()`` of a tagger tells the hashes as ``model_sha256`` and ``prompt_sha256``; one that
    does not is known by its name and what it says of its ``model``.
    """
    told = tagger.describe()
    return Key(
        told.get("model_sha256") or _sha256(f"{tagger.name}\n{told.get('model', '')}"),
        told.get("prompt_sha256") or _sha256(""),
        _sha256("\n".join(f"{label.name}: {label.description}" for label in labels)),
    )


@dataclass(frozen=True, slots=True)
class Card:
    """A fit with what it belongs to and what it is worth.

    Attributes:
        tagger: the tagger's name.
        key: what it was fitted for.
        reflex: SHA-256 of the reflex's model file; the pool and the comparison hold for it alone.
        labels: the labels' names in order.
        fit: what was fitted.
        data: ``sha256``, ``rows`` and ``scenarios`` of the labelled turns, and the ``threshold``.
        metrics: of ``tagger``, ``calibrated``, ``reflex`` and ``pool``: by the measure's name its
            value and the ends of its 95 % interval.
        differences: ``calibrated - reflex``, ``pool - reflex`` and ``pool - calibrated``, likewise.
    """

    tagger: str
    key: Key
    reflex: str
    labels: tuple[str, ...]
    fit: Fit
    data: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, list[float] | None]]
    differences: Mapping[str, Mapping[str, list[float] | None]]

    def worse_than_reflex(self, *, pooled: bool) -> str:
        """Return where it is significantly worse than the reflex, with figures; empty if nowhere.

        That is where the whole 95 % interval of the difference, over the same turns, is below 0.

        Args:
            pooled: whether the pool is asked about, or the corrected tagger alone.
        """
        who, found = "pool" if pooled else "calibrated", []
        for name in JUDGED_BY:
            difference = self.differences[f"{who} - reflex"][name]
            own, reflex = self.metrics[who][name], self.metrics["reflex"][name]
            if difference and own and reflex and difference[2] < 0:
                found.append(
                    f"{name} {own[0]:.3f} against {reflex[0]:.3f} "
                    f"(difference {difference[0]:+.3f}, 95 % interval "
                    f"{difference[1]:+.3f} to {difference[2]:+.3f})"
                )
        return "; ".join(found)

    def shown(self) -> dict[str, Any]:
        """Return the card as it is written."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}


def write(card: Card, file: Path) -> None:
    """Write a card; its folder is made.

    Raises:
        CalibrationError: it cannot be written.
    """
    text = json.dumps(card.shown(), indent=1, allow_nan=False)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Nobody finds half a card: a node may be looking while this writes.
        beside = file.with_name(f"{file.name}.{os.getpid()}")
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(file)
    except OSError as error:
        raise CalibrationError(
            f"calibration card '{file}' cannot be written ({error.strerror}); "
            "name a file that can be with --out"
        ) from error


def read(file: Path) -> Card:
    """Read a card.

    Raises:
        CalibrationError: it is missing, damaged, or of another version.
    """
    remedy = "make one with 'pika-emotion calibrate'"
    try:
        found = files.read_json(file)
    except OSError as error:
        raise CalibrationError(
            f"calibration card '{file}' cannot be read ({error.strerror}); {remedy}"
        ) from error
    except ValueError as error:
        raise CalibrationError(f"calibration card '{file}' is no JSON; {remedy}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise CalibrationError(f"'{file}' is no calibration card; {remedy}")
    if found.get("version") != VERSION:
        raise CalibrationError(
            f"calibration card '{file}' has version {found.get('version')}, this program reads "
            f"{VERSION}; {remedy} again"
        )
    try:
        return _card(found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CalibrationError(f"calibration card '{file}' is damaged; {remedy}") from error


def _card(found: Mapping[str, Any]) -> Card:
    fit, labels = found["fit"], tuple(found["labels"])
    card = Card(
        tagger=found["tagger"],
        key=Key(**found["key"]),
        reflex=found["reflex"],
        labels=labels,
        fit=Fit(
            _scale(fit["emotion"], len(labels)),
            _scale(fit["celebrate"], 1),
            _mix(fit["pool_emotion"]),
            _mix(fit["pool_celebrate"]),
        ),
        data=found["data"],
        metrics=found["metrics"],
        differences=found["differences"],
    )
    for pooled in (False, True):
        card.worse_than_reflex(pooled=pooled)  # its figures must be there
    return card


def _scale(part: Mapping[str, Any], size: int) -> Scale:
    scale = Scale(float(part["temperature"]), tuple(float(value) for value in part["prior"]))
    if len(scale.prior) != size or not all(map(math.isfinite, scale.prior)):
        raise ValueError
    if not 0 < scale.temperature < math.inf:
        raise ValueError
    return scale


def _mix(part: Mapping[str, Any]) -> Mix:
    mix = Mix(float(part["reflex"]), float(part["sharpness"]))
    if not (0 <= mix.reflex <= 1 and 0 <= mix.sharpness < math.inf):
        raise ValueError
    return mix


def folder() -> Path:
    """Return where cards are kept: ``$XDG_DATA_HOME/pika_emotion/calibration``, or under ~."""
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(data) / "pika_emotion/calibration"


def file_of(tagger: str, key: Key, place: Path | None = None) -> Path:
    """Return the file of a tagger's card, in a folder; the usual one, if not given."""
    return (place or folder()) / f"{tagger}-{key.short}.json"


def file_hash(file: Path) -> str:
    """Return the SHA-256 of a file's contents, in hexadecimal.

    Raises:
        CalibrationError: it cannot be read.
    """
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise CalibrationError(
            f"model file '{file}' cannot be read ({error.strerror}); name one that can be"
        ) from error


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
