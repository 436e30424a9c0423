"""Prints what ``scripts/gpu_bench.sh`` measured as one table in Markdown, and writes it down."""

import json
import sys
from pathlib import Path


def rows(folder: Path, name: str) -> list[str]:
    """Return the table's rows of one measurement."""
    found = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    node = json.loads((folder / f"{name}.ros.json").read_text(encoding="utf-8"))
    lines = []
    for case in [*found["cases"], *node["cases"]]:
        steps = case.get("step_p50_ms", "")
        times = " | ".join(f"{case[f'{k}_ms']:.2f}" for k in ("p50", "p99", "max"))
        tokens = case.get("computed_tokens", "")
        lines.append(f"| {name} | {case['name']} | {times} | {steps} | {tokens} |")
    return lines


def facts(folder: Path, name: str) -> str:
    """Return start-up time, memory and ratios of one measurement, as a line."""
    found = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    used = [int(line) for line in (folder / f"{name}.memory").read_text().split() if line.isdigit()]
    card = found["engine"]
    by_name = {case["name"]: case for case in found["cases"]}
    outside = by_name["vllm"]["p50_ms"] - by_name["two_heads"]["step_p50_ms"]
    ratios = ", ".join(f"{k} {v}" for k, v in found["ratios"].items())
    return (
        f"- {name}: started in {card['load_s']} s; GPU memory {min(used)} to {max(used)} MB; "
        f"outside the engine step {outside:.2f} ms; {ratios}"
    )


def main() -> int:
    """Read the folder given, print and write ``summary.md`` in it."""
    folder = Path(sys.argv[1])
    names = [f"{kind}.{load}" for kind in ("awq", "bf16") for load in ("idle", "busy")]
    names = [name for name in names if (folder / f"{name}.ros.json").exists()]
    lines = [
        (folder / "gpu.csv").read_text(encoding="utf-8").strip().splitlines()[-1],
        "",
        "| measurement | case | p50 ms | p99 ms | max ms | engine step p50 ms | computed tokens |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *(row for name in names for row in rows(folder, name)),
        "",
        *(facts(folder, name) for name in names),
    ]
    text = "\n".join(lines) + "\n"
    (folder / "summary.md").write_text(text, encoding="utf-8")
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
