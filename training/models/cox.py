"""Penalised cause-specific Cox models, and the cumulative incidences they imply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.models.partial_likelihood import MAX_LINEAR_PREDICTOR, FloatArray, PartialLikelihood
from training.models.penalised_fit import (
    FEWEST_EVENTS,
    PENALTIES,
    PenaltyRule,
    choose_penalty,
    folds_of,
    maximise,
    most_likely_penalty,
    reduce_features,
)
from training.models.predictor import Arrays, Sizes
from training.models.repeated_rows import independent_share

__all__ = ["FEWEST_EVENTS", "MAX_LINEAR_PREDICTOR", "PENALTIES", "CauseSpecificCox"]


class CauseSpecificCox:
    """One proportional-hazards model a cause, ridge or elastic net; Efron's ties in coefficients and baseline hazard.

    Cumulative incidences follow from all causes together: CIF_k(t) = Σ S(s−) (1 − exp(−ΔΛ(s))) ΔΛ_k(s)/ΔΛ(s), with
    S = exp(−Λ) (Andersen et al., Statistical Models Based on Counting Processes, 1993, IV.4). Assumes censoring
    independent of the event time given the features.
    """

    kind: ClassVar[str] = "cox"

    def __init__(
        self, beta: FloatArray, times_days: FloatArray, increments: FloatArray, penalties: Sequence[float]
    ) -> None:
        """Coefficients (causes, features), event times (t,), baseline hazard increments (causes, t)."""
        self.beta = beta
        self.times_days = times_days
        self.increments = increments
        self.penalties = tuple(penalties)

    @classmethod
    def fit(
        cls,
        x: FloatArray,
        outcomes: Outcomes,
        *,
        penalty: float | None,
        patient_id: NDArray[np.object_],
        seed: int,
        l1_ratio: float = 0.0,
        penalty_rule: PenaltyRule | None = None,
    ) -> Self:
        """Fit every cause.

        Args:
            x: Standardised features (rows, features).
            outcomes: Outcomes of the rows, possibly left-truncated.
            penalty: Penalty on the log partial likelihood; None: chosen for each cause.
            patient_id: (rows,): rows of one patient stay together in that cross-validation.
            seed: Of the cross-validation's folds.
            l1_ratio: 0: ridge; 1: lasso; between: elastic net.
            penalty_rule: How the penalty is chosen; None: ridge by marginal likelihood, others by cross-validation.

        Raises:
            ValueError: A marginal likelihood is asked for, and the penalty is not ridge.
        """
        rule = penalty_rule or ("minimum" if l1_ratio else "marginal_likelihood")
        if rule == "marginal_likelihood" and l1_ratio:
            msg = f"penalty_rule: the marginal likelihood is that of ridge, l1_ratio is {l1_ratio:g}; choose minimum"
            raise ValueError(msg)
        times = np.unique(outcomes.duration_days[outcomes.cause > 0])
        folds = folds_of(patient_id, seed)
        beta = np.zeros((len(outcomes.causes), x.shape[1]))
        increments = np.zeros((len(outcomes.causes), len(times)))
        penalties = []
        # |β|₁ changes under a rotation: the elastic net keeps the features as they are.
        reduced, back = reduce_features(x) if l1_ratio == 0.0 else (x, np.eye(x.shape[1]))
        for k in range(len(outcomes.causes)):
            likelihood = PartialLikelihood.of(reduced, outcomes, k + 1)
            chosen = penalty
            if chosen is None and rule == "marginal_likelihood":
                chosen = most_likely_penalty(likelihood, independent_share(patient_id, outcomes.cause == k + 1))
            elif chosen is None:
                chosen = choose_penalty(reduced, outcomes, k + 1, folds, l1_ratio=l1_ratio, rule=rule)
            penalties.append(chosen)
            if not len(likelihood.event_row):
                continue
            coefficients = maximise(likelihood, chosen, l1_ratio=l1_ratio)
            beta[k] = back @ coefficients
            increments[k, np.searchsorted(times, likelihood.times)] = likelihood.baseline(coefficients)
        return cls(beta, times, increments, penalties)

    def incidence(self, x: FloatArray, landmark_day: FloatArray, times_days: FloatArray) -> FloatArray:
        """Incidences (rows, causes, times); constant after the last event time."""
        del landmark_day  # a feature, where there are several
        at = np.searchsorted(self.times_days, times_days, side="right")
        result = np.zeros((len(x), len(self.beta), len(times_days)))
        relative = np.exp(np.clip(x @ self.beta.T, -MAX_LINEAR_PREDICTOR, MAX_LINEAR_PREDICTOR))
        for rows in np.array_split(np.arange(len(x)), max(1, len(x) // 256)):  # bounded memory
            hazard = relative[rows][:, :, None] * self.increments
            total = hazard.sum(axis=1)
            survival = np.exp(-np.concatenate([np.zeros((len(rows), 1)), np.cumsum(total, axis=1)], axis=1))
            lost = survival[:, :-1] - survival[:, 1:]
            share = np.divide(hazard, total[:, None], out=np.zeros_like(hazard), where=total[:, None] > 0)
            cumulated = np.cumsum(lost[:, None] * share, axis=2)
            result[rows] = np.concatenate([np.zeros((len(rows), len(self.beta), 1)), cumulated], axis=2)[:, :, at]
        return result

    def state(self) -> tuple[Sizes, dict[str, NDArray[Any]]]:
        """Penalties; coefficients, times and baseline hazards."""
        arrays = {"beta": self.beta, "times_days": self.times_days, "increments": self.increments}
        return {"penalties": list(self.penalties)}, arrays

    @classmethod
    def from_state(cls, sizes: Sizes, arrays: Arrays) -> Self:
        """Rebuild what `state` described."""
        return cls(arrays["beta"], arrays["times_days"], arrays["increments"], sizes["penalties"])
