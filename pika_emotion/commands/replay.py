"""``pika-emotion replay``: play a recorded bag to a running node and print its tags."""

import argparse
import csv
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pika_emotion.bags import Recorded, read_bag
from pika_emotion.commands import import_probe, progress
from pika_emotion.deadline import Source
from pika_emotion.errors import ConfigError

if TYPE_CHECKING:
    from pika_emotion.probe import Row

_UTTERANCE = "pika_emotion/msg/Utterance"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("bag", type=Path, help="rosbag2 folder, or its .mcap or .db3 file")
    parser.add_argument("--rate", type=float, default=1.0, help="times faster than recorded")
    parser.add_argument("--transcript-topic", default="/child/transcript", help="in the bag")
    parser.add_argument("--reply-topic", default="/pika/reply", help="in the bag")
    parser.add_argument("--transcript-field", default="", help="text field of its messages")
    parser.add_argument("--reply-field", default="", help="text field of its messages")
    parser.add_argument("--namespace", default="", help="of the running node")
    parser.add_argument("--deadline-ms", type=float, default=50.0, help="later tags count as late")
    parser.add_argument("--wait", type=float, default=10.0, help="for the node, in seconds")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write one row a reply")


def run(options: argparse.Namespace) -> int:
    """Play the bag; return 1 where a tag was lost, duplicated or out of order."""
    if not options.rate > 0:
        raise ConfigError(f"--rate {options.rate:g} must be above 0; 1 is as recorded")
    if options.csv and not options.csv.absolute().parent.is_dir():
        raise ConfigError(f"--csv '{options.csv}' is in no folder that exists; make it first")
    probes = import_probe()
    recording = read_bag(
        options.bag,
        options.transcript_topic,
        options.reply_topic,
        options.transcript_field,
        options.reply_field,
    )
    as_utterances = all(said.type == _UTTERANCE for said in recording)
    with probes.Probe(options.namespace, utterances=as_utterances) as probe:
        probe.wait_for_node(options.wait)
        with progress("replaying", len(recording)) as advance:
            started = time.monotonic()
            for said in recording:
                time.sleep(max(0.0, started + said.at_s / options.rate - time.monotonic()))
                if said.pika:
                    probe.pika_says(said.text, said.id)
                else:
                    probe.child_says(said.text)
                advance()
        probe.wait_for_tags(2.0)
        summary = probes.summarize(probe, options.deadline_ms)
        rows = probe.rows
    if options.csv:
        _write_csv(options.csv, rows)
    if options.json:
        tags = [_shown(row) for row in rows]
        print(json.dumps({**summary, "rows": tags}, ensure_ascii=False))
    else:
        _print_table(recording, rows)
        _print_summary(summary, options.deadline_ms)
    return 1 if summary["lost"] or summary["duplicated"] or summary["reordered"] else 0


def _shown(row: "Row") -> dict[str, Any]:
    shown: dict[str, Any] = {"id": row.id, "sent_s": row.sent_s, "received_s": row.received_s}
    if row.tag is not None:
        shown |= {
            "seq": row.tag.seq,
            "source": Source(row.tag.source).name,
            "latency_ms": 1e3 * row.tag.latency.sec + row.tag.latency.nanosec / 1e6,
            "emotion": row.tag.emotion,
            "confidence": row.tag.confidence,
            "celebrate": row.tag.celebrate,
            "celebrate_probability": row.tag.celebrate_probability,
            "tagger": row.tag.tagger,
        }
    return shown


def _write_csv(path: Path, rows: Sequence["Row"]) -> None:
    columns = ["id", "sent_s", "received_s", "seq", "source", "latency_ms"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(_shown(row) for row in rows)


def _print_table(recording: Sequence[Recorded], rows: Sequence["Row"]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    columns: tuple[tuple[str, dict[str, Any]], ...] = (
        ("#", {"justify": "right"}),
        ("child", {"max_width": 28, "no_wrap": True}),
        ("Pika", {"max_width": 48, "no_wrap": True}),
        ("emotion", {"style": "cyan"}),
        ("conf", {"justify": "right"}),
        ("celebrate", {"justify": "right"}),
        ("ms", {"justify": "right"}),
        ("who", {"style": "dim"}),
    )
    for name, options in columns:
        table.add_column(name, **options)
    replies = iter(rows)
    heard: list[str] = []
    for said in recording:
        if not said.pika:
            heard.append(said.text)
            continue
        row, child, heard = next(replies), " ".join(heard), []
        cells = [str(row.id), escape(child), escape(said.text)]
        if row.tag is None:
            table.add_row(*cells, "[red]lost[/red]", "", "", "", "")
            continue
        tag = row.tag
        table.add_row(
            *cells,
            tag.emotion,
            f"{tag.confidence:.2f}",
            f"{'[yellow]★[/yellow] ' if tag.celebrate else ''}{tag.celebrate_probability:.2f}",
            f"{row.round_ms:.1f}",
            f"{tag.tagger} ({Source(tag.source).name})",
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    console.print(table)


def _print_summary(summary: dict[str, Any], deadline_ms: float) -> None:
    latency, sources = summary["latency_ms"], summary["by_source"]
    print()
    print(f"replies {summary['replies']}, tags {summary['tags']}", end="; ")
    print("by source: " + (", ".join(f"{k} {n}" for k, n in sources.items()) or "none"))
    print(
        f"publisher to tag: p50 {latency['p50']:.2f} ms, p99 {latency['p99']:.2f} ms, "
        f"max {latency['max']:.2f} ms"
    )
    print(
        f"late (over {deadline_ms:g} ms) {summary['late']}, lost {summary['lost']}, "
        f"duplicated {summary['duplicated']}, out of order {summary['reordered']}"
    )
