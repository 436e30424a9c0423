"""Taggers: what reads a turn and answers with a tag.

A tagger's module has two names that the node and the tools use: ``PARAMETERS``, what it can be
told, and ``create(labels, settings)``, which builds it. The modules of this package are known by
their own names; a name with a dot is a module of the user's.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

import yaml

from pika_emotion import plain_yaml
from pika_emotion.dialogue import Turn
from pika_emotion.errors import ConfigError, TaggerError
from pika_emotion.labels import LabelSet
from pika_emotion.parameters import Parameter, refuse_unknown
from pika_emotion.tag import Tag

NAMES = ("vllm", "reflex", "http", "encoder")


@runtime_checkable
class Tagger(Protocol):
    """Reads turns. Methods are called from several threads, ``tag`` from several at once."""

    name: str

    def load(self) -> None:
        """Make ready to answer; may take minutes.

        Raises:
            TaggerError: it cannot; the message holds the remedy.
        """

    def prefill(self, turn: Turn) -> None:
        """Take a hint of what the next turn will be; return at once, never raise."""

    def tag(self, turn: Turn, deadline: float) -> Tag:
        """Answer about a turn's reply.

        Args:
            turn: the turn; its texts are clean.
            deadline: after this time (``time.monotonic``, seconds) nobody wants the answer.

        Raises:
            TaggerError: it cannot answer; the subclasses say why.
        """

    def describe(self) -> Mapping[str, str]:
        """Return what diagnostics show of it: model, state, counts; never anybody's words."""

    def close(self) -> None:
        """Give everything back; no other method is called afterwards."""


class TaggerModule(Protocol):
    """What the module of a tagger offers."""

    PARAMETERS: tuple[Parameter, ...]

    def create(self, labels: LabelSet, settings: Mapping[str, Any]) -> Tagger:
        """Build the tagger, not loaded yet; ``settings`` has the values of ``PARAMETERS``."""


def find_module(name: str) -> TaggerModule:
    """Return the module of a tagger.

    Raises:
        ConfigError: there is no tagger of this name, or the module of this name is none.
        TaggerError: there is one, but its module cannot be imported.
    """
    if name not in NAMES and ("." not in name or name.startswith(".")):
        raise ConfigError(
            f"unknown tagger '{name}'; choose one of {', '.join(NAMES)}, "
            "or name a Python module of yours with a dot in its name"
        )
    path = name if "." in name else f"{__name__}.{name}"
    try:
        module = importlib.import_module(path)
    except ImportError as error:
        raise TaggerError(
            f"tagger '{name}' cannot be imported ({error}); install what its module needs, "
            "or put the module on PYTHONPATH"
        ) from error
    lacking = [part for part in ("PARAMETERS", "create") if not hasattr(module, part)]
    if lacking:
        raise ConfigError(
            f"module '{path}' is not a tagger: it has no {' and no '.join(lacking)}; "
            "see pika_emotion.taggers for what a tagger's module must have"
        )
    return cast(TaggerModule, module)


def all_parameters(chosen: str) -> tuple[Parameter, ...]:
    """Return the parameters of every tagger, and of a module of the user's.

    Raises:
        ConfigError: there is no tagger of the chosen name.
    """
    names = NAMES if chosen in NAMES else (*NAMES, chosen)
    return tuple(p for name in names for p in _parameters_of(name))


def _parameters_of(name: str) -> tuple[Parameter, ...]:
    try:
        return find_module(name).PARAMETERS
    except TaggerError:
        return ()  # told when the tagger is created


class Unavailable:
    """Stands for a tagger that cannot be had on this machine; loading it raises why."""

    def __init__(self, name: str, error: TaggerError) -> None:
        self.name = name
        self._error = error

    def load(self) -> None:
        """Raise why there is no such tagger here."""
        raise self._error

    def prefill(self, turn: Turn) -> None:
        """Do nothing."""

    def tag(self, turn: Turn, deadline: float) -> Tag:
        """Raise why there is no such tagger here."""
        raise self._error

    def describe(self) -> Mapping[str, str]:
        """Return nothing."""
        return {}

    def close(self) -> None:
        """Do nothing."""


def create(name: str, labels: LabelSet, settings: Mapping[str, Any]) -> Tagger:
    """Build a tagger by name, not loaded yet; one that cannot be had here raises at its load.

    Raises:
        ConfigError: there is no tagger of this name, or a setting cannot work.
    """
    try:
        return find_module(name).create(labels, settings)
    except TaggerError as error:
        return Unavailable(name, error)


def settings_from_text(name: str, assignments: Sequence[str]) -> dict[str, Any]:
    """Return a tagger's settings: its defaults, and ``NAME=VALUE`` texts in YAML over them.

    Raises:
        ConfigError: no such parameter, not of the form, or a value that cannot work.
    """
    known = {parameter.name: parameter for parameter in find_module(name).PARAMETERS}
    settings: dict[str, Any] = {key: parameter.default for key, parameter in known.items()}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ConfigError(f"'{assignment}' is not NAME=VALUE; write {key}=…")
        refuse_unknown([key], known)
        wanted = type(known[key].default)
        try:
            value = plain_yaml.load(text) if text else ""
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ConfigError(f"{key} '{text}' is not YAML; put it in quotes") from error
        if wanted is float and type(value) is int:
            value = float(value)
        if wanted is str and not isinstance(value, str):
            value = text  # 12, on and {"a": 1} are texts as well
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise ConfigError(f"{key} '{text}' must be a {wanted.__name__}; correct it")
        known[key].check(value)
        settings[key] = value
    return settings
