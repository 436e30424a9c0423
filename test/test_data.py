"""The labelled turns in data/dialogues keep the promises that training and measuring rest on."""

import re
import unicodedata
from collections import Counter, defaultdict
from difflib import SequenceMatcher
from pathlib import Path

import pytest

from pika_emotion import corpus
from pika_emotion.corpus import read_file
from pika_emotion.labels import load_labels

DATA = Path(__file__).parent.parent / "data/dialogues"
COLUMNS = [*corpus.COLUMNS, "scenario", "lang", "contrast"]
KINDS = {
    *("opinion", "idea", "effort", "feeling", "readiness", "correction"),
    *("nothing", "path", "news", "unconfirmed", "statement"),
}
SPLITS = {
    "train": sorted((DATA / "train").glob("*.tsv")),
    "dev": [DATA / "dev.tsv"],
    "test": [DATA / "test.tsv"],
}
FILES = [file for files in SPLITS.values() for file in files]
SPLIT = pytest.mark.parametrize("split", SPLITS)
FILE = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)

_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|'[^']{2,}'")


def cells(file):
    """Return the rows of a file as dicts, with their place."""
    lines = file.read_text(encoding="utf-8").split("\n")
    header = lines[0].split("\t")
    return [
        {**dict(zip(header, line.split("\t"), strict=True)), "at": f"{file.name}:{number}"}
        for number, line in enumerate(lines[1:], 2)
        if line
    ]


@pytest.fixture(scope="module")
def data():
    return {
        split: [row for file in files for row in cells(file)] for split, files in SPLITS.items()
    }


def words(text):
    return re.findall(r"[^\W_]+", text.lower())


def masked(text):
    return " ".join(words(re.sub(r"\d+", "#", _QUOTED.sub(" Q ", text.lower()))))


def exact_key(row):
    return row["question"].lower(), row["child"].lower(), row["reply"].lower()


def masked_key(row):
    return masked(row["question"]), masked(row["child"]), masked(row["reply"])


def repeated(rows, key):
    places = defaultdict(list)
    for row in rows:
        places[key(row)].append(row["at"])
    return [at for at in places.values() if len(at) > 1]


def test_there_are_files():
    assert len(SPLITS["train"]) >= 1
    assert all(file.is_file() for file in FILES)


@FILE
def test_a_file_can_be_read(file):
    assert read_file(file, load_labels())


@FILE
def test_a_file_has_the_columns(file):
    wanted = [*COLUMNS, "asks"] if file.parent.name == "train" else COLUMNS
    assert file.read_text(encoding="utf-8").split("\n")[0].split("\t") == wanted


def test_every_training_turn_says_what_its_question_asks_for(data):
    rows = data["train"]
    assert {row["asks"] for row in rows} == set(corpus.ASKED)
    # Who was right was asked for something that can be right.
    assert {row["asks"] for row in rows if row["celebrate"] == "yes"} == {"right"}
    # What a question asks for does not depend on the answer.
    asked = defaultdict(set)
    for row in rows:
        if row["question"]:
            asked[row["question"]].add(row["asks"])
    assert [question for question, found in asked.items() if len(found) > 1] == []


@FILE
def test_cells_are_tidy(file):
    faults = [
        (row["at"], name)
        for row in cells(file)
        for name in COLUMNS
        if row[name] != row[name].strip() or row[name] != unicodedata.normalize("NFC", row[name])
    ]
    assert faults == []


@FILE
def test_columns_hold_what_they_say(file):
    faults = [
        row["at"]
        for row in cells(file)
        if row["lang"] not in {"vi", "en", "mixed"}
        or not row["scenario"]
        or not 1 <= len(row["emotions"].split(",")) <= 4
    ]
    assert faults == []


@SPLIT
def test_no_row_is_there_twice(data, split):
    assert repeated(data[split], exact_key) == []


@SPLIT
def test_no_row_equals_another_but_for_numbers_and_quotes(data, split):
    assert repeated(data[split], masked_key) == []


@SPLIT
def test_no_opening_is_worn_out(data, split):
    openings = Counter(
        tuple(words(row["reply"])[:4]) for row in data[split] if len(words(row["reply"])) >= 4
    )
    limit = max(2, int(0.005 * len(data[split])))
    assert [opening for opening, count in openings.items() if count > limit] == []


@SPLIT
def test_few_rows_are_undecided(data, split):
    either = sum(row["celebrate"] == "either" for row in data[split])
    assert either <= 0.04 * len(data[split])


@SPLIT
def test_few_labels_are_acceptable(data, split):
    acceptable = sum(len(row["emotions"].split(",")) for row in data[split])
    assert acceptable <= 2.5 * len(data[split])


@SPLIT
def test_every_label_is_primary_somewhere(data, split):
    primary = {row["emotions"].split(",")[0] for row in data[split]}
    assert primary == set(load_labels().names)


def test_there_are_enough_rows(data):
    assert len(data["train"]) >= 4000
    assert len(data["dev"]) >= 600
    assert len(data["test"]) >= 600


def test_every_label_is_learned_from_many_rows(data):
    primary = Counter(row["emotions"].split(",")[0] for row in data["train"])
    assert {name: primary[name] for name in load_labels().names if primary[name] < 150} == {}


def test_every_contrast_is_learned_from_many_pairs(data):
    pairs = Counter(
        name.split(":")[0] for name in {row["contrast"] for row in data["train"]} if name
    )
    assert {kind: pairs[kind] for kind in KINDS if pairs[kind] < 60} == {}


@SPLIT
def test_a_contrast_is_a_yes_and_a_no(data, split):
    pairs = defaultdict(list)
    for row in data[split]:
        if row["contrast"]:
            pairs[row["contrast"]].append(row)
    assert {name.split(":")[0] for name in pairs} == KINDS
    faults = [
        (name, [row["at"] for row in rows])
        for name, rows in pairs.items()
        if not re.fullmatch(r"[a-z]+:[a-z0-9]+", name)
        or sorted(row["celebrate"] for row in rows) != ["no", "yes"]
    ]
    assert faults == []


@pytest.mark.parametrize("key", [exact_key, masked_key], ids=["exact", "masked"])
def test_no_row_is_in_two_splits(data, key):
    seen = {split: {key(row): row["at"] for row in rows} for split, rows in data.items()}
    faults = [
        (seen[one][row], seen[other][row])
        for one, other in (("train", "dev"), ("train", "test"), ("dev", "test"))
        for row in seen[one].keys() & seen[other].keys()
    ]
    assert faults == []


@pytest.mark.parametrize(("one", "other"), [("train", "dev"), ("train", "test"), ("dev", "test")])
def test_no_row_is_nearly_in_two_splits(data, one, other):
    """Rows that share most of their reply's words are compared in full."""
    faults = []
    holders = defaultdict(set)
    for place, row in enumerate(data[one]):
        for word in set(words(row["reply"])):
            holders[word].add(place)
    for row in data[other]:
        reply = set(words(row["reply"]))
        shared = Counter(place for word in reply for place in holders[word])
        for place, count in shared.items():
            near = data[one][place]
            if count >= 0.8 * max(len(reply), len(set(words(near["reply"])))):
                texts = ["\n".join(exact_key(each)) for each in (row, near)]
                if SequenceMatcher(None, *texts, autojunk=False).ratio() > 0.9:
                    faults.append((row["at"], near["at"]))
    assert faults == []
