"""The robot's emotion vocabulary, read from ``config/labels.yaml``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from pika_emotion import files, plain_yaml, resources
from pika_emotion.errors import LabelError

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FIELDS = ("name", "description", "group", "valence", "arousal")
# Each one costs prompt, message and time; no robot has as many faces.
MOST_LABELS = 256


@dataclass(frozen=True, slots=True)
class Label:
    """One emotion that the robot can show.

    Attributes:
        name: what ``EmotionTag.emotion`` says; lower case, digits and underscores.
        description: one line, used in prompts.
        group: labels whose feeling is near share one.
        valence: -1 (unpleasant) to 1 (pleasant).
        arousal: 0 (quiet) to 1 (agitated).
    """

    name: str
    description: str
    group: str
    valence: float
    arousal: float


@dataclass(frozen=True, slots=True)
class LabelSet:
    """The labels in their order, which is the order of every distribution over them."""

    labels: tuple[Label, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The labels' names, in order."""
        return tuple(label.name for label in self.labels)

    @property
    def neutral(self) -> int:
        """Index of the label that shows least: ``idle`` if there is one."""
        if "idle" in self.names:
            return self.names.index("idle")
        return min(
            range(len(self)),
            key=lambda i: abs(self.labels[i].valence) + self.labels[i].arousal,
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[Label]:
        return iter(self.labels)


def load_labels(path: str | Path | None = None) -> LabelSet:
    """Read a label file; without a path, the package's own.

    Raises:
        LabelError: the file is missing, is not YAML, or a label in it is wrong; the message
            names the file, the line and the remedy.
    """
    file = Path(path) if path else resources.find("config/labels.yaml")
    try:
        text = files.read_text(file)
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or no path at all
        raise LabelError(
            f"label file '{file}' cannot be read ({error}); "
            "set labels_file to a readable UTF-8 file, or leave it empty for the default"
        ) from error
    try:
        root = yaml.compose(text, Loader=plain_yaml.PlainLoader)
    except yaml.YAMLError as error:
        line, problem = _where_and_what(error, text)
        raise LabelError(f"{file}:{line}: not valid YAML ({problem}); correct this line") from error
    return _Reader(file).label_set(root)


def _where_and_what(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return line, f"character U+{ord(text[error.position]):04X} is not allowed"
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return (mark.line + 1 if mark else 1), problem


class _Reader:
    """Builds labels from YAML nodes, which know their lines."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def label_set(self, root: yaml.Node | None) -> LabelSet:
        items = self._items(root)
        labels: list[Label] = []
        if len(items) > MOST_LABELS:
            raise self._error(root, f"{len(items)} labels; list at most {MOST_LABELS}")
        for item in items:
            label = self._label(item)
            if label.name in (known.name for known in labels):
                raise self._error(
                    item, f"label '{label.name}' is there twice; rename or drop one of the two"
                )
            labels.append(label)
        if len(labels) < 2:
            raise self._error(root, f"{len(labels)} labels; list at least two under 'labels:'")
        return LabelSet(tuple(labels))

    def _items(self, root: yaml.Node | None) -> list[yaml.Node]:
        if isinstance(root, yaml.MappingNode):
            for key, value in root.value:
                if key.value == "labels" and isinstance(value, yaml.SequenceNode):
                    return list(value.value)
        raise self._error(root, "no list 'labels:'; write 'labels:' and below it one '- {…}' each")

    def _label(self, node: yaml.Node) -> Label:
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, f"a label must be a mapping with {', '.join(_FIELDS)}")
        values: dict[str, yaml.Node] = {}
        for key, value in node.value:
            if key.value not in _FIELDS:
                raise self._error(
                    key, f"unknown field '{key.value}'; a label has {', '.join(_FIELDS)}"
                )
            if key.value in values:
                raise self._error(key, f"'{key.value}' is there twice; drop one of the two")
            values[key.value] = value
        for field in _FIELDS:
            if field not in values:
                raise self._error(node, f"label without '{field}'; add it")
        name = self._text(values["name"], "name")
        if not _NAME.fullmatch(name):
            raise self._error(
                values["name"],
                f"name '{name}' must be lower-case letters, digits and underscores, "
                "a letter first; rename it",
            )
        return Label(
            name=name,
            description=self._text(values["description"], "description"),
            group=self._text(values["group"], "group"),
            valence=self._number(values["valence"], "valence", -1.0),
            arousal=self._number(values["arousal"], "arousal", 0.0),
        )

    def _text(self, node: yaml.Node, field: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or not node.value.strip():
            raise self._error(node, f"{field} must be one line of text")
        text = str(node.value).strip()
        if "\n" in text:
            raise self._error(node, f"{field} must be one line; join its lines")
        return text

    def _number(self, node: yaml.Node, field: str, low: float) -> float:
        try:
            number = float(node.value)
        except (TypeError, ValueError):
            number = float("nan")
        if not low <= number <= 1.0:
            raise self._error(
                node, f"{field} '{node.value}' must be a number from {low:g} to 1; correct it"
            )
        return number

    def _error(self, node: yaml.Node | None, problem: str) -> LabelError:
        line = node.start_mark.line + 1 if node is not None else 1
        return LabelError(f"{self._file}:{line}: {problem}")
