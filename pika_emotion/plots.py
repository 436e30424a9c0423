"""Draws what ``evaluate --plots`` writes. Needs matplotlib, the extra ``plots``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pika_emotion import evaluation
from pika_emotion.corpus import Row
from pika_emotion.errors import ConfigError
from pika_emotion.tag import Tag

mpl.use("Agg")


def write(folder: Path, rows: Sequence[Row], tags: Sequence[Tag]) -> list[Path]:
    """Write ``confusion.png`` and ``reliability.png`` into a folder; return their paths.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    drawn = {"confusion.png": _confusion(rows, tags), "reliability.png": _reliability(rows, tags)}
    return save(folder, drawn)


def save(folder: Path, drawn: Mapping[str, Figure]) -> list[Path]:
    """Write figures into a folder, each under its name; return their paths.

    Raises:
        ConfigError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in drawn.items():
            figure.savefig(folder / name, dpi=120)
    except OSError as error:
        raise ConfigError(
            f"plots cannot be written to '{folder}' ({error}); name a folder that can be"
        ) from error
    return [folder / name for name in drawn]


def _confusion(rows: Sequence[Row], tags: Sequence[Tag]) -> Figure:
    names = tags[0].labels.names
    counts = np.zeros((len(names), len(names)), int)
    for row, tag in zip(rows, tags, strict=True):
        counts[names.index(row.emotions[0]), names.index(tag.emotion)] += 1
    figure = Figure(figsize=(8, 7), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), cmap="Blues")
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("given")
    axes.set_ylabel("primary label")
    for row_index, column in zip(*np.nonzero(counts), strict=True):
        axes.text(column, row_index, str(counts[row_index, column]), ha="center", va="center")
    return figure


def _reliability(rows: Sequence[Row], tags: Sequence[Tag]) -> Figure:
    right = [tag.emotion == row.emotions[0] for tag, row in zip(tags, rows, strict=True)]
    bins = evaluation.calibration_bins([tag.confidence for tag in tags], right)
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":")
    axes.plot([b.confidence for b in bins], [b.right for b in bins], marker="o")
    for b in bins:
        axes.annotate(str(b.n), (b.confidence, b.right), (4, -12), textcoords="offset points")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("confidence")
    axes.set_ylabel("share right")
    return figure
