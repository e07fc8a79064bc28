"""How many events to expect: the marginal mean number of a recurrent event, where death ends the counting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from features.recurrence import Recurrences
from training.models.cox import MAX_LINEAR_PREDICTOR
from training.models.nonparametric import steps_at
from training.models.predictor import Arrays, Sizes


@dataclass(frozen=True, slots=True)
class MeanCount:
    """The marginal mean number of events as right-continuous steps."""

    times_days: NDArray[np.float64]
    """(times,): the distinct days of events and of ends, ascending."""
    mean: NDArray[np.float64]
    """(..., times): expected number of events by each time; who has died has no more."""

    def at(self, times_days: NDArray[np.float64]) -> NDArray[np.float64]:
        """Expected numbers (..., times) by any times; constant after the last step."""
        return steps_at(self.times_days, self.mean, times_days, before_first=0.0, side="right")


def marginal_mean(recurrences: Recurrences, weights: NDArray[np.float64] | None = None) -> MeanCount:
    """Ghosh–Lin estimate of the marginal mean number of events.

    μ(t) = ∫₀ᵗ S(u−) dN(u) / Y(u), with S the Kaplan–Meier curve of the terminal events, N the number of events and Y
    the number at risk (Ghosh & Lin, Biometrics 2000;56:554–562, eq. 2; Cook & Lawless, Stat Med 1997;16:911–924).
    Without terminal events it is the mean cumulative function (Nelson, Technometrics 1988;30:237–250). Censoring is
    assumed independent of events and terminal events. Counting as if the dead could be infected, Σ dN / Y, overstates.

    Args:
        recurrences: Events of the rows.
        weights: (rows,) or (resamples, rows), how often each row counts; None: once.

    Raises:
        ValueError: No rows, or weights that do not fit.
    """
    n_rows = len(recurrences)
    row_weights = np.ones(n_rows) if weights is None else np.asarray(weights, dtype=np.float64)
    if n_rows == 0 or row_weights.shape[-1] != n_rows:
        msg = f"recurrences of {n_rows} rows with weights of shape {row_weights.shape}; one weight for each row"
        raise ValueError(msg)
    times = np.unique(np.concatenate([recurrences.end_days, recurrences.day]))
    end_at = np.searchsorted(times, recurrences.end_days)
    leaving = _sums(row_weights, end_at, len(times))
    at_risk = np.cumsum(leaving[..., ::-1], axis=-1)[..., ::-1]
    dying = _sums(row_weights * (recurrences.terminal > 0), end_at, len(times))
    alive = np.cumprod(1.0 - _share(dying, at_risk), axis=-1)
    alive_before = np.concatenate([np.ones_like(alive[..., :1]), alive[..., :-1]], axis=-1)
    events = _sums(row_weights[..., recurrences.row], np.searchsorted(times, recurrences.day), len(times))
    return MeanCount(times, np.cumsum(alive_before * _share(events, at_risk), axis=-1))


def _sums(weights: NDArray[np.float64], place: NDArray[np.int64], n_places: int) -> NDArray[np.float64]:
    """Weights (..., entries) added up by place, shape (..., places)."""
    sums = np.zeros((*weights.shape[:-1], n_places))
    np.add.at(sums.T, place, weights.T)
    return sums


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


class ProportionalMeans:
    """Expected numbers of events that covariates multiply: E N(t | x) = μ₀(t) exp(x·β).

    Ghosh & Lin, Stat Sinica 2002;12:663–688: N counts the events of interest until death, after which it stays; so the
    mean is that of whole patients, dying included.
    """

    def __init__(
        self,
        beta: NDArray[np.float64],
        times_days: NDArray[np.float64],
        increments: NDArray[np.float64],
        penalty: float,
    ) -> None:
        """Coefficients (features,), event times (t,), increments of μ₀ (t,)."""
        self.beta = beta
        self.times_days = times_days
        self.increments = increments
        self.penalty = penalty

    def expected_count(self, x: NDArray[np.float64], times_days: NDArray[np.float64]) -> NDArray[np.float64]:
        """Expected numbers (rows, times) of encoded patients x (rows, features); constant after the last event time."""
        base = steps_at(
            self.times_days, np.cumsum(self.increments), np.asarray(times_days), before_first=0.0, side="right"
        )
        linear = (x * self.beta).sum(axis=1)  # not x @ β, whose last digit depends on the other rows
        relative = np.exp(np.clip(linear, -MAX_LINEAR_PREDICTOR, MAX_LINEAR_PREDICTOR))
        return np.asarray(relative[:, None] * base)

    def state(self) -> tuple[Sizes, dict[str, NDArray[Any]]]:
        """Penalty; coefficients, times and increments."""
        arrays = {"beta": self.beta, "times_days": self.times_days, "increments": self.increments}
        return {"penalty": self.penalty}, arrays

    @classmethod
    def from_state(cls, sizes: Sizes, arrays: Arrays) -> Self:
        """Rebuild what `state` described."""
        return cls(arrays["beta"], arrays["times_days"], arrays["increments"], sizes["penalty"])
