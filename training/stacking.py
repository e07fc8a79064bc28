"""Stacking: out-of-fold predictions of a mixture's members, and the weights that they speak for.

The weights are those of a linear opinion pool, at least 0, and sum to 1. All causes share them: with weights of its own
for each cause, the incidences of a patient could sum to more than 1. They minimise a proper score of what the members
predicted for patients they were not fitted on (Wolpert, Neural Netw 1992;5:241; Breiman, Mach Learn 1996;24:49; for
censored outcomes scored by the Brier score Wey, Connett & Rudser, Biostatistics 2015;16:537).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from features.patients import FloatArray, IntArray, Patients
from training.config import MixtureConfig, ModelConfig, RecalibratedConfig, WithIntervalsConfig
from training.evaluation.brier import brier_score, integrate
from training.evaluation.ipcw import ScoringWeights, scorable_times, scoring_weights
from training.models.conformal import WithIntervals
from training.models.mixture import Mixture
from training.models.nonparametric import aalen_johansen
from training.models.predictor import Predictor
from training.models.recalibration import Recalibrated
from training.models.risk_model import FittedRiskModel
from training.models.seeing import seeing
from training.splits import patient_folds

Refit = Callable[[IntArray, ModelConfig], FittedRiskModel]
"""A whole risk model, encoder and all, fitted on some of the training rows."""
FOLDS = 5
"""Inner folds."""
FEWEST_EVENTS = 10
"""With fewer events of all causes together nothing is learnt out of fold: weights stay equal, calibration as it is."""
GRID_POINTS = 30
"""Times at which out-of-fold predictions are scored."""
LATEST_EVENT = 0.9
"""The times end where this share of the events observed has happened: later, a few patients speak for all."""
PRIOR_SD = 0.5
"""Standard deviation of a weight around the equal one, as expected before any data are seen (see `fit_stack`)."""


def scoring_grid(outcomes: Outcomes) -> FloatArray:
    """Times (times,), evenly spaced up to the day by which nine tenths of the events observed had happened."""
    end = float(np.quantile(outcomes.duration_days[outcomes.cause > 0], LATEST_EVENT))
    return np.linspace(end / GRID_POINTS, end, GRID_POINTS)


def enough_events(outcomes: Outcomes) -> bool:
    """Whether anything is to be learnt out of fold."""
    return int((outcomes.cause > 0).sum()) >= FEWEST_EVENTS


def plain(model: ModelConfig) -> ModelConfig:
    """The model without what is learnt out of fold."""
    match model:
        case RecalibratedConfig() | WithIntervalsConfig():
            return plain(model.model)
        case MixtureConfig(weights="stacked"):
            return model.model_copy(update={"weights": "equal"})
        case _:
            return model


def like(refitted: Predictor, final: Predictor, rng: np.random.Generator | None = None) -> Predictor:
    """A refit of the plain model, with the weights and the calibration that the final one has learnt.

    With `rng`, the calibration is drawn from what is known of it.
    """
    match final:
        case Recalibrated():
            calibration = final.calibration if rng is None else final.calibration.drawn(rng)
            return Recalibrated(like(refitted, final.model, rng), calibration)
        case WithIntervals():
            return like(refitted, final.model, rng)
        case Mixture() if isinstance(refitted, Mixture):
            return Mixture(refitted.members, final.weights.tolist())
        case _:
            return refitted


def stack(
    mixture: Mixture, model: MixtureConfig, patients: Patients, outcomes: Outcomes, refit: Refit, *, seed: int
) -> Mixture:
    """The mixture with weights from out-of-fold predictions of its members; as it is with too few events."""
    if not enough_events(outcomes):
        return mixture
    times = scoring_grid(outcomes)

    def members(refitted: Predictor) -> Sequence[Predictor]:
        return refitted.members if isinstance(refitted, Mixture) else ()

    incidence = out_of_fold(lambda rows: refit(rows, plain(model)), members, patients, outcomes, times, seed=seed)
    return Mixture(mixture.members, fit_stack(incidence, times, outcomes, patients.landmark_day).tolist())


def out_of_fold(
    refit: Callable[[IntArray], FittedRiskModel],
    parts: Callable[[Predictor], Sequence[Predictor]],
    patients: Patients,
    outcomes: Outcomes,
    times_days: FloatArray,
    *,
    seed: int,
) -> NDArray[np.float64]:
    """Predictions for every training row, by models that did not see its patient.

    Args:
        refit: Fits encoder and predictor on the rows it is given; nothing that was learnt on all rows may be in it.
        parts: The predictors that answer: the refitted one, say, or its members.
        patients: Training rows; rows of one patient are held out together.
        outcomes: Their outcomes, of at least `FEWEST_EVENTS` events.
        times_days: (times,).
        seed: Of the folds.

    Returns:
        (parts, rows, causes, times).
    """
    n_patients = len(np.unique(patients.patient_id.astype(str)))
    folds = patient_folds(patients.patient_id, outcomes.cause, n_folds=min(FOLDS, n_patients), n_repeats=1, seed=seed)
    held_out = []
    for fold in folds:
        model = refit(fold.train)
        rows = patients.take(fold.test)
        x = model.encoder.transform(rows)
        answering = [seeing(part, rows) for part in parts(model.predictor)]
        held_out.append(np.stack([part.incidence(x, rows.landmark_day, times_days) for part in answering]))
    order = np.argsort(np.concatenate([fold.test for fold in folds]))
    values: NDArray[np.float64] = np.concatenate(held_out, axis=1)[:, order]
    return values


def fit_stack(
    incidence: NDArray[np.float64],
    times_days: FloatArray,
    outcomes: Outcomes,
    landmark_day: FloatArray,
    *,
    prior_sd: float = PRIOR_SD,
) -> NDArray[np.float64]:
    """Weights (members,) of the mixture that scores best out of fold, drawn towards equal weights.

    They minimise wᵀRw + λ Σ (w_m − 1/M)² over w ≥ 0, Σw = 1. As the weights sum to 1, wᵀRw with the residual matrix R
    of `residual_products` is the integrated IPCW Brier score of the mixture, divided for each cause by that of the
    Aalen–Johansen estimate and averaged over causes; so it is 1 for a mixture that knows nothing.

    The strength of the shrinkage is λ = 1/(prior_sd² E), with E = K² / Σ_k 1/E_k the number of events behind the mean
    of K causes' scores. It is the posterior mode of a regression of outcomes on predictions whose residuals have
    variance 1 in units of the null score and E independent ones among them, when weights scatter around 1/M with
    prior_sd: with 100 events equal weights are kept unless the members differ clearly, with 10,000 the data decide.

    Args:
        incidence: (members, rows, causes, times), out of fold.
        times_days: (times,), ascending.
        outcomes: Of the rows; those observed only after their landmark are not scored.
        landmark_day: (rows,): censoring is estimated among the rows of one landmark.
        prior_sd: See above.
    """
    n_members = len(incidence)
    equal = np.full(n_members, 1 / n_members)
    products, n_events = residual_products(incidence, times_days, outcomes, landmark_day)
    if n_events < FEWEST_EVENTS:
        return equal
    penalty = 1 / (prior_sd**2 * n_events)
    matrix = products + penalty * (np.eye(n_members) - np.full((n_members, n_members), 1 / n_members))
    return simplex_minimum(matrix)


def residual_products(
    incidence: NDArray[np.float64], times_days: FloatArray, outcomes: Outcomes, landmark_day: FloatArray
) -> tuple[NDArray[np.float64], float]:
    """R (members, members), the products of the members' residuals, and the number of events behind it.

    R_ml = mean over causes of ∫ Σ_i ω_i(t) (y_ik(t) − F_mk(t|i)) (y_ik(t) − F_lk(t|i)) dt / null score of cause k, with
    the weights ω of `training.evaluation.ipcw`; its diagonal holds the relative IBS of each member.
    """
    n_members, _, n_causes, _ = incidence.shape
    total = np.zeros((n_causes, n_members, n_members))
    null = np.zeros(n_causes)
    events = np.zeros(n_causes)
    entry = np.zeros(len(outcomes)) if outcomes.entry_days is None else outcomes.entry_days
    for day in np.unique(landmark_day):
        rows = np.flatnonzero((landmark_day == day) & (entry <= 0))
        if not len(rows):
            continue
        own = outcomes.take(rows)
        grid = scorable_times(own, times_days) if (own.duration_days >= times_days[0]).any() else times_days[:0]
        if not len(grid):
            continue
        weights = scoring_weights(own, grid)
        share = len(rows) / len(outcomes) * _trapezoid(grid)
        for k in range(n_causes):
            total[k] += _products(incidence[:, rows, k, : len(grid)], own, k + 1, weights, share)
            events[k] += ((own.cause == k + 1) & (own.duration_days <= grid[-1])).sum()
        known = np.broadcast_to(aalen_johansen(own).at(grid), (len(own), n_causes, len(grid)))
        null += len(rows) / len(outcomes) * grid[-1] * integrate(brier_score(known, grid, own, weights), grid)
    scored = (events > 0) & (null > 0)
    if not scored.any():
        return np.zeros((n_members, n_members)), 0.0
    mean: NDArray[np.float64] = np.mean(total[scored] / null[scored, None, None], axis=0)
    n_events = float(np.count_nonzero(scored)) ** 2 / float((1 / events[scored]).sum())
    return mean, n_events


def _trapezoid(times_days: FloatArray) -> FloatArray:
    """Weights (times,) of the trapezoid rule from day 0, where every score is 0."""
    width = np.diff(times_days, prepend=0.0)
    weights: FloatArray = (width + np.append(width[1:], 0.0)) / 2
    return weights


def _products(
    incidence: NDArray[np.float64], outcomes: Outcomes, cause: int, weights: ScoringWeights, share: FloatArray
) -> NDArray[np.float64]:
    """(members, members): products of residuals of one cause's incidence (members, rows, times), summed over times."""
    duration, times = outcomes.duration_days[:, None], weights.times_days
    event = (duration <= times) & (outcomes.cause[:, None] > 0)
    of_row = np.where(event, weights.event[:, None], 0.0)
    of_row += np.where(duration > times, weights.after, 0.0)
    of_row += np.where((duration == times) & (outcomes.cause[:, None] == 0), weights.tied, 0.0)
    happened = event & (outcomes.cause[:, None] == cause)
    residual = (happened - incidence) * np.sqrt(of_row * share / len(outcomes))
    flat = residual.reshape(len(incidence), -1)
    products: NDArray[np.float64] = flat @ flat.T
    return products


def simplex_minimum(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The w ≥ 0 with Σw = 1 that minimises wᵀHw, for a positive semi-definite H (m, m).

    By its optimality conditions w is, up to its sum, the v ≥ 0 that minimises vᵀHv/2 − Σv, which is found by the active
    set method of Lawson & Hanson (Solving Least Squares Problems, 1974, ch. 23).
    """
    size = len(matrix)
    scale = max(float(np.trace(matrix)) / size, 1e-300)
    h = matrix / scale + 1e-10 * np.eye(size)
    free = np.zeros(size, dtype=bool)
    v = np.zeros(size)
    for _ in range(10 * size):
        gain = np.where(free, -np.inf, 1.0 - h @ v)
        if gain.max() <= 1e-9:
            break
        free[gain.argmax()] = True
        v = _within(h, free, v)
    weights: NDArray[np.float64] = v / v.sum()
    return weights


def _within(h: NDArray[np.float64], free: NDArray[np.bool_], v: NDArray[np.float64]) -> NDArray[np.float64]:
    """Minimise over the free coordinates; those that would fall below 0 are held there (`free` is changed)."""
    while True:
        trial = np.zeros(len(v))
        trial[free] = np.linalg.solve(h[np.ix_(free, free)], np.ones(int(free.sum())))
        below = free & (trial <= 0)
        if not below.any():
            return trial
        step = float((v[below] / (v[below] - trial[below])).min())
        v = v + step * (trial - v)
        free &= v > 1e-14
