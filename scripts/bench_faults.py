"""Measures a node with each faulty primary: publisher to tag, from another process.

scripts/in_env.sh python scripts/bench_faults.py --seconds 300 --at-once 3 > faults.json

Each fault has a node and a process of its own that speaks to it; the primaries are those of
test/scripted. A worker's process is hit again and again. Ends with 1 where a tag was lost,
duplicated, out of order or late.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOL = ROOT / "install/pika_emotion/lib/pika_emotion/pika-emotion"
HIT_EVERY_S = 7.0

# name: (tagger, what its primary does, whether in a worker, the signal its worker gets)
FAULTS = {
    "no fault: the reflex alone": ("reflex", "", False, None),
    "no fault: the primary answers": ("scripted.tagger", "answers", False, None),
    "sleeps 10 s": ("scripted.tagger", "sleeps", False, None),
    "always late": ("scripted.tagger", "late", False, None),
    "raises": ("scripted.tagger", "raises", False, None),
    "returns garbage": ("scripted.tagger", "garbage", False, None),
    "returns NaN": ("scripted.tagger", "gives_nan", False, None),
    "never loads": ("scripted.tagger", "never_loads", False, None),
    "exits its thread": ("scripted.tagger", "dies", False, None),
    "worker: answers": ("scripted.tagger", "answers", True, None),
    "worker: holds the global lock 1 s": ("scripted.tagger", "holds_gil", True, None),
    "worker: dies when asked": ("scripted.tagger", "dies", True, None),
    "worker: SIGKILL": ("scripted.tagger", "answers", True, signal.SIGKILL),
    "worker: SIGSTOP": ("scripted.tagger", "answers", True, signal.SIGSTOP),
}


def measure(number: int, name: str, seconds: float, rate: float) -> dict:
    """Run one fault's bench and return its first case."""
    tagger, does, in_worker, hit = FAULTS[name]
    command = [str(TOOL), "bench", "--ros", "--json", "--tagger", tagger]
    command += ["--seconds", str(seconds), "--rate", str(rate)]
    if does:
        command += ["--set", f"scripted.does={does}"]
        command += ["--set", f"scripted.in_worker={str(in_worker).lower()}"]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{ROOT / 'test'}",
        "ROS_DOMAIN_ID": str(10 + number),
    }
    bench = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    hits = 0
    while hit is not None and bench.poll() is None:
        time.sleep(HIT_EVERY_S)
        for worker in workers_of(bench.pid):
            os.kill(worker, hit)
            hits += 1
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
    parser.add_argument("--only", default="", help="faults whose name holds this text")
    options = parser.parse_args()
    names = [name for name in FAULTS if options.only in name]
    broken = 0
    with ThreadPoolExecutor(options.at_once) as pool:
        runs = [
            pool.submit(measure, number, name, options.seconds, options.rate)
            for number, name in enumerate(names)
        ]
        for run in runs:
            case = run.result()
            print(json.dumps(case), flush=True)
            broken += sum(case[k] for k in ("lost", "duplicated", "reordered", "late"))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
