"""Draws a terminal's output (ANSI on stdin) as an SVG file: the README's picture of the demo.

FORCE_COLOR=1 make demo | .venv/bin/python scripts/record_demo.py docs/demo.svg
"""

import io
import sys

from rich.console import Console
from rich.text import Text

WIDTH = 150


def main() -> None:
    """Read, draw, write."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(sys.stdin.read().rstrip()))
    console.save_svg(sys.argv[1], title="make demo")


if __name__ == "__main__":
    main()
