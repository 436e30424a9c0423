"""Finds the package's data files (config, launch, resource), however it was installed."""

import os
from importlib import metadata
from pathlib import Path

from pika_emotion.errors import ResourceError

PACKAGE = "pika_emotion"


def find(relative: str) -> Path:
    """Return the path of a data file, such as ``config/labels.yaml``.

    Looks in the ament index (each prefix of ``AMENT_PREFIX_PATH``), then in the pip
    distribution's ``share/pika_emotion``, then in the source tree.

    Raises:
        ResourceError: it is in none of them; the message lists where it was looked for.
    """
    looked = []
    for folder in (*_ament_folders(), *_pip_folders(), *_source_folders()):
        path = folder / relative
        if path.exists():
            return path
        looked.append(str(path))
    places = ", ".join(looked) or "nowhere: no installation of it was found"
    raise ResourceError(
        f"data file '{relative}' of {PACKAGE} not found (looked for {places}); "
        "install the package again, or source the workspace's setup file"
    )


def _ament_folders() -> list[Path]:
    prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    marker = Path("share/ament_index/resource_index/packages") / PACKAGE
    return [prefix / "share" / PACKAGE for prefix in prefixes if (prefix / marker).is_file()]


def _pip_folders() -> list[Path]:
    # The distribution's own list of files knows where data files went, whatever scheme (venv,
    # --user, --prefix) they were installed under; not so --target, which puts them beside the
    # package and leaves the list as it was.
    try:
        files = metadata.files("pika-emotion") or []
    except metadata.PackageNotFoundError:
        return []
    tail = f"share/{PACKAGE}/config/labels.yaml"
    listed = [
        Path(str(file.locate())).resolve().parent.parent
        for file in files
        if file.as_posix().endswith(tail)
    ]
    return [*listed, Path(__file__).resolve().parent.parent / "share" / PACKAGE]


def _source_folders() -> list[Path]:
    root = Path(__file__).resolve().parent.parent
    return [root] if (root / "package.xml").is_file() else []
