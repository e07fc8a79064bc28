"""The partial likelihood of proportional hazards: one pass over sorted rows, for Cox and for Fine–Gray risk sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes

FloatArray = NDArray[np.float64]
MAX_LINEAR_PREDICTOR = 20.0
"""Log hazard ratios of predicted patients are held within ± this, so that none overflows."""
MAX_SPREAD = 80.0
"""Log of the largest ratio of two hazards in a likelihood."""
Observed = Callable[[FloatArray], FloatArray]
"""P(still under observation just before t), up to a factor, at times (…,) in days."""


@dataclass(frozen=True, slots=True)
class PartialLikelihood:
    """The risk sets of one cause, precomputed: everything of the partial likelihood that does not change with β.

    Sums over risk sets are differences of running sums over sorted rows: a pass costs rows × features, whatever the
    number of events.
    """

    x: FloatArray
    """(rows, features), sorted by duration."""
    event_row: NDArray[np.int64]
    """(events,): rows with the event."""
    first: NDArray[np.int64]
    """(events,): first row with a duration of at least the event's time."""
    tie: NDArray[np.int64]
    """(events,): index of the event's distinct time."""
    rank: FloatArray
    """(events,): l/d of Efron's correction for the l-th of d tied events; 0 in Fine–Gray's risk sets (Breslow)."""
    late: NDArray[np.int64] | None
    """Rows ordered by entry, when there is left truncation."""
    first_late: NDArray[np.int64]
    """(events,): position in `late` of the first row that enters at or after the event's time."""
    times: FloatArray
    """(distinct times,)."""
    kept: FloatArray | None = None
    """(rows,): in Fine–Gray's risk sets 1/P(observed) at a competing event, which keeps its row at risk; else 0."""
    kept_share: FloatArray | None = None
    """(events,): P(observed) at the event's time."""

    @classmethod
    def of(
        cls, x: FloatArray, outcomes: Outcomes, cause: int, *, observed: Observed | None = None
    ) -> PartialLikelihood:
        """Sort the rows, and find each event's risk set.

        Args:
            x: Features (rows, features).
            outcomes: Outcomes of the rows, possibly left-truncated.
            cause: The cause modelled.
            observed: None: rows with another cause leave, as if censored. Given: they stay at risk with the weight
                P(observed at t) / P(observed at their event) (Fine & Gray, JASA 1999;94:496), and ties are Breslow's.
        """
        order = np.argsort(outcomes.duration_days, kind="stable")
        duration, causes = outcomes.duration_days[order], outcomes.cause[order]
        event_row = np.flatnonzero(causes == cause)
        times, tie, n_tied = np.unique(duration[event_row], return_inverse=True, return_counts=True)
        starts = np.concatenate([[0], np.cumsum(n_tied)[:-1]])
        rank = (np.arange(len(event_row)) - starts[tie]) / n_tied[tie]
        late, first_late = None, np.zeros(0, dtype=np.int64)
        if outcomes.entry_days is not None:
            entry = outcomes.entry_days[order]
            late = np.argsort(entry, kind="stable")
            first_late = np.searchsorted(entry[late], duration[event_row], side="left")
        first = np.searchsorted(duration, duration[event_row], side="left")
        if observed is None:
            return cls(x[order], event_row, first, tie, rank, late, first_late, times)
        competing = (causes > 0) & (causes != cause)
        kept = np.divide(1.0, observed(duration), out=np.zeros(len(x)), where=competing)
        share = observed(duration[event_row])
        return cls(x[order], event_row, first, tie, np.zeros(len(rank)), late, first_late, times, kept, share)

    def _relative(self, beta: FloatArray) -> tuple[FloatArray, float]:
        """(rows,): hazard ratios against the row with the largest hazard, and the log of that hazard.

        Ratios below exp(−`MAX_SPREAD`) are held there: a likelihood is then underrated, never overrated, so that
        coefficients of separated features are not driven on by it.
        """
        log_hazard = self.x @ beta
        largest = float(log_hazard.max())
        return np.exp(np.maximum(log_hazard - largest, -MAX_SPREAD)), largest

    def _at_risk(self, values: FloatArray) -> FloatArray:
        """(events, …): sums of `values` (rows, …) over those at risk, less Efron's share of the tied events."""
        extra = [1] * (values.ndim - 1)
        sums = _tail_sums(values)[self.first]
        if self.late is not None:
            sums = sums - _tail_sums(values[self.late])[self.first_late]
        if self.kept is not None and self.kept_share is not None:
            before = np.zeros((len(values) + 1, *values.shape[1:]))
            np.cumsum(values * self.kept.reshape(-1, *extra), axis=0, out=before[1:])
            return sums + before[self.first] * self.kept_share.reshape(-1, *extra)
        tied = np.zeros((len(self.times), *values.shape[1:]))
        np.add.at(tied, self.tie, values[self.event_row])
        return sums - self.rank.reshape(-1, *extra) * tied[self.tie]

    def _denominators(self, relative: FloatArray) -> FloatArray:
        """(events,): hazards summed over those at risk; at least the event's own, which rounding could lose."""
        return np.maximum(self._at_risk(relative), (1.0 - self.rank) * relative[self.event_row])

    def value(self, beta: FloatArray) -> float:
        """Log partial likelihood (Efron, JASA 1977;72:557)."""
        relative, largest = self._relative(beta)
        s0 = self._denominators(relative)
        return float((self.x[self.event_row] @ beta - largest).sum() - np.log(s0).sum())

    def gradient(self, beta: FloatArray) -> FloatArray:
        """(features,): derivatives of `value`."""
        relative, _ = self._relative(beta)
        weight = relative * self._exposure(1.0 / self._denominators(relative))
        result: FloatArray = self.x[self.event_row].sum(axis=0) - weight @ self.x
        return result

    def likelihood(self, beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Log partial likelihood, its gradient, and its negative Hessian."""
        relative, largest = self._relative(beta)
        s0 = self._denominators(relative)
        mean = self._at_risk(relative[:, None] * self.x) / s0[:, None]
        value = float((self.x[self.event_row] @ beta - largest).sum() - np.log(s0).sum())
        gradient = (self.x[self.event_row] - mean).sum(axis=0)
        weight = relative * self._exposure(1.0 / s0)
        hessian = (self.x * weight[:, None]).T @ self.x - mean.T @ mean
        return value, gradient, hessian

    def score_residuals(self, beta: FloatArray) -> FloatArray:
        """(rows, features), in the order of `x`: what each row adds to `gradient` by its events and its time at risk.

        L_i = (x_i − x̄(T_i)) 1{event} − Σ_{events at which i was at risk} (x_i − x̄) w_i exp(β x_i) / S0 (Lin & Wei,
        JASA 1989;84:1074); tied events share the mean of Efron's steps. Sums of their squares over independent rows,
        or over clusters of rows, are the middle of a robust (sandwich) variance.
        """
        relative, _ = self._relative(beta)
        s0 = self._denominators(relative)
        mean = self._at_risk(relative[:, None] * self.x) / s0[:, None]
        tied = np.zeros((len(self.times), self.x.shape[1]))
        np.add.at(tied, self.tie, mean)
        n_tied = np.bincount(self.tie, minlength=len(self.times))
        found = -self.x * (relative * self._exposure(1.0 / s0))[:, None]
        for j in range(self.x.shape[1]):
            found[:, j] += relative * self._exposure(mean[:, j] / s0)
        found[self.event_row] += self.x[self.event_row] - (tied / n_tied[:, None])[self.tie]
        return found

    def martingale_residuals(self, beta: FloatArray) -> FloatArray:
        """(rows,), in the order of `x`: events less those expected; weighted ones in Fine–Gray's risk sets.

        The derivative of the log likelihood by the coefficient of any feature is its inner product with these, and
        they sum to 0 (Therneau, Grambsch & Fleming, Biometrika 1990;77:147).
        """
        relative, _ = self._relative(beta)
        found = -relative * self._exposure(1.0 / self._denominators(relative))
        found[self.event_row] += 1.0
        return found

    def information_on(self, beta: FloatArray, others: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Parts of the negative Hessian of a model with one more feature, whose coefficient is 0; for many of these.

        Args:
            beta: (features,)
            others: (rows, others), in the order of `x`.

        Returns:
            Of each other feature with itself, (others,), and of each feature with each other one, (features, others).
        """
        relative, _ = self._relative(beta)
        s0 = self._denominators(relative)
        weight = relative * self._exposure(1.0 / s0)
        mean_own = self._at_risk(relative[:, None] * self.x) / s0[:, None]
        mean = self._at_risk(relative[:, None] * others) / s0[:, None]
        own: FloatArray = weight @ others**2 - (mean**2).sum(axis=0)
        return own, (self.x * weight[:, None]).T @ others - mean_own.T @ mean

    def _exposure(self, per_event: FloatArray) -> FloatArray:
        """(rows,): sum of `per_event` over the events at which the row was at risk, Efron's share for its own tie."""
        by_first = np.zeros(len(self.x) + 1)
        np.add.at(by_first, self.first, per_event)
        exposure: FloatArray = np.cumsum(by_first[:-1])
        if self.late is not None:
            excluded = np.zeros(len(self.x) + 1)
            np.add.at(excluded, self.first_late, per_event)
            exposure[self.late] -= np.cumsum(excluded)[:-1]
        if self.kept is not None and self.kept_share is not None:
            later = np.zeros(len(self.x) + 1)
            np.add.at(later, self.first, per_event * self.kept_share)
            return exposure + self.kept * _tail_sums(later)[1:-1]
        own = np.zeros(len(self.times))
        np.add.at(own, self.tie, self.rank * per_event)
        exposure[self.event_row] -= own[self.tie]
        return exposure

    def baseline(self, beta: FloatArray) -> FloatArray:
        """(distinct times,): increments of the baseline cumulative hazard, with Efron's correction for ties."""
        relative, largest = self._relative(beta)
        increments = np.zeros(len(self.times))
        np.add.at(increments, self.tie, np.exp(-largest) / self._denominators(relative))
        return increments


def _tail_sums(values: FloatArray) -> FloatArray:
    """(rows + 1, …): sums over rows i, i + 1, …, with 0 at the end."""
    sums = np.zeros((len(values) + 1, *values.shape[1:]))
    sums[:-1] = np.cumsum(values[::-1], axis=0)[::-1]
    return sums
