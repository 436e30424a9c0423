"""``pika-emotion train-encoder``: fine-tune a pretrained encoder for the encoder tagger."""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pika_emotion import foreign
from pika_emotion.corpus import data_hash, expand, read_rows
from pika_emotion.encoder.turns import FEWEST_TOKENS
from pika_emotion.errors import ConfigError, ModelError
from pika_emotion.labels import load_labels

JOB = "pika_emotion.encoder.process"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--base", required=True, help="the encoder: a folder or a hub name")
    parser.add_argument(
        "--download", action="store_true", help="ask the hub for what is not on this machine"
    )
    parser.add_argument(
        "--data",
        nargs="+",
        required=True,
        metavar="FILE",
        help="TSV files to learn from, or folders of them",
    )
    parser.add_argument(
        "--dev",
        nargs="+",
        required=True,
        metavar="FILE",
        help="TSV files to calibrate and measure with",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new folder")
    parser.add_argument("--labels", help="label file (default: the package's own)")
    parser.add_argument("--pooling", choices=("mean", "cls"), default="mean")
    parser.add_argument("--epochs", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument(
        "--batch", type=int, default=32, help="turns of a step (default: %(default)s)"
    )
    parser.add_argument(
        "--rate", type=float, default=3e-5, help="highest learning rate (default: %(default)s)"
    )
    parser.add_argument(
        "--max-tokens", type=int, default=256, help="tokens of a turn (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=7, help="(default: %(default)s)")
    parser.add_argument(
        "--gpu", action="store_true", help="write a float16 model too, for encoder.provider cuda"
    )
    parser.add_argument(
        "--python",
        default=sys.executable,
        help="interpreter that has torch, transformers, onnx, onnxscript and onnxruntime",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Make the encoder and print what was made."""
    _check(options)
    labels = load_labels(options.labels)
    train_files, dev_files = expand(options.data), expand(options.dev)
    order = {
        "base": options.base,
        "download": options.download,
        "out": str(options.out),
        "labels": [asdict(label) for label in labels],
        "rows": [asdict(row) for row in read_rows(train_files, labels)],
        "dev": [asdict(row) for row in read_rows(dev_files, labels)],
        "data_sha256": data_hash([*train_files, *dev_files]),
        "pooling": options.pooling,
        "gpu": options.gpu,
        "plan": {
            name: getattr(options, name)
            for name in ("epochs", "batch", "rate", "seed", "max_tokens")
        },
    }
    made = ask(options.python, order)
    print(json.dumps(made) if options.json else table(made))
    return 0


def _check(options: argparse.Namespace) -> None:
    for name, least in (("epochs", 1), ("batch", 1), ("max_tokens", FEWEST_TOKENS)):
        if getattr(options, name) < least:
            flag = name.replace("_", "-")
            raise ConfigError(f"--{flag} {getattr(options, name)} must be {least} or more")
    if not options.rate > 0:
        raise ConfigError(f"--rate {options.rate:g} must be above 0; 3e-5 is usual")
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise ConfigError(f"--out '{options.out}' is there already; name a new folder")


def ask(python: str, order: Mapping[str, Any]) -> dict[str, Any]:
    """Run the process that trains; return its result.

    Raises:
        ConfigError: the interpreter is missing, or lacks a library.
        ModelError: the base cannot be used, or training failed.
    """
    try:
        answer = foreign.run(python, JOB, order)
    except OSError as error:
        raise ConfigError(
            f"--python '{python}' cannot be started ({error.strerror}); run 'make setup-encoder' "
            "and name .venv-encoder/bin/python"
        ) from error
    if "missing" in answer:
        raise ConfigError(
            f"'{python}' has no module '{answer['missing']}'; run 'make setup-encoder' and name "
            "its interpreter: --python .venv-encoder/bin/python"
        )
    if "error" in answer:
        raise ModelError(str(answer["error"]))
    if "out" not in answer:
        raise ModelError(
            f"training on '{order['base']}' ended with exit code {answer['died']}; "
            "see its output above"
        )
    return answer


def table(made: Mapping[str, Any]) -> str:
    """Return the result for people to read."""
    dev, train = made["dev"], made["train"]
    lines = [
        f"encoder      {made['out']}, {train['parameters'] / 1e6:.1f} million parameters",
        f"trained      {train['rows']} turns, {train['epochs']} epochs, {train['seconds']:.0f} s",
    ]
    lines += [
        f"{name:<12} {made['files'][name]['bytes'] / 1e6:.1f} MB; of {told['turns']} dev turns the "
        f"same emotion in {100 * told['same_emotion']:.1f} %, probabilities differ by "
        f"{told['emotion_mean']:.4f} on average, {told['emotion_max']:.3f} at most "
        f"(celebrate {told['celebrate_mean']:.4f}, {told['celebrate_max']:.3f})"
        for name, told in made["agreement"].items()
    ]
    lines += [f"{name:<20} {value}" for name, value in dev.items() if name != "tagger"]
    return "\n".join([*lines, f"use it       --tagger encoder --set encoder.model={made['out']}"])
