"""Simulated patients whose treatment starts when a laboratory value falls, with the truth of every strategy.

Who is frail has a low value, more infections and more deaths; the value falls after day 0; who is seen to have a low
value is treated sooner; treatment lowers the hazard of infection and raises the value again. So the value confounds,
changes over time, and is changed by the treatment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.strategies.followed import Followed
from training.strategies.plans import Strategy, never, start_by, start_when

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
CAUSES = ("infection", "death")
N_DAYS = 120
GRACE_DAYS = 21
LOW = -1.0
"""A value below this is low."""
VISIT_DAYS = 10
N_TRUTH = 1_000_000
DAILY = np.array([0.006, 0.002])
LOSS = 0.004
"""Probability of being lost on a day at a value of 0, where the ill leave."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Of treatment."""

    log_hazards: tuple[float, float]
    """On the logarithms of the hazards of infection and of death."""
    value: float
    """By how much it raises the laboratory value, which lowers the hazard of infection, too."""


EFFECTS = {"effect": Effect((-0.9, 0.0), 1.0), "no effect": Effect((0.0, 0.0), 0.0)}

Decide = Callable[[FloatArray, FloatArray, IntArray, int], FloatArray]
"""Probability of starting on a day, from age, the last value, the first day after a low one was seen, and the day."""


@dataclass(frozen=True, slots=True)
class World:
    """What happened."""

    followed: Followed
    age: FloatArray
    """(patients,), standardised."""
    value: FloatArray
    """(patients, days): last measured before each day; NaN before the first."""
    low_since: IntArray
    """(patients,): the first day before which a low value was seen, in who was not yet treated; `N_DAYS`: none."""

    def take(self, rows: IntArray) -> World:
        """Some of the patients."""
        own = self.followed
        followed = Followed(own.end_day[rows], own.cause[rows], own.causes, own.start_day[rows], own.n_days)
        return World(followed, self.age[rows], self.value[rows], self.low_since[rows])

    @property
    def baseline(self) -> FloatArray:
        """(patients, columns)."""
        return self.age[:, None]

    @property
    def changing(self) -> FloatArray:
        """(patients, days, columns): the value, whether it is not known, whether it is low."""
        unknown = np.isnan(self.value)
        value = np.where(unknown, 0.0, self.value)
        return np.stack([value, unknown.astype(float), (value < LOW).astype(float)], axis=2)

    @property
    def strategies(self) -> tuple[Strategy, ...]:
        """Never, early, and when the value is low."""
        when = start_when("when low", self.low_since, GRACE_DAYS, N_DAYS)
        return never(N_DAYS), start_by(GRACE_DAYS, N_DAYS), when


def in_practice(age: FloatArray, value: FloatArray, low_since: IntArray, day: int) -> FloatArray:
    """Who is seen to have a low value is treated sooner."""
    known = np.nan_to_num(value)
    found: FloatArray = 1 / (1 + np.exp(5.2 - 0.3 * age + 0.7 * known - 0.8 * (known < LOW)))
    return found


def under_never(age: FloatArray, value: FloatArray, low_since: IntArray, day: int) -> FloatArray:
    """No treatment."""
    return np.zeros(len(age))


def under_early(age: FloatArray, value: FloatArray, low_since: IntArray, day: int) -> FloatArray:
    """On any day of the grace period."""
    return np.full(len(age), 1.0 / (GRACE_DAYS - day + 1) if day <= GRACE_DAYS else 0.0)


def under_when_low(age: FloatArray, value: FloatArray, low_since: IntArray, day: int) -> FloatArray:
    """On any day of the grace period after a low value was seen."""
    left = low_since + GRACE_DAYS - day + 1
    return np.where((day >= low_since) & (left >= 1), 1.0 / np.maximum(left, 1), 0.0)


FORCED: dict[str, Decide] = {"never": under_never, "early": under_early, "when low": under_when_low}


def world(
    n: int, rng: np.random.Generator, effect: Effect, decide: Decide = in_practice, *, ill_leave: bool = False
) -> World:
    """Live through the days; who is treated as a strategy forces them to be is observed to the end.

    With `ill_leave`, who was last seen with a low value is lost to follow-up sooner; else nothing decides about it.
    """
    frailty, age = rng.normal(size=n), rng.normal(size=n)
    visit = rng.integers(VISIT_DAYS, size=n)
    rate = DAILY * np.exp(np.column_stack([0.6 * frailty + 0.3 * age, 0.5 * frailty + 0.3 * age]))
    end = rng.integers(N_DAYS // 2, 2 * N_DAYS, n) if decide is in_practice else np.full(n, N_DAYS)
    start = np.full(n, N_DAYS)
    low_since = np.full(n, N_DAYS)
    gone, cause = np.full(n, 10 * N_DAYS), np.zeros(n, dtype=np.int64)
    seen, last = np.full((n, N_DAYS), np.nan), np.full(n, np.nan)
    drift = np.zeros(n)
    for day in range(N_DAYS):
        free = gone > day
        seen[:, day] = last
        low_since = np.where((low_since == N_DAYS) & (start == N_DAYS) & (last < LOW), day, low_since)
        waiting = free & (start == N_DAYS)
        start[waiting & (rng.random(n) < decide(age, last, low_since, day))] = day
        treated = start <= day
        # The value: frailty, a fall over the first month, slow noise, and what treatment adds.
        drift = 0.95 * drift + 0.2 * rng.normal(size=n)
        value = -0.5 * frailty - 0.8 * (1 - np.exp(-day / 20)) + drift + effect.value * treated
        daily = rate * np.exp(treated[:, None] * np.array(effect.log_hazards))
        daily[:, 0] *= np.exp(-0.5 * value)
        if ill_leave:
            lost = rng.random(n) < LOSS * np.exp(-np.nan_to_num(last))
            end = np.where(lost, np.minimum(end, day + 1), end)
        happens = free & (rng.random(n) < -np.expm1(-daily.sum(axis=1)))
        which = 1 + (rng.random(n) > daily[:, 0] / daily.sum(axis=1))
        gone[happens], cause[happens] = day + 1, which[happens]
        visited = (day + visit) % VISIT_DAYS == 0
        last = np.where(visited, value + 0.1 * rng.normal(size=n), last)
    stop = np.minimum(gone, end)
    cause = np.where(gone <= end, cause, 0)
    start = np.where(start < stop, start, N_DAYS)
    return World(Followed(stop, cause, CAUSES, start, N_DAYS), age, seen, low_since)


def truth(effect: Effect, n: int = N_TRUTH, part: int = 100_000) -> FloatArray:
    """(strategies, causes, days): incidence by days 1, 2, … of many patients, each treated as each strategy says."""
    found = np.zeros((len(FORCED), len(CAUSES), N_DAYS))
    for number in range(n // part):
        for k, decide in enumerate(FORCED.values()):
            own = world(part, np.random.default_rng([number, 99]), effect, decide).followed
            ended = (own.cause[:, None] == np.arange(1, len(CAUSES) + 1)) & (own.end_day <= N_DAYS)[:, None]
            counts = [np.bincount(own.end_day[ended[:, c]] - 1, minlength=N_DAYS) for c in range(len(CAUSES))]
            found[k] += np.cumsum(counts, axis=1) / n
    return found
