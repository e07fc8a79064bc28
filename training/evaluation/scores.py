"""`evaluate`: every metric of one prediction for each patient, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.arrays import check_prediction
from training.evaluation.intervals import Interval, percentile_interval, resample_patients
from training.evaluation.measures import Measured, Subject

OVERALL = ("ibs", "ipa", "c", "aj_calibration")
AT_HORIZON = (
    "brier",
    "ipa",
    "auc",
    "o_e",
    "ici",
    "e50",
    "e90",
    "emax",
    "calibration_intercept",
    "calibration_slope",
)


@dataclass(frozen=True, slots=True)
class HorizonScores:
    """Scores of the risk of one cause at one horizon; NaN where the outcomes say nothing about it."""

    horizon_days: float
    n_events: int
    """Events of the cause observed by the horizon."""
    brier: Interval
    ipa: Interval
    auc: Interval
    o_e: Interval
    ici: Interval
    e50: Interval
    e90: Interval
    emax: Interval
    calibration_intercept: Interval
    calibration_slope: Interval


@dataclass(frozen=True, slots=True)
class CauseScores:
    """Scores of the incidence of one cause."""

    cause: str
    ibs: Interval
    """Brier score, integrated from day 0 to `Scores.scored_to_days`."""
    ipa: Interval
    """1 − IBS / IBS of the null prediction."""
    c: Interval
    """Concordance of the risk at the last horizon."""
    aj_calibration: Interval
    """Mean squared difference of mean predicted and Aalen–Johansen incidence."""
    horizons: tuple[HorizonScores, ...]


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of one prediction for each patient."""

    n_rows: int
    n_patients: int
    scored_to_days: float
    """Last predicted time about which the outcomes say something: the same for all predictions on these patients."""
    causes: tuple[CauseScores, ...]

    def metrics(self) -> dict[str, float]:
        """Flat names for a tracker: ``ibs/infection``, ``ibs_lo/infection``, ``auc_180d/infection``, … NaN is kept."""
        named = {"n_patients": float(self.n_patients), "scored_to_days": self.scored_to_days}
        for row in self.table():
            horizon = row["horizon_days"]
            name = row["metric"] if horizon is None else f"{row['metric']}_{horizon:g}d"
            named[f"{name}/{row['cause']}"] = row["point"]
            if row["metric"] != "n_events":
                named[f"{name}_lo/{row['cause']}"] = row["low"]
                named[f"{name}_hi/{row['cause']}"] = row["high"]
        return named

    def table(self) -> list[dict[str, Any]]:
        """Long form: cause, horizon_days (None: over all times), metric, point, low, high."""
        rows = []
        for cause in self.causes:
            rows += [_row(cause.cause, None, name, getattr(cause, name)) for name in OVERALL]
            for at in cause.horizons:
                rows += [_row(cause.cause, at.horizon_days, name, getattr(at, name)) for name in AT_HORIZON]
                count = Interval(float(at.n_events), np.nan, np.nan)
                rows.append(_row(cause.cause, at.horizon_days, "n_events", count))
        return rows


def evaluate(
    incidence: NDArray[np.float64],
    times_days: NDArray[np.float64],
    outcomes: Outcomes,
    horizons_days: Sequence[float],
    patient_id: Sequence[Any] | NDArray[Any],
    *,
    n_bootstrap: int = 200,
    seed: int = 0,
    null_incidence: NDArray[np.float64] | None = None,
    fold: NDArray[np.int64] | None = None,
) -> Scores:
    """Score one prediction for each row: from one landmark, e.g. out of fold in one cross-validation.

    Intervals are percentiles over patients drawn with replacement; in each resample the censoring distribution, the
    null model and the observed incidence are estimated anew (the pseudo-values of the calibration curve and line are
    not, see `smoothed_observed`). Predictions are held fixed: an interval speaks of these predictions, not of fitting
    again.

    Where nobody was followed any more, nothing is known: integrals end at the last known time (`scored_to_days`), and
    horizons after it have NaN. A cause without events by a horizon has NaN for AUC and IPA there.

    Args:
        incidence: (rows, causes, times), predicted.
        times_days: (times,), ascending. Horizons between two of them are interpolated linearly, from 0 on day 0.
        outcomes: What happened to the rows.
        horizons_days: Ascending, none after the last time.
        patient_id: (rows,), the unit that is drawn.
        n_bootstrap: Number of resamples; 0: no intervals.
        seed: Of the resamples.
        null_incidence: (rows, causes, times) of another null prediction, e.g. the Aalen–Johansen estimate of the
            training folds. None: that of the scored rows.
        fold: (rows,): whose model predicted the row; AUC and concordance compare rows of one fold. None: one model's.

    Raises:
        SequelaError: Rows observed only after the landmark, or no time about which anything is known.
        ValueError: Shapes that do not fit, or horizons that do not ascend or lie after the last time.
    """
    for given in (incidence,) if null_incidence is None else (incidence, null_incidence):
        check_prediction(given, times_days, outcomes)
    _check_rows(outcomes, patient_id, horizons_days)
    horizons = np.asarray(horizons_days, dtype=np.float64)
    subject = Subject(incidence, times_days, outcomes, horizons, null_incidence, fold)
    point = subject.accuracy(None) | subject.calibration(None)
    rng = np.random.default_rng(seed)
    blocks = [
        subject.accuracy(resamples) | subject.calibration(resamples)
        for resamples in resample_patients(patient_id, n_bootstrap, rng)
    ]
    draws = {
        name: np.concatenate([block[name] for block in blocks]) if blocks else np.empty((0, *value.shape))
        for name, value in point.items()
    }
    causes = tuple(_cause_scores(k, subject, point, draws) for k in range(len(outcomes.causes)))
    return Scores(len(outcomes), len(np.unique(np.asarray(patient_id))), float(subject.grid[-1]), causes)


def _cause_scores(index: int, subject: Subject, point: Measured, draws: Measured) -> CauseScores:
    def interval(name: str, *place: int) -> Interval:
        return percentile_interval(float(point[name][place]), np.moveaxis(draws[name], 0, -1)[place])

    outcomes = subject.outcomes
    horizons = []
    for j, horizon in enumerate(subject.horizons):
        happened = (outcomes.cause == index + 1) & (outcomes.duration_days <= horizon)
        found = {name: interval(f"{name}_at", index, j) for name in AT_HORIZON}
        horizons.append(HorizonScores(float(horizon), int(happened.sum()), **found))
    overall = {name: interval(name, index) for name in OVERALL}
    return CauseScores(outcomes.causes[index], **overall, horizons=tuple(horizons))


def _check_rows(outcomes: Outcomes, patient_id: Sequence[Any] | NDArray[Any], horizons_days: Sequence[float]) -> None:
    if len(patient_id) != len(outcomes):
        msg = f"{len(patient_id)} patient ids for {len(outcomes)} rows"
        raise ValueError(msg)
    if len(horizons_days) == 0 or horizons_days[0] <= 0 or (np.diff(horizons_days) <= 0).any():
        msg = "horizons_days must be positive and ascend, at least one"
        raise ValueError(msg)


def _row(cause: str, horizon_days: float | None, metric: str, value: Interval) -> dict[str, Any]:
    return {
        "cause": cause,
        "horizon_days": horizon_days,
        "metric": metric,
        "point": value.point,
        "low": value.low,
        "high": value.high,
    }


def mean_scores(repeats: Sequence[Scores]) -> Scores:
    """Mean over repeats of a cross-validation on the same patients: of points, and of the bounds of intervals.

    The mean of bounds is wider than an interval for the mean score would be: repeats share their patients.
    """
    if len(repeats) == 1:
        return repeats[0]
    causes = tuple(_mean_of([scores.causes[k] for scores in repeats]) for k in range(len(repeats[0].causes)))
    return replace(repeats[0], causes=causes)


def _mean_of(parts: Sequence[CauseScores]) -> CauseScores:
    def mean(name: str) -> Interval:
        return _mean_interval([getattr(part, name) for part in parts])

    horizons = tuple(
        replace(at[0], **{name: _mean_interval([getattr(one, name) for one in at]) for name in AT_HORIZON})
        for at in zip(*(part.horizons for part in parts), strict=True)
    )
    return CauseScores(parts[0].cause, **{name: mean(name) for name in OVERALL}, horizons=horizons)


def _mean_interval(intervals: Sequence[Interval]) -> Interval:
    values = np.array([(interval.point, interval.low, interval.high) for interval in intervals])
    return Interval(*map(float, values.mean(axis=0)))
