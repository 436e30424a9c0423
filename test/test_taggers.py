"""Taggers by name: ours, a module of the user's, and one that cannot be had on this machine."""

import math

import pytest
from scripted.tagger import PARAMETERS, Scripted

from pika_emotion import taggers
from pika_emotion.dialogue import make_turn
from pika_emotion.errors import ConfigError, TaggerError
from pika_emotion.taggers import Tagger, Unavailable
from pika_emotion.taggers.reflex import ReflexTagger

TURN = make_turn("2+2?", "four", "Yes, four!")


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module of the user's, in a package of its own, and return its name."""
    number = 0

    def module(code):
        nonlocal number
        number += 1
        package = tmp_path / f"mine_{tmp_path.name}_{number}"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "tagger.py").write_text(code)
        return f"{package.name}.tagger"

    monkeypatch.syspath_prepend(tmp_path)
    return module


TYPES = """
from pika_emotion.parameters import Parameter
PARAMETERS = (
    Parameter("mine.on", False, "a switch"),
    Parameter("mine.count", 2, "a number", low=1, high=9),
    Parameter("mine.rate", 0.5, "a rate", low=0.0, high=2.0),
    Parameter("mine.file", "", "a file"),
    Parameter("mine.words", ["a"], "some words"),
)
def create(labels, settings):
    raise AssertionError
"""
DEFAULTS = {
    "mine.on": False,
    "mine.count": 2,
    "mine.rate": 0.5,
    "mine.file": "",
    "mine.words": ["a"],
}


def test_our_own_tagger_is_found_by_its_name(labels):
    tagger = taggers.create("reflex", labels, taggers.settings_from_text("reflex", []))
    assert isinstance(tagger, ReflexTagger)
    assert isinstance(tagger, Tagger)
    tagger.load()
    tag = tagger.tag(TURN, math.inf)
    assert tag.labels is labels
    tagger.close()


def test_the_users_is_found_by_its_modules_name(labels):
    settings = taggers.settings_from_text("scripted.tagger", ["scripted.does=late"])
    tagger = taggers.create("scripted.tagger", labels, settings)
    assert isinstance(tagger, Scripted)
    assert isinstance(tagger, Tagger)
    assert tagger._does == "late"


@pytest.mark.parametrize("name", ["", "gpt", "engine", "Reflex", ".reflex", ".", "..x.y"])
def test_an_unknown_name_is_refused_with_the_known_ones(name, labels):
    message = "unknown tagger '.*'; choose one of vllm, reflex, http, encoder, or name a Python mod"
    for refuse in (
        lambda: taggers.find_module(name),
        lambda: taggers.all_parameters(name),
        lambda: taggers.create(name, labels, {}),
        lambda: taggers.settings_from_text(name, []),
    ):
        with pytest.raises(ConfigError, match=message) as error:
            refuse()
        assert f"'{name}'" in str(error.value)


CANNOT = r"tagger '{}' cannot be imported \(No module named '{}.*\); install what its module needs"


@pytest.mark.parametrize(("name", "lacks"), [("no.such", "no"), ("scripted.none", "scripted.none")])
def test_a_module_that_is_not_there_is_told(name, lacks):
    with pytest.raises(TaggerError, match=CANNOT.format(name, lacks)):
        taggers.find_module(name)


def test_a_module_that_needs_what_is_not_there_is_told(module):
    name = module("import no_such_library\n")
    with pytest.raises(TaggerError, match=CANNOT.format(name, "no_such_library")):
        taggers.find_module(name)


@pytest.mark.parametrize(
    ("code", "lacks"),
    [
        ("", "no PARAMETERS and no create"),
        ("PARAMETERS = ()\n", "no create"),
        ("def create(labels, settings): ...\n", "no PARAMETERS"),
    ],
)
def test_a_module_that_is_no_tagger_is_told(module, code, lacks):
    name = module(code)
    with pytest.raises(ConfigError, match=f"module '{name}' is not a tagger: it has {lacks}; see"):
        taggers.find_module(name)
    with pytest.raises(ConfigError, match="is not a tagger"):
        taggers.all_parameters(name)


def test_the_parameters_are_those_of_our_taggers_and_of_the_users():
    ours = [parameter.name for parameter in taggers.all_parameters("reflex")]
    assert "reflex.model" in ours
    theirs = [parameter.name for parameter in taggers.all_parameters("scripted.tagger")]
    assert theirs == [*ours, *(parameter.name for parameter in PARAMETERS)]


def test_a_tagger_that_cannot_be_imported_has_no_parameters_and_does_not_stop_the_others():
    assert taggers.all_parameters("no.such") == taggers.all_parameters("reflex")


def test_a_tagger_that_cannot_be_had_raises_when_it_is_loaded_or_asked(labels):
    tagger = taggers.create("no.such", labels, {})
    assert isinstance(tagger, Unavailable)
    assert isinstance(tagger, Tagger)
    tagger.prefill(TURN)
    for ask in (tagger.load, lambda: tagger.tag(TURN, math.inf)):
        with pytest.raises(TaggerError, match=r"tagger 'no\.such' cannot be imported"):
            ask()
    assert tagger.describe() == {}
    tagger.close()


def test_a_tagger_that_cannot_be_built_raises_when_it_is_loaded(module, labels):
    name = module(
        "from pika_emotion.errors import TaggerError\n"
        "PARAMETERS = ()\n"
        "def create(labels, settings):\n"
        "    raise TaggerError('no GPU; set tagger to reflex')\n"
    )
    with pytest.raises(TaggerError, match="no GPU; set tagger to reflex"):
        taggers.create(name, labels, {}).load()


def test_a_setting_that_cannot_work_is_not_put_off(module, labels):
    name = module(
        "from pika_emotion.errors import ConfigError\n"
        "PARAMETERS = ()\n"
        "def create(labels, settings):\n"
        "    raise ConfigError('both set; unset one')\n"
    )
    with pytest.raises(ConfigError, match="both set; unset one"):
        taggers.create(name, labels, {})


# Settings.


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("mine.on=true", True),
        ("mine.count=9", 9),
        ("mine.rate=1", 1.0),
        ("mine.rate=1.5", 1.5),
        ("mine.file=", ""),
        ("mine.file=/models/a=b.npz", "/models/a=b.npz"),
        ("mine.file='12'", "12"),
        ("mine.file=12", "12"),
        ("mine.file=off", "off"),
        ('mine.file={"a": 1}', '{"a": 1}'),
        ("mine.words=[x, y]", ["x", "y"]),
        ("mine.words=[]", []),
    ],
)
def test_a_setting_is_yaml_over_the_defaults(module, assignment, value):
    settings = taggers.settings_from_text(module(TYPES), [assignment])
    name = assignment.partition("=")[0]
    assert settings == {**DEFAULTS, name: value}
    assert type(settings[name]) is type(value)


def test_the_last_of_a_name_counts(module):
    found = taggers.settings_from_text(module(TYPES), ["mine.count=3", "mine.count=4"])
    assert found == {**DEFAULTS, "mine.count": 4}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("mine.count", "'mine.count' is not NAME=VALUE; write mine.count=…"),
        ("", "'' is not NAME=VALUE; write =…"),
        ("mine.cout=1", "unknown parameter 'mine.cout'; did you mean 'mine.count'?"),
        ("=1", "unknown parameter ''; take it out"),
        ("mine.count=many", "mine.count 'many' must be a int; correct it"),
        ("mine.count=2.0", "mine.count '2.0' must be a int"),
        ("mine.count=true", "mine.count 'true' must be a int"),
        ("mine.rate=yes", "mine.rate 'yes' must be a float"),
        ("mine.count=", "mine.count '' must be a int"),
        ("mine.on=1", "mine.on '1' must be a bool"),
        ("mine.words=x", "mine.words 'x' must be a list"),
        ("mine.file=[", "mine.file '[' is not YAML; put it in quotes"),
        ("mine.file=!!python/name:os.system", "is not YAML; put it in quotes"),
        ("mine.count=10", "mine.count 10 is out of range; set it from 1 to 9"),
        ("mine.rate=.nan", "mine.rate nan is out of range; set it from 0 to 2"),
    ],
)
def test_a_setting_that_cannot_work_is_named(module, assignment, message):
    with pytest.raises(ConfigError) as error:
        taggers.settings_from_text(module(TYPES), [assignment])
    assert message in str(error.value)
