"""Measures a tagger on labelled turns; ``Measures`` names what ``evaluate --json`` prints."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pika_emotion.corpus import Row
from pika_emotion.tag import Tag
from pika_emotion.taggers import Tagger

ECE_BINS = 10
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Measures:
    """What a tagger's answers are worth. A share of nothing is NaN.

    Attributes:
        n: rows.
        emotion_primary: share of rows whose emotion is the primary label.
        emotion_acceptable: share of rows whose emotion is one of the acceptable labels.
        emotion_macro_f1: mean over the labels that are primary somewhere of the F1 score against
            the primary label.
        celebrate_n: rows that are not ``either``; the next three are of them.
        celebrate_accuracy: share that is right.
        celebrate_precision: share of the tagger's yes that is right.
        celebrate_recall: share of the yes rows that the tagger found.
        either_yes_rate: share of the ``either`` rows that the tagger celebrates.
        ece: expected calibration error (Guo et al. 2017) of the confidence in the emotion
            against its being the primary label, 10 bins of equal width.
        latency_ms: 50th and 99th percentile of the time of one answer.
    """

    tagger: str
    n: int
    emotion_primary: float
    emotion_acceptable: float
    emotion_macro_f1: float
    celebrate_n: int
    celebrate_accuracy: float
    celebrate_precision: float
    celebrate_recall: float
    either_yes_rate: float
    ece: float
    latency_ms: dict[str, float]

    def shown(self) -> dict[str, Any]:
        """Return the measures as ``--json`` prints them: NaN becomes None."""
        return {
            name: None if isinstance(value, float) and np.isnan(value) else value
            for name, value in asdict(self).items()
        }


def tag_rows(tagger: Tagger, rows: Sequence[Row]) -> tuple[list[Tag], list[float]]:
    """Return the tagger's answers, one at a time, and how long each took, ms."""
    tags, times = [], []
    for row in rows:
        started = time.perf_counter()
        tags.append(tagger.tag(row.turn, time.monotonic() + _PATIENCE_S))
        times.append(1000 * (time.perf_counter() - started))
    return tags, times


def measure(
    tagger: str,
    rows: Sequence[Row],
    tags: Sequence[Tag],
    times_ms: Sequence[float],
    threshold: float,
) -> Measures:
    """Compare answers with rows, of which there must be at least one."""
    primary = [row.emotions[0] for row in rows]
    given = [tag.emotion for tag in tags]
    right = np.array([a == b for a, b in zip(primary, given, strict=True)])
    yes = np.array([tag.celebrates(threshold) for tag in tags])
    told = np.array([row.celebrate for row in rows])
    judged, wanted = told != "either", told == "yes"
    p50, p99 = np.percentile(times_ms, (50, 99)) if len(times_ms) else (np.nan, np.nan)
    return Measures(
        tagger=tagger,
        n=len(rows),
        emotion_primary=_mean(right),
        emotion_acceptable=_mean(
            np.array([tag in row.emotions for tag, row in zip(given, rows, strict=True)])
        ),
        emotion_macro_f1=_mean(
            np.array([score.f1 for score in label_scores(rows, tags) if score.rows])
        ),
        celebrate_n=int(judged.sum()),
        celebrate_accuracy=_mean((yes == wanted)[judged]),
        celebrate_precision=_mean(wanted[judged & yes]),
        celebrate_recall=_mean(yes[wanted]),
        either_yes_rate=_mean(yes[~judged]),
        ece=calibration_error([tag.confidence for tag in tags], right.tolist()),
        latency_ms={"p50": round(float(p50), 3), "p99": round(float(p99), 3)},
    )


@dataclass(frozen=True, slots=True)
class LabelScore:
    """How one label fares.

    Attributes:
        label: its name.
        rows: rows whose primary label it is.
        given: rows that the tagger gave it to.
        acceptable: share of those given to where it is acceptable.
        precision, recall, f1: against the primary label; 0 where there is nothing.
    """

    label: str
    rows: int
    given: int
    acceptable: float
    precision: float
    recall: float
    f1: float


def label_scores(rows: Sequence[Row], tags: Sequence[Tag]) -> list[LabelScore]:
    """Return the scores of each label of the tags' label set, in its order."""
    scores = []
    for name in tags[0].labels.names:
        wanted = [row.emotions[0] == name for row in rows]
        given = [tag.emotion == name for tag in tags]
        hits = sum(w and g for w, g in zip(wanted, given, strict=True))
        fine = sum(g and name in row.emotions for row, g in zip(rows, given, strict=True))
        precision = hits / sum(given) if any(given) else 0.0
        recall = hits / sum(wanted) if any(wanted) else 0.0
        total = sum(wanted) + sum(given)
        scores.append(
            LabelScore(
                label=name,
                rows=sum(wanted),
                given=sum(given),
                acceptable=fine / sum(given) if any(given) else 0.0,
                precision=precision,
                recall=recall,
                f1=2 * hits / total if total else 0.0,
            )
        )
    return scores


@dataclass(frozen=True, slots=True)
class ContrastScore:
    """How celebrate fares on the pairs of one kind: a yes and a no that differ in little.

    Attributes:
        kind: what the pairs differ in.
        pairs: how many there are.
        both: share of the pairs with both turns right.
        missed: share of the yes turns that got no.
        false: share of the no turns that got yes.
    """

    kind: str
    pairs: int
    both: float
    missed: float
    false: float


def contrast_scores(
    rows: Sequence[Row], tags: Sequence[Tag], threshold: float
) -> list[ContrastScore]:
    """Return the scores of each kind of contrast pair among the rows, by name."""
    wrong: dict[str, dict[str, bool]] = {}
    for row, tag in zip(rows, tags, strict=True):
        if row.contrast and row.celebrate != "either":
            turns = wrong.setdefault(row.contrast, {})
            turns[row.celebrate] = tag.celebrates(threshold) != (row.celebrate == "yes")
    kinds: dict[str, list[dict[str, bool]]] = {}
    for name, turns in wrong.items():
        if len(turns) == 2:
            kinds.setdefault(name.partition(":")[0], []).append(turns)
    return [
        ContrastScore(
            kind,
            len(pairs),
            _mean(np.array([not any(pair.values()) for pair in pairs])),
            _mean(np.array([pair["yes"] for pair in pairs])),
            _mean(np.array([pair["no"] for pair in pairs])),
        )
        for kind, pairs in sorted(kinds.items())
    ]


@dataclass(frozen=True, slots=True)
class Bin:
    """The answers whose confidence lies in one interval.

    Attributes:
        n: how many.
        confidence: their mean confidence.
        right: the share that is right.
    """

    n: int
    confidence: float
    right: float


def calibration_bins(confidences: Sequence[float], right: Sequence[bool]) -> list[Bin]:
    """Sort answers into ``ECE_BINS`` intervals of equal width; empty ones are left out."""
    places = np.minimum((np.asarray(confidences) * ECE_BINS).astype(int), ECE_BINS - 1)
    values, hits = np.asarray(confidences), np.asarray(right)
    return [
        Bin(int(inside.sum()), float(values[inside].mean()), float(hits[inside].mean()))
        for inside in (places == i for i in range(ECE_BINS))
        if inside.any()
    ]


def calibration_error(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """Return the mean gap between confidence and share right, weighted by the bins' sizes."""
    return sum(
        b.n / len(confidences) * abs(b.confidence - b.right)
        for b in calibration_bins(confidences, right)
    )


def _mean(values: npt.NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")
