"""Strategies: how probable a start is under each on every day, for who has not started."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.strategies.followed import FloatArray, Followed, IntArray


@dataclass(frozen=True, slots=True)
class Strategy:
    """What patients are to do; where `probability` is None, what they do anyway (the natural course)."""

    name: str
    probability: FloatArray | None
    """(patients or 1, days): of starting on a day, of who has not yet started."""

    def follows(self, followed: Followed) -> FloatArray:
        """(patients, days): logarithm of how probable the strategy makes all that a patient did up to a day.

        −∞ from the day on which a patient deviates: starts when it does not allow it, or does not when it demands it.
        """
        if self.probability is None:
            return np.zeros((len(followed), followed.n_days))
        p = self.probability
        with np.errstate(divide="ignore"):
            starting, waiting = np.log(p), np.log1p(-p)
        day, start = followed.days, followed.start_day[:, None]
        steps = np.where(day < start, waiting, np.where(day == start, starting, 0.0))
        return np.cumsum(steps, axis=1)


def natural() -> Strategy:
    """Treatment as it was given."""
    return Strategy("as treated", None)


def never(n_days: int) -> Strategy:
    """No start before the last day looked at."""
    return Strategy("never", np.zeros((1, n_days)))


def start_by(grace_days: int, n_days: int) -> Strategy:
    """A start by the end of a grace period.

    Within it every day is as probable as any other: of who has not started by day d of 0 to G, 1 / (G − d + 1) start
    on it. A strategy that is left to practice until day G and forced then would rest on those few who start on just
    that day. (On grace periods: Cain et al., Int J Biostat 2010;6:18.)
    """
    return Strategy(f"start by day {grace_days}", _even(np.zeros(1, dtype=np.int64), grace_days, n_days))


def start_when(name: str, since_day: IntArray, grace_days: int, n_days: int) -> Strategy:
    """No start before a condition is met, and one within a grace period from then on, every day as probable.

    Args:
        name: Of the strategy.
        since_day: (patients,): the first day on which the condition is known to be met; n_days or more: none.
        grace_days: Length of the grace period; 0: on the day itself.
        n_days: Days looked at.
    """
    return Strategy(name, _even(since_day, grace_days, n_days))


def _even(since_day: IntArray, grace_days: int, n_days: int) -> FloatArray:
    left = since_day[:, None] + grace_days - np.arange(n_days) + 1
    within = (np.arange(n_days) >= since_day[:, None]) & (left >= 1)
    return np.where(within, 1.0 / np.maximum(left, 1), 0.0)
