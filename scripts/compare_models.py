"""Compares models for the reflex on the development split, several seeds each, in one table.

scripts/in_env.sh python scripts/compare_models.py --seeds 3 > table.md

Everything learns from data/dialogues/train and is measured on data/dialogues/dev.tsv; the test
split is not touched. The networks (embeddings, convolution, attention) need torch and are left
out where it is missing. Takes two hours or so on one core.
"""

import argparse
import importlib.util
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
import scipy.sparse as sp

from pika_emotion import heads, training
from pika_emotion.corpus import read_rows
from pika_emotion.evaluation import measure
from pika_emotion.examples import examples
from pika_emotion.labels import load_labels
from pika_emotion.logits import sigmoid, softmax
from pika_emotion.parameters import CELEBRATE_THRESHOLD as THRESHOLD
from pika_emotion.tag import Tag

DATA = Path(__file__).resolve().parent.parent / "data/dialogues"

_STRAY = ("um", "uh", "you", "ờ", "à", "ạ")
PRAISE = "giỏi tuyệt đúng chính xác hay quá great good right correct yes well done perfect chuẩn"
CONSOLE = "không sao đừng lo buồn sorry okay fine never mind"
RETRY = "thử lại again nữa try cố lên nghe"


@dataclass(frozen=True)
class Answers:
    """What a model says of rows: N rows of K probabilities, and N of celebrate."""

    emotion: np.ndarray
    celebrate: np.ndarray


Model = Callable[[list, list, int, tuple], Answers]
MODELS: dict[str, Model] = {}


def model(name):
    """Enter a function into the table."""

    def enter(function):
        MODELS[name] = function
        return function

    return enter


# What costs nothing.


@model("majority class")
def majority(rows, asked, seed, names):
    """The most frequent label, and no celebration."""
    counts = Counter(row.emotions[0] for row in rows)
    emotion = np.array([counts[name] for name in names], float)
    return Answers(np.tile(emotion / emotion.sum(), (len(asked), 1)), np.zeros(len(asked)))


@model("list of praise, consolation and retry words")
def keywords(rows, asked, seed, names):
    """A label and a celebration for a word of a list in the reply."""
    lists = (
        ("thats_right", PRAISE, 1.0),
        ("no_problem", CONSOLE, 0.0),
        ("encouraging", RETRY, 0.0),
    )
    emotion = np.full((len(asked), len(names)), 0.01)
    celebrate = np.zeros(len(asked))
    for place, row in enumerate(asked):
        words = set(re.findall(r"\w+", row.turn.reply.lower()))
        found = [(name, yes) for name, listed, yes in lists if words & set(listed.split())]
        name, celebrate[place] = found[0] if found else ("idle", 0.0)
        emotion[place, names.index(name)] = 1.0
    return Answers(emotion / emotion.sum(axis=1, keepdims=True), celebrate)


@model("nearest neighbour")
def nearest(rows, asked, seed, names):
    """The labels of the training turn that shares most n-grams."""
    data, other = (examples(each, names) for each in (rows, asked))
    words = heads.vocabulary(data.seen)
    found = (heads.design(words, other.seen) @ heads.design(words, data.seen).T).toarray()
    best = found.argmax(axis=1)
    return Answers(np.eye(len(names))[data.emotions[best].argmax(axis=1)], data.celebrate[best])


# Linear models of hashed n-grams.


def blank(row, *fields):
    """Return a row without some of its texts."""
    event = row.turn.event and "child" not in fields  # the child's text says whether it is one
    return replace(row, turn=replace(row.turn, event=event, **dict.fromkeys(fields, "")))


def linear(rows, asked, names, *, joint=False):
    """Fit logistic regressions to the n-grams and dense features of whole turns."""
    data, other = (examples(each, names) for each in (rows, asked))
    words = heads.vocabulary(data.seen)

    def inputs(part):
        dense = sp.csr_matrix(part.dense * heads.DENSE_SCALE)
        design = heads.design(words, part.seen).astype(np.float64)
        return sp.hstack([design, dense]).tocsr()

    here, there = inputs(data), inputs(other)

    def fit(targets, which=slice(None), steps=heads.EMOTION_STEPS):
        found = heads.fit_softmax(here[which], targets, heads.EMOTION_RIDGE, steps)
        return softmax(there @ found[:-1] + found[-1])

    yes = data.celebrate.astype(float)
    if joint:
        both = np.concatenate([data.emotions * (1 - yes)[:, None], data.emotions * yes[:, None]], 1)
        chances = fit(both[data.judged], data.judged)
        return Answers(chances[:, : len(names)] + chances[:, len(names) :],
                       chances[:, len(names) :].sum(axis=1))  # fmt: skip
    two = np.stack([1 - yes, yes], 1)[data.judged]
    return Answers(fit(data.emotions), fit(two, data.judged, heads.CELEBRATE_STEPS)[:, 1])


@model("linear, the reply alone")
def linear_reply(rows, asked, seed, names):
    """Neither question nor child."""
    rows, asked = ([blank(r, "question", "child") for r in each] for each in (rows, asked))
    return linear(rows, asked, names)


@model("linear, without the question")
def linear_child(rows, asked, seed, names):
    """Child and reply."""
    rows, asked = ([blank(r, "question") for r in each] for each in (rows, asked))
    return linear(rows, asked, names)


@model("linear, without the child")
def linear_question(rows, asked, seed, names):
    """Question and reply."""
    rows, asked = ([blank(r, "child") for r in each] for each in (rows, asked))
    return linear(rows, asked, names)


@model("linear, the whole turn, separate heads")
def linear_whole(rows, asked, seed, names):
    """One model for the emotion, one for celebrate."""
    return linear(rows, asked, names)


@model("linear, the whole turn, one joint head")
def linear_joint(rows, asked, seed, names):
    """One model for the pairs of both."""
    return linear(rows, asked, names, joint=True)


# Heads and a deciding layer: what is shipped.


def stacked(rows, asked, seed, names):
    """Fit as ``pika-emotion train`` does, without calibration."""
    training.SEED = seed
    fitted = training.fit(examples(rows, names), names, lambda line: None)
    logits = training.logits_of(fitted, asked)
    return Answers(softmax(logits[:, :-1]), sigmoid(logits[:, -1]))


def reworded(rows, seed):
    """Return the rows and copies with other lesson words, as this seed has them."""
    training.SEED = seed
    return training.with_other_words(rows)


@model("heads and a deciding layer (shipped)")
def shipped(rows, asked, seed, names):
    """As ``pika-emotion train``."""
    return stacked(reworded(rows, seed), asked, seed, names)


@model("the same, with noise on the child's words too")
def with_both(rows, asked, seed, names):
    """Every turn twice, the second time misheard as well."""
    draw = Random(seed)
    copies = reworded(rows, seed)[len(rows) :]
    return stacked([*rows, *(misheard(row, draw) for row in copies)], asked, seed, names)


@model("the same, without other lesson words")
def as_written(rows, asked, seed, names):
    """The turns as they are, no others."""
    return stacked(rows, asked, seed, names)


@model("without other lesson words, with noise on the child's words")
def with_noise(rows, asked, seed, names):
    """Every turn twice, the second time misheard."""
    draw = Random(seed)
    return stacked([*rows, *(misheard(row, draw) for row in rows)], asked, seed, names)


@model("without other lesson words, every head learning celebrate")
def unasked(rows, asked, seed, names):
    """Without knowing which questions have a right answer."""
    return stacked([replace(row, asks="") for row in rows], asked, seed, names)


def misheard(row, draw):
    """Let speech recognition stumble over the child's words, once."""
    words = row.turn.child.split()
    if row.turn.event or not words:
        return row
    at = draw.randrange(len(words))
    word = words[at]
    how = draw.randrange(4)
    if how == 0:
        words.insert(at, word)
    elif how == 1:
        words.insert(draw.choice((0, len(words))), draw.choice(_STRAY))
    elif len(word) > 3 and how == 2:
        cut = draw.randrange(1, len(word))
        words[at] = word[:cut] + word[cut + 1 :]
    elif len(word) > 3:
        words[at] = word[: draw.randrange(2, len(word))]
    return replace(row, turn=replace(row.turn, child=" ".join(words)))


# Networks trained from scratch.

if importlib.util.find_spec("torch"):
    import compare_networks

    for network, answer in compare_networks.NETWORKS.items():
        MODELS[network] = lambda *given, answer=answer: Answers(*answer(*given))


def main() -> int:
    """Fit every model with every seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[""], help="models whose name has such a text")
    options = parser.parse_args()
    labels = load_labels()
    rows = read_rows([DATA / "train"], labels)
    dev = read_rows([DATA / "dev.tsv"], labels)
    columns = (
        *("emotion_acceptable", "emotion_primary", "emotion_macro_f1"),
        *("celebrate_accuracy", "celebrate_precision", "celebrate_recall", "ece"),
    )
    print(f"{len(rows)} turns to learn from, {len(dev)} to measure on, {options.seeds} seeds, "
          f"celebrate from {THRESHOLD} on\n")  # fmt: skip
    print(f"| model | {' | '.join(columns)} | fit s |")
    print("|---" * (len(columns) + 2) + "|", flush=True)
    for name, fit in MODELS.items():
        if not any(text in name for text in options.only):
            continue
        found, started = [], time.monotonic()
        for seed in range(options.seeds):
            answers = fit(rows, dev, seed, labels.names)
            whole = answers.emotion.sum(axis=1, keepdims=True)
            tags = [
                Tag(labels, tuple(scores), float(yes), "model")
                for scores, yes in zip(
                    (answers.emotion / whole).tolist(), answers.celebrate, strict=True
                )
            ]
            shown = measure("model", dev, tags, [], THRESHOLD)
            found.append([getattr(shown, column) for column in columns])
        seconds = (time.monotonic() - started) / options.seeds
        mean, spread = np.mean(found, axis=0), np.std(found, axis=0)
        cells = [
            f"{m:.3f}" + (f" ± {s:.3f}" if s > 0.0005 else "")
            for m, s in zip(mean, spread, strict=True)
        ]
        print(f"| {name} | {' | '.join(cells)} | {seconds:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
