"""What is shown of a tagger's answer, and the answers that are refused."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pika_emotion.errors import TagError
from pika_emotion.labels import Label, LabelSet, load_labels
from pika_emotion.tag import Tag

LABELS = LabelSet(
    (
        Label("glad", "pleased", "joy", 0.8, 0.5),
        Label("low", "not pleased", "sorrow", -0.4, 0.1),
        Label("idle", "nothing", "rest", 0.0, 0.0),
    )
)


def tag(scores=(0.5, 0.3, 0.2), celebrate=0.25, labels=LABELS):
    return Tag(labels, tuple(scores), celebrate, "mine")


def test_everything_shown_follows_from_the_distribution():
    assert tag().shown(0.25) == {
        "emotion": "glad",
        "confidence": 0.5,
        "celebrate": True,
        "celebrate_probability": 0.25,
        "labels": ["glad", "low", "idle"],
        "scores": [0.5, 0.3, 0.2],
        "valence": pytest.approx(0.5 * 0.8 - 0.3 * 0.4),
        "arousal": pytest.approx(0.5 * 0.5 + 0.3 * 0.1),
        "tagger": "mine",
    }


@pytest.mark.parametrize(
    ("celebrate", "threshold", "celebrates"),
    [(0.5, 0.5, True), (0.4999, 0.5, False), (1.0, 1.0, True), (0.0, 0.01, False)],
)
def test_the_celebration_begins_at_the_threshold(celebrate, threshold, celebrates):
    assert tag(celebrate=celebrate).celebrates(threshold) is celebrates


def test_the_first_of_equals_is_the_emotion():
    assert tag((0.2, 0.4, 0.4)).emotion == "low"


def test_the_neutral_answer_is_the_neutral_label_hardly_sure_and_no_celebration():
    neutral = Tag.neutral(LABELS, "reflex")
    assert neutral.emotion == "idle"
    assert neutral.scores == pytest.approx((0.25, 0.25, 0.5))
    assert neutral.celebrate == 0.0
    assert neutral.tagger == "reflex"


def test_a_rounding_error_is_mended():
    mended = tag((0.5004, 0.3, 0.2), celebrate=1.0004)
    assert math.fsum(mended.scores) == pytest.approx(1.0, abs=1e-12)
    assert mended.celebrate == 1.0
    assert tag(celebrate=1.001).celebrate == 1.0


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_numpys_numbers_become_pythons(kind):
    shown = tag(np.array([0.5, 0.25, 0.25], kind), kind(0.75)).shown(0.5)
    assert json.loads(json.dumps(shown)) == shown
    assert shown["celebrate"] is True


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ((), "0 scores for 3 labels from tagger 'mine'; it must give one for each label"),
        ((0.5, 0.5), "2 scores for 3 labels"),
        ((0.25,) * 4, "4 scores for 3 labels"),
        ((math.nan, 0.5, 0.5), "nan from tagger 'mine' is not a probability; it must give finite"),
        ((math.inf, 0.0, 0.0), "inf from tagger 'mine' is not a probability"),
        ((-0.1, 0.6, 0.5), "-0.1 from tagger 'mine' is not a probability"),
        ((1.5, 0.0, 0.0), "1.5 from tagger 'mine' is not a probability"),
        ((0.5, 0.3, 0.1), "scores of tagger 'mine' sum to 0.9; they must sum to 1"),
        ((0.5, 0.5, 0.0011), "sum to 1.001; they must sum to 1"),
        ((0.0, 0.0, 0.0), "sum to 0; they must sum to 1"),
    ],
)
def test_scores_that_are_no_distribution_are_refused(scores, message):
    with pytest.raises(TagError, match=message):
        tag(scores)


@pytest.mark.parametrize("celebrate", [math.nan, -math.inf, math.inf, -0.01, 1.01])
def test_a_celebration_that_is_no_probability_is_refused(celebrate):
    with pytest.raises(TagError, match=f"{celebrate} from tagger 'mine' is not a probability"):
        tag(celebrate=celebrate)


WEIGHTS = st.lists(st.floats(0.0, 1.0), min_size=17, max_size=17).filter(lambda w: sum(w) > 0.1)


@given(WEIGHTS, st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_what_is_shown_keeps_within_the_messages_limits(weights, celebrate, threshold):
    labels = load_labels()
    scores = [weight / math.fsum(weights) for weight in weights]
    shown = tag(scores, celebrate, labels).shown(threshold)
    assert shown["emotion"] in labels.names
    assert shown["confidence"] == max(shown["scores"])
    assert shown["scores"][labels.names.index(shown["emotion"])] == shown["confidence"]
    assert math.fsum(shown["scores"]) == pytest.approx(1.0, abs=1e-9)
    assert -1.0 <= shown["valence"] <= 1.0
    assert 0.0 <= shown["arousal"] <= 1.0
    assert shown["celebrate"] is (celebrate >= threshold)
