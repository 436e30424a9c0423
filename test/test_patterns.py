"""Users' patterns: those that people write are taken, those that could take long are refused."""

import pytest

from pika_emotion.dialogue import DEFAULT_EVENTS, DEFAULT_SILENCES
from pika_emotion.errors import ConfigError
from pika_emotion.patterns import compile_patterns


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(?i)button .*", "Button 3"),
        ("(BUTTON|KEY)_[0-9]{1,3}", "KEY_12"),
        (".*(button|knob).*", "the knob turned"),
        (r"<event>\w+(,\w+)?</event>", "<event>left,two</event>"),
        ("(?P<what>[a-z]+)(?:: (?P=what))*", "left: left: left"),
        (r"(\[)?[A-Z]+(?(1)\])", "[LEFT]"),
        ("(?!speech)[a-z]+", "noise"),
        ("(ab){2,5}", "ababab"),
        ("a{1000}", "a" * 1000),
    ],
)
def test_a_pattern_that_ends_soon_is_taken(pattern, text):
    (compiled,) = compile_patterns([pattern])
    assert compiled.fullmatch(text)
    assert not compiled.fullmatch("!")


def test_the_defaults_are_taken():
    assert len(compile_patterns((*DEFAULT_EVENTS, *DEFAULT_SILENCES))) == 6


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+",
        "(a|aa)+b",
        "(?:a*)*b",
        "(?:(?:a?)*)*?b",
        "(a|a){30}b",
        "(?:a?){64}a{64}",
        ".*.*.*.*x",
        "(?=(a+)+b)a*",
        "(x)?(?(1)(a+)+|b)",
        "(?:" * 5 + "a*" + ")*" * 5,
        ".*.*(?:[a-c][a-c]){199}x",
    ],
)
def test_a_pattern_that_could_take_long_is_refused(pattern):
    with pytest.raises(ConfigError, match=r"could be tried in too many ways .*; repeat plain") as e:
        compile_patterns(["fine", pattern])
    assert f"'{pattern}'" in str(e.value)


def test_a_pattern_whose_flags_contradict_is_refused():
    with pytest.raises(ConfigError, match="is not a regular expression"):
        compile_patterns(["(?a)(?u)x"])


def test_a_pattern_nested_without_end_is_refused():
    pattern = "(" * 3000 + ")" * 3000
    with pytest.raises(ConfigError, match="is not a regular expression"):
        compile_patterns([pattern])
