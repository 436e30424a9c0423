"""The table of parameters, and the values that are refused with the reason."""

import math

import pytest

from pika_emotion import taggers
from pika_emotion.errors import ConfigError
from pika_emotion.parameters import CORE, Parameter, check_together, refuse_unknown

KNOWN = {p.name: p for p in (*CORE, *taggers.all_parameters("reflex"))}


@pytest.mark.parametrize("parameter", KNOWN.values(), ids=list(KNOWN))
def test_each_has_a_description_and_a_default_that_it_allows_itself(parameter):
    parameter.check(parameter.default)
    assert parameter.description
    assert "\n" not in parameter.description
    number = isinstance(parameter.default, (int, float)) and not isinstance(parameter.default, bool)
    assert number == (parameter.low is not None) == (parameter.high is not None)


def test_no_name_is_there_twice():
    assert len(KNOWN) == len([*CORE, *taggers.all_parameters("reflex")])


def test_the_defaults_are_the_designs_and_work_together():
    values = {name: parameter.default for name, parameter in KNOWN.items()}
    check_together(values)
    assert values["tagger"] == "vllm"
    assert values["deadline_ms"] == 50.0
    assert values["publish_margin_ms"] == 5.0
    assert values["transcript.type"] == values["reply.type"] == "std_msgs/msg/String"
    assert values["qos.depth"] == 100
    assert values["require_primary"] is False


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("deadline_ms", 0.5, "deadline_ms 0.5 is out of range; set it from 1 to 60000"),
        ("deadline_ms", math.nan, "deadline_ms nan is out of range"),
        ("deadline_ms", math.inf, "deadline_ms inf is out of range"),
        ("publish_margin_ms", -1.0, "publish_margin_ms -1.0 is out of range; set it from 0 to"),
        ("celebrate_threshold", 1.01, "celebrate_threshold 1.01 is out of range; .* from 0 to 1"),
        ("primary_slots", 0, "primary_slots 0 is out of range; set it from 1 to 64"),
        ("qos.depth", 0, "qos.depth 0 is out of range; set it from 1 to 100000"),
        ("turn_timeout_s", 0.0, "turn_timeout_s 0.0 is out of range"),
        ("session_timeout_s", 1e9, "session_timeout_s 1000000000.0 is out of range"),
    ],
)
def test_a_value_out_of_range_is_refused(name, value, message):
    with pytest.raises(ConfigError, match=message):
        KNOWN[name].check(value)


def test_a_value_that_is_no_choice_is_refused():
    parameter = Parameter("mine.way", "a", "which way", choices=("a", "b", "c"))
    parameter.check("b")
    with pytest.raises(ConfigError, match=r"mine.way 'd' is not known; set a, b or c"):
        parameter.check("d")


@pytest.mark.parametrize("value", [1, 1.0, 60_000.0])
def test_the_ends_of_a_range_are_in_it(value):
    KNOWN["deadline_ms"].check(value)


def test_a_parameter_without_a_range_takes_anything():
    Parameter("name", "", "any text").check("…")


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(
        ConfigError, match="unknown parameter 'dedline_ms'; did you mean 'deadline_ms'"
    ):
        refuse_unknown(["tagger", "dedline_ms"], KNOWN)


def test_an_unknown_name_like_no_other_is_to_be_taken_out():
    with pytest.raises(ConfigError, match="unknown parameter 'xyzzy'; take it out"):
        refuse_unknown(["xyzzy"], iter(KNOWN))


def test_known_names_are_not_refused():
    refuse_unknown(KNOWN, KNOWN)


@pytest.mark.parametrize("margin", [50.0, 50.1])
def test_a_margin_that_leaves_no_time_is_refused(margin):
    values = {"deadline_ms": 50.0, "publish_margin_ms": margin}
    message = f"publish_margin_ms {margin:g} leaves the primary no time before deadline_ms 50; set"
    with pytest.raises(ConfigError, match=message):
        check_together(values)
