"""Benefit against harm of each strategy by the last horizon, weighed by what a day is worth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from experiments.effects.analysis import Contrasts
from experiments.strategies.question import Question
from features.patients import FloatArray
from training.effects.estimates import Estimate
from training.effects.time_lost import TIME_LOST
from training.states.weighted_time import Trade, days_within
from training.strategies.contrasts import contrasts
from training.strategies.incidence import incidence_at, time_lost_to
from training.strategies.weighted_days import days_in_states, equal_at

EVENT = 1
"""The state after the endpoint's event, if that came first; 0 is before any."""
BENEFICIAL = (0, EVENT)
"""After what competes, days are no benefit."""
WORTHS = np.linspace(0.0, 1.0, 41)
"""Of a day after the endpoint's event, along the axis of a figure."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """A strategy, or a strategy less the reference."""

    harm: Estimate
    """Risk of the endpoint's event."""
    benefit: Estimate
    """Mean days before what competes with it."""
    weighted: Estimate
    """Mean weighted days."""


@dataclass(frozen=True, slots=True)
class BenefitRisk:
    """By strategy compared, the reference first."""

    of: tuple[Weighed, ...]
    places: tuple[Trade, ...]
    """On the plane."""
    less: tuple[Weighed, ...]
    """Each but the reference, less it."""
    equal_at: tuple[float, ...]
    """Likewise: worth of a day after the event at which both have the same weighted days; NaN: one has more at any."""
    by_worth: tuple[tuple[Estimate, ...], ...]
    """Likewise: difference of weighted days at each of `WORTHS`."""


def benefit_risk(
    question: Question, incidence: FloatArray, resampled: FloatArray, effective: FloatArray, risk: Contrasts
) -> BenefitRisk:
    """Weigh the strategies by the last horizon.

    Args:
        question: What is compared, and what a day is worth.
        incidence: (strategies, causes, days).
        resampled: (resamples, strategies, causes, days).
        effective: (strategies, horizons): how many patients the clones are worth.
        risk: Of all causes and horizons.
    """
    at, worth = question.horizons_days[-1:], question.worth
    horizon = float(at[0])
    days, drawn = (days_in_states(time_lost_to(one, at)[..., 0], horizon) for one in (incidence, resampled))
    within = replace(TIME_LOST, estimate=lambda point, error: days_within(point, error, horizon))

    def compared(weights: FloatArray) -> tuple[list[Estimate], list[Estimate]]:
        points, draws = (days @ weights)[:, None, None], (drawn @ weights)[..., None, None]
        tables, differences, _ = contrasts(points, draws, within, effective[:, -1:])
        return [table[0][0] for table in tables], [table[0][0] for table in differences]

    beneficial = np.zeros(len(worth))
    beneficial[list(BENEFICIAL)] = 1.0
    own, less = zip(compared(beneficial), compared(worth), strict=True)
    event = np.arange(len(worth)) == EVENT
    varied = [compared(np.where(event, one, worth))[1] for one in WORTHS]
    return BenefitRisk(
        tuple(Weighed(table[0][-1], *both) for table, *both in zip(risk.tables, *own, strict=True)),
        tuple(
            _places(
                incidence_at(incidence[:, 0], at),
                days @ beneficial,
                incidence_at(resampled[:, :, 0], at),
                drawn @ beneficial,
            )
        ),
        tuple(Weighed(table[0][-1], *both) for table, *both in zip(risk.differences, *less, strict=True)),
        tuple(equal_at(one, days[0], worth, EVENT) for one in days[1:]),
        tuple(zip(*varied, strict=True)),
    )


def _places(harm: FloatArray, benefit: FloatArray, harms: FloatArray, benefits: FloatArray) -> Iterator[Trade]:
    """Of harm (strategies, 1) and benefit (strategies,), and the same of resamples."""
    for k in range(len(harm)):
        yield Trade(float(harm[k, 0]), float(benefit[k]), np.cov(harms[:, k, 0], benefits[:, k]))
