"""Alert rules of a marker, fixed on some patients and tried on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.monitoring.markers import Marker
from experiments.monitoring.visits import VisitRows
from features.patients import FloatArray
from training.evaluation.alerts import AlertPerformance, Visits, alert_performance, alert_sums, threshold_for
from training.evaluation.calibration import observed_risk
from training.evaluation.intervals import Interval


@dataclass(frozen=True, slots=True)
class Rule:
    """Alert where a marker reaches a threshold, from above or from below."""

    marker: str
    unit: str
    borne: float
    """Alerts a patient and month that are borne."""
    threshold: float
    """Fixed on everyone, for use; infinite where none keeps to what is borne."""
    below: bool
    """Whether alerts are of values at or below it."""
    performance: AlertPerformance
    """In each fold by the threshold that was fixed on the other folds."""
    after_first_alert: Interval
    """Risk of the event within the horizon of a patient's first alert (Aalen–Johansen, 95 % interval)."""
    n_followed: int
    """Patients with an alert who had the event within the horizon of their first."""
    withheld: bool = False
    """Whether numbers would tell of a few real patients, and are NaN (`experiments.monitoring.withheld`)."""


def cross_fitted_rule(
    marker: Marker,
    rows: VisitRows,
    visits: Visits,
    fold: NDArray[np.int64],
    borne: float,
    *,
    rng: np.random.Generator,
    n_bootstrap: int,
) -> Rule:
    """Fix a rule on all folds but one, try it on that one, and pool.

    Args:
        marker: (visits,).
        rows: Of the visits.
        visits: Likewise.
        fold: (visits,), of the patient.
        borne: Alerts a patient and month.
        rng: Source of the resamples.
        n_bootstrap: Number of resamples.
    """
    in_alert = np.zeros(len(fold), dtype=bool)
    for number in np.unique(fold):
        own = fold == number
        sign, threshold = _fixed(marker, visits, ~own, borne)
        in_alert[own] = sign * marker.values[own] >= threshold  # NaN is in no alert
    performance = alert_performance(alert_sums(in_alert, visits), rng=rng, n_bootstrap=n_bootstrap)
    sign, threshold = _fixed(marker, visits, np.ones(len(fold), dtype=bool), borne)
    first = np.flatnonzero(in_alert)
    first = first[np.unique(visits.patient[first], return_index=True)[1]]
    outcomes = rows.outcomes.take(first)
    after = observed_risk(outcomes, 1, visits.horizon_days) if len(first) else NOTHING
    followed = int(((outcomes.cause == 1) & (outcomes.duration_days <= visits.horizon_days)).sum())
    return Rule(marker.name, marker.unit, borne, sign * threshold, sign < 0, performance, after, followed)


NOTHING = Interval(float("nan"), float("nan"), float("nan"))


def _fixed(marker: Marker, visits: Visits, rows: NDArray[np.bool_], borne: float) -> tuple[int, float]:
    """Direction and threshold by the given visits: the direction that catches more events."""
    own = part_of(visits, rows)
    best = (1, np.inf)
    most = -1.0
    for sign in (1, -1) if marker.either_way else (1,):
        values: FloatArray = sign * marker.values[rows]
        threshold = threshold_for(values, own, borne)
        caught = float(alert_sums(values >= threshold, own).caught.sum())
        if caught > most:
            best, most = (sign, threshold), caught
    return best


def part_of(visits: Visits, rows: NDArray[np.bool_]) -> Visits:
    """The visits of some patients, all of each."""
    patients, number = np.unique(visits.patient[rows], return_inverse=True)
    return Visits(
        number.astype(np.int64),
        visits.day[rows],
        visits.end_day[patients],
        visits.event[patients],
        visits.last_day,
        visits.horizon_days,
    )


def rules_of(
    markers: Sequence[Marker],
    rows: VisitRows,
    visits: Visits,
    fold: NDArray[np.int64],
    borne: Sequence[float],
    *,
    seed: int,
    n_bootstrap: int,
) -> list[Rule]:
    """A rule for each marker and each rate of alerts that may be borne."""
    return [
        cross_fitted_rule(marker, rows, visits, fold, rate, rng=np.random.default_rng(seed), n_bootstrap=n_bootstrap)
        for rate in borne
        for marker in markers
    ]
