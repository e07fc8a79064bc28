"""Learning a model's uncertainty: refits on simulated outcomes, misfit out of fold, and thresholds of lower bounds.

*Refits.* The fitted model is taken for the truth, outcomes are simulated from it for the very same patients and
censoring, and the model is fitted to them (parametric bootstrap: Efron & Tibshirani, An Introduction to the Bootstrap,
1993, ch. 6). How far a refit lies from the truth it came from shows the variance of fitting and, unlike a bootstrap of
patients, the bias of shrinkage too. Encoders learn nothing from outcomes, so the refits share the model's own. The
weights of a stacked mixture are drawn for each refit and for the truth that it comes from: were every truth the mixture
itself, held together by a member that knows nothing, no refit could lie as far apart as the truth may. And the truth is
the model's answers stretched, as far as a few first refits show them to shrink (`training.models.stretch`).

*Misfit.* A model that is wrong in kind is wrong again in its refits. In groups of similar out-of-fold risk, observed
risks differ from predicted ones by chance, by the errors that the refits show, and by misfit: its variance is what is
left (see `training.out_of_fold.misfit`).

*Lower bounds.* The threshold of a level is found by weighting events for censoring, on out-of-fold predictions. Candès,
Lei & Ren (JRSSB 2023;85:24) calibrate bounds of survival times by weighted conformal inference where every censoring
time is known. Here it is not known of those with an event, so the share of bounds that were not outlasted is estimated
by weighting with 1/G instead (see `outlast_threshold`); coverage is marginal, over patients, not for each patient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from features.patients import FloatArray, Patients
from training.config import WithIntervalsConfig
from training.evaluation.ipcw import identified_days
from training.models.conformal import Uncertainty, WithIntervals, bound_days
from training.models.nonparametric import censoring_survival
from training.models.predictor import Predictor
from training.models.repeated_rows import event_patients
from training.models.seeing import seeing
from training.models.stretch import Stretch
from training.out_of_fold.misfit import misfit_variance
from training.out_of_fold.simulated_outcomes import outcome_grid, simulate_outcomes
from training.out_of_fold.stacking import Refit, enough_events, held_out_like, with_drawn_weights
from training.out_of_fold.stretch import learn_stretch

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Probabilities of outlasting a lower bound."""
PILOTS = 6
"""Refits that tell how far the truth of the others is stretched."""
CANDIDATES = 400
"""Thresholds tried."""


def add_intervals(
    final: Predictor,
    model: WithIntervalsConfig,
    x: NDArray[np.float64],
    patients: Patients,
    outcomes: Outcomes,
    refit: Refit,
    again: Callable[[Outcomes, int, Predictor], Predictor],
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
        again: Fits the predictor on other outcomes of all rows; its number is 1, 2, …; like the model they came from.
        seed: Of folds and simulated outcomes.
    """
    if not (outcomes.cause > 0).any():
        return WithIntervals(final, (), nothing_learnt(len(outcomes.causes)))
    times = outcome_grid(outcomes)
    incidence = seeing(final, patients).incidence(x, patients.landmark_day, times)

    def refitted(stretch: Stretch, numbers: range, rng: np.random.Generator) -> list[Predictor]:
        """Refits to outcomes simulated from the predictor, stretched."""
        refits = []
        for number in numbers:
            truth = with_drawn_weights(final, rng)
            told = incidence if truth is final else seeing(truth, patients).incidence(x, patients.landmark_day, times)
            told = stretch.incidence(told, patients.landmark_day, times)
            drawn = simulate_outcomes(told, times, outcomes, patients, rng)
            refits.append(again(drawn if (drawn.cause > 0).any() else outcomes, number, truth))
        return refits

    def answers(refits: Sequence[Predictor]) -> list[NDArray[np.float64]]:
        return [seeing(one, patients).incidence(x, patients.landmark_day, times) for one in refits]

    none, numbers = Stretch.none(len(outcomes.causes)), range(PILOTS + 1, PILOTS + 1 + model.refits)
    rng, of_pilots = np.random.default_rng([seed, model.refits]), np.random.default_rng([seed, 0])
    if not enough_events(outcomes, patients.patient_id):
        return WithIntervals(final, tuple(refitted(none, numbers, rng)), nothing_learnt(len(outcomes.causes)))
    pilots = answers(refitted(none, range(1, PILOTS + 1), of_pilots))
    n_events = [event_patients(patients.patient_id, outcomes.cause == k + 1) for k in range(len(outcomes.causes))]
    where = _horizons(times, outcomes)
    stretch = learn_stretch(incidence, pilots, n_events, patients.landmark_day, times, where)
    refits = tuple(refitted(stretch, numbers, rng))
    held_out = held_out_like(final, model, patients, outcomes, refit, times, seed=seed)
    error = np.stack(answers(refits)) - stretch.incidence(incidence, patients.landmark_day, times)
    learnt = learn_uncertainty(held_out, error, times, outcomes, patients.patient_id, patients.landmark_day)
    return WithIntervals(final, refits, learnt, stretch)


def nothing_learnt(n_causes: int) -> Uncertainty:
    """No misfit, and bounds of 0 days."""
    return Uncertainty(np.zeros(n_causes), np.zeros(1), np.array(LEVELS), np.full(len(LEVELS), -1.0))


def learn_uncertainty(
    held_out: NDArray[np.float64],
    refit_error: NDArray[np.float64],
    times_days: FloatArray,
    outcomes: Outcomes,
    patient_id: NDArray[Any],
    landmark_day: FloatArray,
) -> Uncertainty:
    """Misfit and thresholds, from the rows that were observed from their landmark on.

    Args:
        held_out: (rows, causes, times), out of fold.
        refit_error: (refits, rows, causes, times): refits − the truth that they came from.
        times_days: (times,), from `outcome_grid`.
        outcomes: Of the rows.
        patient_id: (rows,).
        landmark_day: (rows,).
    """
    rows = np.flatnonzero(outcomes.from_landmark)
    ids, days = patient_id[rows], landmark_day[rows]
    if not enough_events(outcomes.take(rows), ids):
        return nothing_learnt(len(outcomes.causes))
    own = replace(outcomes.take(rows), entry_days=None)
    held_out, refit_error = held_out[rows], refit_error[:, rows]
    where = _horizons(times_days, own)
    misfit = [
        misfit_variance(held_out[:, k, where], refit_error[:, :, k, where], own, ids, days, k + 1, times_days[where])
        for k in range(len(own.causes))
    ]
    known = times_days[times_days <= identified_days(own)]
    told = held_out[..., : len(known)]
    thresholds = [outlast_threshold(told, known, own, ids, days, level) for level in LEVELS]
    return Uncertainty(np.array(misfit), known, np.array(LEVELS), np.array(thresholds))


def _horizons(times_days: FloatArray, outcomes: Outcomes) -> NDArray[np.int64]:
    """Where in the grid the quartiles of the events' times stand."""
    events = outcomes.duration_days[outcomes.cause > 0]
    at = np.searchsorted(times_days, np.quantile(events, (0.25, 0.5, 0.75)))
    return np.unique(np.minimum(at, len(times_days) - 1)).astype(np.int64)


def outlast_threshold(
    incidence: NDArray[np.float64],
    times_days: FloatArray,
    outcomes: Outcomes,
    patient_id: NDArray[Any],
    landmark_day: FloatArray,
    level: float,
) -> float:
    """The largest threshold whose bounds (see `bound_days`) are outlasted with probability `level`.

    The share of rows not outlasted, Σ_i 1{T_i ≤ bound_i, D_i ≠ 0} / G(T_i−), is unbiased if censoring is independent of
    the event time and the features among the rows of one landmark, whose G it is; a bound past the day to which these
    were followed counts as not outlasted. As in conformal inference, one more patient is counted who did not outlast
    his bounds. Below the lowest candidate nothing is promised: −1, a bound of 0 days for everyone.

    Args:
        incidence: (rows, causes, times), out of fold.
        times_days: (times,).
        outcomes: Of the rows, all observed from their landmark on.
        patient_id: (rows,).
        landmark_day: (rows,).
        level: E.g. 0.9.
    """
    weight, followed = _event_weights(outcomes, landmark_day)
    n_patients = len(np.unique(patient_id.astype(str)))
    candidates = np.quantile(incidence.sum(axis=1), np.linspace(0, 1, CANDIDATES))
    best = -1.0
    for threshold in np.unique(candidates):
        bound = bound_days(incidence, times_days, float(threshold))
        missed = np.where(bound > followed, 1.0, weight * (outcomes.duration_days <= bound)).mean()
        if (missed * n_patients + 1) / (n_patients + 1) > 1 - level:
            break
        best = float(threshold)
    return best


def _event_weights(outcomes: Outcomes, landmark_day: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(rows,) each: 1/G(T−) of rows with an event, 0 of others; and the day to which a row's landmark was followed."""
    weight, followed = np.zeros(len(outcomes)), np.zeros(len(outcomes))
    for day in np.unique(landmark_day):
        rows = np.flatnonzero(landmark_day == day)
        own = outcomes.take(rows)
        before = censoring_survival(own).before(own.duration_days)
        weight[rows] = np.where((own.cause > 0) & (before > 0), 1 / np.maximum(before, 1e-12), 0.0)
        followed[rows] = identified_days(own)
    return weight, followed
