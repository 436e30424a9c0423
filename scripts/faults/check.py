#!/usr/bin/env python3
"""Recomputes the verdict on the fault campaign from its CSV files alone. Knows no ROS.

scripts/faults/check.py [FOLDER] [--markdown]

Prints one JSON line of totals, or the table of docs/faults.md, and ends with 1 where a promise of
the catalogue is broken: a tag late, lost, duplicated or out of order where that is not excepted, a
recovery that took over a second, another check that failed. ``missing`` names the faults that have
no files here, because they were not played or could not be.
"""

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import rows
from catalogue import FAULTS
from verdict import KINDS, Verdict, judge

FOLDER = Path(__file__).resolve().parent.parent.parent / "build/faults"
COUNTS = ("replies", "primary", "reflex", "late", "late_in_stalls", *KINDS[1:])


def verdicts(folder: Path, names: Iterable[str] = FAULTS) -> list[Verdict]:
    """Return the verdicts on the faults that have files there; a damaged file breaks its fault."""
    found = []
    for name in names:
        if not (folder / f"{rows.file_name(name)}{rows.REPLIES}").exists():
            continue
        try:
            found.append(judge(FAULTS[name], *rows.read(folder, name)))
        except (OSError, ValueError) as error:
            found.append(Verdict(name, broken=[str(error)]))
    return found


def totals(found: Sequence[Verdict]) -> dict[str, Any]:
    """Return the sums over all faults, what is excepted of them, and what is broken."""
    excepted: Counter[str] = Counter()
    for verdict in found:
        excepted.update(verdict.excepted)
    slow = [v.recovered_s for v in found if v.recovered_s is not None]
    restarts = [
        v.primary_back_s
        for v in found
        if FAULTS[v.fault].recovers == "restart" and v.primary_back_s is not None
    ]
    return {
        "faults": len(found),
        **{name: sum(getattr(v, name) for v in found) for name in COUNTS},
        "excepted": dict(sorted(excepted.items())),
        "longest_recovery_s": _rounded(max(slow, default=0.0)),
        "longest_restart_s": _rounded(max(restarts, default=0.0)),
        "broken": {v.fault: v.broken for v in found if v.broken},
    }


def table(found: Sequence[Verdict]) -> str:
    """Return the verdicts as a table in Markdown."""
    lines = [
        "| fault | replies | in time: primary, reflex | late (in stalls), lost, doubled, "
        "out of order | p50, p99, max ms | the same during the fault | tag back, primary back, s | "
        "verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for v in found:
        back = f"{_shown(v.recovered_s)}, {_shown(v.primary_back_s)}"
        cells = (
            v.fault,
            f"{v.replies or ''}",
            f"{v.primary}, {v.reflex}" if v.replies else "",
            _counts(v) if v.replies else "",
            _times(v.latencies_ms),
            _times(v.during_ms),
            back if v.recovered_s is not None else "",
            "; ".join(v.broken) or ", ".join(f"{n} {k} excepted" for k, n in v.excepted.items()),
        )
        lines.append(f"| {' | '.join(cells[:-1])} | {cells[-1] or 'kept'} |")
    return "\n".join(lines)


def _rounded(seconds: float) -> float | None:
    return None if seconds == math.inf else round(seconds, 3)


def _counts(v: Verdict) -> str:
    return (
        f"{v.late + v.late_in_stalls} ({v.late_in_stalls}), {v.lost}, {v.duplicated}, {v.reordered}"
    )


def _times(times_ms: tuple[float, float, float] | None) -> str:
    return ", ".join(f"{ms:g}" for ms in times_ms or ())


def _shown(seconds: float | None) -> str:
    return "-" if seconds is None or seconds == math.inf else f"{seconds:.2f}"


def main() -> int:
    """Check a folder; return 1 where a promise is broken, 2 where there is nothing to check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    parser.add_argument("--markdown", action="store_true", help="print a table")
    options = parser.parse_args()
    found = verdicts(options.folder)
    if not found:
        print(f"no CSV files in '{options.folder}'; run 'make faults' first", file=sys.stderr)
        return 2
    judged = {verdict.fault for verdict in found}
    missing = [name for name, fault in FAULTS.items() if name not in judged and not fault.option]
    if options.markdown:
        print(table(found))
    else:
        print(json.dumps({**totals(found), "missing": missing}))
    return 1 if any(verdict.broken for verdict in found) else 0


if __name__ == "__main__":
    sys.exit(main())
