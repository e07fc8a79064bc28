"""Whether one prediction is better than another on the same patients: paired differences, and many of them at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from features.outcomes import Outcomes
from training.evaluation.arrays import check_prediction
from training.evaluation.intervals import LEVEL, Interval, percentile_interval, resample_patients
from training.evaluation.measures import Measured, Subject


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference with its interval and its two-sided p-value; NaN where there is none."""

    point: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Scores of a first prediction less those of a second on the same patients.

    The first is better where IBS and Brier score are below 0, and IPA, AUC and C above 0.
    """

    ibs: tuple[Difference, ...]
    """By cause: integrated Brier score."""
    ipa: tuple[Difference, ...]
    """By cause: 1 − IBS / IBS of the Aalen–Johansen estimate of the scored rows."""
    c: tuple[Difference, ...]
    """By cause: concordance of the risk at the last horizon."""
    brier: tuple[tuple[Difference, ...], ...]
    """By cause and horizon."""
    ipa_at: tuple[tuple[Difference, ...], ...]
    """By cause and horizon."""
    auc: tuple[tuple[Difference, ...], ...]
    """By cause and horizon."""


def paired_difference(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    times_days: NDArray[np.float64],
    outcomes: Outcomes,
    patient_id: Sequence[Any] | NDArray[Any],
    *,
    rng: np.random.Generator,
    horizons_days: Sequence[float] = (),
    n_bootstrap: int = 1000,
    fold: NDArray[np.int64] | None = None,
) -> PairedDifference:
    """Differences of two predictions on the same patients, drawn together in each resample.

    The pairing removes the variation that both share, so these intervals are much narrower than those of the scores.
    They hold the two predictions fixed: they speak of these predictions, not of fitting again on other patients. Over
    repeats of a cross-validation the differences are not independent, and averaging them does not shrink the interval
    as if they were: see `resampled_difference`.

    Args:
        first: (rows, causes, times), predicted incidence.
        second: (rows, causes, times), predicted incidence.
        times_days: (times,), ascending. The integral runs from 0 to the last one about which anything is known.
        outcomes: What happened to the rows.
        patient_id: (rows,), the unit that is drawn.
        rng: Source of the resamples.
        horizons_days: Where Brier score, IPA and AUC are compared, ascending; the last one is that of C. None given:
            the last scorable time.
        n_bootstrap: Number of resamples; 0: no intervals.
        fold: (rows,): whose model predicted the row; AUC and concordance compare rows of one fold. None: one model's.

    Raises:
        SequelaError: Rows observed only after the landmark, or no time about which anything is known.
        ValueError: Shapes that do not fit, or a horizon after the last time.
    """
    for prediction in (first, second):
        check_prediction(prediction, times_days, outcomes)
    horizons = np.asarray(horizons_days, dtype=np.float64)
    if len(horizons) == 0:
        horizons = Subject(first, times_days, outcomes, times_days[:1]).grid[-1:]
    subjects = [Subject(prediction, times_days, outcomes, horizons, fold=fold) for prediction in (first, second)]

    def differences(resamples: NDArray[np.float64] | None) -> Measured:
        one, other = (subject.accuracy(resamples) for subject in subjects)
        return {name: one[name] - other[name] for name in one}

    point = differences(None)
    blocks = [differences(resamples) for resamples in resample_patients(patient_id, n_bootstrap, rng)]
    table = {name: _table(value, [block[name] for block in blocks]) for name, value in point.items()}
    by_cause = {name: tuple(row[0] for row in table[name]) for name in ("ibs", "ipa", "c")}
    return PairedDifference(**by_cause, brier=table["brier_at"], ipa_at=table["ipa_at"], auc=table["auc_at"])


def bootstrap_p(draws: NDArray[np.float64]) -> float:
    """Two-sided p-value of a difference from its resamples (resamples,), those without a value left out.

    Twice the smaller share of resamples on either side of 0, each counting the sample itself as one more: the level at
    which the percentile interval begins to exclude 0 (Efron & Tibshirani 1993, ch. 15.4), and never 0.
    """
    known = draws[np.isfinite(draws)]
    if len(known) == 0:
        return float("nan")
    below, above = (known <= 0).sum(), (known >= 0).sum()
    return float(min(1.0, 2 * (1 + min(below, above)) / (1 + len(known))))


def resampled_difference(differences: NDArray[np.float64], test_share: float, level: float = LEVEL) -> Difference:
    """Mean difference over the parts of a repeated cross-validation, by the corrected resampled t-test.

    The variance of the mean is taken as (1/J + n_test/n_train) s², not s²/J: the J parts share their training patients
    (Nadeau & Bengio, Machine Learning 2003;52:239–281). It speaks of fitting again on other patients of the same
    number; it is a heuristic, on the cautious side, not an exact test.

    Args:
        differences: (parts,), one for each fold of each repeat, two or more.
        test_share: n_test / (n_train + n_test), 0.2 for five folds.
        level: Of the interval.

    Raises:
        ValueError: Fewer than two parts, or a share not between 0 and 1.
    """
    n_parts = len(differences)
    if n_parts < 2 or not 0 < test_share < 1:
        msg = f"{n_parts} parts with a test share of {test_share:g}; two parts or more, a share between 0 and 1"
        raise ValueError(msg)
    mean = float(np.mean(differences))
    error = float(np.sqrt((1 / n_parts + test_share / (1 - test_share)) * np.var(differences, ddof=1)))
    if error == 0:
        return Difference(mean, mean, mean, 1.0 if mean == 0 else 0.0)
    reach = float(student_t.ppf((1 + level) / 2, n_parts - 1)) * error
    return Difference(mean, mean - reach, mean + reach, float(2 * student_t.sf(abs(mean) / error, n_parts - 1)))


def holm(p: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p-values (tests,) that keep the chance of any false finding at the level (Holm, Scand J Stat 1979;6:65).

    A NaN is no test: it stays NaN and is not counted.
    """
    given = np.asarray(p, dtype=np.float64)
    adjusted = np.full(given.shape, np.nan)
    tests = np.flatnonzero(~np.isnan(given))
    order = tests[np.argsort(given[tests], kind="stable")]
    steps = given[order] * (len(order) - np.arange(len(order)))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def simultaneous_intervals(
    points: NDArray[np.float64], draws: NDArray[np.float64], level: float = LEVEL
) -> NDArray[np.float64]:
    """Intervals (comparisons, 2) that hold all at once with a chance of `level`: point ± q · s.

    s is the standard deviation of a comparison's resamples, and q the `level` quantile of the largest
    ``|draw − point| / s`` of each resample: the max-t bootstrap (Westfall & Young 1993, ch. 2; Montiel Olea &
    Plagborg-Møller, J Appl Econom 2019;34:1–17). What comparisons share makes q smaller.
    NaN where `percentile_interval` has no bounds.

    Args:
        points: (comparisons,)
        draws: (resamples, comparisons), of the same resamples of patients; NaN where one has no value.
        level: Of all intervals together.
    """
    known = np.isfinite(draws)
    usable = np.isfinite(points) & (2 * known.sum(axis=0) > len(draws))
    bounds = np.full((len(points), 2), np.nan)
    if not usable.any():
        return bounds
    spread = np.nanstd(draws[:, usable], axis=0)
    away = np.abs(draws[:, usable] - points[usable])
    in_spreads = np.divide(away, spread, out=np.zeros_like(away), where=known[:, usable] & (spread > 0))
    reach = np.quantile(in_spreads.max(axis=1), level) * spread
    bounds[usable] = np.column_stack([points[usable] - reach, points[usable] + reach])
    return bounds


def _table(point: NDArray[np.float64], blocks: list[NDArray[np.float64]]) -> tuple[tuple[Difference, ...], ...]:
    """By cause and horizon; a metric without horizons has one column."""
    point = point.reshape(len(point), -1)
    draws = np.concatenate(
        [block.reshape(len(block), *point.shape) for block in [np.empty((0, *point.shape)), *blocks]]
    )
    return tuple(
        tuple(difference_of(float(point[k, j]), draws[:, k, j]) for j in range(point.shape[1]))
        for k in range(len(point))
    )


def difference_of(point: float, draws: NDArray[np.float64]) -> Difference:
    """A difference with its percentile interval and `bootstrap_p`, from its resamples (resamples,)."""
    interval: Interval = percentile_interval(point, draws)
    return Difference(point, interval.low, interval.high, bootstrap_p(draws) if np.isfinite(interval.low) else np.nan)
