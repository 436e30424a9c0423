"""``pika-emotion train``: train the reflex from labelled turns."""

import argparse
import json
from pathlib import Path

from pika_emotion import model
from pika_emotion.commands import import_extra
from pika_emotion.corpus import data_hash, expand, read_rows
from pika_emotion.labels import load_labels


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--data",
        nargs="+",
        default=["data/dialogues/train"],
        metavar="FILE",
        help="TSV files to learn from, or folders of them (default: data/dialogues/train)",
    )
    parser.add_argument(
        "--dev",
        nargs="+",
        default=["data/dialogues/dev.tsv"],
        metavar="FILE",
        help="TSV files to calibrate and measure with (default: data/dialogues/dev.tsv)",
    )
    parser.add_argument("--labels", help="label file (default: the package's own)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("resource/reflex.npz"),
        metavar="FILE",
        help="the model file to write (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Train, write the model and print the measures on the development rows."""
    training = import_extra("pika_emotion.training", "training", "train")
    labels = load_labels(options.labels)
    train_files, dev_files = expand(options.data), expand(options.dev)
    rows, dev = read_rows(train_files, labels), read_rows(dev_files, labels)
    digest = data_hash([*train_files, *dev_files])

    def say(line: str) -> None:
        if not options.json:
            print(line, flush=True)

    say(f"{len(rows)} turns to learn from, {len(dev)} to calibrate with; data {digest[:12]}")
    trained = training.train(rows, dev, labels, digest, say)
    model.save(trained, options.out)
    size = options.out.stat().st_size
    if options.json:
        print(json.dumps({"file": str(options.out), "bytes": size, **trained.card}))
        return 0
    for name, value in trained.card["dev"].items():
        say(f"{name:<20} {value}")
    say(f"wrote {options.out}, {size / 1e6:.1f} MB")
    return 0
