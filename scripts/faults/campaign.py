"""The fault campaign: plays each fault against a real node, then checks the CSV files.

scripts/in_env.sh python scripts/faults/campaign.py
scripts/in_env.sh python scripts/faults/campaign.py --only worker --seconds 60
scripts/in_env.sh python scripts/faults/campaign.py --http --only http: --at-once 2
scripts/in_env.sh python scripts/faults/campaign.py --vllm-model MODEL --only vllm:

Each fault has a process of its own. Progress goes to stderr; the last line, on stdout, is one JSON
object of totals. Ends with 1 where a promise is broken (see ``check.py``).
"""

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import rows
from catalogue import FAULTS, Fault
from check import FOLDER, totals, verdicts

PLAY = Path(__file__).with_name("play.py")
ROOT = PLAY.parent.parent.parent
NOT_RUN = 3


def play(fault: Fault, options: argparse.Namespace) -> str:
    """Play one fault in a process of its own; return why it was not, if so."""
    for ending in (rows.REPLIES, rows.EVENTS):
        (options.out / f"{rows.file_name(fault.name)}{ending}").unlink(missing_ok=True)
    command = [sys.executable, str(PLAY), fault.name, "--out", str(options.out)]
    command += ["--seconds", str(options.seconds), "--rate", str(options.rate)]
    command += ["--prefix", options.prefix, "--load-timeout", str(options.load_timeout)]
    if fault.option == "--vllm-model":
        command += ["--set", f"vllm.model={options.vllm_model}"]
        command += ["--set", f"vllm.python={options.vllm_python}"]
    done = subprocess.run(command, stdout=2, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == NOT_RUN:
        return f"not run: {done.stderr.strip().splitlines()[-1]}"
    if done.returncode:
        # Written down, so that the checker alone comes to the same verdict.
        why = next(reversed(done.stderr.strip().splitlines()), f"exit code {done.returncode}")
        failed = rows.Event(rows.CHECK, 0.0, 0.0, 0, f"the play ends by itself; it says: {why}")
        rows.write(options.out, fault.name, [], [failed])
        return f"the play failed:\n{done.stderr.strip()}"
    return ""


def main() -> int:
    """Play the chosen faults and print the totals."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="of talk for each fault")
    parser.add_argument("--rate", type=float, default=20.0, help="replies a second")
    parser.add_argument("--at-once", type=int, default=1, help="faults played side by side")
    parser.add_argument("--prefix", default="", help="a command that starts the node")
    parser.add_argument("--load-timeout", type=float, default=60.0, help="for a primary's load, s")
    parser.add_argument("--only", nargs="+", default=[""], help="faults whose name has such a text")
    parser.add_argument("--http", action="store_true", help="model servers that fail, too")
    parser.add_argument("--vllm-model", default="", help="a tiny checkpoint, for the real engine")
    parser.add_argument("--vllm-python", default=str(ROOT / ".venv-vllm/bin/python"))
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the CSV files")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    had = {"": True, "--http": options.http, "--vllm-model": bool(options.vllm_model)}
    chosen = [
        fault
        for name, fault in FAULTS.items()
        if had[fault.option] and any(text in name for text in options.only)
    ]
    not_run, failed = {}, {}
    with ThreadPoolExecutor(options.at_once) as pool:
        for fault, said in zip(chosen, pool.map(lambda f: play(f, options), chosen), strict=True):
            if said:
                (not_run if said.startswith("not run") else failed)[fault.name] = [said]
            verdict = next(iter(verdicts(options.out, [fault.name])), None)
            shown = said or "; ".join(verdict.broken if verdict else ()) or "kept"
            print(f"{fault.name}: {shown}", file=sys.stderr, flush=True)
    result = totals(verdicts(options.out, [fault.name for fault in chosen]))
    result["broken"].update(failed)
    print(json.dumps({**result, "not_run": not_run}, ensure_ascii=False))
    return 1 if result["broken"] or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
