"""``pika-emotion tag``: tag one turn given on the command line."""

import argparse
import json
import time
from collections.abc import Sequence

from pika_emotion import taggers
from pika_emotion.dialogue import make_turn
from pika_emotion.errors import CalibrationError
from pika_emotion.labels import load_labels
from pika_emotion.parameters import CELEBRATE_THRESHOLD
from pika_emotion.taggers.calibrated import CalibratedTagger


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--question", default="", help="what Pika said before the child spoke")
    parser.add_argument("--child", default="", help="what the child said, or an event")
    parser.add_argument("--reply", required=True, help="what Pika says now")
    add_tagger_arguments(parser)
    add_threshold_argument(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_tagger_arguments(parser: argparse.ArgumentParser, *, calibrated: bool = True) -> None:
    """Declare the options that choose a tagger; with ``calibrated`` also those of its card."""
    parser.add_argument("--tagger", default="reflex", help="which tagger (default: %(default)s)")
    parser.add_argument("--labels", help="label file (default: the package's own)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the tagger, as for the node; may be repeated",
    )
    if calibrated:
        parser.add_argument(
            "--calibration",
            default="",
            metavar="CARD",
            help="the tagger's calibration card, a folder of them, or none "
            "(default: your data folder, as the node)",
        )
        parser.add_argument("--pool", action="store_true", help="mix in the reflex, by the card")


def build_tagger(options: argparse.Namespace) -> taggers.Tagger:
    """Build the tagger that the options choose, not loaded yet; its card corrects it, if any."""
    labels = load_labels(options.labels)
    settings = taggers.settings_from_text(options.tagger, options.set)
    tagger = taggers.create(options.tagger, labels, settings)
    if options.tagger == "reflex":
        return tagger
    reflex = None
    if options.pool:
        reflex = taggers.create("reflex", labels, taggers.settings_from_text("reflex", []))
        reflex.load()
    card = {"calibration": options.calibration, "pool": options.pool}
    return CalibratedTagger(tagger, reflex, labels, {**settings, **card})


def options_of(name: str, asked: Sequence[str], options: argparse.Namespace) -> argparse.Namespace:
    """Return the options for one of the taggers that are asked: without the others' parameters."""
    known = {
        each: {parameter.name for parameter in taggers.find_module(each).PARAMETERS}
        for each in (name, *asked)
    }
    foreign = set().union(*known.values()) - known[name]
    given = [each for each in options.set if each.partition("=")[0] not in foreign]
    return argparse.Namespace(**{**vars(options), "tagger": name, "set": given})


def add_threshold_argument(parser: argparse.ArgumentParser) -> None:
    """Declare the option that says from where on to celebrate."""
    parser.add_argument(
        "--threshold",
        type=_probability,
        default=CELEBRATE_THRESHOLD,
        metavar="P",
        help="celebrate from this probability on, 0 to 1 (default: %(default)s)",
    )


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0.0 <= value <= 1.0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 to 1; give one")
    return value


def load_tagger(options: argparse.Namespace) -> taggers.Tagger:
    """Build and load the tagger that the options choose.

    Raises:
        CalibrationError: a card or the pool was asked for, and there is none that fits.
    """
    tagger = build_tagger(options)
    tagger.load()
    wanted = options.pool or options.calibration
    if wanted and isinstance(tagger, CalibratedTagger) and tagger.uncalibrated:
        tagger.close()
        raise CalibrationError(tagger.describe()["calibration"])
    return tagger


def run(options: argparse.Namespace) -> int:
    """Tag the turn and print the tag."""
    tagger = load_tagger(options)
    turn = make_turn(options.question, options.child, options.reply)
    started = time.monotonic()
    tag = tagger.tag(turn, started + 60.0)
    latency_ms = 1000 * (time.monotonic() - started)
    tagger.close()
    shown = {**tag.shown(options.threshold), "latency_ms": round(latency_ms, 3)}
    if options.json:
        print(json.dumps(shown, ensure_ascii=False))
        return 0
    print(f"emotion    {tag.emotion} ({tag.confidence:.2f})")
    print(f"celebrate  {'yes' if shown['celebrate'] else 'no'} ({tag.celebrate:.2f})")
    print(f"valence    {tag.valence:+.2f}   arousal {tag.arousal:.2f}")
    best = sorted(zip(tag.scores, tag.labels.names, strict=True), reverse=True)[:5]
    print("scores     " + "  ".join(f"{name} {score:.2f}" for score, name in best))
    print(f"tagger     {tag.tagger}, {latency_ms:.2f} ms")
    return 0
