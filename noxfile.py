"""Runs setup, lint and tests on every supported Python: ``nox`` (by hand; CI takes one Python).

Each session works in a copy of the tree, because .venv and install/ belong to one Python.
"""

import shutil
from pathlib import Path

import nox

PYTHONS = ["3.10", "3.11", "3.12"]
MADE = shutil.ignore_patterns(".venv*", "build", "install", "log", ".nox", ".git", "__pycache__")


@nox.session(venv_backend="none")
@nox.parametrize("python_version", PYTHONS)
def tests(session: nox.Session, python_version: str) -> None:
    """Make the tree with this Python, then lint and test it."""
    tree = Path(session.cache_dir) / f"tree-{python_version}"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(Path.cwd(), tree, ignore=MADE)
    session.chdir(tree)
    python = f"PYTHON=python{python_version}"
    session.run("make", python, "setup", external=True)
    session.run("make", python, "lint", external=True)
    session.run("make", python, "test", external=True)
