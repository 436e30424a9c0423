"""Whatever the primary does to each reply, each gets one answer, in order, and it is a tag."""

import math
import threading
import time

from conftest import StubReflex
from hypothesis import given
from hypothesis import strategies as st

from pika_emotion.deadline import DeadlineTagger, Source
from pika_emotion.dialogue import Dialogue, Message, Role
from pika_emotion.errors import TaggerBusyError, TaggerLateError, TaggerLoadingError
from pika_emotion.labels import load_labels
from pika_emotion.pipeline import Pipeline
from pika_emotion.tag import Tag

LABELS = load_labels()
SURE = (1.0, *[0.0] * (len(LABELS) - 1))
EXPECTED = {
    "answers": {Source.PRIMARY},
    "raises": {Source.ERROR},
    "exits": {Source.ERROR},
    "garbage": {Source.ERROR},
    "NaN": {Source.ERROR},
    "other labels": {Source.ERROR},
    "busy": {Source.OVERLOAD},
    "loading": {Source.LOADING},
    "late": {Source.DEADLINE},
    "waits": {Source.DEADLINE},
}
# Where the machine is slow, a reply may be overtaken by its deadline or find no slot free.
ALWAYS = {Source.DEADLINE, Source.OVERLOAD}


class Primary:
    """Does to each reply what its text says."""

    name = "primary"

    def __init__(self):
        self.released = threading.Event()

    def load(self):
        pass

    def prefill(self, turn):
        if "raises" in turn.child:
            raise ValueError(turn.child)

    def tag(self, turn, deadline):
        does = turn.reply
        raised = {
            "raises": ValueError(does),
            "exits": SystemExit(1),
            "busy": TaggerBusyError(""),
            "loading": TaggerLoadingError(""),
            "late": TaggerLateError(""),
        }
        if does in raised:
            raise raised[does]
        if does == "waits":
            self.released.wait(max(0.0, deadline - time.monotonic()) + 0.002)
        if does == "garbage":
            return {"emotion": does}
        if does == "NaN":
            return Tag(LABELS, (math.nan,) * len(LABELS), 0.0, self.name)
        if does == "other labels":
            return Tag(type(LABELS)(LABELS.labels[:2]), (1.0, 0.0), 0.0, self.name)
        return Tag(LABELS, SURE, 0.0, self.name)

    def close(self):
        self.released.set()


SCRIPTS = st.lists(
    st.tuples(st.sampled_from([*EXPECTED]), st.booleans(), st.integers(1, 6)), max_size=30
)


@given(SCRIPTS, st.integers(1, 4), st.floats(6, 30))
def test_every_reply_has_one_answer_in_order_with_its_reason(script, slots, deadline_ms):
    primary = Primary()
    tagger = DeadlineTagger(
        LABELS, StubReflex(LABELS), primary, deadline_ms=deadline_ms, slots=slots
    )
    tagger.start()
    tagger.wait_loaded(20)
    out, failures = [], []
    pipeline = Pipeline(Dialogue(), tagger, lambda m, a: out.append((m, a)), failures.append)
    pipeline.start()
    batch = []
    for number, (does, spoken, together) in enumerate(script):
        if spoken:
            batch.append(Message(Role.CHILD, does, 10 * number, time.monotonic()))
        batch.append(Message(Role.REPLY, does, 10 * number + 1, time.monotonic(), str(number)))
        if number % together == 0:
            pipeline.put(batch)
            batch = []
    pipeline.put(batch)
    pipeline.stop()
    tagger.close()
    assert [message.id for message, _ in out] == [str(n) for n in range(len(script))]
    for message, answer in out:
        assert answer.source in EXPECTED[message.text] | ALWAYS
        assert math.isclose(math.fsum(answer.tag.scores), 1.0)
        assert answer.tag.tagger == ("primary" if answer.source is Source.PRIMARY else "reflex")
    assert failures == []
