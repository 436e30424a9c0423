"""Whatever numbers a tagger gives, a tag sums to 1 or is refused; a message carries all of it."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pika_emotion.msg import EmotionTag
from rclpy.serialization import deserialize_message, serialize_message

from pika_emotion.errors import TagError
from pika_emotion.labels import load_labels
from pika_emotion.tag import Tag

LABELS = load_labels()
NUMBERS = st.one_of(
    st.floats(),
    st.floats(0, 1),
    st.integers(),
    st.booleans(),
    st.floats(width=32).map(np.float32),
    st.sampled_from([0.0, -0.0, 1.0, 1.0005, 5e-324, math.nan, math.inf, 10**400]),
)
MANY = st.lists(NUMBERS, min_size=len(LABELS), max_size=len(LABELS)) | st.lists(NUMBERS)
# Near enough to a distribution that some rounding error is mended.
NEARLY = st.tuples(
    st.lists(st.floats(1e-9, 1), min_size=len(LABELS), max_size=len(LABELS)),
    st.floats(0.998, 1.002),
).map(lambda drawn: [weight * drawn[1] / math.fsum(drawn[0]) for weight in drawn[0]])


@given(MANY | NEARLY, NUMBERS, st.floats(0, 1))
@example([1.0] + [0.0] * 16, -0.0, 0.0)
@example([1.0005] + [0.0] * 16, 1.0009, 1.0)
@example([-0.0] * 16 + [True], True, 1.0)
def test_any_numbers_make_a_tag_that_a_message_carries_or_none(scores, celebrate, threshold):
    try:
        tag = Tag(LABELS, tuple(scores), celebrate, "mine")
    except TagError:
        return
    assert math.isclose(math.fsum(tag.scores), 1.0, abs_tol=1e-9)
    assert all(type(score) is float and 0 <= score <= 1 for score in tag.scores)
    assert 0 <= tag.celebrate <= 1
    shown = tag.shown(threshold)
    came = deserialize_message(serialize_message(EmotionTag(**shown)), EmotionTag)
    assert came.tagger == "mine"
    assert list(came.scores) == pytest.approx(shown["scores"], abs=1e-6)
    assert came.emotion in came.labels
    assert list(came.labels) == list(LABELS.names)
    assert came.emotion == LABELS.names[max(range(17), key=lambda i: tag.scores[i])]
    assert math.fsum(came.scores) == pytest.approx(1.0, abs=1e-5)
    assert came.celebrate is (tag.celebrate >= threshold)
    assert -1 <= came.valence <= 1
    assert 0 <= came.arousal <= 1


@given(NEARLY)
def test_what_is_near_enough_to_a_distribution_is_taken(scores):
    total = math.fsum(scores)
    if abs(total - 1) > 0.00099:
        return
    tag = Tag(LABELS, tuple(scores), 0.5, "mine")
    assert tag.emotion == LABELS.names[int(np.argmax(scores))]
    assert math.isclose(math.fsum(tag.scores), 1.0, abs_tol=1e-9)
