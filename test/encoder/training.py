"""What the encoder's tests share: a tiny base, a part of the dialogues, and training on them."""

import os
import subprocess
from pathlib import Path

from pika_emotion.cli import main

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-encoder/bin/python"
DIALOGUES = ROOT / "data/dialogues"

# A tiny network's threads would mostly wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def make_base(family, folder):
    """Make a base of an architecture with random weights."""
    script = Path(__file__).with_name("tiny.py")
    subprocess.run([PYTHON, script, family, folder], check=True, capture_output=True)
    return folder


def some_rows(folder, number):
    """Write so many rows of four train files, and some dev rows; return the two files."""
    names = ("drills", "free_chat", "feelings", "quizzes")
    read = [_lines(DIALOGUES / f"train/{name}.tsv") for name in names]
    header = read[0][0]
    assert all(lines[0] == header for lines in read)
    rows = [line for lines in read for line in lines[1 : 1 + number // len(names)]]
    for name, lines in (
        ("train.tsv", [header, *rows]),
        ("dev.tsv", _lines(DIALOGUES / "dev.tsv")[:81]),
    ):
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "train.tsv", folder / "dev.tsv"


def _lines(file):
    return file.read_text(encoding="utf-8").splitlines()


def train(base, files, out, *more, python=PYTHON):
    """Run train-encoder; return its exit code."""
    data, dev = files
    given = ["--base", base, "--data", data, "--dev", dev, "--out", out, "--python", python]
    return main(["train-encoder", *map(str, [*given, "--max-tokens", 128, *more])])
