"""Fitting expected numbers of recurrent events: the estimating equation of Ghosh and Lin, with ridge penalty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from features.errors import SequelaError
from features.outcomes import Outcomes
from features.recurrence import Recurrences
from training.models.cox import MAX_LINEAR_PREDICTOR
from training.models.expected_counts import ExpectedCounts
from training.models.mean_count import ProportionalMeans
from training.models.nonparametric import censoring_survival

FloatArray = NDArray[np.float64]
Stratum: TypeAlias = tuple[FloatArray, Recurrences]
"""Standardised features (rows, features), and events of the rows."""


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


class Likelihood:
    """The pseudo log-likelihood of β, summed over strata that have risk sets, means and censoring of their own.

    Strata without events say nothing of β, and are left out.
    """

    def __init__(self, strata: Sequence[Stratum]) -> None:
        """Standardised features (rows, features) and events of each stratum."""
        self.parts = [_Weighted.of(x, recurrences) for x, recurrences in strata if len(recurrences.day)]

    def value(self, beta: FloatArray) -> float:
        """Pseudo log-likelihood without penalty."""
        return sum(part.value(beta) for part in self.parts)

    def maximise(self, penalty: float, start: FloatArray, tolerance: float = 1e-11) -> FloatArray:
        """The β (features,) that is best under a ridge penalty, by Newton's method, to a relative gain `tolerance`."""
        beta = start
        value = self.value(beta) - penalty / 2 * float(beta @ beta)
        for _ in range(50):
            derivatives = [part.derivatives(beta) for part in self.parts]
            gradient = sum((one[0] for one in derivatives), -penalty * beta)
            hessian = sum((one[1] for one in derivatives), penalty * np.eye(len(beta)))
            step = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
            size, former = 1.0, value
            while size > 1e-4:
                trial = beta + size * step
                value = self.value(trial) - penalty / 2 * float(trial @ trial)
                if value >= former - 1e-10:
                    break
                size /= 2
            beta = trial
            if value - former < tolerance * max(1.0, abs(former)):
                break
        return beta


def fit_by_landmark(strata: Mapping[float, Stratum], *, penalty: float) -> ExpectedCounts:
    """Fit E N(t | x) = μ_l(t) exp(x·β), with a mean μ_l for each landmark l, by Newton's method.

    Ties count as in Breslow's likelihood. Censoring is assumed independent of events, deaths and features, and is
    estimated by landmark.

    Args:
        strata: For each landmark day, standardised features (rows, features) and events of the rows.
        penalty: Ridge penalty on β, in units of the pseudo log-likelihood; 0: none.

    Raises:
        SequelaError: There is no event.
    """
    x, recurrences = next(iter(strata.values()))
    if not any(len(of.day) for _, of in strata.values()):
        msg = f"counts of {recurrences.name}: nobody had one; choose an event that happens, or more patients"
        raise SequelaError(msg)
    beta = Likelihood(list(strata.values())).maximise(penalty, np.zeros(x.shape[1]))
    means = tuple(_mean(*stratum, beta, penalty) for stratum in strata.values())
    return ExpectedCounts(tuple(map(float, strata)), means)


def _mean(x: FloatArray, recurrences: Recurrences, beta: FloatArray, penalty: float) -> ProportionalMeans:
    """With the mean of one stratum after Breslow; without its events it stays at 0."""
    if not len(recurrences.day):
        return ProportionalMeans(beta, np.zeros(1), np.zeros(1), penalty)
    weighted = _Weighted.of(x, recurrences)
    return ProportionalMeans(beta, weighted.times, weighted.n_events / weighted.sums(weighted.relative(beta)), penalty)


def fit_proportional_means(x: FloatArray, recurrences: Recurrences, *, penalty: float) -> ProportionalMeans:
    """The same of one stratum: E N(t | x) = μ₀(t) exp(x·β).

    Args:
        x: Standardised features (rows, features).
        recurrences: Events of the rows.
        penalty: Ridge penalty on β, in units of the pseudo log-likelihood; 0: none.

    Raises:
        SequelaError: There is no event.
    """
    return fit_by_landmark({0.0: (x, recurrences)}, penalty=penalty).means[0]
