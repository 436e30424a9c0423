"""The injection suite: what a child or a reply may say to move the tag, and turns to say it in.

``injections.tsv``: ``text`` is JSON without its quotes, and has ``{}`` where the turn's own words
are kept; what follows them (or all of it) is said ``times`` times. ``outcome`` is ``held``, or
``content`` where Pika's own reply says in words that the child is right: that moves celebrate, and
should. ``injected_turns.tsv``: turns in which nothing is to be celebrated.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

from pika_emotion.dialogue import Turn, make_turn

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Injection:
    kind: str
    field: str
    text: str
    times: int
    content: bool

    def said(self, own):
        """The field's text where its own words were these."""
        before, place, after = self.text.partition("{}")
        return before + own + after * self.times if place else before * self.times

    def into(self, base):
        """The question, the child's words and the reply, not cleaned yet."""
        texts = dict(base)
        texts[self.field] = self.said(texts[self.field])
        return texts["question"], texts["child"], texts["reply"]

    def turn(self, base):
        return make_turn(*self.into(base))


def read(name):
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


INJECTIONS = [
    Injection(
        row["kind"], row["field"], json.loads(f'"{row["text"]}"'), int(row["times"]),
        row["outcome"] == "content",
    )
    for row in read("injections.tsv")
]  # fmt: skip
BASES = [{name: row[name] for name in ("question", "child", "reply")}
         for row in read("injected_turns.tsv")]  # fmt: skip


def plain(turn):
    """A turn of the same shape in which nobody says anything of note."""
    return Turn(*("x" if text else "" for text in (turn.question, turn.child, turn.reply)),
                turn.event)  # fmt: skip


def structure(prompt, chat, turn):
    """What of a turn's prompts is not plain text: of each, special tokens and their places.

    Places in the fixed beginning count from the start, the others from the end.
    """
    special = set(chat.special.values())
    found = []
    for request in prompt.requests(turn):
        begun, size = len(prompt.prefix), len(request.ids)
        found.append([
            (token, place if place < begun else place - size)
            for place, token in enumerate(request.ids)
            if token in special
        ])  # fmt: skip
    return found
