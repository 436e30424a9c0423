"""Fits a calibration on labelled turns, and measures by resampling what it is worth.

Every fit here is one convex problem, a multinomial logistic regression with few coefficients,
solved by Newton's method. What is measured of a fit is measured on turns that it has not seen:
the turns are parted by scenario, and each part is answered by a fit to the other parts.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from pika_emotion.calibration import Doubles, Fit, Mix, Scale
from pika_emotion.errors import CalibrationError
from pika_emotion.logits import softmax
from pika_emotion.resampling import Answers, Bools, Gold, Integers, interval, measure, resample

FOLDS = 5
FEWEST_ROWS = 50
# How far a class prior may go: as if a normal distribution of deviation 0.5 were known of it.
PRIOR_RIDGE = 4.0
# A temperature may be 100 at most: a tagger that knows nothing is made flat, never turned round.
LEAST_SLOPE = 0.01


def solve(
    inputs: Doubles, targets: Doubles, centre: Doubles, ridge: Doubles, low: Doubles
) -> Doubles:
    """Fit a multinomial logistic regression whose logits are ``inputs @ coefficients``.

    Args:
        inputs: N rows of K classes of J.
        targets: N rows of K, what the probabilities should be.
        centre, ridge: J each: coefficients are pulled towards ``centre`` by ``ridge``.
        low: J, the least that each coefficient may be.
    """
    fixed = np.zeros(len(centre), np.bool_)
    while True:
        found = _newton(inputs, targets, centre, ridge, np.where(fixed, low, np.nan))
        under = np.where(fixed, 0.0, low - found)
        if under.max() <= 0:
            return found
        fixed[int(under.argmax())] = True


def _newton(
    inputs: Doubles, targets: Doubles, centre: Doubles, ridge: Doubles, held: Doubles
) -> Doubles:
    """Solve with the coefficients where ``held`` is a number held at it."""
    free = np.isnan(held)

    def loss(at: Doubles) -> float:
        logits = inputs @ at
        top = logits.max(axis=1, keepdims=True)
        whole = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
        fit = (targets.sum(axis=1) * whole).sum() - (targets * logits).sum()
        return float(fit + 0.5 * (ridge * (at - centre) ** 2).sum())

    at = np.where(free, centre, held)
    value = loss(at)
    for _ in range(100):
        chances = softmax(inputs @ at)
        slope = np.einsum("nk,nkj->j", chances - targets, inputs) + ridge * (at - centre)
        mean = np.einsum("nk,nkj->nj", chances, inputs)
        weighted = (np.sqrt(chances)[:, :, None] * inputs).reshape(-1, len(at))
        curve = weighted.T @ weighted - mean.T @ mean + np.diag(ridge)
        step = np.zeros(len(at))
        step[free] = np.linalg.solve(curve[np.ix_(free, free)], slope[free])
        gain, size = float(slope @ step), 1.0
        while gain > 1e-9 and loss(at - size * step) > value - 1e-4 * size * gain and size > 1e-8:
            size /= 2
        if gain <= 1e-9 or size <= 1e-8:
            return at
        at = at - size * step
        value = loss(at)
    return at


def fit_scale(logits: Doubles, right: Integers) -> Scale:
    """Fit a tagger's temperature and class prior to the labels' indices."""
    count = logits.shape[1]
    classes = np.broadcast_to(np.eye(count), (len(logits), count, count))
    found = solve(
        np.concatenate([logits[:, :, None], classes], axis=2),
        np.eye(count)[right],
        np.array([1.0] + [0.0] * count),
        np.array([1.0] + [PRIOR_RIDGE] * count),
        np.array([LEAST_SLOPE] + [-np.inf] * count),
    )
    return Scale(1.0 / float(found[0]), tuple(found[1:].tolist()))


def fit_line(logits: Doubles, yes: Bools) -> Scale:
    """Fit celebrate's temperature and prior (Platt 1999) to what was right."""
    found = solve(
        _two(np.stack([logits, np.ones(len(logits))], axis=-1)),
        np.stack([~yes, yes], axis=1).astype(np.float64),
        np.array([1.0, 0.0]),
        np.array([1.0, 1.0]),
        np.array([LEAST_SLOPE, -np.inf]),
    )
    return Scale(1.0 / float(found[0]), (float(found[1]),))


def fit_mix(primary: Doubles, reflex: Doubles, targets: Doubles) -> Mix:
    """Fit the pool of two taggers' logits, N rows of K each, to the targets."""
    found = solve(
        np.stack([primary, reflex], axis=-1), targets, np.full(2, 0.5), np.ones(2), np.zeros(2)
    )
    whole = float(found.sum())
    return Mix(float(found[1]) / whole if whole > 0 else 0.5, whole)


def _two(inputs: Doubles) -> Doubles:
    """Return inputs of a yes-or-no question as those of two classes, no and yes."""
    return np.stack([np.zeros_like(inputs), inputs], axis=1)


def fit_scales(answers: Answers, gold: Gold, rows: Bools) -> tuple[Scale, Scale]:
    """Fit both corrections to some of the rows."""
    judged = rows & gold.judged
    return (
        fit_scale(answers.emotion[rows], gold.primary[rows]),
        fit_line(answers.celebrate[judged], gold.yes[judged]),
    )


def fit_mixes(own: Answers, reflex: Answers, gold: Gold, rows: Bools) -> tuple[Mix, Mix]:
    """Fit both pools of corrected answers with the reflex's to some of the rows."""
    judged, count = rows & gold.judged, own.emotion.shape[1]
    yes = gold.yes[judged]
    two = [_two(answers.celebrate[judged]) for answers in (own, reflex)]
    return (
        fit_mix(own.emotion[rows], reflex.emotion[rows], np.eye(count)[gold.primary[rows]]),
        fit_mix(two[0], two[1], np.stack([~yes, yes], axis=1).astype(np.float64)),
    )


def _unseen(gold: Gold, answer: Callable[[Bools, Bools], Answers]) -> Answers:
    """Answer each part by a fit to the others: ``answer(rows to fit to, rows to answer)``."""
    emotion = np.zeros(gold.acceptable.shape)
    celebrate = np.zeros(len(gold.primary))
    for fold in range(FOLDS):
        outside = fold_of(gold) == fold
        found = answer(~outside, outside)
        emotion[outside], celebrate[outside] = found.emotion, found.celebrate
    return Answers(emotion, celebrate)


def check_enough(gold: Gold) -> None:
    """See that there are rows to fit anything on.

    Raises:
        CalibrationError: they are too few, or all alike.
    """
    rows, scenes = len(gold.primary), int(gold.scene.max()) + 1
    wanted, sure = int(gold.yes.sum()), int(gold.judged.sum())
    if rows < FEWEST_ROWS or scenes < FOLDS or not 0 < wanted < sure:
        raise CalibrationError(
            f"{rows} turns of {scenes} scenarios, celebrate {wanted} times yes and "
            f"{sure - wanted} times no, are too few to calibrate on; give at least "
            f"{FEWEST_ROWS} turns of {FOLDS} scenarios with both, such as the dev split"
        )


def fold_of(gold: Gold) -> Integers:
    """Return which part each row belongs to; a scenario's rows are in one."""
    return np.asarray(gold.scene % FOLDS)


def fit(own: Answers, reflex: Answers, gold: Gold) -> tuple[Fit, dict[str, Answers]]:
    """Fit to all rows; also return the answers to measure, each by a fit that had not seen it."""

    def corrected(inside: Bools, outside: Bools) -> Answers:
        emotion, celebrate = fit_scales(own, gold, inside)
        return Answers(emotion(own.emotion[outside]), celebrate(own.celebrate[outside]))

    def pooled(inside: Bools, outside: Bools) -> Answers:
        emotion, celebrate = fit_mixes(calibrated, reflex, gold, inside)
        one, two = calibrated.take(outside), reflex.take(outside)
        return Answers(emotion(one.emotion, two.emotion), celebrate(one.celebrate, two.celebrate))

    everything = np.ones(len(gold.primary), np.bool_)
    calibrated = _unseen(gold, corrected)
    measured = {"tagger": own, "calibrated": calibrated, "reflex": reflex}
    measured["pool"] = _unseen(gold, pooled)
    # The pool's weight is fitted to answers that the correction had not seen, so that it does not
    # trust the corrected tagger more than it is worth.
    mixes = fit_mixes(calibrated, reflex, gold, everything)
    return Fit(*fit_scales(own, gold, everything), *mixes), measured


def summarize(
    measured: dict[str, Answers], gold: Gold, threshold: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a card's ``metrics`` and ``differences``; all over the same resamples."""
    counts = resample(gold)
    found = {who: measure(answers, gold, counts, threshold) for who, answers in measured.items()}
    metrics = {
        who: {name: interval(v) for name, v in values.items()} for who, values in found.items()
    }
    differences = {
        f"{one} - {two}": {n: interval(found[one][n] - found[two][n]) for n in found[one]}
        for one, two in (("calibrated", "reflex"), ("pool", "reflex"), ("pool", "calibrated"))
    }
    return metrics, differences
