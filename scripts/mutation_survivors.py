"""Lists the mutants that no test noticed; fails where docs/testing.md explains one of them not."""

import json
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs/testing.md"


def mutmut(tree: Path, *arguments: str) -> str:
    """Return what a mutmut command says about the run in this tree."""
    command = [sys.executable, "-m", "mutmut", *arguments]
    return subprocess.run(command, cwd=tree, check=True, capture_output=True, text=True).stdout


def changed_line(tree: Path, name: str) -> str:
    """Return the line that the mutant put in the place of another."""
    for line in mutmut(tree, "show", name).splitlines():
        if line.startswith("+") and not line.startswith("+++"):
            return line[1:].strip()
    raise ValueError(f"mutant '{name}' shows no changed line; run 'mutmut show {name}' in {tree}")


def main() -> int:
    """Print the totals as JSON and each survivor's line; return whether one is not explained."""
    tree = Path(sys.argv[1])
    mutmut(tree, "export-cicd-stats")
    print(json.dumps(json.loads((tree / "mutants/mutmut-cicd-stats.json").read_text("utf-8"))))
    page, unexplained = PAGE.read_text(encoding="utf-8").replace("\\|", "|"), 0
    for line in mutmut(tree, "results").splitlines():
        name, _, state = line.strip().rpartition(": ")
        if state in ("", "killed", "timeout", "not checked"):
            continue
        changed = changed_line(tree, name)
        explained = f"`{changed}`" in page
        unexplained += not explained
        print(f"{state}{'' if explained else ', NOT EXPLAINED'}: {name}: {changed}")
    return int(unexplained > 0)


if __name__ == "__main__":
    sys.exit(main())
