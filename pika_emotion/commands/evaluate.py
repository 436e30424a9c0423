"""``pika-emotion evaluate``: measure a tagger on labelled turns."""

import argparse
import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from pika_emotion import evaluation
from pika_emotion.commands.tag import (
    add_tagger_arguments,
    add_threshold_argument,
    load_tagger,
)
from pika_emotion.corpus import Row, read_rows
from pika_emotion.errors import ConfigError
from pika_emotion.labels import load_labels
from pika_emotion.tag import Tag


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_tagger_arguments(parser)
    parser.add_argument(
        "--data",
        nargs="+",
        required=True,
        metavar="FILE",
        help="TSV files of labelled turns, or folders of them",
    )
    add_threshold_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--plots", metavar="DIR", type=Path, help="write plots there, PNG")


def run(options: argparse.Namespace) -> int:
    """Tag every row and print the measures."""
    plots = _plots() if options.plots else None
    rows = read_rows(options.data, load_labels(options.labels))
    tagger = load_tagger(options)
    tags, times_ms = evaluation.tag_rows(tagger, rows)
    tagger.close()
    measures = evaluation.measure(tagger.name, rows, tags, times_ms, options.threshold)
    if plots:
        plots.write(options.plots, rows, tags)
    print(json.dumps(measures.shown()) if options.json else table(measures, rows, tags))
    return 0


def table(measures: evaluation.Measures, rows: Sequence[Row], tags: Sequence[Tag]) -> str:
    """Return the measures for people to read, with a line for each label."""
    shown = measures.shown()
    latency = shown.pop("latency_ms")
    lines = [f"{'label':<14}{'rows':>6}{'given':>7}{'fine':>7}{'prec':>7}{'recall':>8}{'f1':>6}"]
    lines += [
        f"{s.label:<14}{s.rows:>6}{s.given:>7}{s.acceptable:>7.2f}{s.precision:>7.2f}"
        f"{s.recall:>8.2f}{s.f1:>6.2f}"
        for s in evaluation.label_scores(rows, tags)
    ]
    lines.append("")
    lines += [f"{name:<20} {_text(value)}" for name, value in shown.items()]
    lines.append(f"{'latency':<20} p50 {latency['p50']:.3f} ms, p99 {latency['p99']:.3f} ms")
    return "\n".join(lines)


def _text(value: object) -> str:
    if value is None:
        return "none to judge by"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _plots() -> ModuleType:
    try:
        return importlib.import_module("pika_emotion.plots")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--plots needs matplotlib, which is not installed ({error}); "
            "install the extra: pip install 'pika-emotion[plots]'"
        ) from error
