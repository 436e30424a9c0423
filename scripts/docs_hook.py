"""MkDocs calls this while it makes the site: files of the repository become pages of it.

Pages link as they must for somebody who reads them in the repository (``../config/labels.yaml``).
Every file outside ``docs`` that is linked gets a page under ``repository/``, and the links are
turned to it. Pages in Vietnamese say that they are.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pymdownx.slugs import slugify

ROOT = Path(__file__).resolve().parent.parent
DOCS = "docs"
ROOM = "repository"
# A link or picture, "](target" or "[name]: target", that leads neither to an address nor to a place
# on the same page.
_LINK = re.compile(r"(\]\(|^\[[^\]\n]+\]:\s+)(?![a-z]+:|#)([^)#\s]+)", re.MULTILINE)
_LANGUAGES = {".yaml": "yaml", ".yml": "yaml", ".py": "python", ".Dockerfile": "docker",
              ".cpp": "cpp", ".hpp": "cpp", ".sh": "bash", ".xml": "xml"}  # fmt: skip


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Keep the letters of Vietnamese headings in the addresses of their sections."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slugify(case="lower")
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each file that the pages and the navigation name, and for those they name."""
    waiting = [
        target
        for file in files.documentation_pages()
        for target in _targets(f"{DOCS}/{file.src_uri}", file.content_string)
    ]
    waiting += [uri.removeprefix(f"{ROOM}/") for uri in _uris(config.nav)]
    while waiting:
        path = waiting.pop()
        if path.startswith(f"{DOCS}/") or not (ROOT / path).is_file():
            continue
        uri = _page_of(path)
        if files.get_file_from_path(uri) is None:
            text = (ROOT / path).read_text(encoding="utf-8")
            page = text if path.endswith(".md") else _listing(path, text)
            files.append(File.generated(config, uri, content=page))
            waiting += _targets(path, page) if path.endswith(".md") else []
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links that lead into the repository to this site's pages.

    Raises:
        PluginError: a link leads to nothing.
    """
    uri = page.file.src_uri
    here = _path_of(uri)
    if not here.endswith(".md"):
        return markdown  # a listing: its brackets are no links

    def turned(found: re.Match[str]) -> str:
        path = _resolve(here, found[2])
        if not (ROOT / path).is_file():
            raise PluginError(f"{here}: link to '{found[2]}', which is no file; name one")
        return found[1] + posixpath.relpath(_page_of(path), posixpath.dirname(uri) or ".")

    return _LINK.sub(turned, markdown)


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Name the language of pages that are not in English."""
    if page.file.src_uri.startswith("vi/") or page.file.src_uri.endswith(".vi.md"):
        return output.replace('<html lang="en"', '<html lang="vi"', 1)
    return output


def _targets(path: str, text: str) -> list[str]:
    """Return the files that a file of the repository links to, as paths in the repository."""
    return [_resolve(path, target) for _, target in _LINK.findall(text)]


def _resolve(path: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))


def _page_of(path: str) -> str:
    """Return where the site has a file of the repository."""
    if path.startswith(f"{DOCS}/"):
        return path.removeprefix(f"{DOCS}/")
    return f"{ROOM}/{path}" if path.endswith(".md") else f"{ROOM}/{path}.md"


def _path_of(uri: str) -> str:
    """Return which file of the repository a page shows."""
    if not uri.startswith(f"{ROOM}/"):
        return f"{DOCS}/{uri}"
    path = uri.removeprefix(f"{ROOM}/")
    return path if (ROOT / path).is_file() else path.removesuffix(".md")


def _listing(path: str, text: str) -> str:
    language = _LANGUAGES.get(Path(path).suffix, "text")
    return f"# {path}\n\n~~~~~~{language}\n{text}\n~~~~~~\n"


def _uris(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    entries = nav.values() if isinstance(nav, dict) else nav or []
    return [uri for entry in entries for uri in _uris(entry)]
