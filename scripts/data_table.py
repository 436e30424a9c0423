"""Prints the counts of the labelled turns, as data/README.md shows them.

scripts/in_env.sh python scripts/data_table.py
"""

from collections import Counter
from pathlib import Path

from pika_emotion.labels import load_labels

DATA = Path(__file__).resolve().parent.parent / "data/dialogues"
SPLITS = {
    "train": sorted((DATA / "train").glob("*.tsv")),
    "dev": [DATA / "dev.tsv"],
    "test": [DATA / "test.tsv"],
}


def rows_of(files):
    """Return the rows of some files as dicts."""
    rows = []
    for file in files:
        header, *lines = file.read_text(encoding="utf-8").rstrip("\n").split("\n")
        names = header.split("\t")
        rows += [dict(zip(names, line.split("\t"), strict=True)) for line in lines]
    return rows


def counts_of(rows):
    """Return what the table says of a split, by name."""
    emotions = [row["emotions"].split(",") for row in rows]
    primary = Counter(first for first, *_ in emotions)
    counts = {"turns": len(rows), "scenarios": len({row["scenario"] for row in rows})}
    for word in ("yes", "no", "either"):
        counts[f"celebrate {word}"] = sum(row["celebrate"] == word for row in rows)
    for lang in ("vi", "en", "mixed"):
        counts[lang] = sum(row["lang"] == lang for row in rows)
    counts["contrast pairs"] = len({row["contrast"] for row in rows} - {""})
    counts["acceptable labels a turn"] = f"{sum(map(len, emotions)) / len(rows):.2f}"
    for name in load_labels().names:
        counts[f"primary {name}"] = primary[name]
    return counts


def main():
    """Print the table."""
    found = {split: counts_of(rows_of(files)) for split, files in SPLITS.items()}
    print(f"| | {' | '.join(found)} |\n|{'---|' * (len(found) + 1)}")
    for name in found["train"]:
        print(f"| {name} | {' | '.join(str(counts[name]) for counts in found.values())} |")


if __name__ == "__main__":
    main()
