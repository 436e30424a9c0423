"""``pika-emotion distill``: train the reflex on the robot's own turns, as a teacher tags them."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pika_emotion import distillation, model, resources, taggers
from pika_emotion.answers import Answers
from pika_emotion.calibration import file_hash, key_of
from pika_emotion.commands import import_extra, progress
from pika_emotion.commands.bag_arguments import add_conversation_arguments, conversation_of
from pika_emotion.commands.tag import add_threshold_argument, load_tagger
from pika_emotion.corpus import data_hash, expand, read_rows
from pika_emotion.dialogue import Turn
from pika_emotion.distillation import Taught
from pika_emotion.errors import ConfigError
from pika_emotion.evaluation import tag_rows
from pika_emotion.labels import LabelSet, load_labels
from pika_emotion.tag import Tag
from pika_emotion.taggers.reflex import MODEL_FILE

BAG_FILES = (".mcap", ".db3")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "turns", nargs="+", type=Path, metavar="BAG_OR_TSV", help="rosbag2 bags, or TSV of turns"
    )
    parser.add_argument("--teacher", required=True, dest="tagger", help="which tagger teaches")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of it"
    )
    parser.add_argument("--labels", help="label file (default: the package's own)")
    parser.add_argument(
        "--calibration", default="", metavar="CARD", help="its card (default: your data folder)"
    )
    add_conversation_arguments(parser)
    files: tuple[tuple[str, str, str], ...] = (
        ("--data", "data/dialogues/train", "written turns to learn from as well"),
        ("--dev", "data/dialogues/dev.tsv", "written turns to calibrate with"),
        ("--test", "data/dialogues/test.tsv", "written turns to compare old and new on"),
    )
    for option, usual, meaning in files:
        parser.add_argument(
            option, nargs="+", default=[usual], metavar="FILE", help=f"{meaning} (default: {usual})"
        )
    parser.add_argument(
        "--against", default="", metavar="MODEL", help="the old model (default: the package's)"
    )
    parser.add_argument(
        "--confidence",
        type=float,
        default=0.6,
        metavar="P",
        help="leave out turns that the teacher is less sure of (default: %(default)s)",
    )
    parser.add_argument(
        "--weight",
        type=float,
        metavar="W",
        help="what such a turn counts; a written one counts 1 (default: 1, or less, so that all "
        "count no more than the written ones)",
    )
    add_threshold_argument(parser)
    parser.add_argument(
        "--doubtful", type=Path, metavar="FILE", help="write the turns left out there, TSV"
    )
    parser.add_argument(
        "--cache", type=Path, metavar="FILE", help="the answers (default: beside --out)"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the model file to write"
    )
    parser.add_argument("--replace", action="store_true", help="--out may be the shipped model")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(pool=False)


def run(options: argparse.Namespace) -> int:
    """Ask the teacher, train, write the model and print what it gains and loses."""
    _check(options)
    training = import_extra("pika_emotion.training", "distill", "train")
    labels = load_labels(options.labels)
    files = [expand(paths) for paths in (options.data, options.dev)]
    rows, dev = (read_rows(paths, labels) for paths in files)
    test = read_rows(options.test, labels)
    heard = distillation.distinct([one for path in options.turns for one in _read(path, options)])

    def say(line: str) -> None:
        if not options.json:
            print(line, flush=True)

    before = _reflex(labels, options.against)
    teacher = load_tagger(options)
    try:
        cache = options.cache or options.out.with_suffix(".answers.jsonl")
        answers = Answers(teacher, labels, cache, at_once(options))
        tags = _asked(answers, [one.turn for one in heard], cache, say)
        key = key_of(teacher, labels).short
    finally:
        teacher.close()
    taught = [Taught(one, tag) for one, tag in zip(heard, tags, strict=True) if tag is not None]
    kept, doubtful = distillation.sift(taught, options.confidence)
    if options.doubtful:
        distillation.write_doubtful(
            options.doubtful, distillation.to_correct(doubtful), options.confidence
        )
    learned = [one for one in kept if not one.heard.held_out]
    apart = [one.row for one in kept if one.heard.held_out]
    weight = options.weight or distillation.default_weight(len(rows), len(learned))
    counts = {
        "turns": len(heard),
        "unanswered": len(heard) - len(taught),
        "doubtful": len(doubtful),
        "learned": len(learned),
        "held_out": len(apart),
    }
    say(", ".join(f"{name} {count}" for name, count in counts.items()) + f"; weight {weight:.3g}")

    digest = data_hash([*files[0], *files[1]])
    more = distillation.examples_of(learned, weight)
    trained = training.train(rows, dev, labels, digest, say, more)
    distilled = {"teacher": options.tagger, "key": key, "weight": weight, **counts}
    part = _part(options.out)
    try:
        model.save(replace(trained, card={**trained.card, "distilled": distilled}), part)
        after = _reflex(labels, str(part))
        compared = {}
        for name, some in {"test": test, "held_out": apart}.items():
            if some:
                old, new = (tag_rows(reflex, some)[0] for reflex in (before, after))
                compared[name] = distillation.compare(old, new, some, labels, options.threshold)
        # What it gains and loses is told before anything is replaced.
        if options.json:
            print(json.dumps({"file": str(options.out), "distilled": distilled, **compared}))
        say(table(compared))
        part.replace(options.out)
    finally:
        part.unlink(missing_ok=True)
    say(f"\nwrote {options.out}")
    return 0


def _asked(
    answers: Answers, turns: Sequence[Turn], cache: Path, say: Callable[[str], None]
) -> list[Tag | None]:
    """Ask the teacher about what it has not answered before."""
    known = answers.known(turns)
    say(f"{len(turns)} different turns; the teacher has answered {known} of them before")
    try:
        with progress("asking the teacher", len(turns) - known) as advance:
            return answers.ask(turns, advance)
    except KeyboardInterrupt:
        print(
            f"\nstopped: {answers.known(turns)} of {len(turns)} answers are kept in '{cache}'; "
            "run this again, and it goes on from there",
            file=sys.stderr,
        )
        raise


def at_once(options: argparse.Namespace) -> int:
    """Return how many turns the teacher is asked about at once: a server has time for several."""
    settings = taggers.settings_from_text(options.tagger, options.set)
    return int(settings["http.max_replies"]) if options.tagger == "http" else 1


def _check(options: argparse.Namespace) -> None:
    """Raise ConfigError for what would only be found out, or be lost, after hours."""
    if options.tagger == "reflex":
        raise ConfigError(
            "--teacher reflex would teach itself; choose a better tagger, such as vllm or http"
        )
    if not 0.0 <= options.confidence <= 1.0:
        raise ConfigError(f"--confidence {options.confidence:g} must be from 0 to 1; give 0.6, say")
    if options.weight is not None and not 0.0 < options.weight < float("inf"):
        raise ConfigError(f"--weight {options.weight:g} must be a number above 0; give 1, say")
    taggers.find_module(options.tagger)
    shipped = resources.find(MODEL_FILE)
    for option, file in (("--out", options.out), ("--doubtful", options.doubtful)):
        if file:
            _check_writable(option, file)
    # The same bytes elsewhere are the source of an installed model, or the other way round.
    if options.out.exists() and file_hash(options.out) == file_hash(shipped):
        if not options.replace:
            raise ConfigError(
                f"--out '{options.out}' is the shipped model; name another file and give it to the "
                "node as reflex.model, or say --replace"
            )
        print(f"replacing the shipped model '{options.out}'", file=sys.stderr)


def _read(path: Path, options: argparse.Namespace) -> list[distillation.Heard]:
    if distillation.is_table(path):
        return distillation.turns_of_tables(path)
    if not path.is_dir() and path.suffix not in BAG_FILES:
        raise ConfigError(
            f"'{path}' is {'neither a bag nor turns' if path.exists() else 'not there'}; give a "
            f"rosbag2 folder, its {' or '.join(BAG_FILES)} file, or a .tsv file of turns"
        )
    return distillation.turns_of_bag(path, conversation_of(options))


def _check_writable(option: str, file: Path) -> None:
    if file.is_dir():
        raise ConfigError(f"{option} '{file}' is a folder; name a file in it")
    part = _part(file)
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        part.unlink()
    except OSError as error:
        raise ConfigError(
            f"{option} '{file}' cannot be written ({error}); name a file that can be"
        ) from error


def _part(file: Path) -> Path:
    """Return where a file is written before it is whole."""
    return file.with_name(file.name + ".part")


def _reflex(labels: LabelSet, file: str) -> taggers.Tagger:
    reflex = taggers.create("reflex", labels, {"reflex.model": file})
    reflex.load()
    return reflex


def table(compared: dict[str, dict[str, Any]]) -> str:
    """Return the comparison for people to read."""
    titles = {"test": "written test turns", "held_out": "held-out turns, against the teacher"}
    lines = []
    for which, measures in compared.items():
        lines += ["", titles[which], f"{'':20}{'old':>8}{'new':>8}{'new less old':>26}"]
        for name, values in measures.items():
            shown = [None if v is None else v[0] for v in (values["old"], values["new"])]
            cells = "".join(f"{'-' if v is None else format(v, '.3f'):>8}" for v in shown)
            lines.append(f"{name:20}{cells}{_difference(values['difference']):>26}")
        for better, word in ((True, "better"), (False, "worse")):
            found = distillation.significant(measures, better=better)
            lines.append(f"significantly {word}: {', '.join(found) or 'nothing'}")
    return "\n".join(lines)


def _difference(found: list[float] | None) -> str:
    if found is None:
        return "none to judge by"
    return f"{found[0]:+.3f} ({found[1]:+.3f}..{found[2]:+.3f})"
