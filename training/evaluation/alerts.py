"""Alerts while patients are watched: how often a marker raises one, how many events it catches, and how early.

A marker is anything known at each visit: a predicted risk, a score, a laboratory value. It is in alert from a threshold
on; an alert is raised at a visit at which it comes to be so, and not again while it stays so. An event is caught if an
alert was raised before its day, and not longer before than the horizon, the time that the prediction looks ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.drift import rounded
from training.evaluation.arrays import ratio
from training.evaluation.intervals import Interval, percentile_interval

DAYS_PER_MONTH = 30.4375
MOST_CANDIDATES = 200
"""Thresholds that are tried."""
DIGITS, SHARED = (3, 4), 5
"""A threshold has so many significant digits only where so many patients have it, else two; see `candidates`."""
SMALLEST = 1e-300
"""Values nearer to 0 count as 0: floats have not their digits."""
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Visits:
    """Visits of patients at risk, ordered by patient and day."""

    patient: NDArray[np.int64]
    """(visits,): number of the patient, 0, 1, …, each with a visit at least."""
    day: FloatArray
    """(visits,)"""
    end_day: FloatArray
    """(patients,): of the first event of any cause, or of follow-up."""
    event: NDArray[np.bool_]
    """(patients,): whether that is the event of interest."""
    last_day: float
    """Until which patients are watched."""
    horizon_days: float
    """For which an alert is good."""

    @property
    def n_patients(self) -> int:
        """Watched."""
        return len(self.end_day)

    @property
    def first(self) -> NDArray[np.bool_]:
        """(visits,): whether it is the patient's first."""
        return np.diff(self.patient, prepend=-1) > 0

    @property
    def months(self) -> FloatArray:
        """(patients,): watched, from the first visit."""
        begin = self.day[self.first]
        return np.maximum(np.minimum(self.end_day, self.last_day) - begin, 1.0) / DAYS_PER_MONTH

    @property
    def catchable(self) -> NDArray[np.bool_]:
        """(patients,): whether an alert of some visit would be good for the event."""
        ahead = self.end_day[self.patient] - self.day
        reached = np.zeros(self.n_patients, dtype=bool)
        np.logical_or.at(reached, self.patient, (ahead > 0) & (ahead <= self.horizon_days))
        return self.event & reached


@dataclass(frozen=True, slots=True)
class AlertSums:
    """What a rule does for each patient, from which rates are made."""

    alerts: FloatArray
    """(patients,): raised."""
    months: FloatArray
    events: FloatArray
    caught: FloatArray
    lead_days: FloatArray
    """(patients,): from the first alert that is good for the event to the event; NaN where none is."""


@dataclass(frozen=True, slots=True)
class AlertPerformance:
    """Of a rule, with 95 % intervals over patients."""

    per_patient_month: Interval
    """Alerts."""
    caught: Interval
    """Share of events."""
    lead_days: Interval
    """Median over events that are caught."""
    n_events: int
    n_caught: int
    n_alerted: int
    """Patients with an alert."""
    n_patients: int


def alert_sums(in_alert: NDArray[np.bool_], visits: Visits) -> AlertSums:
    """What a rule does.

    Args:
        in_alert: (visits,).
        visits: Of all patients.
    """
    before = np.concatenate([[False], in_alert[:-1]]) & ~visits.first
    raised = in_alert & ~before
    end = visits.end_day[visits.patient]
    good = raised & (visits.day < end) & (end - visits.day <= visits.horizon_days) & visits.catchable[visits.patient]
    lead = np.full(visits.n_patients, -np.inf)
    np.maximum.at(lead, visits.patient[good], (end - visits.day)[good])
    caught = np.isfinite(lead)
    return AlertSums(
        np.bincount(visits.patient, raised, minlength=visits.n_patients).astype(float),
        visits.months,
        visits.catchable.astype(float),
        caught.astype(float),
        np.where(caught, lead, np.nan),
    )


def alert_performance(sums: AlertSums, *, rng: np.random.Generator, n_bootstrap: int = 200) -> AlertPerformance:
    """Rates and the median lead, with percentile intervals over patients, the rule being held fixed."""
    n = len(sums.alerts)
    drawn = rng.multinomial(n, np.full(n, 1 / n), size=n_bootstrap).astype(float)
    own = np.ones((1, n))
    rates = [
        percentile_interval(float(_rate(*parts, own)[0]), _rate(*parts, drawn))
        for parts in ((sums.alerts, sums.months), (sums.caught, sums.events))
    ]
    lead = percentile_interval(float(_median(sums.lead_days, own)[0]), _median(sums.lead_days, drawn))
    events, caught, alerted = (int(one.sum()) for one in (sums.events, sums.caught, sums.alerts > 0))
    return AlertPerformance(rates[0], rates[1], lead, events, caught, alerted, n)


def threshold_for(marker: FloatArray, visits: Visits, per_patient_month: float) -> float:
    """The lowest threshold from which on a rule raises no more alerts than are borne; infinity if none does.

    Thresholds that are tried are those of `candidates`: a rule that is written down is the rule that was tried.

    Args:
        marker: (visits,), NaN where it is not known: then there is no alert.
        visits: Of the patients on whom the rule is fixed.
        per_patient_month: Alerts that are borne.
    """
    months = visits.months.sum()
    chosen = np.inf
    for candidate in candidates(marker, visits.patient)[::-1]:
        if alert_sums(marker >= candidate, visits).alerts.sum() > per_patient_month * months:
            break
        chosen = candidate
    return chosen


def candidates(marker: FloatArray, patient: NDArray[np.int64]) -> FloatArray:
    """Thresholds of a marker that are tried, ascending.

    Its values to two significant digits, and to three and four where `SHARED` patients have a value that rounds to one,
    as of prothrombin time in tenths of a second. As many patients reach a threshold, and as many known ones do not, so
    that none is the value of the few who have most, or least.

    Args:
        marker: (visits,), NaN where it is not known.
        patient: (visits,): numbers of the patients.
    """
    known = np.isfinite(marker)
    values, of = marker[known], patient[known]
    n_patients = int(of.max(initial=-1)) + 1
    found = set(rounded(np.unique(_to(values, 2))))
    for digits in DIGITS:
        value, number = np.unique(_to(values, digits), return_inverse=True)
        sharing = np.bincount(np.unique(number * n_patients + of) // max(n_patients, 1), minlength=len(value))
        found.update(float(f"{one:.{digits}g}") for one in value[sharing >= SHARED])
    highest = np.full(n_patients, -np.inf)
    np.maximum.at(highest, of, values)
    highest = np.sort(highest[np.isfinite(highest)])
    every = np.array(sorted(found))
    below = np.searchsorted(highest, every, side="left")
    every = every[(below >= SHARED) & (len(highest) - below >= SHARED)]
    if len(every) <= MOST_CANDIDATES:
        return every
    return every[np.unique(np.linspace(0, len(every) - 1, MOST_CANDIDATES).round().astype(np.int64))]


def _to(values: FloatArray, digits: int) -> FloatArray:
    """To so many significant digits, as nearly as a product of floats is."""
    size = np.floor(np.log10(np.maximum(np.abs(values), SMALLEST))).astype(np.int64)
    unit = 10.0 ** (size - digits + 1)
    found: FloatArray = np.rint(values / unit) * unit
    return found


def _rate(numerator: FloatArray, denominator: FloatArray, weights: FloatArray) -> FloatArray:
    """Of sums over patients, (resamples,)."""
    return ratio(weights @ numerator, weights @ denominator)


def _median(values: FloatArray, weights: FloatArray) -> FloatArray:
    """(resamples,): of the known values, each counting as often as its patient is drawn; NaN where none is."""
    order = np.argsort(values)
    order = order[np.isfinite(values[order])]
    if not len(order):
        return np.full(len(weights), np.nan)
    reached = np.cumsum(weights[:, order], axis=1)
    half = reached[:, -1:] / 2
    at = np.argmax(reached >= half, axis=1)
    return np.where(half[:, 0] > 0, values[order][at], np.nan)
