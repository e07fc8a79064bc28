"""Fitting expected numbers of recurrent events: the estimating equation of Ghosh and Lin, with ridge penalty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import SequelaError
from features.outcomes import Outcomes
from features.recurrence import Recurrences
from training.models.cox import MAX_LINEAR_PREDICTOR
from training.models.mean_count import ProportionalMeans
from training.models.nonparametric import censoring_survival

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Weighted:
    """Everything of the estimating equation that does not change with β.

    At an event time u the weighted risk set holds who is alive and followed (weight 1), and who died before u, at
    G(u−)/G(D−): the dead stand for those who would still be watched, with no event (Ghosh & Lin 2002, section 2.2).
    """

    x: FloatArray
    """(rows, features), ordered by end."""
    times: FloatArray
    """(times,): distinct event times."""
    n_events: FloatArray
    """(times,): events at each."""
    event_x: FloatArray
    """(features,): sum of features over all events."""
    first: NDArray[np.int64]
    """(times,): first row with an end of at least the time."""
    dead: FloatArray
    """(rows,): 1/G(D−) of rows that died, 0 of the others."""
    after: FloatArray
    """(times,): G(u−)."""

    @classmethod
    def of(cls, x: FloatArray, recurrences: Recurrences) -> _Weighted:
        order = np.argsort(recurrences.end_days, kind="stable")
        end, terminal = recurrences.end_days[order], recurrences.terminal[order]
        times, count = np.unique(recurrences.day, return_counts=True)
        ends = Outcomes(recurrences.end_days, np.minimum(recurrences.terminal, 1), ("terminal",))
        watched = censoring_survival(ends)
        at_death = watched.before(end)
        dead = np.where(terminal > 0, np.divide(1.0, at_death, out=np.zeros_like(end), where=at_death > 0), 0.0)
        first = np.searchsorted(end, times, side="left")
        event_x = x[recurrences.row].sum(axis=0)
        return cls(x[order], times, count.astype(float), event_x, first, dead, watched.before(times))

    def sums(self, values: FloatArray) -> FloatArray:
        """(times, …): weighted sums of `values` (rows, …) over the risk sets."""
        zero = np.zeros((1, *values.shape[1:]))
        alive = np.concatenate([np.cumsum(values[::-1], axis=0)[::-1], zero])[self.first]
        column = self.dead.reshape(-1, *[1] * (values.ndim - 1))
        gone = np.concatenate([zero, np.cumsum(values * column, axis=0)])[self.first]
        total: FloatArray = alive + self.after.reshape(-1, *[1] * (values.ndim - 1)) * gone
        return total

    def relative(self, beta: FloatArray) -> FloatArray:
        return np.exp(np.clip(self.x @ beta, -MAX_LINEAR_PREDICTOR, MAX_LINEAR_PREDICTOR))

    def value(self, beta: FloatArray) -> float:
        """The pseudo log-likelihood whose derivative the estimating equation is."""
        return float(self.event_x @ beta - self.n_events @ np.log(self.sums(self.relative(beta))))

    def derivatives(self, beta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gradient, and negative Hessian."""
        relative = self.relative(beta)
        s0 = self.sums(relative)
        mean = self.sums(relative[:, None] * self.x) / s0[:, None]
        per_time = self.n_events / s0
        # How much each row was exposed, so that the second moment needs no (times, features, features).
        starts = np.searchsorted(self.first, np.arange(len(self.x)), side="right")
        alive = np.concatenate([[0.0], np.cumsum(per_time)])[starts]
        later = np.concatenate([np.cumsum((per_time * self.after)[::-1])[::-1], [0.0]])[starts]
        weight = relative * (alive + self.dead * later)
        hessian = (self.x * weight[:, None]).T @ self.x - (mean * self.n_events[:, None]).T @ mean
        return self.event_x - self.n_events @ mean, hessian


def fit_proportional_means(x: FloatArray, recurrences: Recurrences, *, penalty: float) -> ProportionalMeans:
    """Fit E N(t | x) = μ₀(t) exp(x·β) by Newton's method.

    Ties count as in Breslow's likelihood. Censoring is assumed independent of events, deaths and features.

    Args:
        x: Standardised features (rows, features).
        recurrences: Events of the rows.
        penalty: Ridge penalty on β, in units of the pseudo log-likelihood; 0: none.

    Raises:
        SequelaError: There is no event.
    """
    if not len(recurrences.day):
        msg = f"counts of {recurrences.name}: nobody had one; choose an event that happens, or more patients"
        raise SequelaError(msg)
    weighted = _Weighted.of(x, recurrences)
    beta = np.zeros(x.shape[1])
    value = weighted.value(beta)
    for _ in range(50):
        gradient, hessian = weighted.derivatives(beta)
        step = np.linalg.lstsq(hessian + penalty * np.eye(len(beta)), gradient - penalty * beta, rcond=None)[0]
        size, former = 1.0, value
        while size > 1e-4:
            trial = beta + size * step
            value = weighted.value(trial) - penalty / 2 * float(trial @ trial)
            if value >= former - 1e-10:
                break
            size /= 2
        beta = trial
        if value - former < 1e-11 * max(1.0, abs(former)):
            break
    increments = weighted.n_events / weighted.sums(weighted.relative(beta))
    return ProportionalMeans(beta, weighted.times, increments, penalty)
