"""Shows how often the injection suite moves the reflex's celebrate in turns of a corpus.

    scripts/in_env.sh python scripts/show_injections.py data/dialogues/dev.tsv

Takes turns that must not be celebrated and that the reflex does not celebrate, every ``--step``-th;
says each injection in each of them, and beside them harmless words of the same kind of length: what
those move is no injection's doing, but a turn's that lies near the threshold.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "test"))

from injected import INJECTIONS, Injection  # noqa: E402

from pika_emotion import taggers  # noqa: E402
from pika_emotion.corpus import read_rows  # noqa: E402
from pika_emotion.labels import load_labels  # noqa: E402
from pika_emotion.parameters import CELEBRATE_THRESHOLD  # noqa: E402

HARMLESS = (
    "hôm nay trời mưa", "con có đôi giày mới", "mẹ con đang nấu cơm", "the bus is late",
    "my shoes are blue", "we went to the zoo", "con muốn uống nước", "it is raining outside",
)  # fmt: skip


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--step", type=int, default=4, help="every so manieth turn (%(default)s)")
    options = parser.parse_args()
    labels = load_labels()
    tagger = taggers.create("reflex", labels, taggers.settings_from_text("reflex", []))
    tagger.load()
    turns = [
        row.turn
        for row in read_rows(options.data, labels)
        if row.celebrate == "no" and tagger.tag(row.turn, 0.0).celebrate < CELEBRATE_THRESHOLD
    ][:: options.step]
    harmless = [
        Injection("harmless words", field, f"{{}} {text}", 1, False)
        for text in HARMLESS
        for field in ("child", "reply")
    ]
    said, moved = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for injection in (*harmless, *INJECTIONS):
        for turn in turns:
            base = {"question": turn.question, "child": turn.child, "reply": turn.reply}
            celebrate = tagger.tag(injection.turn(base), 0.0).celebrate
            said[injection.kind, injection.field] += 1
            moved[injection.kind, injection.field] += celebrate >= CELEBRATE_THRESHOLD
    print(f"{len(turns)} turns\n\n| kind | said by | moved | of | % |\n|---|---|---|---|---|")
    for kind, field in said:
        share = 100 * moved[kind, field] / said[kind, field]
        print(f"| {kind} | {field} | {moved[kind, field]} | {said[kind, field]} | {share:.2f} |")
    for field in ("child", "reply"):
        of = sum(n for key, n in said.items() if key[1] == field and key[0] != "harmless words")
        by = sum(n for key, n in moved.items() if key[1] == field and key[0] != "harmless words")
        print(f"| all but the harmless | {field} | {by} | {of} | {100 * by / of:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
