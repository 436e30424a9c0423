"""A teacher's answers about turns, kept in a file as they come, so that a broken run goes on later.

The file has a line of JSON an answer, found by a hash of the turn and of what the teacher is; it
has nobody's words.
"""

import contextlib
import hashlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TextIO

from pika_emotion.calibration import key_of
from pika_emotion.dialogue import Turn
from pika_emotion.errors import (
    ConfigError,
    PikaEmotionError,
    TagError,
    TaggerBusyError,
    TaggerError,
    where,
)
from pika_emotion.labels import LabelSet
from pika_emotion.tag import Tag
from pika_emotion.taggers import Tagger

_PATIENCE_S = 60.0
# A teacher that has too much to do is asked again after so long.
_BUSY_PAUSE_S = 0.5
# So many turns in a row without an answer are no accident.
GIVE_UP = 5
_START = '{"turn": '


class Answers:
    """A loaded teacher's answers.

    Args:
        teacher: who is asked what the file does not know.
        labels: what it answers with.
        file: where the answers are kept; may be missing.
        at_once: how many turns the teacher is asked about at once, at most.

    Raises:
        ConfigError: the file is something else, or cannot be read.
    """

    def __init__(self, teacher: Tagger, labels: LabelSet, file: Path, at_once: int = 1) -> None:
        self._teacher = teacher
        self._labels = labels
        self._file = file
        self._at_once = at_once
        # Another model, prompt or label set answers otherwise, and so does another card.
        card = teacher.describe().get("calibration", "")
        self._who = (key_of(teacher, labels).short, card)
        self._failed = 0
        self._why = ""
        self._torn = False  # whether the last line was cut short
        self._known = self._read()

    def known(self, turns: Sequence[Turn]) -> int:
        """Return of how many turns the answer is there."""
        return sum(self._name(turn) in self._known for turn in turns)

    def ask(self, turns: Sequence[Turn], advance: Callable[[], None]) -> list[Tag | None]:
        """Return the answer about each turn; None where the teacher has none.

        Answers are kept in the order of the turns, however many are asked about at once.
        ``advance`` is called after each that the teacher was asked about.

        Raises:
            TaggerError: the teacher fails again and again, or has not answered at all.
            ConfigError: the file cannot be written.
        """
        tags: list[Tag | None] = []
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as file:
                file.write("\n" * self._torn)
                for turn, answer in self._answers(turns):
                    tags.append(self._taken(self._name(turn), answer, file))
                    if answer:
                        advance()
        except OSError as error:
            raise ConfigError(
                f"answers cannot be kept in '{self._file}' ({error}); "
                "name a file that can be written with --cache"
            ) from error
        if turns and not any(tags):
            raise self._silent(f"not one answer to {len(turns)} turns")
        return tags

    def _silent(self, what: str) -> TaggerError:
        return TaggerError(
            f"{self._teacher.name} gave {what} ({self._why}); "
            f"mend that and run this again: it goes on from '{self._file}'"
        )

    def _answers(self, turns: Sequence[Turn]) -> Iterator[tuple[Turn, "Future[Tag] | None"]]:
        """Yield each turn with its answer to come; None where the answer is known."""
        waiting: deque[tuple[Turn, Future[Tag] | None]] = deque()
        for turn in turns:
            known = self._name(turn) in self._known
            waiting.append((turn, None if known else self._asked(turn)))
            if len(waiting) >= self._at_once:
                yield waiting.popleft()
        yield from waiting

    def _asked(self, turn: Turn) -> "Future[Tag]":
        """Ask in a thread that, unlike a pool's, does not keep a program from ending."""
        answer: Future[Tag] = Future()

        def run() -> None:
            try:
                answer.set_result(self._ask(turn))
            except Exception as error:
                answer.set_exception(error)
            except BaseException as error:  # SystemExit's text would be printed as the program ends
                answer.set_exception(TaggerError(f"{where(error)}, inside a tagger"))

        threading.Thread(target=run, name="teacher", daemon=True).start()
        return answer

    def _ask(self, turn: Turn) -> Tag:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                tag = self._teacher.tag(turn, deadline)
            except TaggerBusyError:
                if time.monotonic() + _BUSY_PAUSE_S >= deadline:
                    raise
                time.sleep(_BUSY_PAUSE_S)
                continue
            if not isinstance(tag, Tag) or tag.labels != self._labels:
                raise TagError(f"a {type(tag).__name__} is no Tag over these labels")
            return tag

    def _taken(self, name: str, answer: "Future[Tag] | None", file: TextIO) -> Tag | None:
        """Wait for an answer and keep it."""
        if answer is None:
            return self._known[name]
        try:
            tag = answer.result()
        except Exception as error:  # a teacher of the user's may raise anything
            self._failed += 1
            # Another's message may quote what was said.
            self._why = str(error) if isinstance(error, PikaEmotionError) else where(error)
            if self._failed == GIVE_UP:
                raise self._silent(f"no answer {GIVE_UP} times in a row") from error
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
