"""Fixtures of the engine's tests, which the worker's Python runs: the engine is the real one."""

import pytest
from tiny import load_script


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Folders of a tiny checkpoint of each family."""
    script = load_script("make_tiny_checkpoint")
    folders = {}
    for family in ("phi3", "qwen2"):
        folders[family] = tmp_path_factory.mktemp("checkpoints") / family
        script.make(family, script.SIZES["tiny"], folders[family])
    return folders
