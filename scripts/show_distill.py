"""Shows what distilling gains and loses, with a teacher of known quality.

scripts/in_env.sh python scripts/show_distill.py > table.md

The robot's turns are some of the written ones in a language that the reflex has never met: every
consonant is exchanged for another, always the same. The teacher knows their labels and gives them
in 95 of 100 turns. Trains the whole reflex once, some minutes.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from pika_emotion import cli

ROOT = Path(__file__).resolve().parent.parent
FAMILIES = ("robot_lessons", "quizzes", "feelings", "stories_games", "warm_wrong", "free_chat")
FROM, TO = "bcdghklmnpqrstvxđ", "đbcdghklmnpqrstvx"
CIPHER = str.maketrans(FROM + FROM.upper(), TO + TO.upper())
TEXTS = ("question", "child", "reply")


def altered(file: Path) -> list[str]:
    """Return a file's lines with other words in the texts; events stay as they are."""
    header, *lines = file.read_text(encoding="utf-8").splitlines()
    texts = [header.split("\t").index(name) for name in TEXTS]
    changed = []
    for line in lines:
        cells = line.split("\t")
        for i in texts:
            if not cells[i].startswith(("[", "BUTTON_", "SILENCE")):
                cells[i] = cells[i].translate(CIPHER)
        changed.append("\t".join(cells))
    return [header, *changed]


def main() -> int:
    """Write the robot's turns, distil the oracle and let the command print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--right", type=float, default=0.95, help="how often the teacher is right")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "test"))
    with tempfile.TemporaryDirectory() as folder:
        turns = Path(folder) / "turns.tsv"
        files = [altered(ROOT / f"data/dialogues/train/{name}.tsv") for name in FAMILIES]
        lines = [files[0][0], *(line for file in files for line in file[1:])]
        turns.write_text("\n".join(lines) + "\n", encoding="utf-8")
        given = [str(turns), "--teacher", "scripted.oracle", "--out", f"{folder}/new.npz"]
        for setting in (f"oracle.data={turns}", f"oracle.right={options.right}"):
            given += ["--set", setting]
        for name, place in (("data", "train"), ("dev", "dev.tsv"), ("test", "test.tsv")):
            given += [f"--{name}", str(ROOT / "data/dialogues" / place)]
        return cli.main(["distill", *given])


if __name__ == "__main__":
    sys.exit(main())
