"""What the prompt says, read from ``config/prompt.yaml``."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pika_emotion import files, resources
from pika_emotion.dialogue import Turn, make_turn
from pika_emotion.errors import PromptError

_LINES = ("task", "labels", "examples_title", "turn", "chat", "celebrate_yes", "celebrate_no")
_FIELDS = ("question", "child", "event", "reply")
_HEADS = ("emotion", "celebrate", "joint")
_EXAMPLE = (*_FIELDS, "emotion", "celebrate")
# What a chat template is given by this package.
_OURS = ("messages", "conversation", "tokenize", "add_generation_prompt")


@dataclass(frozen=True, slots=True)
class Example:
    """A turn with its right answer."""

    turn: Turn
    emotion: str
    celebrate: bool


@dataclass(frozen=True, slots=True)
class PromptText:
    """The prompt's texts; see ``config/prompt.yaml`` for what each one is."""

    task: str
    labels: str
    examples_title: str
    turn: str
    chat: str
    celebrate_yes: str
    celebrate_no: str
    fields: Mapping[str, str]
    heads: Mapping[str, str]
    template: Mapping[str, Any]
    examples: tuple[Example, ...]

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "PromptText":
        """Build it from what ``to_plain`` returned, after a way through JSON."""
        examples = tuple(Example(**{**e, "turn": Turn(**e["turn"])}) for e in plain["examples"])
        return cls(**{**plain, "examples": examples})

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        return asdict(self)


def load_prompt(path: str | Path | None = None) -> PromptText:
    """Read a prompt file; without a path, the package's own.

    Raises:
        PromptError: the file is missing, is not YAML, or something in it is missing or wrong.
    """
    # The worker's interpreter has this module, and needs no YAML.
    import yaml

    from pika_emotion import plain_yaml

    file = Path(path) if path else resources.find("config/prompt.yaml")
    try:
        content = plain_yaml.load(files.read_text(file))
    except (OSError, ValueError) as error:
        raise PromptError(
            f"prompt file '{file}' cannot be read ({error}); set the tagger's prompt_file to a "
            "readable UTF-8 file, or leave it empty for the default"
        ) from error
    except yaml.YAMLError as error:
        raise PromptError(f"prompt file '{file}' is not valid YAML ({error}); mend it") from error
    return _Reader(file).read(content)


class _Reader:
    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self, content: Any) -> PromptText:
        known = {*_LINES, "fields", "heads", "template", "examples"}
        root = self._mapping(content, "the file", known)
        examples = root.get("examples") or []
        if not isinstance(examples, list):
            raise self._error("'examples' must be a list; write one '- {…}' each")
        return PromptText(
            **{name: self._line(root, name) for name in _LINES},
            fields=self._lines(root, "fields", _FIELDS),
            heads=self._lines(root, "heads", _HEADS),
            template=self._template(root.get("template") or {}),
            examples=tuple(self._example(e, n) for n, e in enumerate(examples, 1)),
        )

    def _example(self, content: Any, number: int) -> Example:
        name = f"example {number}"
        example = self._mapping(content, name, set(_EXAMPLE))
        texts = {field: example.get(field, "") for field in (*_FIELDS, "emotion")}
        for field, text in texts.items():
            if not isinstance(text, str):
                raise self._error(f"{field} of {name} is not a text; put it in quotes")
        if not texts["reply"] or not texts["emotion"]:
            raise self._error(f"{name} must have a reply and an emotion; add them")
        if not isinstance(example.get("celebrate"), bool):
            raise self._error(f"celebrate of {name} must be true or false; correct it")
        turn = make_turn(texts["question"], texts["event"] or texts["child"], texts["reply"])
        turn = Turn(turn.question, turn.child, turn.reply, bool(texts["event"]))
        return Example(turn, texts["emotion"], example["celebrate"])

    def _template(self, content: Any) -> dict[str, Any]:
        if not isinstance(content, dict):
            raise self._error("'template' must be a mapping; write {name: value}")
        for key, value in content.items():
            plain = isinstance(value, bool | int | str)
            plain = plain or (isinstance(value, float) and math.isfinite(value))
            if not isinstance(key, str) or not plain:
                raise self._error(
                    f"'{key}' of 'template' must be a text, a number, true or false; correct it"
                )
            if key in _OURS:
                raise self._error(f"'{key}' of 'template' is always the same here; take it out")
        return dict(content)

    def _lines(self, root: Mapping[str, Any], name: str, parts: tuple[str, ...]) -> dict[str, str]:
        values = self._mapping(root.get(name), f"'{name}'", set(parts))
        return {part: self._line(values, part) for part in parts}

    def _line(self, values: Mapping[str, Any], name: str) -> str:
        text = values.get(name)
        if not isinstance(text, str) or not text.strip() or "\n" in text.strip():
            raise self._error(f"'{name}' must be one line of text; write it in quotes")
        return text.strip() if name not in _FIELDS else text

    def _mapping(self, content: Any, name: str, known: set[str]) -> dict[str, Any]:
        if not isinstance(content, dict):
            raise self._error(f"{name} must be a mapping with {', '.join(sorted(known))}")
        for key in content:
            if key not in known:
                raise self._error(f"unknown '{key}' in {name}; it has {', '.join(sorted(known))}")
        return content

    def _error(self, problem: str) -> PromptError:
        return PromptError(f"prompt file '{self._file}': {problem}")
