"""Inverse-probability-of-censoring weights: those who were followed stand for those who were not.

Where G, the survival function of the censoring time, comes from matters as much as the choice of a model. Here it is
the marginal reverse Kaplan–Meier curve of the scored patients themselves, as `riskRegression::Score` has it for
`cens.model = "km"`; `censoring_from` names another source. A row with an event at T by the time t has the weight
1 / G(T−), a row still followed after t has 1 / G(t), a row censored by t has 0 (Graf et al., Stat Med
1999;18:2529–2545; with competing risks Schoop et al., Biom J 2011;53:88–112).

When G becomes 0. If all who remain are censored on day t itself, as administrative censoring at the horizon does,
G(t) = 0 but G(t−) > 0: these rows are known to be event-free through t, and have the weight 1 / G(t−). At later times
nothing is known, and every metric there is NaN; `identified_days` is the last time at which something is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import SequelaError
from features.outcomes import Outcomes
from training.models.nonparametric import StepSurvival, censoring_survival


@dataclass(frozen=True, slots=True)
class ScoringWeights:
    """Weights of the scored rows, for one sample or, with a leading axis, for many resamples."""

    times_days: NDArray[np.float64]
    """(times,): the times at which predictions are scored."""
    row: NDArray[np.float64]
    """(..., rows): how often a row is in the (re)sample."""
    event: NDArray[np.float64]
    """(..., rows): row / G(T−) of rows with an event, 0 of censored rows."""
    after: NDArray[np.float64]
    """(..., times): 1 / G of rows still followed after each time; NaN where nothing is known."""
    tied: NDArray[np.float64]
    """(..., times): 1 / G of rows censored at the very time; 0 except where G becomes 0 there."""
    survival: StepSurvival
    """G."""

    @property
    def total(self) -> NDArray[np.float64]:
        """(...): size of the (re)sample."""
        total: NDArray[np.float64] = self.row.sum(axis=-1)
        return total

    def at_event_times(self, times_days: NDArray[np.float64]) -> NDArray[np.float64]:
        """1 / G(t), and 1 / G(t−) where G becomes 0 at t; NaN beyond; shape (..., times)."""
        now, before = self.survival.at(times_days), self.survival.before(times_days)
        return _inverse(np.where(now > 0, now, before))


def scoring_weights(
    outcomes: Outcomes,
    times_days: NDArray[np.float64],
    *,
    resamples: NDArray[np.float64] | None = None,
    censoring_from: Outcomes | None = None,
) -> ScoringWeights:
    """Weights with which the rows of `outcomes` are scored at the given times.

    Args:
        outcomes: What happened to the scored rows; censoring is assumed independent of causes and predictions.
        times_days: (times,) of scoring.
        resamples: (rows,) or (resamples, rows), how often each row is drawn; G is estimated anew in each resample.
        censoring_from: Rows from which G is estimated instead; it is then the same in every resample.

    Raises:
        SequelaError: A row came under observation after its landmark.
        ValueError: No rows, or a shape that does not fit.
    """
    if outcomes.entry_days is not None and (outcomes.entry_days > 0).any():
        late = int((outcomes.entry_days > 0).sum())
        msg = (
            f"scoring: {late} of {len(outcomes)} rows came under observation after the landmark; Brier score, AUC and "
            "concordance are defined for rows observed from the landmark on. Leave those rows out of the scored ones."
        )
        raise SequelaError(msg)
    row = np.ones(len(outcomes)) if resamples is None else np.asarray(resamples, dtype=np.float64)
    survival = censoring_survival(outcomes, row) if censoring_from is None else censoring_survival(censoring_from)
    now, before = survival.at(times_days), survival.before(times_days)
    event = np.where(outcomes.cause > 0, row * np.nan_to_num(_inverse(survival.before(outcomes.duration_days))), 0.0)
    after = _inverse(np.where(now > 0, now, before))
    return ScoringWeights(times_days, row, event, after, np.where(now > 0, 0.0, after), survival)


def identified_days(outcomes: Outcomes) -> float:
    """Last day about which the outcomes say something: without end if the last one to leave has an event."""
    survival = censoring_survival(outcomes)
    return np.inf if survival.survival[-1] > 0 else float(survival.times_days[-1])


def scorable_times(outcomes: Outcomes, times_days: NDArray[np.float64]) -> NDArray[np.float64]:
    """The leading part of the ascending times about which the outcomes say something.

    It depends on the outcomes alone, so predictions that are scored on the same rows stay comparable.

    Raises:
        SequelaError: There is none.
    """
    last = identified_days(outcomes)
    known = times_days[times_days <= last]
    if len(known) == 0:
        msg = (
            f"scoring: the first time, {times_days[0]:g} days, is after the end of all follow-up at {last:g} days. "
            "Choose earlier horizons, or score more patients."
        )
        raise SequelaError(msg)
    return known


def _inverse(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    inverse = np.full(probability.shape, np.nan)
    np.divide(1.0, probability, out=inverse, where=probability > 0)
    return inverse
