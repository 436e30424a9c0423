"""What the node can be told: every parameter with its default, meaning and limits. Knows no ROS."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pika_emotion.dialogue import DEFAULT_EVENTS, DEFAULT_SILENCES
from pika_emotion.errors import ConfigError

# Above a half: celebrating what is not right is worse than missing what is.
CELEBRATE_THRESHOLD = 0.75

Value = bool | int | float | str | list[str]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter.

    Attributes:
        name: as in a parameter file.
        default: its value where nothing is set; its type is the parameter's.
        description: one line.
        low, high: the range of a number, both included.
        live: whether a change works while the node is configured; others are read-only.
        choices: the texts that it may be; empty where any will do.
    """

    name: str
    default: Value
    description: str
    low: float | None = None
    high: float | None = None
    live: bool = False
    choices: tuple[str, ...] = ()

    def accept(self, value: Any) -> Any:
        """Return a value that was given, as this parameter's type; a whole number is a float, too.

        Raises:
            ConfigError: it is of another type, or cannot work.
        """
        if type(self.default) is float and type(value) is int:
            value = float(value)
        if type(value) is not type(self.default):
            raise ConfigError(
                f"{self.name} {value!r} is a {type(value).__name__}; "
                f"set a {type(self.default).__name__}, such as {self.default!r}"
            )
        self.check(value)
        return value

    def check(self, value: Any) -> None:
        """Raise ConfigError, naming the value and what is allowed, if the value cannot work."""
        if self.low is not None and self.high is not None and not self.low <= value <= self.high:
            raise ConfigError(
                f"{self.name} {value!r} is out of range; set it from {self.low:g} to {self.high:g}"
            )
        if self.choices and value not in self.choices:
            *others, last = self.choices
            raise ConfigError(
                f"{self.name} {value!r} is not known; set {', '.join(others)} or {last}"
            )


CORE = (
    Parameter("tagger", "vllm", "who answers first: vllm, reflex, http, encoder or a module"),
    Parameter("autostart", True, "configure and activate by itself; false for a lifecycle manager"),
    Parameter(
        "deadline_ms", 50.0, "a tag is published this long after its reply at the latest, ms",
        low=1.0, high=60_000.0, live=True,
    ),
    Parameter(
        "publish_margin_ms", 5.0, "the primary's answer must be there this long before, ms",
        low=0.0, high=1_000.0, live=True,
    ),
    Parameter(
        "celebrate_threshold", CELEBRATE_THRESHOLD, "celebrate from this probability on",
        low=0.0, high=1.0, live=True,
    ),
    Parameter(
        "primary_slots", 4, "replies that the primary is asked about at once",
        low=1, high=64,
    ),
    Parameter("require_primary", False, "configure fails where the primary cannot load"),
    Parameter(
        "primary_load_timeout_s", 300.0, "how long configure waits with require_primary, s",
        low=0.1, high=3_600.0,
    ),
    Parameter("pool", False, "publish the primary's and the reflex's mix, as their card weighs it"),
    Parameter(
        "calibration", "",
        "the primary's card, or a folder of them; empty: your data folder; none: do without",
    ),
    Parameter("labels_file", "", "the label file; empty for the package's own"),
    Parameter(
        "turn_timeout_s", 30.0, "a reply this long after the last belongs to no question, s",
        low=0.1, high=86_400.0, live=True,
    ),
    Parameter(
        "session_timeout_s", 300.0, "a silence this long forgets the conversation, s",
        low=0.1, high=86_400.0, live=True,
    ),
    Parameter("events", list(DEFAULT_EVENTS), "transcripts that are events, regular expressions"),
    Parameter(
        "silences", list(DEFAULT_SILENCES), "transcripts that mean silence, regular expressions"
    ),
    Parameter("transcript.type", "std_msgs/msg/String", "message type of child/transcript"),
    Parameter("transcript.field", "", "its text field, dots inside; empty: data, text or final"),
    Parameter("reply.type", "std_msgs/msg/String", "message type of pika/reply and its partials"),
    Parameter("reply.field", "", "its text field, dots inside; empty: data, text or final"),
    Parameter("reply.id_field", "", "its id field; empty: id where the type has one"),
    Parameter("qos.depth", 100, "messages that the middleware keeps for us", low=1, high=100_000),
)  # fmt: skip


def refuse_unknown(names: Iterable[str], known: Iterable[str]) -> None:
    """Raise ConfigError for the first name that is no parameter, with the nearest that is."""
    known = list(known)
    for name in names:
        if name in known:
            continue
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "take it out"
        raise ConfigError(f"unknown parameter '{name}'; {hint}")


def check_together(values: Mapping[str, Any]) -> None:
    """Raise ConfigError where values cannot work together."""
    if values["publish_margin_ms"] >= values["deadline_ms"]:
        raise ConfigError(
            f"publish_margin_ms {values['publish_margin_ms']:g} leaves the primary no time before "
            f"deadline_ms {values['deadline_ms']:g}; set a smaller margin or a later deadline"
        )
