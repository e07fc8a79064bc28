"""Measures had everyone been in one arm, by targeted hazards: censoring may depend on the covariates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.effects.adjusted import Standardised, cross_fitted, folds
from training.effects.arms import Arms, FloatArray
from training.effects.nuisances import Nuisances
from training.effects.propensity import standardised
from training.effects.risks import Measure
from training.effects.targeting import Aimed, aim
from training.models.nonparametric import steps_at


def nuisances_of(
    arms: Arms, x: FloatArray, horizons_days: FloatArray, *, rng: np.random.Generator
) -> tuple[Nuisances, ...]:
    """By arm: cross-fitted hazards, and probabilities of seeing a patient in it.

    Args:
        arms: Patients observed from 0 on.
        x: (patients, covariates), standardised.
        horizons_days: (horizons,)
        rng: Deals the patients to folds.
    """
    x = standardised(x)  # columns of 0 and 1, too, as the penalty takes them
    fold = folds(arms.arm, rng)
    probability = cross_fitted(x, arms.arm, fold)
    last = float(np.max(horizons_days))
    return tuple(Nuisances.of(arms, k, x, probability[:, k], fold, last) for k in range(len(arms.names)))


def targeted(nuisances: Sequence[Nuisances], measure: Measure, horizons_days: FloatArray) -> Standardised:
    """Targeted estimates of a measure: right if who is seen, in which arm and how long, or what happens is modelled so.

    See `targeting.aim`. All causes and horizons are targeted at once, so that the estimates belong together; models are
    asked about patients whom they have not seen (Zheng & van der Laan, in: Targeted Learning, Springer 2011, ch. 27).
    The influence is that of known probabilities, which overstates the error if anything.

    Args:
        nuisances: By arm, for at least these horizons.
        measure: Risk or time lost.
        horizons_days: (horizons,)
    """
    return averaged(aimed(nuisances, measure, horizons_days))


def aimed(nuisances: Sequence[Nuisances], measure: Measure, horizons_days: FloatArray) -> tuple[Aimed, ...]:
    """By arm; see `targeted`."""
    return tuple(aim(one, measure.gain(one.times_days, horizons_days)) for one in nuisances)


def averaged(aims: Sequence[Aimed]) -> Standardised:
    """What the arms' estimates are together."""
    return Standardised(np.stack([one.points for one in aims]), np.stack([one.influence for one in aims]))


def curves_of(nuisances: Sequence[Nuisances], aims: Sequence[Aimed], times_days: FloatArray) -> FloatArray:
    """(arms, causes, times): incidence by the targeted hazards, to the last horizon; NaN where targeting was given up.

    Args:
        nuisances: By arm.
        aims: Likewise, aimed at risks.
        times_days: (times,)
    """
    found = [
        steps_at(one.times_days, own.incidence(), times_days, before_first=0.0, side="right")
        for one, own in zip(nuisances, aims, strict=True)
    ]
    return np.stack(found)
