"""Learning a model's uncertainty: refits on simulated outcomes, misfit out of fold, and thresholds of lower bounds.

*Refits.* The fitted model is taken for the truth, outcomes are simulated from it for the very same patients and
censoring, and the model is fitted to them (parametric bootstrap: Efron & Tibshirani, An Introduction to the Bootstrap,
1993, ch. 6). How far a refit lies from the truth it came from shows the variance of fitting and, unlike a bootstrap of
patients, the bias of shrinkage too. Encoders learn nothing from outcomes, so the refits share the model's own.

*Misfit.* A model that is wrong in kind is wrong again in its refits. In groups of similar out-of-fold risk, observed
risks differ from predicted ones by chance, by the errors that the refits show, and by misfit: its variance is what is
left (see `misfit_variance`).

*Lower bounds.* The threshold of a level is found by weighting events for censoring, on out-of-fold predictions. Candès,
Lei & Ren (JRSSB 2023;85:24) calibrate bounds of survival times by weighted conformal inference where every censoring
time is known. Here it is not known of those with an event, so the share of bounds that were not outlasted is estimated
by weighting with 1/G instead (see `outlast_threshold`); coverage is marginal, over patients, not for each patient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from features.patients import FloatArray, Patients
from training.config import WithIntervalsConfig
from training.evaluation.ipcw import identified_days
from training.evaluation.pseudo import pseudo_values
from training.models.conformal import Uncertainty, WithIntervals, bound_days
from training.models.nonparametric import censoring_survival
from training.models.predictor import Predictor
from training.models.seeing import seeing
from training.stacking import Refit, enough_events, like, out_of_fold, plain

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Probabilities of outlasting a lower bound."""
GROUPS = 10
"""Groups of similar predicted risk."""
FEWEST_IN_GROUP = 20
"""Rows in a group, at least."""
GRID_POINTS = 60
"""Times between which outcomes are simulated, and on which bounds fall."""
CANDIDATES = 400
"""Thresholds tried."""


def add_intervals(
    final: Predictor,
    model: WithIntervalsConfig,
    x: NDArray[np.float64],
    patients: Patients,
    outcomes: Outcomes,
    refit: Refit,
    again: Callable[[Outcomes, int], Predictor],
    *,
    seed: int,
) -> WithIntervals:
    """The predictor with its uncertainty.

    Args:
        final: Fitted on all rows.
        model: Configuration of the predictor and its refits.
        x: Encoded features (rows, features).
        patients: Training rows.
        outcomes: Their outcomes.
        refit: Fits a whole risk model on some of the rows.
        again: Fits the predictor on other outcomes of all rows; its number is 1, 2, …
        seed: Of folds and simulated outcomes.
    """
    if not (outcomes.cause > 0).any():
        return WithIntervals(final, (), nothing_learnt(len(outcomes.causes)))
    times = outcome_grid(outcomes)
    incidence = seeing(final, patients).incidence(x, patients.landmark_day, times)
    rng = np.random.default_rng([seed, model.refits])
    refits = []
    for number in range(1, model.refits + 1):
        drawn = simulate_outcomes(incidence, times, outcomes, patients, rng)
        refits.append(again(drawn if (drawn.cause > 0).any() else outcomes, number))
    if not enough_events(outcomes):
        return WithIntervals(final, tuple(refits), nothing_learnt(len(outcomes.causes)))
    held_out = out_of_fold(
        lambda rows: refit(rows, plain(model)), lambda one: [like(one, final)], patients, outcomes, times, seed=seed
    )[0]
    answers = (seeing(one, patients).incidence(x, patients.landmark_day, times) for one in refits)
    error = np.stack([answer - incidence for answer in answers])
    return WithIntervals(final, tuple(refits), learn_uncertainty(held_out, error, times, outcomes))


def nothing_learnt(n_causes: int) -> Uncertainty:
    """No misfit, and bounds of 0 days."""
    return Uncertainty(np.zeros(n_causes), np.zeros(1), np.array(LEVELS), np.full(len(LEVELS), -1.0))


def learn_uncertainty(
    held_out: NDArray[np.float64], refit_error: NDArray[np.float64], times_days: FloatArray, outcomes: Outcomes
) -> Uncertainty:
    """Misfit and thresholds, from the rows that were observed from their landmark on.

    Args:
        held_out: (rows, causes, times), out of fold.
        refit_error: (refits, rows, causes, times): refits − predictor.
        times_days: (times,), from `outcome_grid`.
        outcomes: Of the rows.
    """
    entry = np.zeros(len(outcomes)) if outcomes.entry_days is None else outcomes.entry_days
    rows = np.flatnonzero(entry <= 0)
    if not enough_events(outcomes.take(rows)):
        return nothing_learnt(len(outcomes.causes))
    own = replace(outcomes.take(rows), entry_days=None)
    held_out, refit_error = held_out[rows], refit_error[:, rows]
    where = _horizons(times_days, own)
    misfit = [
        misfit_variance(held_out[:, k, where], refit_error[:, :, k, where], own, k + 1, times_days[where])
        for k in range(len(own.causes))
    ]
    known = times_days[times_days <= identified_days(own)]
    thresholds = [outlast_threshold(held_out[..., : len(known)], known, own, level) for level in LEVELS]
    return Uncertainty(np.array(misfit), known, np.array(LEVELS), np.array(thresholds))


def outcome_grid(outcomes: Outcomes) -> FloatArray:
    """Times (times,): quantiles of the times of events of any cause, and the end of follow-up."""
    events = outcomes.duration_days[outcomes.cause > 0]
    quantiles = np.quantile(events, np.linspace(0, 1, GRID_POINTS), method="higher")
    return np.unique(np.append(quantiles, outcomes.duration_days.max()))


def _horizons(times_days: FloatArray, outcomes: Outcomes) -> NDArray[np.int64]:
    """Where in the grid the quartiles of the events' times stand."""
    events = outcomes.duration_days[outcomes.cause > 0]
    at = np.searchsorted(times_days, np.quantile(events, (0.25, 0.5, 0.75)))
    return np.unique(np.minimum(at, len(times_days) - 1)).astype(np.int64)


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
    there. All rows of a patient share their random numbers: their fates are as much alike as they can be.
    """
    ids, patient = np.unique(patients.patient_id.astype(str), return_inverse=True)
    fate, which, lost = rng.random((3, len(ids)))[:, patient]
    entry = np.zeros(len(outcomes)) if outcomes.entry_days is None else outcomes.entry_days
    grid = np.concatenate([[0.0], times_days])
    by = np.concatenate([np.zeros((*incidence.shape[:2], 1)), incidence], axis=2)
    total = np.maximum.accumulate(by.sum(axis=1), axis=1)
    gone = np.array([np.interp(day, grid, row) for day, row in zip(entry, total, strict=True)])
    level = gone + (1 - gone) * fate
    step = (total <= level[:, None]).sum(axis=1)
    happens = step < len(grid)
    row, step = np.arange(len(outcomes)), np.minimum(step, len(grid) - 1)
    low, high = total[row, step - 1], total[row, step]
    share = np.divide(level - low, high - low, out=np.ones_like(level), where=happens)
    event_time = np.where(happens, grid[step - 1] + share * (grid[step] - grid[step - 1]), np.inf)
    gained = np.cumsum(np.maximum(by[row, :, step] - by[row, :, step - 1], 0.0), axis=1)
    cause = 1 + (gained[:, :-1] <= (which * gained[:, -1])[:, None]).sum(axis=1)
    censored = _censoring_times(outcomes, patients.landmark_day, entry, lost)
    first = np.minimum(event_time, censored)
    duration = np.maximum(first, entry + 1e-3)
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


def misfit_variance(
    risk: NDArray[np.float64],
    refit_error: NDArray[np.float64],
    outcomes: Outcomes,
    cause: int,
    horizons_days: FloatArray,
) -> float:
    """Variance, on the scale of log(−log(1 − F)), of errors that refits do not show.

    The observed risk of a group is the mean of its rows' pseudo-values of the Aalen–Johansen estimate. Of observed −
    predicted, divided by the slope of F in θ, the variance is that of the pseudo-values' mean, plus that of the refits'
    mean error in the group, plus v. As the between-study variance of Paule & Mandel (J Res Natl Bur Stand 1982;87:377),
    v makes the mean of the squared standardised differences over groups and horizons 1, and is 0 where it is less
    without.

    Args:
        risk: (rows, horizons), out of fold, of the cause.
        refit_error: (refits, rows, horizons): refit − model.
        outcomes: Of the rows, all observed from their landmark on.
        cause: 1, 2, …
        horizons_days: (horizons,).
    """
    pseudo = pseudo_values(outcomes, horizons_days)[:, cause - 1]
    n_groups = int(np.clip(len(risk) // FEWEST_IN_GROUP, 1, GROUPS))
    squared, known = [], []
    for h in range(len(horizons_days)):
        if risk[:, h].max() <= 0:
            continue
        for rows in np.array_split(np.argsort(risk[:, h], kind="stable"), n_groups):
            if len(rows) < 2:
                continue
            mean = float(np.clip(risk[rows, h].mean(), 1e-6, 1 - 1e-6))
            slope = -(1 - mean) * np.log1p(-mean)
            chance = pseudo[rows, h].var(ddof=1) / len(rows)
            fitting = (refit_error[:, rows, h].mean(axis=1) ** 2).mean() if len(refit_error) else 0.0
            expected = max(float(chance), mean * (1 - mean) / len(rows)) + float(fitting)
            squared.append(((pseudo[rows, h] - risk[rows, h]).mean() / slope) ** 2)
            known.append(expected / slope**2)
    return _paule_mandel(np.array(squared), np.array(known))


def _paule_mandel(squared: NDArray[np.float64], known: NDArray[np.float64]) -> float:
    """The v ≥ 0 with mean(squared / (known + v)) = 1, by bisection; 0 where there is none."""
    if not len(squared) or (squared / known).mean() <= 1:
        return 0.0
    low, high = 0.0, float(squared.sum())
    for _ in range(100):
        middle = (low + high) / 2
        if (squared / (known + middle)).mean() > 1:
            low = middle
        else:
            high = middle
    return high


def outlast_threshold(
    incidence: NDArray[np.float64], times_days: FloatArray, outcomes: Outcomes, level: float
) -> float:
    """The largest threshold whose bounds (see `bound_days`) are outlasted with probability `level`.

    The share not outlasted, Σ_i 1{T_i ≤ bound_i, D_i ≠ 0} / G(T_i−), is unbiased if censoring is independent of the
    event time and the features. As in conformal inference, one more patient is counted who did not outlast his bound.
    Below the lowest candidate nothing is promised: −1, a bound of 0 days for everyone.

    Args:
        incidence: (rows, causes, times), out of fold.
        times_days: (times,).
        outcomes: Of the rows, all observed from their landmark on.
        level: E.g. 0.9.
    """
    before = censoring_survival(outcomes).before(outcomes.duration_days)
    weight = np.where((outcomes.cause > 0) & (before > 0), 1 / np.maximum(before, 1e-12), 0.0)
    candidates = np.quantile(incidence.sum(axis=1), np.linspace(0, 1, CANDIDATES))
    best = -1.0
    for threshold in np.unique(candidates):
        bound = bound_days(incidence, times_days, float(threshold))
        missed = (weight * (outcomes.duration_days <= bound)).sum()
        if (missed + 1) / (len(outcomes) + 1) > 1 - level:
            break
        best = float(threshold)
    return best
