"""Fixtures shared by the tests; ``test`` is importable, so that ``scripted`` can be named."""

import os
import sys
from pathlib import Path

import pytest

from pika_emotion.labels import load_labels
from pika_emotion.tag import Tag

TEST = Path(__file__).parent
ROOT = TEST.parent
sys.path.insert(0, str(TEST))

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # a worker's environment, which runs tests without properties
    pass
else:
    # The same cases in every run, or new ones for as long as 'make fuzz' says; see docs/soak.md.
    settings.register_profile(
        "ci",
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.register_profile(
        "fuzz", max_examples=300, deadline=None, suppress_health_check=list(HealthCheck)
    )
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def labels():
    return load_labels()


class StubReflex:
    """The floor where a test is not about the reflex: always neutral, counts how often."""

    name = "reflex"

    def __init__(self, labels):
        self._labels = labels

    def prefill(self, turn):
        pass

    def tag(self, turn, deadline):
        return Tag.neutral(self._labels, self.name)


@pytest.fixture
def reflex(labels):
    return StubReflex(labels)
