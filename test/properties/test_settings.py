"""Whatever somebody sets, a parameter takes a value that fits or says what is wrong with it."""

import math

import pytest
from attempts import attempt
from hypothesis import example, given
from hypothesis import strategies as st

from pika_emotion import message_types, taggers
from pika_emotion.dialogue import EventRules
from pika_emotion.errors import ConfigError
from pika_emotion.parameters import CORE, check_together, refuse_unknown

TAGGERS = ("reflex", "vllm", "http", "encoder")
KNOWN = {p.name: p for name in TAGGERS for p in (*CORE, *taggers.all_parameters(name))}
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.text()),
    st.lists(st.integers()),
    *(st.just(parameter.default) for parameter in KNOWN.values()),
)


@given(st.sampled_from(list(KNOWN.values())), VALUES)
def test_any_value_is_taken_as_the_parameters_type_or_refused(parameter, value):
    taken, fault = attempt(ConfigError, parameter.accept, value)
    if fault:
        assert fault.startswith(parameter.name)
        return
    assert type(taken) is type(parameter.default)
    assert taken == value
    if parameter.low is not None:
        assert parameter.low <= taken <= parameter.high
    if parameter.choices:
        assert taken in parameter.choices


@given(st.floats(), st.floats())
def test_a_margin_that_leaves_no_time_is_refused(deadline_ms, margin_ms):
    values = {"deadline_ms": deadline_ms, "publish_margin_ms": margin_ms}
    try:
        for name, value in values.items():
            KNOWN[name].check(value)
        check_together(values)
    except ConfigError:
        return
    assert math.isfinite(deadline_ms - margin_ms)
    assert deadline_ms - margin_ms > 0


@given(st.lists(st.text() | st.sampled_from(list(KNOWN))))
def test_a_name_that_is_no_parameter_is_refused(names):
    if set(names) <= set(KNOWN):
        refuse_unknown(names, KNOWN)
        return
    with pytest.raises(ConfigError, match="unknown parameter"):
        refuse_unknown(names, KNOWN)


ASSIGNMENTS = st.one_of(
    st.text(),
    st.tuples(st.sampled_from(list(KNOWN)), st.text() | VALUES.map(str)).map("=".join),
)


@given(st.sampled_from(TAGGERS), st.lists(ASSIGNMENTS, max_size=3))
@example("http", ["http.max_replies=" + "[" * 2000])
@example("http", ["http.max_replies=2024-99-99"])
@example("http", ["http.load_timeout_s=!!float x"])
@example("http", ["http.max_replies=" + "9" * 5000])
@example("http", ["http.max_replies=!!int x"])
@example("http", ["http.read_ahead=!!bool maybe"])
@example("http", ["http.model=!!timestamp soon"])
@example("http", ["http.model=\x00"])
@example("http", ["http.model=- - -"])
def test_any_assignment_is_a_setting_or_refused(tagger, assignments):
    try:
        settings = taggers.settings_from_text(tagger, assignments)
    except ConfigError:
        return
    for name, value in settings.items():
        assert type(value) is type(KNOWN[name].default)
        KNOWN[name].check(value)


PACKAGES = st.sampled_from(["std_msgs", "pika_emotion", "sys", "pytest", "this", "os", "a"])
TYPES = st.one_of(
    st.text(),
    st.builds("{}/msg/{}".format, PACKAGES, st.sampled_from(["String", "Utterance", "Header"])),
    st.builds("{}/{}".format, PACKAGES, st.from_regex("[A-Z][a-z]{0,4}", fullmatch=True)),
)
FIELDS = st.text() | st.sampled_from(
    ["data", "id", "header", "header.frame_id", "__class__.__name__"]
)


@given(TYPES, FIELDS, FIELDS)
@example("std_msgs/msg/String", "data", "__class__.__name__")
def test_any_message_type_is_one_with_these_fields_or_refused(name, text_field, id_field):
    try:
        kind = message_types.resolve(name, text_field, id_field)
    except ConfigError:
        return
    message = kind.message()
    assert isinstance(kind.text(message), str)
    assert isinstance(kind.id(message), str)
    assert isinstance(kind.partial(message), bool)
    assert isinstance(kind.stamp_ns(message), int)


# What regular expressions are made of.
PIECES = st.sampled_from(
    ["a", "b", r"\w", ".", "[a-c]", "^", "$", "|", "(", ")", "(?:", "(?=", "(?!", "*", "+", "?",
     "{2,}", "{3}", "*?", r"\1", "(?P<n>", "(?P=n)", "(?i)", "(?<=", "[", "]", r"\Z", " "]
)  # fmt: skip


@given(st.lists(PIECES, max_size=9).map("".join) | st.text(max_size=9))
@example("(a+)+b")
@example("(?:a|aa)+$")
@example("(" * 2000 + ")" * 2000)
@example("(?:a?){64}a{64}")
@example(".*.*.*.*x")
def test_any_pattern_is_refused_or_ends_on_the_longest_transcripts(pattern):
    rules, fault = attempt(ConfigError, lambda: EventRules(events=(pattern,), silences=()))
    if rules is None:
        assert "event pattern" in fault
        return
    for text in ("a" * 400, "ab" * 200, "a" * 399 + "!", "b" * 200 + "a" * 200):
        assert rules.is_event(text) in (True, False)
