"""Prints README.md's tables of parameters and message fields as the code has them now.

README.md is checked against the same functions by test/test_readme.py.
"""

import re
from pathlib import Path

from pika_emotion import taggers
from pika_emotion.parameters import CORE, Parameter

ROOT = Path(__file__).resolve().parent.parent
_FIELD = re.compile(r"(?P<type>[\w/\[\]]+) (?P<name>\w+)\s+# (?P<what>.+)")


def parameter_table() -> str:
    """Return the table of the node's parameters."""
    rows = ["| parameter | default | range | may change live | meaning |", "|---|---|---|---|---|"]
    return "\n".join([*rows, *map(_parameter_row, (*CORE, *taggers.all_parameters("reflex")))])


def message_table(name: str) -> str:
    """Return the table of a message's fields."""
    rows = ["| field | type | meaning |", "|---|---|---|"]
    for line in (ROOT / "msg" / f"{name}.msg").read_text(encoding="utf-8").splitlines():
        if match := _FIELD.fullmatch(line):
            rows.append(f"| `{match['name']}` | {match['type']} | {match['what']} |")
    return "\n".join(rows)


def _parameter_row(parameter: Parameter) -> str:
    default = parameter.default
    values = default if isinstance(default, list) else [str(default)]
    shown = ", ".join(f"`{value}`" for value in values) if default != "" else "empty"
    limits = "" if parameter.low is None else f"{parameter.low:g} to {parameter.high:g}"
    live = "yes" if parameter.live else ""
    return f"| `{parameter.name}` | {shown} | {limits} | {live} | {parameter.description} |"


if __name__ == "__main__":
    for table in (parameter_table(), message_table("EmotionTag"), message_table("Utterance")):
        print(table, end="\n\n")
