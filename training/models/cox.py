"""Ridge cause-specific Cox models, and the cumulative incidences they imply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.models.predictor import Arrays, Sizes

FloatArray = NDArray[np.float64]
MAX_LINEAR_PREDICTOR = 20.0
"""Log hazard ratios are held within ± this, so that no patient overflows."""


@dataclass(frozen=True, slots=True)
class _Risk:
    """The risk sets of one cause, precomputed: everything of the partial likelihood that does not change with β."""

    x: FloatArray
    """(rows, features), sorted by duration."""
    event_row: NDArray[np.int64]
    """(events,): rows with the event."""
    first: NDArray[np.int64]
    """(events,): first row with a duration of at least the event's time."""
    tie: NDArray[np.int64]
    """(events,): index of the event's distinct time."""
    rank: FloatArray
    """(events,): l/d of Efron's correction for the l-th of d tied events."""
    late: NDArray[np.int64] | None
    """Rows ordered by entry, when there is left truncation."""
    first_late: NDArray[np.int64]
    """(events,): position in `late` of the first row that enters at or after the event's time."""
    times: FloatArray
    """(distinct times,)."""

    @classmethod
    def of(cls, x: FloatArray, outcomes: Outcomes, cause: int) -> _Risk:
        order = np.argsort(outcomes.duration_days, kind="stable")
        duration = outcomes.duration_days[order]
        event_row = np.flatnonzero(outcomes.cause[order] == cause)
        times, tie, n_tied = np.unique(duration[event_row], return_inverse=True, return_counts=True)
        starts = np.concatenate([[0], np.cumsum(n_tied)[:-1]])
        rank = (np.arange(len(event_row)) - starts[tie]) / n_tied[tie]
        late, first_late = None, np.zeros(0, dtype=np.int64)
        if outcomes.entry_days is not None:
            entry = outcomes.entry_days[order]
            late = np.argsort(entry, kind="stable")
            first_late = np.searchsorted(entry[late], duration[event_row], side="left")
        first = np.searchsorted(duration, duration[event_row], side="left")
        return cls(x[order], event_row, first, tie, rank, late, first_late, times)

    def _relative(self, beta: FloatArray) -> FloatArray:
        """(rows,): hazard ratios against x = 0."""
        return np.exp(np.clip(self.x @ beta, -MAX_LINEAR_PREDICTOR, MAX_LINEAR_PREDICTOR))

    def _at_risk(self, values: FloatArray) -> FloatArray:
        """(events, …): sums of `values` (rows, …) over those at risk, less Efron's share of the tied events."""
        sums = _tail_sums(values)[self.first]
        if self.late is not None:
            sums = sums - _tail_sums(values[self.late])[self.first_late]
        tied = np.zeros((len(self.times), *values.shape[1:]))
        np.add.at(tied, self.tie, values[self.event_row])
        rank = self.rank.reshape(-1, *[1] * (values.ndim - 1))
        return sums - rank * tied[self.tie]

    def value(self, beta: FloatArray) -> float:
        """Log partial likelihood (Efron, JASA 1977;72:557)."""
        s0 = self._at_risk(self._relative(beta))
        return float((self.x[self.event_row] @ beta).sum() - np.log(s0).sum())

    def likelihood(self, beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Log partial likelihood, its gradient, and its negative Hessian."""
        relative = self._relative(beta)
        s0 = self._at_risk(relative)
        mean = self._at_risk(relative[:, None] * self.x) / s0[:, None]
        value = float((self.x[self.event_row] @ beta).sum() - np.log(s0).sum())
        gradient = (self.x[self.event_row] - mean).sum(axis=0)
        weight = relative * self._exposure(1.0 / s0)
        hessian = (self.x * weight[:, None]).T @ self.x - mean.T @ mean
        return value, gradient, hessian

    def _exposure(self, per_event: FloatArray) -> FloatArray:
        """(rows,): sum of `per_event` over the events at which the row was at risk, Efron's share for its own tie."""
        exposure = np.zeros(len(self.x))
        np.add.at(exposure, self.first, per_event)
        exposure = np.cumsum(exposure)
        if self.late is not None:
            excluded = np.zeros(len(self.x) + 1)
            np.add.at(excluded, self.first_late, per_event)
            exposure[self.late] -= np.cumsum(excluded)[:-1]
        own = np.zeros(len(self.times))
        np.add.at(own, self.tie, self.rank * per_event)
        exposure[self.event_row] -= own[self.tie]
        return exposure

    def baseline(self, beta: FloatArray) -> FloatArray:
        """(distinct times,): increments of the baseline cumulative hazard, with Efron's correction for ties."""
        increments = np.zeros(len(self.times))
        np.add.at(increments, self.tie, 1.0 / self._at_risk(self._relative(beta)))
        return increments


def _tail_sums(values: FloatArray) -> FloatArray:
    """(rows + 1, …): sums over rows i, i + 1, …, with 0 at the end."""
    sums = np.zeros((len(values) + 1, *values.shape[1:]))
    sums[:-1] = np.cumsum(values[::-1], axis=0)[::-1]
    return sums


def maximise(risk: _Risk, penalty: float, start: FloatArray | None = None, *, tolerance: float = 1e-10) -> FloatArray:
    """Coefficients that maximise log partial likelihood − penalty/2 · |β|², by Newton's method with step halving.

    Stops when a step gains less than `tolerance` of the objective.
    """
    beta = np.zeros(risk.x.shape[1]) if start is None else start
    for _ in range(50):
        value, gradient, hessian = risk.likelihood(beta)
        objective = value - penalty / 2 * float(beta @ beta)
        step = np.linalg.solve(hessian + penalty * np.eye(len(beta)), gradient - penalty * beta)
        size = 1.0
        while size > 1e-4:
            trial = beta + size * step
            improved = risk.value(trial) - penalty / 2 * float(trial @ trial)
            if improved >= objective - 1e-10:
                break
            size /= 2
        beta = trial
        if improved - objective < tolerance * max(1.0, abs(objective)):
            break
    return beta


PENALTIES = tuple(float(p) for p in np.geomspace(1.0, 3000.0, 9))
"""Candidates for the ridge penalty, in units of the log partial likelihood of standardised features."""
FEWEST_EVENTS = 10
"""With fewer events of a cause nothing can be chosen: the strongest penalty is taken."""


def choose_penalty(x: FloatArray, outcomes: Outcomes, cause: int, groups: NDArray[np.int64]) -> float:
    """The penalty with the best cross-validated partial likelihood (Verweij & van Houwelingen, Stat Med 1993;12:2305).

    Args:
        x: Features (rows, features).
        outcomes: Outcomes of the rows.
        cause: The cause modelled.
        groups: (rows,): fold of each row; all rows of a patient share one.
    """
    whole = _Risk.of(x, outcomes, cause)
    score = np.zeros(len(PENALTIES))
    for fold in np.unique(groups):
        rows = np.flatnonzero(groups != fold)
        part = _Risk.of(x[rows], outcomes.take(rows), cause)
        if not len(part.event_row):
            continue
        beta = np.zeros(x.shape[1])
        for i in reversed(range(len(PENALTIES))):  # from the strongest penalty on: each start is near its end
            beta = maximise(part, PENALTIES[i], beta, tolerance=1e-5)
            score[i] += whole.value(beta) - part.value(beta)
    return PENALTIES[int(score.argmax())]


class CauseSpecificCox:
    """One proportional-hazards model a cause, with ridge penalty, and Efron's ties in coefficients and baseline hazard.

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
        cls, x: FloatArray, outcomes: Outcomes, *, penalty: float | None, patient_id: NDArray[np.object_], seed: int
    ) -> Self:
        """Fit every cause.

        Args:
            x: Standardised features (rows, features).
            outcomes: Outcomes of the rows, possibly left-truncated.
            penalty: Ridge penalty on the log partial likelihood; None: chosen by cross-validation for each cause.
            patient_id: (rows,): rows of one patient stay together in that cross-validation.
            seed: Of the cross-validation's folds.
        """
        times = np.unique(outcomes.duration_days[outcomes.cause > 0])
        _, patient = np.unique(patient_id.astype(str), return_inverse=True)
        fold_of = np.random.default_rng(seed).permutation(patient.max() + 1) % 5
        beta = np.zeros((len(outcomes.causes), x.shape[1]))
        increments = np.zeros((len(outcomes.causes), len(times)))
        penalties = []
        reduced, back = _reduce(x)
        for k in range(len(outcomes.causes)):
            n_events = int((outcomes.cause == k + 1).sum())
            chosen = PENALTIES[-1] if penalty is None else penalty
            if penalty is None and n_events >= FEWEST_EVENTS:
                chosen = choose_penalty(reduced, outcomes, k + 1, fold_of[patient])
            if n_events == 0:
                penalties.append(chosen)
                continue
            risk = _Risk.of(reduced, outcomes, k + 1)
            coefficients = maximise(risk, chosen)
            beta[k] = back @ coefficients
            increments[k, np.searchsorted(times, risk.times)] = risk.baseline(coefficients)
            penalties.append(chosen)
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


def _reduce(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rotate features into the row space when they outnumber the rows; the ridge solution lies there (exactly).

    Returns:
        The features in at most `rows` dimensions, and the matrix that takes coefficients back.
    """
    if x.shape[1] <= len(x):
        return x, np.eye(x.shape[1])
    left, singular, right = np.linalg.svd(x, full_matrices=False)
    return left * singular, right.T
