"""A teacher's answers about turns, kept in a file as they come, so that a broken run goes on later.

The file has a line of JSON an answer, found by a hash of the turn and of what the teacher is; it
has nobody's words.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from pika_emotion.calibration import key_of
from pika_emotion.dialogue import Turn
from pika_emotion.errors import ConfigError, TagError, TaggerError
from pika_emotion.labels import LabelSet
from pika_emotion.tag import Tag
from pika_emotion.taggers import Tagger

_PATIENCE_S = 60.0
# So many turns in a row without an answer are no accident.
GIVE_UP = 5
_START = '{"turn": '


class Answers:
    """A loaded teacher's answers.

    Args:
        teacher: who is asked what the file does not know.
        labels: what it answers with.
        file: where the answers are kept; may be missing.

    Raises:
        ConfigError: the file is something else, or cannot be read.
    """

    def __init__(self, teacher: Tagger, labels: LabelSet, file: Path) -> None:
        self._teacher = teacher
        self._labels = labels
        self._file = file
        # Another model, prompt or label set answers otherwise, and so does another card.
        card = teacher.describe().get("calibration", "")
        self._who = (key_of(teacher, labels).short, card)
        self._failed = 0
        self._torn = False  # whether the last line was cut short
        self._known = self._read()

    def ask(self, turns: Sequence[Turn], advance: Callable[[], None]) -> list[Tag | None]:
        """Return the answer about each turn; None where the teacher has none.

        ``advance`` is called after each.

        Raises:
            TaggerError: the teacher fails again and again.
            ConfigError: the file cannot be written.
        """
        tags: list[Tag | None] = []
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as file:
                file.write("\n" * self._torn)
                for turn in turns:
                    name = self._name(turn)
                    tags.append(self._known.get(name) or self._ask(turn, name, file))
                    advance()
        except OSError as error:
            raise ConfigError(
                f"answers cannot be kept in '{self._file}' ({error}); "
                "name a file that can be written with --cache"
            ) from error
        return tags

    def _ask(self, turn: Turn, name: str, file: TextIO) -> Tag | None:
        try:
            tag = self._teacher.tag(turn, time.monotonic() + _PATIENCE_S)
        except TaggerError as error:
            self._failed += 1
            if self._failed == GIVE_UP:
                raise TaggerError(
                    f"{self._teacher.name} gave no answer {GIVE_UP} times in a row ({error}); "
                    f"mend that and run this again: it goes on from '{self._file}'"
                ) from error
            return None
        self._failed = 0
        self._known[name] = tag
        line = {"turn": name, "scores": tag.scores, "celebrate": tag.celebrate}
        file.write(json.dumps(line) + "\n")
        file.flush()
        return tag

    def _name(self, turn: Turn) -> str:
        parts = (*self._who, turn.question, turn.child, turn.reply, turn.event)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _read(self) -> dict[str, Tag]:
        try:
            text = self._file.read_text(encoding="utf-8") if self._file.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise self._foreign(type(error).__name__) from error
        known, lines = {}, text.splitlines()
        if lines and not _START.startswith(lines[0][: len(_START)]):
            raise self._foreign("it holds something else")
        for line in lines:
            # One that was cut short, or is another label set's, is not known.
            with contextlib.suppress(ValueError, KeyError, TypeError, TagError):
                cells = json.loads(line)
                scores = tuple(cells["scores"])
                known[cells["turn"]] = Tag(
                    self._labels, scores, cells["celebrate"], self._teacher.name
                )
        self._torn = bool(text) and not text.endswith("\n")
        return known

    def _foreign(self, problem: str) -> ConfigError:
        return ConfigError(
            f"'{self._file}' is no file of a teacher's answers ({problem}); "
            "name another with --cache, or delete it"
        )
