"""Penalised maximum of a partial likelihood: ridge and elastic net, and the choice of the penalty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.models.partial_likelihood import FloatArray, PartialLikelihood

PENALTIES = tuple(float(p) for p in np.geomspace(1.0, 3000.0, 9))
"""Candidates for the ridge penalty, in units of the log partial likelihood of standardised features."""
FINE_PENALTIES = tuple(float(p) for p in np.geomspace(1.0, 3000.0, 25))
"""Candidates where one fit each suffices."""
FEWEST_EVENTS = 10
"""With fewer events of a cause nothing can be chosen: the strongest penalty is taken."""
PATH_STEPS = 25
"""Candidates for the elastic net's penalty: it selects, and a coarse grid would miss the number of features."""
WEAKEST_SHARE = 0.01
"""The elastic net's weakest candidate, as a share of the penalty from which on every coefficient is 0."""
MAX_STEPS = 100
"""Newton steps, and rounds of the working set; both end long before."""

PenaltyRule = Literal["marginal_likelihood", "minimum", "one_standard_error"]
"""The ridge penalty of the greatest marginal likelihood; or, of any penalty, the one with the best cross-validated
likelihood, or the strongest within one standard error of that.

The first needs no folds, so its choice has less noise. The last selects fewer features and predicts worse: it takes a
weak signal for none.
"""


class Concave(Protocol):
    """A log likelihood that Newton's method can climb; `PartialLikelihood` is one, and so is a sum of several."""

    def value(self, beta: FloatArray) -> float:
        """The log likelihood."""

    def likelihood(self, beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """The log likelihood, its gradient, and its negative Hessian."""


RiskSetsOf = Callable[[FloatArray, Outcomes, int], PartialLikelihood]


def maximise(
    likelihood: PartialLikelihood,
    penalty: float,
    start: FloatArray | None = None,
    *,
    l1_ratio: float = 0.0,
    tolerance: float = 1e-10,
) -> FloatArray:
    """Coefficients that maximise log partial likelihood − λ (α |β|₁ + (1 − α)/2 |β|²), λ `penalty`, α `l1_ratio`.

    The objective is that of glmnet's Cox model (Simon et al., J Stat Softw 2011;39(5):1), whose λ is ours divided by
    the number of rows. Stops when a step gains less than `tolerance` of the objective.
    """
    beta = np.zeros(likelihood.x.shape[1]) if start is None else start
    if l1_ratio == 0.0:
        return newton(likelihood, penalty, 0.0, beta, tolerance)
    return _on_working_set(likelihood, penalty, l1_ratio, beta, tolerance)


def _on_working_set(
    likelihood: PartialLikelihood, penalty: float, l1_ratio: float, start: FloatArray, tolerance: float
) -> FloatArray:
    """Fit the features that can move, until every feature left at 0 meets its optimality (KKT) condition, |g| ≤ λα."""
    beta = start.copy()
    working = beta != 0
    for _ in range(MAX_STEPS):
        if working.any():
            part = replace(likelihood, x=likelihood.x[:, working])
            beta[working] = newton(part, penalty, l1_ratio, beta[working], tolerance)
        violators = ~working & (np.abs(likelihood.gradient(beta)) > penalty * l1_ratio * (1 + 1e-9))
        if not violators.any():
            break
        working |= violators
    return beta


def newton(likelihood: Concave, penalty: float, l1_ratio: float, beta: FloatArray, tolerance: float) -> FloatArray:
    """Newton's method with step halving.

    With an L1 part, proximal Newton (Lee, Sun & Saunders, SIAM J Optim 2014;24:1420).
    """
    l1, l2 = penalty * l1_ratio, penalty * (1 - l1_ratio)

    def penalised(value: float, at: FloatArray) -> float:
        return value - l1 * float(np.abs(at).sum()) - l2 / 2 * float(at @ at)

    for _ in range(MAX_STEPS):
        value, gradient, hessian = likelihood.likelihood(beta)
        objective = penalised(value, beta)
        if l1 == 0.0:
            step = np.linalg.solve(hessian + l2 * np.eye(len(beta)), gradient - l2 * beta)
        else:
            step = coordinate_descent(hessian, gradient, beta, l1, l2, tolerance=1e-4 * tolerance) - beta
        size = 1.0
        while size > 1e-4:
            trial = beta + size * step
            improved = penalised(likelihood.value(trial), trial)
            if improved >= objective - 1e-10:
                break
            size /= 2
        beta = trial
        if improved - objective < tolerance * max(1.0, abs(objective)):
            break
    return beta


def coordinate_descent(
    hessian: FloatArray, gradient: FloatArray, beta: FloatArray, l1: float, l2: float, *, tolerance: float
) -> FloatArray:
    """The b that maximises g·(b − β) − ½ (b − β)ᵀH(b − β) − l1 |b|₁ − l2/2 |b|², one coordinate after the other.

    Friedman, Hastie & Tibshirani, J Stat Softw 2010;33(1):1, equation 5, with the slope kept up to date. Stops when
    no coordinate of a sweep gains more than `tolerance`.
    """
    found = beta.copy()
    slope = gradient.copy()
    diagonal = hessian.diagonal().tolist()
    for _ in range(1000):
        largest = 0.0
        for j, curvature in enumerate(diagonal):
            if curvature + l2 <= 0.0:
                continue  # a constant feature
            old = float(found[j])
            raw = float(slope[j]) + curvature * old
            new = np.sign(raw) * max(abs(raw) - l1, 0.0) / (curvature + l2)
            if new != old:
                slope -= hessian[j] * (new - old)
                found[j] = new
                largest = max(largest, (curvature + l2) * (new - old) ** 2)
        if largest < tolerance:
            break
    return found


def candidates(likelihood: PartialLikelihood, l1_ratio: float) -> tuple[float, ...]:
    """Penalties to choose from, ascending: `PENALTIES`, or the elastic net's path up to where no feature is left."""
    if l1_ratio == 0.0:
        return PENALTIES
    if not likelihood.x.shape[1]:
        return (1.0,)
    strongest = float(np.abs(likelihood.gradient(np.zeros(likelihood.x.shape[1]))).max()) / l1_ratio
    strongest = max(strongest, 1e-6)
    return tuple(float(p) for p in np.geomspace(WEAKEST_SHARE * strongest, strongest, PATH_STEPS))


def choose_penalty(
    x: FloatArray,
    outcomes: Outcomes,
    cause: int,
    groups: NDArray[np.int64],
    *,
    l1_ratio: float = 0.0,
    rule: PenaltyRule = "minimum",
    risk_sets: RiskSetsOf = PartialLikelihood.of,
) -> float:
    """The penalty chosen by cross-validated partial likelihood (Verweij & van Houwelingen, Stat Med 1993;12:2305).

    Args:
        x: Features (rows, features).
        outcomes: Outcomes of the rows.
        cause: The cause modelled.
        groups: (rows,): fold of each row; all rows of a patient share one.
        l1_ratio: Share of the L1 part of the penalty.
        rule: The best (``minimum``), or the strongest within one standard error.
        risk_sets: Makes the partial likelihood of some of the rows.
    """
    whole = risk_sets(x, outcomes, cause)
    penalties = candidates(whole, l1_ratio)
    if len(whole.event_row) < FEWEST_EVENTS:
        return penalties[-1]
    scores, n_events = [], []
    for fold in np.unique(groups):
        rows = np.flatnonzero(groups != fold)
        part = risk_sets(x[rows], outcomes.take(rows), cause)
        if not len(part.event_row):
            continue
        beta, score = np.zeros(x.shape[1]), np.zeros(len(penalties))
        for i in reversed(range(len(penalties))):  # from the strongest penalty on: each start is near its end
            beta = maximise(part, penalties[i], beta, l1_ratio=l1_ratio, tolerance=1e-5)
            score[i] = whole.value(beta) - part.value(beta)
        scores.append(score)
        n_events.append(len(whole.event_row) - len(part.event_row))
    return penalties[_choice(np.array(scores), np.array(n_events, dtype=float), rule)]


def log_marginal_likelihood(
    likelihood: PartialLikelihood, penalty: float, beta: FloatArray, independent: float = 1.0
) -> float:
    """Log marginal likelihood of the ridge penalty λ, up to a constant, with coefficients drawn from N(0, 1/λ).

    By Laplace's approximation at the ridge estimate b, `beta` (Ripatti & Palmgren, Biometrics 2000;56:1016; Therneau,
    Grambsch & Pankratz, J Comput Graph Stat 2003;12:156): ℓ(b) − λ/2 |b|² − ½ log |I + H(b)/λ|, with H(b) minus the
    second derivative of ℓ. Where rows repeat, as at several landmarks of a patient, ℓ and λ are weighed by the share
    `independent` of the rows: a row copied tells nothing new.
    """
    value, _, hessian = likelihood.likelihood(beta)
    spread = np.linalg.slogdet(np.eye(len(beta)) + hessian / penalty)[1]
    return independent * (value - penalty / 2 * float(beta @ beta)) - float(spread) / 2


def most_likely_penalty(likelihood: PartialLikelihood, independent: float = 1.0) -> float:
    """The ridge penalty with the greatest marginal likelihood."""
    if round(independent * len(likelihood.event_row)) < FEWEST_EVENTS:
        return FINE_PENALTIES[-1]
    beta = np.zeros(likelihood.x.shape[1])
    found = []
    for penalty in reversed(FINE_PENALTIES):  # from the strongest penalty on: each start is near its end
        beta = maximise(likelihood, penalty, beta, tolerance=1e-6)
        found.append(log_marginal_likelihood(likelihood, penalty, beta, independent))
    return FINE_PENALTIES[::-1][int(np.argmax(found))]


def _choice(scores: FloatArray, n_events: FloatArray, rule: PenaltyRule) -> int:
    """Index of the penalty, from scores (folds, penalties); ascending penalties.

    The standard error is that of the mean gain an event over folds, weighted by their events, as in glmnet's
    cv.glmnet for Cox models.
    """
    best = int(scores.sum(axis=0).argmax())
    scores, n_events = scores[n_events > 0], n_events[n_events > 0]
    if rule == "minimum" or len(scores) < 2:
        return best
    per_event = scores / n_events[:, None]
    mean = n_events @ per_event / n_events.sum()
    variance = n_events @ (per_event - mean) ** 2 / n_events.sum() / (len(scores) - 1)
    return int(np.flatnonzero(mean >= mean[best] - np.sqrt(variance[best])).max())


def reduce_features(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rotate features into the row space when they outnumber the rows; the ridge solution lies there (exactly).

    Returns:
        The features in at most `rows` dimensions, and the matrix that takes coefficients back.
    """
    if x.shape[1] <= len(x):
        return x, np.eye(x.shape[1])
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    return left * singular, right.T


def folds_of(patient_id: NDArray[np.object_], seed: int) -> NDArray[np.int64]:
    """(rows,): one of five folds for each row; rows of one patient share theirs."""
    _, patient = np.unique(patient_id.astype(str), return_inverse=True)
    fold_of = np.random.default_rng(seed).permutation(patient.max() + 1) % 5
    folds: NDArray[np.int64] = fold_of[patient]
    return folds
