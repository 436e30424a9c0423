"""Looks through a built site for anything that a browser would load from another one.

Prints each such thing with its page, and ends with 1 where there is one. A link that somebody
must follow is none.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

_LOADS = {"src", "srcset", "data", "poster", "background"}
_OTHER = re.compile(r"\s*(?:[a-z][a-z+.-]*:)?//", re.IGNORECASE)
_IN_STYLE = re.compile(r"(?:url\(\s*|@import\s+)['\"]?((?:https?:)?//[^'\")\s]+)", re.IGNORECASE)
# A page names these to search engines; no browser loads them.
_NAMED_ONLY = {"canonical", "alternate", "license"}


class _Loaded(HTMLParser):
    """Collects what a page loads from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take one element."""
        given = {name: value or "" for name, value in attrs}
        loads = _LOADS & given.keys()
        if tag == "link" and not _NAMED_ONLY & set(given.get("rel", "").split()):
            loads = loads | {"href"}
        if tag in ("image", "use"):  # of SVG
            loads = loads | ({"href", "xlink:href"} & given.keys())
        self.found += [given[name] for name in sorted(loads) if _OTHER.match(given.get(name, ""))]
        self.found += _IN_STYLE.findall(given.get("style", ""))


def loaded_from_elsewhere(site: Path) -> list[tuple[Path, str]]:
    """Return each file of the site that loads something from elsewhere, and what."""
    found = []
    for file in sorted(site.rglob("*")):
        if file.suffix in (".html", ".svg"):
            text = file.read_text(encoding="utf-8")
            page = _Loaded()
            page.feed(text)
            found += [(file, what) for what in page.found]
        if file.suffix in (".html", ".svg", ".css"):
            found += [(file, what) for what in _IN_STYLE.findall(file.read_text(encoding="utf-8"))]
    return found


def main(site: str) -> int:
    """Look through one site; return the exit code."""
    pages = list(Path(site).rglob("*.html"))
    if not pages:
        print(f"'{site}' has no page; make it with 'make docs'", file=sys.stderr)
        return 1
    found = loaded_from_elsewhere(Path(site))
    for file, what in found:
        print(f"{file}: loads '{what}'; keep a copy in docs/ instead", file=sys.stderr)
    if not found:
        print(f"{site}: {len(pages)} pages, nothing loaded from another site")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
