"""The weights of a mixture: what its members' out-of-fold predictions speak for, and how sure that is.

The weights are those of a linear opinion pool, at least 0, and sum to 1. All causes share them: with weights of its own
for each cause, the incidences of a patient could sum to more than 1. They minimise a proper score of what the members
predicted for patients they were not fitted on (Wolpert, Neural Netw 1992;5:241; Breiman, Mach Learn 1996;24:49; for
censored outcomes scored by the Brier score Wey, Connett & Rudser, Biostatistics 2015;16:537).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from features.patients import FloatArray
from training.evaluation.brier import brier_score, integrate
from training.evaluation.ipcw import ScoringWeights, scorable_times, scoring_weights
from training.models.nonparametric import aalen_johansen
from training.models.repeated_rows import sums_by_patient

FEWEST_EVENTS = 10
"""With fewer patients with an event of any cause nothing is learnt: weights stay equal."""
PRIOR_SD = 0.5
"""Standard deviation of a weight around the equal one, as expected before any data are seen (see `StackEvidence`)."""


@dataclass(frozen=True, slots=True)
class StackEvidence:
    """How the members erred out of fold, patient by patient, and the weights that this speaks for.

    The weights minimise wᵀRw + λ Σ (w_m − 1/M)² over w ≥ 0, Σw = 1. As the weights sum to 1, wᵀRw with the residual
    matrix R (see `stack_evidence`) is the integrated IPCW Brier score of the mixture, divided for each cause by that of
    the Aalen–Johansen estimate and averaged over causes; so it is 1 for a mixture that knows nothing.

    The strength of the shrinkage is λ = 1/(prior_sd² E), with E = K² / Σ_k 1/E_k the number of events behind the mean
    of K causes' scores; several rows of a patient hold one event. It is the posterior mode of a regression of outcomes
    on predictions whose residuals have variance 1 in units of the null score and E independent ones among them, when
    weights scatter around 1/M with prior_sd: with 100 events equal weights are kept unless the members differ clearly,
    with 10,000 the data decide.
    """

    patient_id: NDArray[np.str_]
    """(patients,), each once."""
    products: NDArray[np.float64]
    """(patients, members, members): each patient's part of R; their sum is R."""
    event: NDArray[np.bool_]
    """(patients, causes): who had an event that was scored."""
    prior_sd: float = PRIOR_SD

    @property
    def total(self) -> NDArray[np.float64]:
        """R (members, members); its diagonal holds the relative integrated Brier score of each member."""
        total: NDArray[np.float64] = self.products.sum(axis=0)
        return total

    @property
    def n_events(self) -> float:
        """E."""
        events = self.event.sum(axis=0)
        events = events[events > 0]
        return len(events) ** 2 / float((1 / events).sum()) if len(events) else 0.0

    def of(self, patient_id: NDArray[Any]) -> StackEvidence:
        """That of some patients alone; censoring and the null score are kept as estimated from all."""
        kept = np.isin(self.patient_id, patient_id.astype(str))
        products = self.products[kept] * (len(kept) / max(1, int(kept.sum())))
        return StackEvidence(self.patient_id[kept], products, self.event[kept], self.prior_sd)

    def weights(self) -> NDArray[np.float64]:
        """(members,): the optimum; equal with few events."""
        if self.n_events < FEWEST_EVENTS:
            n_members = self.products.shape[1]
            return np.full(n_members, 1 / n_members)
        return simplex_minimum(self._penalised())

    def drawn(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """(members,): weights as likely, given what is known, as the optimum.

        With H = R + λ (I − 11ᵀ/M), the posterior of which the optimum is the mode is normal with precision E H on
        Σw = 1. A draw d of it is brought to the nearest w ≥ 0, in the metric of H (randomise, then optimise: Bardsley
        et al., SIAM J Sci Comput 2014;36:A1895): weights held at 0 are drawn at 0 as often as not.
        """
        if self.n_events < FEWEST_EVENTS:
            return self.weights()
        h = self._penalised()
        size = len(h)
        within = np.linalg.qr(np.eye(size) - 1 / size)[0][:, : size - 1]  # a basis of Σ = 0
        curvature = within.T @ h @ within
        equal = np.full(size, 1 / size)
        centre = equal - within @ np.linalg.solve(curvature, within.T @ h @ equal)
        root = np.linalg.cholesky(np.linalg.inv(curvature) / self.n_events)
        draw = centre + within @ (root @ rng.standard_normal(size - 1))
        away = np.eye(size) - draw[:, None]  # away @ w is w − draw, where Σw = 1
        return simplex_minimum(away.T @ h @ away)

    def _penalised(self) -> NDArray[np.float64]:
        """H."""
        size = self.products.shape[1]
        penalty = 1 / (self.prior_sd**2 * self.n_events)
        found: NDArray[np.float64] = self.total + penalty * (np.eye(size) - 1 / size)
        return found


def stack_evidence(
    incidence: NDArray[np.float64],
    times_days: FloatArray,
    outcomes: Outcomes,
    landmark_day: FloatArray,
    patient_id: NDArray[Any],
) -> StackEvidence:
    """Products of the members' residuals, by patient.

    R_ml = mean over causes of ∫ Σ_i ω_i(t) (y_ik(t) − F_mk(t|i)) (y_ik(t) − F_lk(t|i)) dt / null score of cause k, with
    the weights ω of `training.evaluation.ipcw`.

    Args:
        incidence: (members, rows, causes, times), out of fold.
        times_days: (times,), ascending.
        outcomes: Of the rows; those observed only after their landmark are not scored.
        landmark_day: (rows,): censoring is estimated among the rows of one landmark.
        patient_id: (rows,).
    """
    n_members, n_rows, n_causes, _ = incidence.shape
    products = np.zeros((n_rows, n_causes, n_members, n_members))
    null, event = np.zeros(n_causes), np.zeros((n_rows, n_causes), dtype=bool)
    for day in np.unique(landmark_day):
        rows = np.flatnonzero((landmark_day == day) & outcomes.from_landmark)
        own = outcomes.take(rows) if len(rows) else outcomes
        if not len(rows) or not (own.duration_days >= times_days[0]).any():
            continue
        grid = scorable_times(own, times_days)
        weights, width = scoring_weights(own, grid), _trapezoid(grid)
        for k in range(n_causes):
            products[rows, k] = _products(incidence[:, rows, k, : len(grid)], own, k + 1, weights, width) / n_rows
            event[rows, k] = (own.cause == k + 1) & (own.duration_days <= grid[-1])
        known = np.broadcast_to(aalen_johansen(own).at(grid), (len(own), n_causes, len(grid)))
        null += len(rows) / n_rows * grid[-1] * integrate(brier_score(known, grid, own, weights), grid)
    scored = event.any(axis=0) & (null > 0)
    relative = products[:, scored] / null[scored, None, None] / max(1, int(scored.sum()))
    by_patient = sums_by_patient(event[:, scored].astype(float), patient_id) > 0
    names = np.unique(patient_id.astype(str))
    return StackEvidence(names, sums_by_patient(relative.sum(axis=1), patient_id), by_patient)


def _trapezoid(times_days: FloatArray) -> FloatArray:
    """Weights (times,) of the trapezoid rule from day 0, where every score is 0."""
    width = np.diff(times_days, prepend=0.0)
    weights: FloatArray = (width + np.append(width[1:], 0.0)) / 2
    return weights


def _products(
    incidence: NDArray[np.float64], outcomes: Outcomes, cause: int, weights: ScoringWeights, width: FloatArray
) -> NDArray[np.float64]:
    """(rows, members, members): products of residuals of one cause's incidence (members, rows, times) over times."""
    duration, times = outcomes.duration_days[:, None], weights.times_days
    event = (duration <= times) & (outcomes.cause[:, None] > 0)
    of_row = np.where(event, weights.event[:, None], 0.0)
    of_row += np.where(duration > times, weights.after, 0.0)
    of_row += np.where((duration == times) & (outcomes.cause[:, None] == 0), weights.tied, 0.0)
    happened = event & (outcomes.cause[:, None] == cause)
    residual = ((happened - incidence) * np.sqrt(of_row * width)).swapaxes(0, 1)
    products: NDArray[np.float64] = residual @ residual.swapaxes(1, 2)
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
