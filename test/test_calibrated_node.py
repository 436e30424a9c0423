"""The node with and without its primary's calibration card: what it publishes and says of it."""

import contextlib

import pytest
from conftest import ROOT
from ros import NodeProcess, Robot, until

from pika_emotion.cli import main
from pika_emotion.deadline import Source

DEV = str(ROOT / "data/dialogues/dev.tsv")
QUALITY = {"oracle.data": DEV, "oracle.right": 0.1, "oracle.sure": 0.8}


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    """The card of an oracle that is hardly ever right."""
    file = tmp_path_factory.mktemp("card") / "card.json"
    given = [part for name, value in QUALITY.items() for part in ("--set", f"{name}={value}")]
    command = ["calibrate", "--tagger", "scripted.oracle", *given, "--data", DEV]
    assert main([*command, "--out", str(file)]) == 0
    return file


@pytest.fixture
def meet(tmp_path):
    with contextlib.ExitStack() as stack:

        def meet(**parameters):
            params = {"tagger": "scripted.oracle", "deadline_ms": 3000.0, **QUALITY, **parameters}
            node = NodeProcess(tmp_path, params=params)
            stack.callback(node.close)
            robot = stack.enter_context(Robot(node))
            robot.wait_for_node(20.0)
            robot.status(lambda values, status: "loading" not in status.message)
            return node, robot

        yield meet


def test_without_a_card_diagnostics_say_uncalibrated(meet, tmp_path):
    node, robot = meet(calibration=str(tmp_path))
    values, status = robot.status(
        lambda _, status: status.message == "active; oracle is UNCALIBRATED"
    )
    assert values["oracle: calibration"].startswith("UNCALIBRATED: no card for this model")
    assert values["state"] == "active"
    assert status.level == b"\x00"
    (tag,) = robot.say(("pika", "Hello!"))
    assert tag.confidence == pytest.approx(0.8)
    assert (tag.tagger, tag.source) == ("oracle", Source.PRIMARY)
    assert "UNCALIBRATED" not in node.output


def test_a_primary_worse_than_the_reflex_is_a_warning_with_the_figures(meet, card):
    node, robot = meet(calibration=str(card))
    _, status = robot.status(lambda _, status: "worse than the reflex on 615" in status.message)
    assert status.level == b"\x01"
    assert "95 % interval" in status.message
    until(lambda: len(robot.statuses) > 3)
    assert node.output.count("oracle is worse than the reflex") == 1
    (tag,) = robot.say(("pika", "Hello!"))
    assert tag.confidence < 0.4  # its card knows that it is hardly ever right
    assert tag.tagger == "oracle"


def test_a_pool_publishes_the_mix(meet, card):
    node, robot = meet(calibration=str(card), pool="true")
    values, _ = robot.status(lambda _, status: status.message == "active")
    assert "pool with 0." in values["oracle: calibration"]
    (tag,) = robot.say(("pika", "Hello!"))
    assert tag.tagger == "oracle+reflex"
    assert tag.source == Source.PRIMARY
    assert "worse than the reflex" not in node.output
