"""Draws a terminal's output (ANSI on stdin) as an SVG file: the README's picture of the demo.

FORCE_COLOR=1 make demo | .venv/bin/python scripts/record_demo.py docs/demo.svg
"""

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 150
# The font that rich would have the reader's browser load from another site.
_FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


def main() -> None:
    """Read, draw, write."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(sys.stdin.read().rstrip()))
    drawing = _FONT.sub("", console.export_svg(title="make demo"))
    Path(sys.argv[1]).write_text(drawing, encoding="utf-8")


if __name__ == "__main__":
    main()
