"""Piecewise-constant cause-specific hazards: cumulative hazards, event times, closed-form incidence."""

from __future__ import annotations

import numpy as np

from features.patients import FloatArray


def exposure(starts_days: FloatArray, times_days: FloatArray) -> FloatArray:
    """(times, periods): days spent in each period by each time."""
    ends = np.append(starts_days[1:], np.inf)
    return np.clip(times_days[:, None] - starts_days, 0.0, ends - starts_days)


def cumulative_hazard(rates: FloatArray, starts_days: FloatArray, times_days: FloatArray) -> FloatArray:
    """Cumulative hazard of each patient at each time.

    Args:
        rates: (patients, periods): events a day.
        starts_days: (periods,): first day of each period, ascending from 0.
        times_days: (times,).

    Returns:
        (patients, times).
    """
    return rates @ exposure(starts_days, times_days).T


def time_of(rates: FloatArray, starts_days: FloatArray, target: FloatArray) -> FloatArray:
    """Times at which each patient's cumulative hazard reaches a target, by inversion.

    With standard exponential targets these are event times of the hazard (Bender, Augustin & Blettner, Stat Med
    2005;24:1713, equation 4).

    Args:
        rates: (patients, periods): events a day.
        starts_days: (periods,): first day of each period, ascending from 0.
        target: (patients,).

    Returns:
        (patients,): days; infinity where the hazard ends at 0 before the target is reached.
    """
    at_start = cumulative_hazard(rates, starts_days, starts_days)
    period = (at_start <= target[:, None]).sum(axis=1) - 1
    row = np.arange(len(target))
    rate = rates[row, period]
    beyond = target - at_start[row, period]
    wait = np.divide(beyond, rate, out=np.full(len(target), np.inf), where=rate > 0)
    return np.asarray(starts_days[period] + wait)


def draw_times(rates: FloatArray, starts_days: FloatArray, rng: np.random.Generator) -> FloatArray:
    """(patients,): one event time of each patient's hazard, as in `time_of`."""
    return time_of(rates, starts_days, rng.standard_exponential(len(rates)))


def incidence(rates: FloatArray, starts_days: FloatArray, times_days: FloatArray) -> FloatArray:
    """Cumulative incidence of competing causes with piecewise-constant hazards, exactly.

    F_k(t) = Σ_p λ_kp / λ_p · S(s_p) · (1 − exp(−λ_p e_p(t))), where λ_p = Σ_k λ_kp, s_p is the start of period p,
    e_p(t) the days spent in it by t, and S(s) = exp(−∫₀ˢ λ): the integral F_k(t) = ∫₀ᵗ λ_k S (Kalbfleisch & Prentice,
    The Statistical Analysis of Failure Time Data, 2002, section 8.2), solved period by period.

    Args:
        rates: (patients, causes, periods): events a day.
        starts_days: (periods,): first day of each period, ascending from 0.
        times_days: (times,).

    Returns:
        (patients, causes, times).
    """
    total = rates.sum(axis=1)
    spent = exposure(starts_days, times_days)
    event_free_at_start = np.exp(-cumulative_hazard(total, starts_days, starts_days))
    result = np.zeros((*rates.shape[:2], len(times_days)))
    for p in range(len(starts_days)):
        share = np.divide(rates[:, :, p], total[:, p, None], out=np.zeros(rates.shape[:2]), where=total[:, p, None] > 0)
        within = -np.expm1(-total[:, p, None] * spent[:, p]) * event_free_at_start[:, p, None]
        result += share[:, :, None] * within[:, None, :]
    return result


def incidence_from(
    rates: FloatArray, starts_days: FloatArray, landmark_day: float, times_days: FloatArray
) -> FloatArray:
    """Cumulative incidence `times_days` after a landmark, given no event by then; shapes as in `incidence`.

    The hazards do not depend on the past, so the clock restarts at the landmark with the periods that remain.
    """
    current = int((starts_days <= landmark_day).sum()) - 1
    remaining = np.append(0.0, starts_days[current + 1 :] - landmark_day)
    return incidence(rates[:, :, current:], remaining, times_days)
