"""Learning how a model's out-of-fold predictions are to be recalibrated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from features.patients import FloatArray, Patients
from training.config import ModelConfig
from training.models.predictor import Predictor
from training.models.recalibration import Calibration, Recalibrated, cause_hazards, steadied
from training.models.repeated_rows import independent_share, sums_by_patient
from training.out_of_fold.stacking import Refit, enough_events, held_out_like

BINS = 40
"""Bins of follow-up, of about equal numbers of events."""
SMALLEST_VARIANCE = 1e-4
"""Of log ρ: where all patients have the same risk, there is no spread to be learnt."""
PRIOR_EVENTS = 10.0
"""Weight, in events, of the belief that nothing is to be changed."""


def recalibrate(
    final: Predictor, model: ModelConfig, patients: Patients, outcomes: Outcomes, refit: Refit, *, seed: int
) -> Predictor:
    """The predictor, recalibrated on out-of-fold predictions of its kind; unchanged with too few events.

    Args:
        final: Fitted on all rows.
        model: Its configuration; weights of a stacked mixture are learnt without the fold, members of it being fitted.
        patients: Training rows.
        outcomes: Their outcomes.
        refit: Fits a whole risk model on some of the rows.
        seed: Of the folds.
    """
    if not (outcomes.cause > 0).any():
        edges = np.array([0.0, float(outcomes.duration_days.max())])
        return Recalibrated(final, no_calibration(edges, len(outcomes.causes)))
    edges = calibration_edges(outcomes)
    if not enough_events(outcomes, patients.patient_id):
        return Recalibrated(final, no_calibration(edges, len(outcomes.causes)))
    held_out = held_out_like(final, model, patients, outcomes, refit, edges, seed=seed)
    return Recalibrated(final, fit_calibration(held_out, edges, outcomes, patients.patient_id))


def calibration_edges(outcomes: Outcomes) -> FloatArray:
    """(bins + 1,): 0, quantiles of the times of events of any cause, and the last of them.

    Raises:
        ValueError: There is no event.
    """
    times = outcomes.duration_days[outcomes.cause > 0]
    if not len(times):
        msg = "recalibration: no event; outcomes need at least one"
        raise ValueError(msg)
    edges = np.unique(np.quantile(times, np.linspace(0, 1, BINS + 1)[1:], method="higher"))
    return np.concatenate([[0.0], edges])


def no_calibration(edges_days: FloatArray, n_causes: int) -> Calibration:
    """The calibration that changes nothing."""
    shape = (n_causes, len(edges_days) - 1)
    sure = np.tile(np.eye(2) * SMALLEST_VARIANCE, (n_causes, 1, 1))
    return Calibration(edges_days, np.zeros(shape), np.zeros(n_causes), np.ones(n_causes), sure)


def fit_calibration(
    incidence: NDArray[np.float64],
    edges_days: FloatArray,
    outcomes: Outcomes,
    patient_id: NDArray[Any],
    *,
    prior_events: float = PRIOR_EVENTS,
) -> Calibration:
    """Level and spread of each cause's hazard, from out-of-fold predictions.

    They maximise the likelihood of a Poisson process with the recalibrated hazard (Andersen, Borgan, Gill & Keiding,
    Statistical Models Based on Counting Processes, 1993, II.7),

        Σ_events [α + (β − 1) log ρ_i(T_i)] − Σ_i ∫ exp(α) ρ_i(t)^(β − 1) dΛ_k(t|i) − prior_events/2 (α² + (β − 1)² v),

    the logarithmic score, which is proper, concave in (α, β), and needs no weights: a censored or late row counts for
    as long as it was at risk. The last term makes few events change little: with v the variance of log ρ over the
    hazard that was at risk, it weighs as much as `prior_events` more events on which nothing is to be changed.

    Several rows of a patient hold one event: the likelihood is weighed by patients with an event over rows with one.
    With A the curvature, B the sum over patients of the squares of their scores and P the curvature of the last term,
    the covariance is A⁻¹ (B + P) A⁻¹ (Lin & Wei, J Am Stat Assoc 1989;84:1074), and A⁻¹ where B is the information.

    Args:
        incidence: (rows, causes, edges), out of fold, at the edges.
        edges_days: (edges,), from `calibration_edges`.
        outcomes: Of the rows; censoring is assumed independent of the event time given the predictions.
        patient_id: (rows,): patients are independent, their rows are not.
        prior_events: See above.
    """
    hazards = cause_hazards(incidence)
    mean = np.mean(steadied(hazards), axis=0)
    n_causes = len(outcomes.causes)
    start = replace(no_calibration(edges_days, n_causes), mean_log_hazard=np.log(mean))
    log_ratio = start.log_ratio(hazards)
    exposed = hazards * _observed(outcomes, edges_days)[:, None]
    bin_of = np.searchsorted(edges_days, outcomes.duration_days, side="left") - 1
    for k in range(n_causes):
        event = (outcomes.cause == k + 1) & (bin_of < len(edges_days) - 1)
        at_event = np.zeros((len(outcomes), 2))
        at_event[event] = np.column_stack([np.ones(event.sum()), log_ratio[event, k, bin_of[event]]])
        share = independent_share(patient_id, event)
        found, start.covariance[k] = _maximise(
            share * at_event, log_ratio[:, k], share * exposed[:, k], patient_id, prior_events
        )
        start.level[k], start.spread[k] = found[0], 1 + found[1]
    return start


def _observed(outcomes: Outcomes, edges_days: FloatArray) -> NDArray[np.float64]:
    """(rows, bins): share of each bin that each row was at risk in."""
    width = np.diff(edges_days)
    until = np.clip((outcomes.duration_days[:, None] - edges_days[:-1]) / width, 0.0, 1.0)
    if outcomes.entry_days is None:
        return until
    late = np.clip((outcomes.entry_days[:, None] - edges_days[:-1]) / width, 0.0, 1.0)
    return until - late


def _maximise(
    at_event: NDArray[np.float64],
    log_ratio: NDArray[np.float64],
    exposed: NDArray[np.float64],
    patient_id: NDArray[Any],
    prior: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """α and β − 1, and their covariance; β is at least 0, or the order of patients would be turned round.

    Args:
        at_event: (rows, 2): the weight of a row's event, and that times log ρ there; 0 where it has none.
        log_ratio: (rows, bins).
        exposed: (rows, bins): hazard at risk, weighed.
        patient_id: (rows,).
        prior: Weight, in events.
    """
    kept = exposed > 0
    exposure, ratio = exposed[kept], log_ratio[kept]
    design = np.column_stack([np.ones(len(ratio)), ratio])
    events = at_event.sum(axis=0)
    ridge = prior * np.diag([1.0, max(_variance(ratio, exposure), SMALLEST_VARIANCE)])
    found, inverse = _newton(events, design, exposure, ridge)
    expected = exposed * np.exp(found[0] + found[1] * log_ratio)
    score = at_event - np.column_stack([expected.sum(axis=1), (expected * log_ratio).sum(axis=1)])
    by_patient = sums_by_patient(score, patient_id)
    covariance: NDArray[np.float64] = inverse @ (by_patient.T @ by_patient + ridge) @ inverse
    if found[1] < -1:
        level, _ = _newton(events[:1], design[:, :1], exposure * np.exp(-ratio), ridge[:1, :1])
        found = np.array([level[0], -1.0])
    return found, covariance


def _newton(
    events: NDArray[np.float64], design: NDArray[np.float64], exposure: NDArray[np.float64], ridge: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The b that maximises events·b − Σ exposure exp(design b) − bᵀ ridge b / 2, and the inverse of the curvature."""

    def objective(b: NDArray[np.float64]) -> float:
        return float(events @ b - exposure @ np.exp(design @ b) - b @ ridge @ b / 2)

    b = np.zeros(len(events))
    for _ in range(50):
        expected = exposure * np.exp(design @ b)
        curvature = (design.T * expected) @ design + ridge
        step = np.linalg.solve(curvature, events - design.T @ expected - ridge @ b)
        now, size = objective(b), 1.0
        while objective(b + size * step) < now and size > 1e-6:
            size /= 2
        b = b + size * step
        if np.abs(size * step).max() < 1e-10:
            break
    return b, np.linalg.inv(curvature).astype(np.float64)


def _variance(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    if not len(values):
        return 0.0
    return float(np.average((values - np.average(values, weights=weights)) ** 2, weights=weights))
