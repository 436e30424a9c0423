"""Fixtures of the engine's tests, which the worker's Python runs: onnxruntime is the real one."""

import pytest
from encoder.training import make_base, some_rows, train


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    """Folders of a tiny base of each architecture."""
    folder = tmp_path_factory.mktemp("bases")
    return {family: make_base(family, folder / family) for family in ("xlmr", "bert")}


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A train and a dev file."""
    return some_rows(tmp_path_factory.mktemp("rows"), 120)


@pytest.fixture(scope="session")
def encoders(bases, files, tmp_path_factory):
    """Folders of an encoder of each architecture, trained for seconds."""
    folder = tmp_path_factory.mktemp("encoders")
    how = {"xlmr": ("--gpu",), "bert": ("--pooling", "cls")}
    for family, more in how.items():
        assert (
            train(bases[family], files, folder / family, "--epochs", 6, "--rate", 3e-3, *more) == 0
        )
    return {family: folder / family for family in how}
