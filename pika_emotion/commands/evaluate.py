"""``pika-emotion evaluate``: measure taggers on labelled turns."""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pika_emotion import evaluation
from pika_emotion.calibration import Doubles
from pika_emotion.commands import import_extra
from pika_emotion.commands.tag import (
    add_tagger_arguments,
    add_threshold_argument,
    load_tagger,
    options_of,
)
from pika_emotion.corpus import Row, read_rows
from pika_emotion.errors import ConfigError
from pika_emotion.labels import load_labels
from pika_emotion.resampling import Answers, Gold, interval, measure, resample
from pika_emotion.tag import Tag

_ERROR_COLUMNS = (
    *("question", "child", "reply", "emotions", "celebrate", "scenario"),
    *("given", "confidence", "given_celebrate", "celebrate_probability", "wrong"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_tagger_arguments(parser)
    parser.add_argument(
        "--against",
        nargs="+",
        default=[],
        metavar="TAGGER",
        help="more taggers, side by side, with the differences to the first",
    )
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
    parser.add_argument(
        "--errors", metavar="FILE", type=Path, help="write the wrong turns there, TSV, with texts"
    )


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One tagger's answers and what they are worth.

    Attributes:
        measures: of the rows.
        resampled: measures by name, a value for each resample of the scenarios.
        tags: the answers.
    """

    measures: evaluation.Measures
    resampled: dict[str, Doubles]
    tags: list[Tag]


def run(options: argparse.Namespace) -> int:
    """Tag every row with each tagger and print the measures."""
    plots = import_extra("pika_emotion.plots", "--plots", "plots") if options.plots else None
    labels = load_labels(options.labels)
    rows = read_rows(options.data, labels)
    gold = Gold.of(rows, labels.names)
    counts = resample(gold)
    asked = (options.tagger, *options.against)
    first, *others = [
        _evaluate(options_of(name, asked, options), rows, gold, counts) for name in asked
    ]
    if plots:
        plots.write(options.plots, rows, first.tags)
    if options.errors:
        write_errors(options.errors, rows, first.tags, options.threshold)
    if options.json:
        print(json.dumps(_shown(first, others, rows, options.threshold)))
    else:
        print(table(first, others, rows, options.threshold))
    return 0


def _evaluate(
    options: argparse.Namespace, rows: Sequence[Row], gold: Gold, counts: Doubles
) -> Evaluated:
    tagger = load_tagger(options)
    tags, times_ms = evaluation.tag_rows(tagger, rows)
    tagger.close()
    return Evaluated(
        evaluation.measure(tagger.name, rows, tags, times_ms, options.threshold),
        measure(Answers.of(tags), gold, counts, options.threshold),
        tags,
    )


def write_errors(file: Path, rows: Sequence[Row], tags: Sequence[Tag], threshold: float) -> None:
    """Write the turns whose emotion is not acceptable or whose celebrate is wrong, as TSV.

    Raises:
        ConfigError: the file cannot be written.
    """
    lines = ["\t".join(_ERROR_COLUMNS)]
    for row, tag in zip(rows, tags, strict=True):
        yes = tag.celebrates(threshold)
        wrong = [] if tag.emotion in row.emotions else ["emotion"]
        if row.celebrate != "either" and yes != (row.celebrate == "yes"):
            wrong.append("false yes" if yes else "missed yes")
        if wrong:
            cells = (
                *(row.turn.question, row.turn.child, row.turn.reply),
                *(",".join(row.emotions), row.celebrate, row.scenario),
                *(tag.emotion, f"{tag.confidence:.2f}"),
                *("yes" if yes else "no", f"{tag.celebrate:.2f}", ", ".join(wrong)),
            )
            lines.append("\t".join(cells))
    try:
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"errors cannot be written to '{file}' ({error}); name a file that can be"
        ) from error


def _shown(
    first: Evaluated, others: Sequence[Evaluated], rows: Sequence[Row], threshold: float
) -> dict[str, Any]:
    return {
        **first.measures.shown(),
        "intervals": {name: _bounds(values) for name, values in first.resampled.items()},
        "by_label": [asdict(s) for s in evaluation.label_scores(rows, first.tags)],
        "by_contrast": [asdict(s) for s in evaluation.contrast_scores(rows, first.tags, threshold)],
        "against": [
            {
                **other.measures.shown(),
                "intervals": {name: _bounds(v) for name, v in other.resampled.items()},
                "differences": {
                    name: interval(first.resampled[name] - v) for name, v in other.resampled.items()
                },
            }
            for other in others
        ],
    }


def table(
    first: Evaluated, others: Sequence[Evaluated], rows: Sequence[Row], threshold: float
) -> str:
    """Return the measures for people to read, with a line for each label and each contrast."""
    lines = [f"{'label':<14}{'rows':>6}{'given':>7}{'fine':>7}{'prec':>7}{'recall':>8}{'f1':>6}"]
    lines += [
        f"{s.label:<14}{s.rows:>6}{s.given:>7}{s.acceptable:>7.2f}{s.precision:>7.2f}"
        f"{s.recall:>8.2f}{s.f1:>6.2f}"
        for s in evaluation.label_scores(rows, first.tags)
    ]
    contrasts = evaluation.contrast_scores(rows, first.tags, threshold)
    if contrasts:
        lines += ["", f"{'contrast':<14}{'pairs':>6}{'both right':>12}{'missed':>8}{'false':>7}"]
        lines += [
            f"{s.kind:<14}{s.pairs:>6}{s.both:>12.2f}{s.missed:>8.2f}{s.false:>7.2f}"
            for s in contrasts
        ]
    lines.append("")
    everybody = [first, *others]
    for name in first.measures.shown():
        if name != "latency_ms":
            cells = (_cell(each, name) for each in everybody)
            lines.append(f"{name:<20}" + "".join(f" {cell:<25}" for cell in cells).rstrip())
    cells = (
        f"p50 {e.measures.latency_ms['p50']:.3f} ms, p99 {e.measures.latency_ms['p99']:.3f} ms"
        for e in everybody
    )
    lines.append(f"{'latency':<20}" + "".join(f" {cell:<25}" for cell in cells).rstrip())
    for other in others:
        lines += ["", f"{first.measures.tagger} less {other.measures.tagger}"]
        lines += [
            f"{name:<20} {_difference(first.resampled[name] - values)}"
            for name, values in other.resampled.items()
        ]
    return "\n".join(lines)


def _cell(evaluated: Evaluated, name: str) -> str:
    value = getattr(evaluated.measures, name)
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "none to judge by"
    bounds = _bounds(evaluated.resampled[name]) if name in evaluated.resampled else None
    return f"{value:.3f}" + (f" ({bounds[0]:.3f}..{bounds[1]:.3f})" if bounds else "")


def _difference(values: Doubles) -> str:
    found = interval(values)
    if found is None:
        return "none to judge by"
    return f"{found[0]:+.3f} ({found[1]:+.3f}..{found[2]:+.3f})"


def _bounds(values: Doubles) -> list[float] | None:
    """Return the 95 % interval; None where there is nothing to measure."""
    found = interval(values)
    return None if found is None else found[1:]
