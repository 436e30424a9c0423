"""Measures a node with each faulty primary: publisher to tag, from another process.

scripts/in_env.sh python scripts/bench_faults.py --seconds 300 --at-once 2 > faults.jsonl
scripts/in_env.sh python scripts/bench_faults.py --vllm-model MODEL --only vllm
scripts/in_env.sh python scripts/bench_faults.py --http --seconds 30 --only http

Each fault has a node and a process of its own that speaks to it; the primaries are those of
test/scripted, with ``--vllm-model`` the real engine too, which is waited for, and with ``--http``
model servers of test/scripted that fail. A worker or a server is hit again and again. Ends with 1
where a tag was lost, duplicated, out of order, or late beyond the machine's own stalls.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOL = ROOT / "install/pika_emotion/lib/pika_emotion/pika-emotion"
HIT_EVERY_S = 7.0
# An engine that is killed has to load again before it can be killed again.
VLLM_HIT_EVERY_S = 35.0
SLOW_FOR_S = 2.0
HTTP_FAULTS = ("slow", "drip", "cut", "reset", "500", "400", "401", "busy", "no_json",
               "wrong_json", "nan", "huge")  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """A primary and what befalls it: its settings, and what is done to it while it is asked."""

    tagger: str
    settings: dict[str, str] = field(default_factory=dict)
    hit: Callable[[int], int] | None = None
    every_s: float = HIT_EVERY_S


def send(number: signal.Signals) -> Callable[[int], int]:
    """Return what sends a signal to the workers of a bench's node."""

    def hit(bench: int) -> int:
        workers = workers_of(bench)
        for worker in workers:
            os.kill(worker, number)
        return len(workers)

    return hit


def scripted(does: str, *, worker: bool = False, hit: Callable[[int], int] | None = None) -> Fault:
    """Return a fault of test/scripted."""
    settings = {"scripted.does": does, "scripted.in_worker": str(worker).lower()}
    return Fault("scripted.tagger", settings, hit)


FAULTS = {
    "no fault: the reflex alone": Fault("reflex"),
    "no fault: the primary answers": scripted("answers"),
    "sleeps 10 s": scripted("sleeps"),
    "always late": scripted("late"),
    "raises": scripted("raises"),
    "returns garbage": scripted("garbage"),
    "returns NaN": scripted("gives_nan"),
    "never loads": scripted("never_loads"),
    "exits its thread": scripted("dies"),
    "worker: answers": scripted("answers", worker=True),
    "worker: holds the global lock 1 s": scripted("holds_gil", worker=True),
    "worker: dies when asked": scripted("dies", worker=True),
    "worker: SIGKILL": scripted("answers", worker=True, hit=send(signal.SIGKILL)),
    "worker: SIGSTOP": scripted("answers", worker=True, hit=send(signal.SIGSTOP)),
}


def vllm_faults(model: str, python: str) -> dict[str, Fault]:
    """Return the faults of the real engine with a small model on a CPU."""
    slow = Path(tempfile.mkdtemp()) / "slow"
    settings = {
        "vllm.model": model,
        "vllm.python": python,
        "vllm.enforce_eager": "true",
        "vllm.kv_cache_mb": "64",
        "vllm.dtype": "float32",
        "vllm.block_size": "32",
        "vllm.stall_s": "2.0",
    }

    def slow_down(_: int) -> int:
        slow.touch()
        time.sleep(SLOW_FOR_S)
        slow.unlink()
        return 1

    own = {"slow.while": str(slow)}
    return {
        "vllm: answers": Fault("vllm", settings),
        "vllm: steps of 1 s": Fault("scripted.slow_vllm", {**settings, **own}, slow_down),
        "vllm: SIGKILL": Fault("vllm", settings, send(signal.SIGKILL), VLLM_HIT_EVERY_S),
        "vllm: SIGSTOP": Fault("vllm", settings, send(signal.SIGSTOP), VLLM_HIT_EVERY_S),
        "vllm: never loads": Fault("scripted.slow_vllm", {**settings, "slow.load": "true"}),
    }


def http_faults() -> dict[str, Fault]:
    """Return the faults of a model server, each for some seconds again and again."""
    sys.path.insert(0, str(ROOT / "test"))
    from model_servers import ModelServer, make_prompt, make_tokenizer

    from pika_emotion.labels import load_labels

    folder = make_tokenizer(Path(tempfile.mkdtemp()))
    prompt, decode = make_prompt(folder, load_labels())
    texts = {t: decode(t) for answers in prompt.answers.values() for t in answers.tokens}

    def fault(name: str) -> Fault:
        server = ModelServer("ids", texts)

        def hit(_: int) -> int:
            server.fault(name)
            time.sleep(SLOW_FOR_S)
            server.fault("")
            return 1

        settings = {"http.url": server.url, "http.tokenizer": str(folder)}
        return Fault("http", settings, hit if name else None)

    return {f"http: {name or 'answers'}": fault(name) for name in ("", *HTTP_FAULTS)}


def measure(number: int, name: str, fault: Fault, options: argparse.Namespace) -> dict:
    """Run one fault's bench and return its first case."""
    command = [str(TOOL), "bench", "--ros", "--json", "--tagger", fault.tagger]
    command += ["--seconds", str(options.seconds), "--rate", str(options.rate)]
    command += ["--prefix", options.prefix, "--load-timeout", str(options.load_timeout)]
    for setting, value in fault.settings.items():
        command += ["--set", f"{setting}={value}"]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{ROOT / 'test'}",
        "ROS_DOMAIN_ID": str(10 + number),
    }
    bench = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    hits = 0
    while fault.hit is not None and bench.poll() is None:
        time.sleep(fault.every_s)
        hits += fault.hit(bench.pid)
    output, _ = bench.communicate()
    result = json.loads(output)
    return {
        "fault": name,
        "hits": hits,
        "load": result["machine"]["load_1min"],
        **result["cases"][0],
    }


def workers_of(bench: int) -> list[int]:
    """Return the worker processes of the node that a bench has started."""
    return [
        worker
        for node in children_of(bench)
        for worker in children_of(node)
        if "worker_process.py" in Path(f"/proc/{worker}/cmdline").read_text(encoding="utf-8")
    ]


def children_of(pid: int) -> list[int]:
    """Return a process's children."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in task.read_text(encoding="ascii").split()]
    return found


def main() -> int:
    """Measure every fault and print a line of JSON each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--at-once", type=int, default=1, help="nodes measured side by side")
    parser.add_argument("--prefix", default="", help="as that of 'pika-emotion bench'")
    parser.add_argument("--load-timeout", type=float, default=60.0, help="for the load, s")
    parser.add_argument("--vllm-model", default="", help="a tiny checkpoint, for the real engine")
    parser.add_argument("--http", action="store_true", help="model servers that fail, too")
    parser.add_argument("--vllm-python", default=str(ROOT / ".venv-vllm/bin/python"))
    parser.add_argument("--only", nargs="+", default=[""], help="faults whose name has such a text")
    options = parser.parse_args()
    faults = dict(FAULTS)
    if options.vllm_model:
        faults.update(vllm_faults(options.vllm_model, options.vllm_python))
    if options.http:
        faults.update(http_faults())
    names = [name for name in faults if any(text in name for text in options.only)]
    broken = 0
    with ThreadPoolExecutor(options.at_once) as pool:
        runs = [
            pool.submit(measure, number, name, faults[name], options)
            for number, name in enumerate(names)
        ]
        for run in runs:
            case = run.result()
            print(json.dumps(case), flush=True)
            counted = ("lost", "duplicated", "reordered", "late_beyond_stalls")
            broken += sum(case[fault] for fault in counted)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
