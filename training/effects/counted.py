"""Mean numbers of events that come back, by arm: as the arms are, and had everyone been in each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.recurrence import Recurrences
from training.effects.adjusted import Standardised, less_projection
from training.effects.arms import FloatArray, IntArray
from training.effects.estimates import Estimate, ratio_of
from training.effects.propensity import propensities, scores_of, stabilised_weights
from training.effects.recurrent import mean_counts, mean_differences, mean_influence, mean_number, once_a_day
from training.effects.risks import table_of
from training.models.mean_count import marginal_mean

Means = tuple[tuple[Estimate, ...], ...]
"""By arm and time."""


@dataclass(frozen=True, slots=True)
class MeanNumbers:
    """Expected numbers of events by one method."""

    method: str
    """``unadjusted`` or ``weighted``."""
    means: Means
    """By arm and time."""
    differences: Means
    """By arm but the first, and time."""
    ratios: Means
    """Likewise."""

    @classmethod
    def plain(cls, recurrences: Recurrences, arm: IntArray, n_arms: int, times_days: FloatArray) -> MeanNumbers:
        """The arms as they are; see `mean_counts`.

        Args:
            recurrences: Events of the patients.
            arm: (patients,): 0 for the first.
            n_arms: How many there are.
            times_days: (times,)
        """
        means = tuple(mean_counts(recurrences.take(np.flatnonzero(arm == k)), times_days) for k in range(n_arms))
        ratios = tuple(tuple(map(ratio_of, own, means[0])) for own in means[1:])
        return cls("unadjusted", means, mean_differences(means), ratios)

    @classmethod
    def weighted(
        cls, recurrences: Recurrences, arm: IntArray, n_arms: int, x: FloatArray, times_days: FloatArray
    ) -> MeanNumbers:
        """By stabilised inverse probability weights, which are estimated; see `adjusted.weighted`.

        Args:
            recurrences: Events of the patients.
            arm: (patients,): 0 for the first.
            n_arms: How many there are.
            x: (patients, covariates), standardised.
            times_days: (times,)
        """
        events = once_a_day(recurrences)
        probability = propensities(x, arm)
        weights = stabilised_weights(probability, arm)
        scores = scores_of(x, probability, arm)
        points, influence = [], []
        for k in range(n_arms):
            rows = np.flatnonzero(arm == k)
            part = events.take(rows)
            own = np.zeros((len(arm), 1, len(times_days)))
            blocks = mean_influence(part, times_days, weights[rows])
            own[rows, 0] = weights[rows, None] * np.concatenate(list(blocks))
            points.append(marginal_mean(part, weights[rows]).at(times_days)[None])
            influence.append(less_projection(own, scores))
        found = Standardised(np.stack(points), np.stack(influence))
        errors = np.sqrt((found.influence**2).sum(axis=1))
        means = tuple(table_of(*one, mean_number)[0] for one in zip(found.points, errors, strict=True))
        differences = tuple(table[0] for table in found.differences())
        return cls("weighted", means, differences, tuple(table[0] for table in found.ratios()))

    def at(self, places: IntArray) -> MeanNumbers:
        """Of some of the times alone."""
        means, differences, ratios = (
            tuple(tuple(own[i] for i in places) for own in table)
            for table in (self.means, self.differences, self.ratios)
        )
        return MeanNumbers(self.method, means, differences, ratios)
