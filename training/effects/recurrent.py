"""Events that come back: mean numbers by arm, and ratios of rates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from features.outcomes import Outcomes
from features.recurrence import Recurrences
from training.effects.arms import FloatArray, IntArray
from training.effects.estimates import NAN, QUANTILE, Estimate, difference_of, exponential
from training.effects.hazards import log_ratios
from training.evaluation.arrays import running_sums
from training.models.mean_count import marginal_mean
from training.models.nonparametric import EXHAUSTED

ROWS_AT_ONCE = 500
"""Patients whose influence on a whole curve is held at a time."""


@dataclass(frozen=True, slots=True)
class RateRatios:
    """Ratio of the rate of events in each arm but the first to that in the first."""

    andersen_gill: tuple[Estimate, ...]
    """With the model's standard error: right if a patient's events are independent of one another given the arm."""
    lwyy: tuple[Estimate, ...]
    """The same ratio, with a standard error that holds whatever their dependence."""


def once_a_day(recurrences: Recurrences) -> Recurrences:
    """Events of one patient on one day, as one."""
    key = np.unique(np.stack([recurrences.row.astype(float), recurrences.day], axis=1), axis=0)
    row = key[:, 0].astype(np.int64)
    return Recurrences(
        recurrences.end_days, recurrences.terminal, row, key[:, 1], recurrences.name, recurrences.terminals
    )


def counting_process(recurrences: Recurrences) -> tuple[IntArray, Outcomes]:
    """Each patient's time at risk, cut at its events: the patient of each row, and the rows as left-truncated outcomes.

    Patients stand one after the other; a day with several events of one patient has one (`once_a_day`).
    """
    events = once_a_day(recurrences)
    goes_on = ~np.isin(np.arange(len(events)), events.row[events.day == events.end_days[events.row]])
    last = np.flatnonzero(goes_on)
    patient = np.concatenate([events.row, last])
    stop = np.concatenate([events.day, events.end_days[last]])
    cause = np.repeat([1, 0], [len(events.row), len(last)])
    order = np.lexsort((stop, patient))
    patient, stop, cause = patient[order], stop[order], cause[order]
    begins = np.concatenate([[True], patient[1:] != patient[:-1]])
    start = np.where(begins, 0.0, np.concatenate([[0.0], stop[:-1]]))
    return patient, Outcomes(stop, cause, (events.name,), start)


def rate_ratios(recurrences: Recurrences, arm: IntArray, n_arms: int, stratum: IntArray | None = None) -> RateRatios:
    """Ratios of rates, whose baseline is free: Andersen & Gill (Ann Stat 1982;10:1100), Efron's ties.

    The second standard error is that of Lin, Wei, Yang & Ying (J R Stat Soc B 2000;62:711), robust by patient; both are
    those of R's `coxph(Surv(start, stop, event) ~ arm)`, without and with `cluster`. A terminal event ends the time at
    risk: the ratio is then of rates among those alive, not of expected numbers.

    Args:
        recurrences: Events of the patients.
        arm: (patients,): 0 for the reference.
        n_arms: How many there are.
        stratum: (patients,): each with a baseline rate of its own.
    """
    patient, rows = counting_process(recurrences)
    x = (arm[patient, None] == np.arange(1, n_arms)).astype(float)
    of_row = np.zeros(len(patient), dtype=np.int64) if stratum is None else stratum[patient]
    strata = [np.flatnonzero(of_row == one) for one in np.unique(of_row)]
    return RateRatios(log_ratios(x, rows, 1, strata), log_ratios(x, rows, 1, strata, cluster=patient))


def mean_counts(recurrences: Recurrences, times_days: FloatArray) -> tuple[Estimate, ...]:
    """Expected number of events by each time, with pointwise intervals, symmetric on the logarithm.

    The mean cumulative function, with the robust variance of Lawless & Nadeau (Technometrics 1995;37:158), and, where
    terminal events end the counting, Ghosh & Lin's marginal mean (Biometrics 2000;56:554–562); several events of a
    patient on one day are one.
    """
    events = once_a_day(recurrences)
    points = marginal_mean(events).at(times_days)
    squares = np.zeros(len(times_days))
    for part in mean_influence(events, times_days):
        squares += (part**2).sum(axis=0)
    return tuple(mean_number(float(mean), float(square**0.5)) for mean, square in zip(points, squares, strict=True))


def mean_differences(by_arm: tuple[tuple[Estimate, ...], ...]) -> tuple[tuple[Estimate, ...], ...]:
    """Expected numbers of each arm less those of the first, by time; no interval where an arm has no event by then."""
    return tuple(tuple(map(difference_of, own, by_arm[0])) for own in by_arm[1:])


def mean_influence(
    recurrences: Recurrences, times_days: FloatArray, weights: FloatArray | None = None
) -> Iterator[FloatArray]:
    """∂μ(t)/∂w_i of `marginal_mean`, in blocks (patients, times); without weights, at equal ones.

    With dR = dN/Y, dΛ = dD/Y and μ(t) = Σ S(u−) dR(u), all of weighted numbers: a patient changes μ by
    S(u−) (dN_i − Y_i dR)/Y at its events and times at risk, and by −(μ(t) − μ(s)) (dD_i − Y_i dΛ)/(Y − dD)(s), through
    the survival of later times, at each s.
    """
    curve = marginal_mean(recurrences, weights)
    times = curve.times_days
    row_weights = np.ones(len(recurrences)) if weights is None else weights
    end_at = np.searchsorted(times, recurrences.end_days)
    n_leaving = np.bincount(end_at, row_weights, minlength=len(times))
    at_risk = np.cumsum(n_leaving[::-1])[::-1]
    dead = recurrences.terminal > 0
    dying = np.bincount(end_at[dead], row_weights[dead], minlength=len(times))
    left = at_risk - dying
    left = np.where(left > EXHAUSTED * at_risk, left, 0.0)
    alive = np.cumprod(1.0 - dying / at_risk)
    before = np.concatenate([[1.0], alive[:-1]])
    events_at = np.searchsorted(times, recurrences.day)
    n_events = np.bincount(events_at, row_weights[recurrences.row], minlength=len(times))
    removal = np.divide(1.0, left, out=np.zeros_like(left), where=left > 0)
    per_event = before / at_risk
    at_risk_loss = running_sums(before * n_events / at_risk**2)
    death_gain = running_sums(dying / at_risk * removal)
    weighted = running_sums(dying / at_risk * removal * curve.mean)
    mean = np.concatenate([[0.0], curve.mean])
    last = np.searchsorted(times, times_days, side="right")
    for rows in np.array_split(np.arange(len(recurrences)), max(1, len(recurrences) // ROWS_AT_ONCE)):
        until = np.minimum(end_at[rows, None] + 1, last)
        change = -at_risk_loss[until]
        change += mean[last] * death_gain[until] - weighted[until]
        gone = (end_at[rows, None] < last) & (recurrences.terminal[rows, None] > 0)
        change -= gone * removal[end_at[rows], None] * (mean[last] - mean[end_at[rows] + 1, None])
        own = np.isin(recurrences.row, rows)
        place = np.searchsorted(times, recurrences.day[own])
        np.add.at(change, recurrences.row[own] - rows[0], (place[:, None] < last) * per_event[place, None])
        yield change


def mean_number(point: float, error: float) -> Estimate:
    """A mean number: no p-value, and an interval above 0."""
    if not (point > 0 and error > 0):
        return Estimate(point, NAN, NAN, NAN, NAN)
    reach = exponential(QUANTILE * error / point)
    return Estimate(point, point / reach, point * reach, NAN, error)
