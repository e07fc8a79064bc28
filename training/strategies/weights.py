"""Clones that follow a strategy, and what each stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.strategies.followed import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class CloneWeights:
    """Of one strategy."""

    values: FloatArray
    """(patients, days): stabilised and truncated; 0 of who is not observed, or no longer follows the strategy."""
    limit: float
    """Above which weights are truncated; infinite if none is."""
    largest: float
    """Before truncation."""

    def effective(self, day: int) -> float:
        """How many patients the clones of a day are worth: (Σ w)² / Σ w² (Kish, Survey Sampling, 1965)."""
        own = self.values[:, day]
        total = float((own**2).sum())
        return float(own.sum()) ** 2 / total if total else 0.0

    def effective_at(self, horizons_days: FloatArray) -> FloatArray:
        """(horizons,): `effective` of those at risk on the day of each horizon."""
        return np.array([self.effective(max(int(np.ceil(day)) - 1, 0)) for day in horizons_days])

    def n_followed(self, day: int) -> int:
        """Clones still observed and following the strategy on a day."""
        return int((self.values[:, day] > 0).sum())


def clone_weights(follows: FloatArray, done: FloatArray, observed: BoolArray, percentile: float) -> CloneWeights:
    """Weigh the clones of a strategy by the inverse probability of not having deviated, and of not being lost.

    A clone's weight on a day is how probable the strategy makes what was done up to it, over how probable it was given
    what was known (Robins, Hernán & Siebert in Ezzati et al., Comparative Quantification of Health Risks, WHO 2004,
    chapter 28; Cain et al., Int J Biostat 2010;6:18); for a clone that must never start, the inverse probability of not
    having started. Stabilised: over the mean of the day's clones, which changes no incidence, since hazards are ratios
    of sums over one day. Truncated at a percentile of all days' weights (Cole & Hernán, Am J Epidemiol 2008;168:656),
    from above alone.

    Args:
        follows: (patients, days): from `Strategy.follows`.
        done: (patients, days): from `log_probability_of_what_was_done`, 0 for the natural course, and, where losses
            are modelled, from `log_probability_of_staying` added to it.
        observed: (patients, days): who is observed on a day.
        percentile: From 0 to 100; 100 truncates nothing.
    """
    with np.errstate(invalid="ignore"):
        values = np.where(observed, np.exp(follows - done), 0.0)
    n = (values > 0).sum(axis=0)
    total = values.sum(axis=0)
    values *= np.divide(n, total, out=np.zeros(len(n)), where=total > 0)
    positive = values[values > 0]
    largest = float(positive.max(initial=0.0))
    if percentile >= 100 or not len(positive):
        return CloneWeights(values, np.inf, largest)
    limit = float(np.percentile(positive, percentile))
    return CloneWeights(np.minimum(values, limit), limit, largest)
