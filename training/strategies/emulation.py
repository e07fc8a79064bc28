"""The emulated trial: every strategy's weighted incidence, and again for patients drawn with replacement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from training.strategies.followed import FloatArray, Followed, IntArray
from training.strategies.incidence import weighted_incidence
from training.strategies.leaving import days_of_losses, log_probability_of_staying
from training.strategies.plans import Strategy
from training.strategies.pooled_days import PooledDays
from training.strategies.starting import days_of_starts, log_probability_of_what_was_done
from training.strategies.weights import CloneWeights, clone_weights

PERCENTILE = 99.9
"""At which weights are truncated, unless another is asked for."""
FEWEST_LOSSES = 5
"""For each column of the model of losses (Vittinghoff & McCulloch, Am J Epidemiol 2007;165:710)."""
Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """Patients, what they could have decided by, and the strategies that they are cloned into."""

    followed: Followed
    starts: PooledDays
    losses: PooledDays | None
    """None: who is lost is taken to be like who is not."""
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
        """Losses are modelled where there are covariates, and `FEWEST_LOSSES` for each column.

        Arguments are those of `PooledDays.of`.
        """
        lost = days_of_losses(followed, baseline, changing) if baseline.shape[1] + changing.shape[2] else None
        if lost is not None and lost.n_happened.sum() < FEWEST_LOSSES * (lost.design.shape[1] - 1):
            lost = None
        return cls(followed, days_of_starts(followed, baseline, changing), lost, tuple(strategies), percentile)

    def follows(self) -> list[FloatArray]:
        """By strategy: `Strategy.follows`."""
        return [strategy.follows(self.followed) for strategy in self.strategies]


@dataclass(frozen=True, slots=True)
class Models:
    """Coefficients of the models behind the weights."""

    starts: FloatArray
    losses: FloatArray | None

    @classmethod
    def fit(cls, trial: Trial, counts: FloatArray | None = None, begin: Models | None = None) -> Models:
        """Arguments as those of `PooledDays.fit`."""
        starts = trial.starts.fit(counts, None if begin is None else begin.starts)
        if trial.losses is None:
            return cls(starts, None)
        return cls(starts, trial.losses.fit(counts, None if begin is None else begin.losses))


@dataclass(frozen=True, slots=True)
class Emulated:
    """The trial's estimates."""

    incidence: FloatArray
    """(strategies, causes, days): by days 1, 2, …"""
    weights: tuple[CloneWeights, ...]
    """By strategy."""
    models: Models
    probability: FloatArray
    """(rows of the days of starts,): of starting on a day."""


def emulate(trial: Trial) -> Emulated:
    """Clone, censor and weight.

    Every patient is a clone of every strategy, until deviating from it (Hernán, BMJ 2018;360:k182; Maringe et al., Int
    J Epidemiol 2020;49:1719). With weights from what decided about starts, and about losses to follow-up, those who
    stay stand for those who were censored, so that no time is immortal and nobody is sorted by the future.
    """
    models = Models.fit(trial)
    incidence, weights = _estimate(trial, trial.follows(), models, np.arange(len(trial.followed)))
    return Emulated(incidence, weights, models, trial.starts.probabilities(models.starts))


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
        models = Models.fit(trial, counts, emulated.models)
        found[i], _ = _estimate(trial, follows, models, np.sort(drawn))
        if progress is not None:
            progress(i + 1, n_resamples)
    return found


def _estimate(
    trial: Trial, follows: Sequence[FloatArray], models: Models, rows: IntArray
) -> tuple[FloatArray, tuple[CloneWeights, ...]]:
    """Incidence and weights of some patients, by models of starts and of losses."""
    followed, starts, losses = trial.followed, trial.starts, trial.losses
    done = log_probability_of_what_was_done(starts, followed, starts.probabilities(models.starts))[rows]
    stayed = np.zeros_like(done)
    if losses is not None and models.losses is not None:
        stayed = log_probability_of_staying(losses, losses.probabilities(models.losses))[rows]
    observed, end, cause = followed.observed[rows], followed.end_day[rows], followed.cause[rows]
    incidence, weights = [], []
    for strategy, own in zip(trial.strategies, follows, strict=True):
        behind = stayed if strategy.probability is None else done + stayed
        found = clone_weights(own[rows], behind, observed, trial.percentile)
        weights.append(found)
        incidence.append(weighted_incidence(found.values, end, cause, len(followed.causes)))
    return np.stack(incidence), tuple(weights)
