"""Fits are known where the truth is: taggers made from it, and bent in known ways."""

import numpy as np
import pytest

from pika_emotion import evaluation, fitting, resampling
from pika_emotion.calibration import Mix, Scale
from pika_emotion.corpus import Row
from pika_emotion.dialogue import Turn
from pika_emotion.errors import CalibrationError
from pika_emotion.logits import sigmoid, softmax
from pika_emotion.resampling import RESAMPLES, Answers, Gold, interval, measure, resample
from pika_emotion.tag import Tag

K = 5


def gold(labels, yes=None, scenes=None, acceptable=None):
    count = len(labels)
    right = np.eye(K, dtype=bool)[labels] if acceptable is None else acceptable
    yes = np.zeros(count, bool) if yes is None else yes
    scenes = np.arange(count) if scenes is None else scenes
    return Gold(np.asarray(labels), right, yes, np.ones(count, bool), scenes)


def honest(count, seed=1, spread=2.0):
    """Logits that mean what they say, and labels drawn by them."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, spread, (count, K))
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    chances = softmax(logits)
    labels = (chances.cumsum(axis=1) < draw.random((count, 1))).sum(axis=1)
    return logits, labels


def numeric_slope(loss, at):
    eye = np.eye(len(at)) * 1e-5
    return np.array([(loss(at + e) - loss(at - e)) / 2e-5 for e in eye])


def test_the_solver_finds_where_the_slope_is_nothing():
    draw = np.random.default_rng(0)
    inputs, right = draw.normal(size=(40, 3, 4)), draw.integers(0, 3, 40)
    targets, centre, ridge = np.eye(3)[right], draw.normal(size=4), np.full(4, 0.7)
    found = fitting.solve(inputs, targets, centre, ridge, np.full(4, -np.inf))

    def loss(at):
        fit = -(targets * np.log(softmax(inputs @ at))).sum()
        return fit + 0.5 * (ridge * (at - centre) ** 2).sum()

    assert np.abs(numeric_slope(loss, found)).max() < 1e-3
    bounded = fitting.solve(inputs, targets, centre, ridge, found + np.array([1, -9, -9, -9]))
    assert bounded[0] == found[0] + 1
    slope = numeric_slope(loss, bounded)
    assert slope[0] > 0
    assert np.abs(slope[1:]).max() < 1e-3


def test_a_solution_that_must_be_bounded_everywhere_is_at_its_bounds():
    inputs = -np.eye(2)[None].repeat(50, 0)
    targets = np.eye(2)[np.arange(50) % 2 * 0]
    found = fitting.solve(inputs, targets, np.full(2, 0.5), np.ones(2), np.zeros(2))
    assert found.min() >= 0


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_a_bent_temperature_and_prior_are_found(temperature):
    logits, labels = honest(4000)
    prior = np.array([0.6, -0.3, 0.0, -0.6, 0.3])
    # Bent so that dividing by the temperature and adding the prior bends it back.
    bent = softmax((logits - prior) * temperature)
    found = fitting.fit_scale(np.log(bent), labels)
    assert found.temperature == pytest.approx(temperature, rel=0.08)
    assert np.asarray(found.prior) - np.mean(found.prior) == pytest.approx(prior, abs=0.15)


def test_a_bent_celebrate_is_found():
    draw = np.random.default_rng(3)
    logit = draw.normal(0, 2, 4000)
    yes = draw.random(4000) < sigmoid(logit)
    found = fitting.fit_line(2.5 * (logit - 0.8), yes)
    assert found.temperature == pytest.approx(2.5, rel=0.08)
    assert found.prior == pytest.approx((0.8,), abs=0.15)


def test_a_perfect_celebrate_stays_finite():
    yes = np.arange(100) % 2 == 0
    found = fitting.fit_line(np.where(yes, 5.0, -5.0), yes)
    assert 0 < found.temperature < 1
    assert np.isfinite(found.prior).all()


@pytest.mark.parametrize("opposite", [False, True])
def test_a_tagger_that_knows_nothing_or_the_opposite_is_made_flat(opposite):
    logits, labels = honest(2000)
    noise = np.random.default_rng(9).normal(0, 2, logits.shape)
    useless = -logits if opposite else noise
    found = fitting.fit_scale(useless, labels)
    assert found.temperature > 20
    assert softmax(found(useless)).max() < 0.35


def test_two_who_know_different_things_are_weighed_alike_and_add_up():
    draw = np.random.default_rng(4)
    labels = draw.integers(0, K, 4000)
    # Likelihoods of two independent observations of the label.
    one, two = (np.eye(K)[labels] + draw.normal(0, 1, (4000, K)) for _ in range(2))
    mix = fitting.fit_mix(one, two, np.eye(K)[labels])
    assert mix.reflex == pytest.approx(0.5, abs=0.05)
    assert mix.sharpness == pytest.approx(2.0, rel=0.08)
    pooled = softmax(mix(one, two)).argmax(axis=1)
    assert (pooled == labels).mean() > (one.argmax(axis=1) == labels).mean() + 0.1


def test_noise_gets_no_weight():
    logits, labels = honest(4000)
    noise = np.random.default_rng(5).normal(0, 2, logits.shape)
    targets = np.eye(K)[labels]
    assert fitting.fit_mix(noise, logits, targets).reflex > 0.97
    assert fitting.fit_mix(logits, noise, targets).reflex < 0.03


def test_two_who_are_wrong_together_are_not_trusted():
    logits, labels = honest(500)
    assert fitting.fit_mix(-logits, -logits, np.eye(K)[labels]) == Mix(0.5, 0.0)


# What is measured.


def answers(seed=1, count=400, quality=1.0):
    draw = np.random.default_rng(seed + 1000)
    logits, labels = honest(count, seed)
    noise = draw.normal(0, 2, logits.shape)
    yes = draw.random(count) < 0.4
    celebrate = quality * np.where(yes, 1.5, -1.5) + draw.normal(0, 1, count)
    return Answers(quality * logits + (1 - quality) * noise, celebrate), labels, yes


def test_the_measures_are_those_of_evaluate(labels):
    draw = np.random.default_rng(0)
    names, rows, tags = labels.names, [], []
    for number in range(300):
        good = draw.permutation(len(names))[: 1 + number % 3]
        turn = Turn(f"q{number % 40}", "c", "r")
        word = ("yes", "no", "either")[number % 3]
        rows.append(Row(turn, tuple(names[i] for i in good), word))
        tags.append(Tag(labels, tuple(draw.dirichlet([0.2] * len(names))), draw.random(), "t"))
    truth = Gold.of(rows, names)
    found = measure(Answers.of(tags), truth, resample(truth), 0.5)
    shown = evaluation.measure("t", rows, tags, [], 0.5).shown()
    for name, values in found.items():
        assert values.shape == (RESAMPLES + 1,)
        if not name.endswith("nll"):
            assert values[0] == pytest.approx(shown[name], abs=1e-6), name


def test_an_interval_holds_the_truth_about_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(resampling, "RESAMPLES", 300)
    held = 0
    for seed in range(100):
        draw = np.random.default_rng(seed)
        labels = draw.integers(0, K, 150)
        given = np.where(draw.random(150) < 0.7, labels, (labels + 1) % K)
        truth = gold(labels, yes=draw.random(150) < 0.5)
        own = Answers(5.0 * np.eye(K)[given], np.zeros(150))
        values = measure(own, truth, resample(truth), 0.5)["emotion_primary"]
        _, low, high = interval(values)
        held += low <= 0.7 <= high
    assert 86 <= held <= 100


def test_turns_of_one_scenario_count_as_one_piece_of_evidence():
    own, labels, yes = answers(count=400)
    same = np.repeat(np.arange(20), 20)
    alike = Answers(np.repeat(own.emotion[:20], 20, 0), np.repeat(own.celebrate[:20], 20))
    widths = []
    for scenes in (same, np.arange(400)):
        truth = gold(np.repeat(labels[:20], 20), np.repeat(yes[:20], 20), scenes)
        values = measure(alike, truth, resample(truth), 0.5)["emotion_primary"]
        _, low, high = interval(values)
        widths.append(high - low)
    assert widths[0] > 3 * widths[1]


def test_what_is_measured_was_fitted_to_other_scenarios():
    # Scenarios whose labels no other one has: seen, their prior helps; unseen, it cannot.
    labels = np.repeat(np.arange(K), 40)
    truth = gold(labels, yes=np.arange(200) % 2 == 0, scenes=labels)
    nothing = Answers(np.zeros((200, K)), np.zeros(200))
    found, measured = fitting.fit(nothing, nothing, truth)
    assert np.abs(found.emotion.prior).max() < 1e-6
    right = measured["calibrated"].emotion.argmax(axis=1) == labels
    assert right.mean() == 0


def test_a_fit_makes_an_overconfident_tagger_honest_without_changing_what_it_says():
    logits, labels = honest(1500)
    yes = np.random.default_rng(1).random(1500) < 0.5
    truth = gold(labels, yes)
    own = Answers(4 * logits, np.where(yes, 1.0, -1.0))
    found, measured = fitting.fit(own, own, truth)
    metrics, _ = fitting.summarize(measured, truth, 0.5)
    assert found.emotion.temperature == pytest.approx(4, rel=0.15)
    assert metrics["tagger"]["ece"][0] > 0.15
    assert metrics["calibrated"]["ece"][0] < 0.05
    change = metrics["calibrated"]["emotion_primary"][0] - metrics["tagger"]["emotion_primary"][0]
    assert abs(change) < 0.02


@pytest.mark.parametrize(("own", "other", "sign"), [(0.2, 1.0, -1), (1.0, 0.2, 1), (1.0, 1.0, 0)])
def test_the_difference_of_two_taggers_of_known_quality(own, other, sign):
    one, labels, yes = answers(count=800, quality=own)
    two = answers(count=800, quality=other)[0]
    truth = gold(labels, yes)
    _, measured = fitting.fit(one, two, truth)
    _, differences = fitting.summarize(measured, truth, 0.5)
    mean, low, high = differences["calibrated - reflex"]["emotion_acceptable"]
    assert low <= mean <= high
    assert (sign < 0) == (high < 0)
    assert (sign > 0) == (low > 0)
    assert differences["pool - reflex"]["emotion_nll"][0] < 0.02


def test_nothing_to_judge_by_is_none():
    assert interval(np.array([np.nan, 1.0])) is None


# Rows.


def rows(count=60, scenes=10, celebrate=("yes", "no")):
    return [
        Row(Turn("q", "c", str(i)), ("happy",), celebrate[i % len(celebrate)], f"s{i % scenes}")
        for i in range(count)
    ]


def test_a_scenarios_rows_are_in_one_part_and_the_parts_are_alike(labels):
    found = Gold.of(rows(100, 20), labels.names)
    fold = fitting.fold_of(found)
    assert all(len(set(fold[found.scene == scene])) == 1 for scene in range(20))
    assert np.bincount(fold).tolist() == [20] * 5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (rows(49), "49 turns of 10 scenarios"),
        (rows(60, 4), "of 4 scenarios"),
        (rows(celebrate=("yes",)), "celebrate 60 times yes and 0 times no"),
        (rows(celebrate=("no", "either")), "0 times yes and 30 times no, are too few"),
    ],
)
def test_too_few_rows_are_refused(given, message, labels):
    with pytest.raises(CalibrationError, match=message):
        fitting.check_enough(Gold.of(given, labels.names))


def test_scale_and_mix_do_what_they_say():
    logits = np.array([[2.0, -4.0]])
    assert Scale(2.0, (0.5, 0.0))(logits).tolist() == [[1.5, -2.0]]
    assert Mix(0.25, 2.0)(logits, -logits).tolist() == [[2.0, -4.0]]
