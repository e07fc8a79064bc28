"""Expected numbers of events against what happened, each patient's own number: accuracy and calibration.

Whose number by t is known, since he is followed to t or met a terminal event before, stands for those who are not: he
has the weight 1 / G(min(T, t)−), T the day on which he leaves and G the reverse Kaplan–Meier curve of the scored rows;
all others have 0. This is the argument of Graf et al. (Stat Med 1999;18:2529–2545) and of Gerds & Schumacher (Biom J
2006;48:1029–1040) for the Brier score, with a number of events in the place of an event that has or has not happened.
Censoring is assumed independent of events, deaths and predictions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from features.recurrence import Recurrences
from training.evaluation.arrays import ratio
from training.evaluation.intervals import Interval, percentile_interval, resample_patients
from training.models.nonparametric import censoring_survival

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Foretold:
    """Numbers of events by one time of the rows of one landmark, as they were foretold out of fold."""

    recurrences: Recurrences
    """What happened."""
    time_days: float
    expected: FloatArray
    """(repeats, rows), by models that did not see the row's patient."""
    marginal: FloatArray
    """(repeats, rows): the mean of the patients whom the same models saw."""
    patient_id: NDArray[np.object_]
    """(rows,)"""

    @property
    def happened(self) -> FloatArray:
        """(rows,): events by the time, as far as they are known."""
        return self.recurrences.count_by(np.array([self.time_days]))[:, 0].astype(np.float64)


@dataclass(frozen=True, slots=True)
class CountAccuracy:
    """What expected numbers are worth, with 95 % intervals over patients; NaN where nobody is known to the time."""

    explained: Interval
    """1 − Σ w (N − μ̂)² / Σ w (N − μ̄)²: share of the squared error of the marginal mean μ̄ that is explained; the mean
    over repeats."""
    observed_over_expected: Interval
    """Σ w N / Σ w μ̂; the mean over repeats."""


@dataclass(frozen=True, slots=True)
class CountGroup:
    """Rows of similar expected number, and their mean number of events."""

    rows: NDArray[np.int64]
    expected: float
    """Mean expected number, of the first repeat."""
    observed: Interval
    """Mean number, Σ w N / Σ w."""


def known_weights(recurrences: Recurrences, time_days: float, resamples: FloatArray | None = None) -> FloatArray:
    """Weights (..., rows) of the rows at one time; NaN where nobody is known to it.

    Args:
        recurrences: What happened.
        time_days: From the landmark.
        resamples: (..., rows), how often each row is drawn; G is estimated anew in each resample. None: once.
    """
    row = np.ones(len(recurrences)) if resamples is None else resamples
    end, ended = recurrences.end_days, recurrences.terminal > 0
    watched = censoring_survival(Outcomes(end, ended.astype(np.int64), ("terminal",)), row)
    at_time, at_end = watched.before(np.array([time_days])), watched.before(end)
    reached = end >= time_days
    left = np.where(reached, at_time, at_end)
    weights = np.divide(row, left, out=np.zeros_like(left), where=(left > 0) & (reached | ended))
    return np.where(at_time > 0, weights, np.nan)


def count_accuracy(foretold: Foretold, *, rng: np.random.Generator, n_bootstrap: int) -> CountAccuracy:
    """Both measures, with the predictions held fixed in the resamples of patients."""
    happened = foretold.happened
    own = (happened - foretold.expected) ** 2
    null = (happened - foretold.marginal) ** 2

    def measured(weights: FloatArray) -> FloatArray:
        """(..., 2)."""
        explained = 1 - ratio(weights @ own.T, weights @ null.T)
        calibrated = ratio((weights @ happened)[..., None], weights @ foretold.expected.T)
        return np.stack([explained.mean(axis=-1), calibrated.mean(axis=-1)], axis=-1)

    point = measured(known_weights(foretold.recurrences, foretold.time_days))
    blocks = resample_patients(foretold.patient_id, n_bootstrap, rng)
    draws = [measured(known_weights(foretold.recurrences, foretold.time_days, block)) for block in blocks]
    return CountAccuracy(*_intervals(point, np.concatenate(draws)))


def count_calibration(
    foretold: Foretold, n_groups: int, *, rng: np.random.Generator, n_bootstrap: int
) -> list[CountGroup]:
    """Groups of equal size by expected number, ascending; those of the same number are together."""
    expected, happened = foretold.expected[0], foretold.happened
    bounds = np.unique(np.quantile(expected, np.arange(1, n_groups) / n_groups))
    group = np.searchsorted(bounds, expected, side="left")
    members = np.array([group == one for one in np.unique(group)], dtype=np.float64)

    def means(weights: FloatArray) -> FloatArray:
        """(..., groups)."""
        return ratio((weights * happened) @ members.T, weights @ members.T)

    point = means(known_weights(foretold.recurrences, foretold.time_days))
    blocks = resample_patients(foretold.patient_id, n_bootstrap, rng)
    draws = [means(known_weights(foretold.recurrences, foretold.time_days, block)) for block in blocks]
    observed = _intervals(point, np.concatenate(draws))
    return [
        CountGroup(np.flatnonzero(member), float(expected[member > 0].mean()), found)
        for member, found in zip(members, observed, strict=True)
    ]


def _intervals(point: FloatArray, draws: FloatArray) -> list[Interval]:
    """Of each column of draws (resamples, columns)."""
    return [percentile_interval(float(one), drawn) for one, drawn in zip(point, draws.T, strict=True)]
