"""``pika-emotion calibrate``: fit what a tagger's probabilities are worth, and write its card."""

import argparse
import json
from pathlib import Path

from pika_emotion import calibration, corpus, fitting, resources, taggers
from pika_emotion.calibration import Card
from pika_emotion.commands.tag import add_tagger_arguments, add_threshold_argument
from pika_emotion.errors import ConfigError
from pika_emotion.evaluation import tag_rows
from pika_emotion.labels import load_labels
from pika_emotion.resampling import Answers, Gold
from pika_emotion.taggers.reflex import MODEL_FILE

_SHOWN = ("tagger", "calibrated", "reflex", "pool")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_tagger_arguments(parser, calibrated=False)
    parser.add_argument(
        "--data",
        nargs="+",
        required=True,
        metavar="FILE",
        help="TSV files of labelled turns, or folders of them: the dev split, never the test split",
    )
    add_threshold_argument(parser)
    parser.add_argument(
        "--reflex", default="", metavar="FILE", help="the reflex's model (default: the package's)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the card (default: where the node looks for it, in your data folder)",
    )
    parser.add_argument("--json", action="store_true", help="print the card")


def run(options: argparse.Namespace) -> int:
    """Ask the tagger and the reflex about every row, fit, write the card and print it."""
    if options.tagger == "reflex":
        raise ConfigError(
            "--tagger reflex: 'pika-emotion train' calibrates the reflex already; "
            "choose the tagger that is to answer before it"
        )
    labels = load_labels(options.labels)
    files = corpus.expand(options.data)
    rows = corpus.read_rows(files, labels)
    gold = Gold.of(rows, labels.names)
    fitting.check_enough(gold)
    reflex = taggers.create("reflex", labels, {"reflex.model": options.reflex})
    reflex.load()
    tagger = taggers.create(
        options.tagger, labels, taggers.settings_from_text(options.tagger, options.set)
    )
    tagger.load()
    try:
        key = calibration.key_of(tagger, labels)
        own = Answers.of(tag_rows(tagger, rows)[0])
    finally:
        tagger.close()
    other = Answers.of(tag_rows(reflex, rows)[0])
    fit, measured = fitting.fit(own, other, gold)
    metrics, differences = fitting.summarize(measured, gold, options.threshold)
    card = Card(
        tagger=tagger.name,
        key=key,
        reflex=calibration.file_hash(Path(options.reflex or resources.find(MODEL_FILE))),
        labels=labels.names,
        fit=fit,
        data={
            "sha256": corpus.data_hash(files),
            "rows": len(rows),
            "scenarios": int(gold.scene.max()) + 1,
            "threshold": options.threshold,
        },
        metrics=metrics,
        differences=differences,
    )
    file = options.out or calibration.file_of(tagger.name, key)
    calibration.write(card, file)
    print(json.dumps({**card.shown(), "file": str(file)}) if options.json else table(card, file))
    return 0


def table(card: Card, file: Path) -> str:
    """Return the card for people to read."""
    fit, data = card.fit, card.data
    lines = [
        f"{data['rows']} turns of {data['scenarios']} scenarios; "
        f"each answered by a fit to the other {fitting.FOLDS - 1} of {fitting.FOLDS} parts",
        f"{'':20}" + "".join(f"{who:>24}" for who in _SHOWN),
    ]
    for name in card.metrics["reflex"]:
        values = (card.metrics[who][name] for who in _SHOWN)
        lines.append(f"{name:20}" + "".join(f"{_value(value):>24}" for value in values))
    lines += [
        "",
        f"emotion    temperature {fit.emotion.temperature:.2f}, "
        f"pool with {fit.pool_emotion.reflex:.2f} of the reflex",
        f"celebrate  temperature {fit.celebrate.temperature:.2f}, "
        f"pool with {fit.pool_celebrate.reflex:.2f} of the reflex",
    ]
    worse = card.worse_than_reflex(pooled=False)
    lines.append(f"worse than the reflex: {worse or 'not significantly'}")
    lines.append(f"written: {file}")
    return "\n".join(lines)


def _value(value: list[float] | None) -> str:
    if value is None:
        return "none to judge by"
    return f"{value[0]:.3f} ({value[1]:.3f}..{value[2]:.3f})"
