"""``pika-emotion bag``: evaluate, export, compare or sum up what a bag recorded, without ROS."""

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from pika_emotion import evaluation, taggers
from pika_emotion.bag_files import DIFFERENCE_COLUMNS, TURN_COLUMNS, difference_row, tsv, turn_row
from pika_emotion.bag_measures import PERIODS, Comparison, Summary
from pika_emotion.bag_tags import GivenTag, RecordedTurn, tag_anew
from pika_emotion.bag_truth import Truth
from pika_emotion.bag_turns import Recording, align
from pika_emotion.commands import import_extra
from pika_emotion.commands.bag_arguments import RECORDED, conversation_of, declare
from pika_emotion.commands.bag_text import compared, summed_up
from pika_emotion.commands.evaluate import Evaluated, table
from pika_emotion.commands.tag import load_tagger, options_of
from pika_emotion.errors import BagError, ConfigError
from pika_emotion.labels import load_labels
from pika_emotion.resampling import Answers, Gold, measure, resample

_ADVANCE_BY = 1000
_LINES = 20  # named one by one; --json has them all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their options."""
    declare(parser, {"evaluate": evaluate, "export": export, "compare": compare, "stats": stats})


def run(options: argparse.Namespace) -> int:
    """Run the subcommand."""
    return int(options.act(options))


def evaluate(options: argparse.Namespace) -> int:
    """Tag the turns that the truth has rows for, and print the measures."""
    labels = load_labels(options.labels)
    truth = Truth(options.truth, labels)
    turns, rows = 0, []
    with _open(options.bag, options) as recording:
        for said in _turns(recording):
            turns += 1
            row = truth.take(said.turn)
            if row is not None:
                rows.append(row)
    if not rows:
        raise BagError(
            f"none of the {truth.rows} rows of '{options.truth}' is a turn of bag "
            f"'{options.bag}'; label what 'pika-emotion bag export' wrote of this very bag"
        )
    tagger = load_tagger(options)
    with contextlib.closing(tagger):
        tags, times_ms = evaluation.tag_rows(tagger, rows)
    measures = evaluation.measure(tagger.name, rows, tags, times_ms, options.threshold)
    unmatched = list(truth.unmatched_lines)
    if options.json:
        scores = evaluation.label_scores(rows, tags)
        shown = {
            **measures.shown(),
            "by_label": [{"label": s.label, "rows": s.rows, "f1": s.f1} for s in scores],
            "turns": turns,
            "truth_rows": truth.rows,
            "matched": len(rows),
            "unmatched_lines": unmatched,
        }
        print(json.dumps(shown))
        return 0
    gold = Gold.of(rows, labels.names)
    resampled = measure(Answers.of(tags), gold, resample(gold), options.threshold)
    print(table(Evaluated(measures, resampled, tags), [], rows, options.threshold))
    print(f"\n{len(rows)} of {truth.rows} rows matched; the bag has {turns} turns")
    if unmatched:
        more = len(unmatched) - _LINES
        print(
            f"no turn for the lines {', '.join(map(str, unmatched[:_LINES]))}"
            f"{f' and {more} more' if more > 0 else ''} of '{options.truth}'"
        )
    return 0


def export(options: argparse.Namespace) -> int:
    """Write the turns; a turn whose reply is empty has nothing to label and is left out."""
    counts = {"turns": 0, "tagged": 0, "empty": 0}
    with contextlib.ExitStack() as stack:
        recording = stack.enter_context(_open(options.bag, options))
        if options.tags == RECORDED and not recording.tag_topic:
            raise BagError(
                f"bag '{options.bag}' has no topic of EmotionTag; "
                "begin with --tags reflex, or with empty columns by --tags none"
            )
        tagger = None
        if options.tags == "reflex":
            labels = load_labels()
            tagger = taggers.create("reflex", labels, taggers.settings_from_text("reflex", []))
            tagger.load()
            stack.callback(tagger.close)
        write = stack.enter_context(tsv(options.out, TURN_COLUMNS, overwrite=options.force))
        for said in _turns(recording):
            if not said.turn.reply:
                counts["empty"] += 1
                continue
            tag = said.tag if options.tags == RECORDED else None
            if tagger:
                tag = tag_anew(tagger, said.turn, options.threshold)
            counts["turns"] += 1
            counts["tagged"] += tag is not None
            write(turn_row(said, tag))
    if options.json:
        print(json.dumps({**counts, "file": str(options.out)}))
    else:
        print(
            f"{counts['turns']} turns in '{options.out}', {counts['tagged']} with a tag; "
            f"{counts['empty']} empty replies left out"
        )
    return 0


def compare(options: argparse.Namespace) -> int:
    """Print where two sides differ; with ``--out`` also write these turns."""
    if len(options.bag) != (1 if options.taggers else 2):
        raise ConfigError(
            f"{len(options.bag)} bags {'with' if options.taggers else 'without'} --taggers cannot "
            "be compared; name two bags, or one and --taggers A B"
        )
    comparison = Comparison()
    with contextlib.ExitStack() as stack:
        pairs = (_two_taggers if options.taggers else _two_bags)(options, stack)
        write = (
            stack.enter_context(tsv(options.out, DIFFERENCE_COLUMNS, overwrite=options.force))
            if options.out
            else None
        )
        for said, a, b in pairs:
            if comparison.add(a, b) and write and a and b:
                write(difference_row(said, a, b))
    names = options.taggers or [str(bag) for bag in options.bag]
    shown = {"a": names[0], "b": names[1], **comparison.shown()}
    print(json.dumps(shown) if options.json else compared(shown))
    return 0


_Pairs = Iterator[tuple[RecordedTurn, GivenTag | None, GivenTag | None]]


def _two_bags(options: argparse.Namespace, stack: contextlib.ExitStack) -> _Pairs:
    a, b = (stack.enter_context(_open(bag, options)) for bag in options.bag)
    for recording in (a, b):
        _need_tags(recording)
    for left, right in align(_turns(a), b.turns()):
        said = left or right
        if said:
            yield said, left.tag if left else None, right.tag if right else None


def _two_taggers(options: argparse.Namespace, stack: contextlib.ExitStack) -> _Pairs:
    recording = stack.enter_context(_open(options.bag[0], options))
    if RECORDED in options.taggers:
        _need_tags(recording)
    asked: list[taggers.Tagger | None] = []
    anew = [name for name in options.taggers if name != RECORDED]
    for name in options.taggers:
        tagger = None if name == RECORDED else load_tagger(options_of(name, anew, options))
        if tagger:
            stack.callback(tagger.close)
        asked.append(tagger)
    for said in _turns(recording):
        a, b = (
            tag_anew(tagger, said.turn, options.threshold) if tagger else said.tag
            for tagger in asked
        )
        yield said, a, b


def stats(options: argparse.Namespace) -> int:
    """Print what the bag holds; with ``--plots`` also draw it."""
    plots = import_extra("pika_emotion.bag_plots", "--plots", "plots") if options.plots else None
    with _open(options.bag, options) as recording:
        summary = Summary(recording.duration_s / PERIODS)
        for said in _turns(recording):
            summary.add(said)
        tags = recording.pairing
        shown = {
            "bag": str(options.bag),
            "duration_s": round(recording.duration_s, 3),
            "messages": recording.messages_by_topic,
            "tag_topic": recording.tag_topic or None,
            "tags": tags.tags,
            "lost": tags.lost,
            "restarts": tags.restarts,
            "orphans": tags.orphans,
            **summary.shown(),
        }
    if plots:
        plots.write(options.plots, summary)
    print(json.dumps(shown) if options.json else summed_up(shown))
    return 0


def _open(bag: Path, options: argparse.Namespace) -> Recording:
    return Recording(bag, conversation_of(options))


def _need_tags(recording: Recording) -> None:
    if not recording.tag_topic:
        raise BagError(
            f"bag '{recording.path}' has no topic of EmotionTag; record 'emotion_tag' too, "
            "or compare two taggers with --taggers"
        )


def _turns(recording: Recording) -> Iterator[RecordedTurn]:
    """Yield the turns; on a terminal, with a bar of how much of the bag is read."""
    if not sys.stderr.isatty():
        yield from recording.turns()
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task, read = bar.add_task("reading", total=recording.messages), 0

        def advance() -> None:
            nonlocal read
            read += 1
            if read % _ADVANCE_BY == 0:
                bar.update(task, completed=read)

        yield from recording.turns(advance)
