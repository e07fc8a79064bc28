"""The emulated trial: every strategy's weighted incidence, and again for patients drawn with replacement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from training.strategies.followed import FloatArray, Followed, IntArray
from training.strategies.incidence import weighted_incidence
from training.strategies.plans import Strategy
from training.strategies.starting import DecisionDays, log_probability_of_what_was_done
from training.strategies.weights import CloneWeights, clone_weights

PERCENTILE = 99.9
"""At which weights are truncated, unless another is asked for."""
Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """Patients, what they could have decided by, and the strategies that they are cloned into."""

    followed: Followed
    days: DecisionDays
    strategies: tuple[Strategy, ...]
    percentile: float = PERCENTILE

    @classmethod
    def of(
        cls,
        followed: Followed,
        strategies: Sequence[Strategy],
        baseline: FloatArray,
        changing: FloatArray,
        percentile: float = PERCENTILE,
    ) -> Trial:
        """Arguments as those of `DecisionDays.of`."""
        return cls(followed, DecisionDays.of(followed, baseline, changing), tuple(strategies), percentile)

    def follows(self) -> list[FloatArray]:
        """By strategy: `Strategy.follows`."""
        return [strategy.follows(self.followed) for strategy in self.strategies]


@dataclass(frozen=True, slots=True)
class Emulated:
    """The trial's estimates."""

    incidence: FloatArray
    """(strategies, causes, days): by days 1, 2, …"""
    weights: tuple[CloneWeights, ...]
    """By strategy."""
    coefficients: FloatArray
    """Of the model of starts."""
    probability: FloatArray
    """(rows of decision days,): of starting on a day."""


def emulate(trial: Trial) -> Emulated:
    """Clone, censor and weight.

    Every patient is a clone of every strategy, until deviating from it (Hernán, BMJ 2018;360:k182; Maringe et al., Int
    J Epidemiol 2020;49:1719). With weights from what decided about starts, those who
    stay stand for those who were censored, so that no time is immortal and nobody is sorted by the future.
    """
    beta = trial.days.fit()
    everyone = np.arange(len(trial.followed))
    incidence, weights = _estimate(trial, trial.follows(), beta, everyone)
    return Emulated(incidence, weights, beta, trial.days.probabilities(beta))


def resampled(
    trial: Trial, emulated: Emulated, n_resamples: int, rng: np.random.Generator, progress: Advance | None = None
) -> FloatArray:
    """(resamples, strategies, causes, days): incidence of patients drawn with replacement, all models fitted again.

    Clones of one patient are drawn together (Efron & Tibshirani, An Introduction to the Bootstrap, 1993).

    Args:
        trial: The trial.
        emulated: Its estimates, at which the models begin.
        n_resamples: How often.
        rng: Draws.
        progress: Told how many of how many are done.
    """
    follows = trial.follows()
    n = len(trial.followed)
    found = np.empty((n_resamples, *emulated.incidence.shape))
    for i in range(n_resamples):
        drawn = rng.integers(n, size=n)
        counts = np.bincount(drawn, minlength=n).astype(float)
        beta = trial.days.fit(counts, emulated.coefficients)
        found[i], _ = _estimate(trial, follows, beta, np.sort(drawn))
        if progress is not None:
            progress(i + 1, n_resamples)
    return found


def _estimate(
    trial: Trial, follows: Sequence[FloatArray], beta: FloatArray, rows: IntArray
) -> tuple[FloatArray, tuple[CloneWeights, ...]]:
    """Incidence and weights of some patients, by a model of starts."""
    followed = trial.followed
    done = log_probability_of_what_was_done(trial.days, followed, trial.days.probabilities(beta))[rows]
    observed, end, cause = followed.observed[rows], followed.end_day[rows], followed.cause[rows]
    incidence, weights = [], []
    for strategy, own in zip(trial.strategies, follows, strict=True):
        behind = done if strategy.probability is not None else np.zeros_like(done)
        found = clone_weights(own[rows], behind, observed, trial.percentile)
        weights.append(found)
        incidence.append(weighted_incidence(found.values, end, cause, len(followed.causes)))
    return np.stack(incidence), tuple(weights)
