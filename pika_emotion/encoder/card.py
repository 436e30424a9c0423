"""The card of a fine-tuned encoder, ``encoder.json``: what lies in its folder and what it is worth.

The card is written last and names the other files with their hashes: half a folder is noticed.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from pika_emotion import files
from pika_emotion.errors import ModelError

FORMAT = "pika_emotion encoder"
VERSION = 1
FILE = "encoder.json"
CPU_MODEL = "model.onnx"
GPU_MODEL = "model_fp16.onnx"
INPUTS = ("input_ids", "attention_mask")
OUTPUTS = ("emotion", "celebrate")

_CHUNK = 1 << 20
_MOST_BYTES = 8 << 30
_REMEDY = "make one with 'pika-emotion train-encoder'"
_KINDS = {
    **dict.fromkeys(("base", "pooling", "data_sha256"), str),
    **dict.fromkeys(("max_tokens", "pad_id"), int),
    **dict.fromkeys(("files", "train", "dev", "agreement", "versions"), dict),
}


@dataclass(frozen=True, slots=True)
class Calibration:
    """How logits become probabilities.

    Attributes:
        temperature: the labels' logits are divided by it.
        slope, offset: celebrate's log odds are ``slope`` times its logit plus ``offset``.
    """

    temperature: float
    slope: float
    offset: float


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of an encoder.

    Attributes:
        labels: the labels' names, in the order of the logits.
        base: the encoder that was fine-tuned, as it was named.
        pooling: how a turn's tokens become one vector: ``mean`` or ``cls``.
        max_tokens: the most tokens of a turn that it was trained with.
        pad_id: fills a batch up.
        data_sha256: of the labelled turns, train and dev.
        files: by name, ``sha256`` and ``bytes`` of each other file.
        calibration: fitted on the dev turns.
        train: rows, epochs and the like.
        dev: measures of the served int8 model on the dev turns, as ``evaluate --json`` names them.
        agreement: by model file, how far its probabilities are from torch's.
        versions: of the libraries that made it.
    """

    labels: tuple[str, ...]
    base: str
    pooling: str
    max_tokens: int
    pad_id: int
    data_sha256: str
    files: Mapping[str, Mapping[str, Any]]
    calibration: Calibration
    train: Mapping[str, Any]
    dev: Mapping[str, Any]
    agreement: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, str]

    def shown(self) -> dict[str, Any]:
        """Return the card as it is written."""
        return {"format": FORMAT, "version": VERSION, **asdict(self)}


def write(card: Card, folder: Path) -> None:
    """Write the card into the encoder's folder."""
    text = json.dumps(card.shown(), indent=1, ensure_ascii=False, allow_nan=False)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> Card:
    """Read the card of an encoder's folder.

    Raises:
        ModelError: there is none, or it is damaged or of another version.
    """
    file = folder / FILE
    if not folder.is_dir():
        raise ModelError(f"encoder '{folder}' is not a folder; {_REMEDY}")
    try:
        found = files.read_json(file)
    except OSError as error:
        raise ModelError(
            f"folder '{folder}' is no encoder: {FILE} cannot be read ({error.strerror}); {_REMEDY}"
        ) from error
    except ValueError as error:
        raise ModelError(f"encoder card '{file}' is no JSON; {_REMEDY}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ModelError(f"'{file}' is no card of an encoder; {_REMEDY}")
    if found.get("version") != VERSION:
        raise ModelError(
            f"encoder card '{file}' has version {found.get('version')}, this program reads "
            f"{VERSION}; {_REMEDY} again"
        )
    try:
        return _card(found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"encoder card '{file}' is damaged; {_REMEDY} again") from error


def _card(found: Mapping[str, Any]) -> Card:
    values = {field.name: found[field.name] for field in fields(Card)}
    labels = tuple(map(str, values["labels"]))
    scale = Calibration(**{name: float(value) for name, value in found["calibration"].items()})
    if len(labels) < 2 or int(values["max_tokens"]) < 1 or int(values["pad_id"]) < 0:
        raise ValueError
    # From JSON a number may come as a text, and a mapping as a list.
    for name, kind in _KINDS.items():
        if type(values[name]) is not kind:
            raise TypeError
    if not (math.isfinite(scale.slope) and math.isfinite(scale.offset)):
        raise ValueError
    if not 0 < scale.temperature < math.inf:
        raise ValueError
    for name, told in values["files"].items():
        if Path(name).name != name or len(told["sha256"]) != 64:
            raise ValueError
    return Card(**{**values, "labels": labels, "calibration": scale})


def checked(folder: Path, card: Card, name: str) -> Path:
    """Return a file of the folder whose content is what the card says.

    Raises:
        ModelError: the card does not know it, or it is missing or damaged.
    """
    if name not in card.files:
        raise ModelError(f"encoder '{folder}' has no {name}; {_REMEDY}")
    file = folder / name
    try:
        found = file_hash(file)
    except OSError as error:
        raise ModelError(
            f"file '{file}' cannot be read ({error.strerror}); copy the whole folder again, "
            f"or {_REMEDY}"
        ) from error
    wanted = card.files[name]["sha256"]
    if found != wanted:
        raise ModelError(
            f"file '{file}' is damaged: its SHA-256 begins with {found[:12]}, {FILE} says "
            f"{wanted[:12]}; copy the whole folder again, or {_REMEDY}"
        )
    return file


def file_hash(file: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    total = hashlib.sha256()
    with files.open_plain(file, _MOST_BYTES) as content:
        while piece := content.read(_CHUNK):
            total.update(piece)
    return total.hexdigest()
