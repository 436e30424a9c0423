"""Whether something grew: slopes with intervals, and counts that should be constant. Pure.

The slope is Theil and Sen's (Sen 1968, doi 10.1080/01621459.1968.10480934): the median over all
pairs, which single outliers do not move. Memory of one second is much like that of the one before,
so that the interval is not the textbook's: residuals are drawn anew in blocks (the moving-block
bootstrap, Künsch 1989, doi 10.1214/aos/1176347265), which keeps their dependence.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 500
SEED = 0
# Samples are summed up by their median over windows this long.
WINDOW_S = 30.0
_FEWEST = 4

Doubles = npt.NDArray[np.float64]
Stretch = tuple[Doubles, Doubles]


@dataclass(frozen=True, slots=True)
class Slope:
    """A slope per hour and its 95 % interval; NaN where there is too little to tell.

    Attributes:
        per_hour, low, high: in the values' unit.
        windows: how many medians it rests on.
    """

    per_hour: float
    low: float
    high: float
    windows: int

    @classmethod
    def of(cls, stretches: Sequence[tuple[Sequence[float], Sequence[float]]]) -> "Slope":
        """Return the common slope of stretches of samples, each as times in s and values.

        Stretches may have different levels, as processes have that follow each other: only pairs
        within one are compared.
        """
        parts = [medians(at_s, values) for at_s, values in stretches]
        parts = [part for part in parts if len(part[0]) > 1]
        windows = sum(len(at_s) for at_s, _ in parts)
        if windows < _FEWEST:
            return cls(math.nan, math.nan, math.nan, windows)
        slope = theil_sen(parts)
        chance = np.random.default_rng(SEED)
        drawn = [theil_sen(_redrawn(parts, slope, chance)) for _ in range(RESAMPLES)]
        low, high = np.percentile(drawn, (2.5, 97.5))
        hourly = 3600 * np.array([slope, low, high])
        return cls(*(round(float(value), 4) for value in hourly), windows)


def medians(at_s: Sequence[float], values: Sequence[float]) -> Stretch:
    """Return the middle time and the median value of each window in which there are samples."""
    times, known = np.asarray(at_s, np.float64), np.asarray(values, np.float64)
    if not len(times):
        return times, known
    places = ((times - times[0]) // WINDOW_S).astype(int)
    kept = [places == place for place in np.unique(places)]
    return (
        np.array([times[these].mean() for these in kept]),
        np.array([np.median(known[these]) for these in kept]),
    )


def theil_sen(stretches: Sequence[Stretch]) -> float:
    """Return the median slope over all pairs of points of one stretch, per second."""
    slopes = []
    for at_s, values in stretches:
        one, other = _pairs(len(at_s))
        slopes.append((values[other] - values[one]) / (at_s[other] - at_s[one]))
    return float(np.median(np.concatenate(slopes)))


@functools.cache
def _pairs(count: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    return np.triu_indices(count, 1)


def _redrawn(
    stretches: Sequence[Stretch], slope: float, chance: np.random.Generator
) -> list[Stretch]:
    """Return the stretches with their residuals about the slope drawn anew, in blocks."""
    drawn = []
    for at_s, values in stretches:
        count = len(at_s)
        residuals = values - slope * at_s
        block = math.ceil(math.sqrt(count))
        starts = chance.integers(0, count - block + 1, size=math.ceil(count / block))
        places = (starts[:, None] + np.arange(block)).ravel()[:count]
        drawn.append((at_s, slope * at_s + residuals[places]))
    return drawn


@dataclass(frozen=True, slots=True)
class Count:
    """Something that is counted and should be constant: its median early and late in a run."""

    first: float
    last: float

    @classmethod
    def of(cls, values: Sequence[int]) -> "Count":
        """Compare the first third of the values with the last."""
        third = max(1, len(values) // 3)
        if not values:
            return cls(0.0, 0.0)
        return cls(float(np.median(values[:third])), float(np.median(values[-third:])))

    @property
    def grown(self) -> bool:
        """Whether there is more of it late than early."""
        return self.last > self.first
