"""Outcomes as they might have been, were a model's answers true, for the very same patients and their censoring."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from features.patients import FloatArray, Patients
from training.models.nonparametric import censoring_survival

GRID_POINTS = 60
"""Times between which outcomes are simulated, and on which bounds of event-free time fall."""


def outcome_grid(outcomes: Outcomes) -> FloatArray:
    """Times (times,): quantiles of the times of events of any cause, and the end of follow-up."""
    events = outcomes.duration_days[outcomes.cause > 0]
    quantiles = np.quantile(events, np.linspace(0, 1, GRID_POINTS), method="higher")
    return np.unique(np.append(quantiles, outcomes.duration_days.max()))


def simulate_outcomes(
    incidence: NDArray[np.float64],
    times_days: FloatArray,
    outcomes: Outcomes,
    patients: Patients,
    rng: np.random.Generator,
) -> Outcomes:
    """Outcomes as they might have been, were the incidences (rows, causes, times) true.

    Times fall between those of the grid by linear interpolation. Censoring times are drawn from the reverse
    Kaplan–Meier curve, given that a row was not censored before its entry; who is not censored by its end is censored
    there. All rows of a patient share their random numbers: their fates are as much alike as they can be. All are known
    to the day, also where those of the rows lie between two.
    """
    ids, patient = np.unique(patients.patient_id.astype(str), return_inverse=True)
    fate, which, lost = rng.random((3, len(ids)))[:, patient]
    grid = np.concatenate([[0.0], times_days])
    by = np.concatenate([np.zeros((*incidence.shape[:2], 1)), incidence], axis=2)
    total = np.maximum.accumulate(by.sum(axis=1), axis=1)
    gone = np.array([np.interp(day, grid, row) for day, row in zip(outcomes.entered, total, strict=True)])
    level = gone + (1 - gone) * fate
    step = (total <= level[:, None]).sum(axis=1)
    happens = step < len(grid)
    row, step = np.arange(len(outcomes)), np.minimum(step, len(grid) - 1)
    low, high = total[row, step - 1], total[row, step]
    share = np.divide(level - low, high - low, out=np.ones_like(level), where=happens)
    event_time = np.where(happens, grid[step - 1] + share * (grid[step] - grid[step - 1]), np.inf)
    gained = np.cumsum(np.maximum(by[row, :, step] - by[row, :, step - 1], 0.0), axis=1)
    cause = 1 + (gained[:, :-1] <= (which * gained[:, -1])[:, None]).sum(axis=1)
    censored = _censoring_times(outcomes, patients.landmark_day, outcomes.entered, lost)
    first = np.minimum(event_time, censored)
    duration = np.maximum(first, outcomes.entered + 1e-3)
    return Outcomes(duration, np.where(event_time <= censored, cause, 0), outcomes.causes, outcomes.entry_days)


def _censoring_times(
    outcomes: Outcomes, landmark_day: FloatArray, entry_days: FloatArray, uniform: FloatArray
) -> FloatArray:
    """(rows,), drawn by inverting G among the rows of one landmark."""
    times = np.empty(len(outcomes))
    for day in np.unique(landmark_day):
        rows = np.flatnonzero(landmark_day == day)
        curve = censoring_survival(outcomes.take(rows))
        level = curve.at(entry_days[rows]) * uniform[rows]
        steps = np.append(curve.times_days, curve.times_days[-1])
        times[rows] = steps[np.searchsorted(-curve.survival, -level, side="left")]
    return times
