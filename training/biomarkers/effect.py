"""How strongly a marker goes with a cause: hazard ratios, of everyone and within arms."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from features.errors import SequelaError
from features.outcomes import Outcomes
from training.biomarkers.markers import strata_of
from training.effects.arms import Arms, FloatArray, IntArray
from training.effects.estimates import ABSENT, ChiSquared, Estimate, difference
from training.effects.hazards import log_ratios
from training.effects.subgroups import heterogeneity

FEWEST_EVENTS = 5
"""Of an arm, below which nothing is said of it."""


def hazard_ratio(
    marker: FloatArray,
    outcomes: Outcomes,
    cause: int,
    *,
    stratum: IntArray | None = None,
    covariates: FloatArray | None = None,
    kept: bool = False,
) -> Estimate:
    """Ratio of hazards for one unit more of a marker, at the maximum of the partial likelihood.

    Cause-specific with the standard error of the model, or of the subdistribution with one robust by patient; as in
    `training.effects.hazards`. In the patients in whom the marker was measured.

    Args:
        marker: (rows,), NaN where not measured.
        outcomes: One row a patient.
        cause: 1, 2, …
        stratum: (rows,): each with a baseline hazard of its own.
        covariates: (rows, columns): the ratio is one between patients who have the same of these.
        kept: Of the subdistribution hazard (Fine and Gray); if not, of the cause-specific one.

    Returns:
        NaN where the likelihood has no one maximum, and where Fine and Gray's weights cannot be estimated.
    """
    rows = np.flatnonzero(np.isfinite(marker))
    own = outcomes.take(rows)
    if not (own.cause == cause).any():
        return ABSENT
    x = marker[rows, None] if covariates is None else np.column_stack([marker[rows], covariates[rows]])
    cluster = np.arange(len(rows)) if kept else None
    try:
        return log_ratios(x, own, cause, strata_of(stratum, rows), kept=kept, cluster=cluster)[0]
    except SequelaError:  # late entry with a gap in the follow-up
        return ABSENT


@dataclass(frozen=True, slots=True)
class WithinArms:
    """Whether a marker is predictive: whether it goes with the cause differently in different arms."""

    ratios: tuple[Estimate, ...]
    """By arm: of the hazard for one unit more of the marker; NaN with fewer than `FEWEST_EVENTS` events."""
    interaction: ChiSquared
    """That all arms have one ratio; NaN with fewer than two of known standard error."""


def within_arms(marker: FloatArray, arms: Arms, cause: int, *, kept: bool = False) -> WithinArms:
    """Hazard ratios of a marker in each arm, and the test of treatment × marker.

    Every arm, and within it every stratum, has a baseline hazard of its own, so that the arms' ratios are independent
    and Cochran's test of their difference is the Wald test of the interaction in that one model. A marker that goes
    with the outcome in all arms alike is prognostic, one that does so differently is predictive (Clark, Mol Oncol
    2008;2:406): whom the treatment helps more can be read from the second only. With few events an arm the test rejects
    too rarely (`benchmarks/results/biomarkers_null.md`). Where the log hazard does not rise in a straight line with a
    prognostic marker, arms of different hazards have different ratios, and it rejects more often.

    Args:
        marker: (rows,), NaN where not measured.
        arms: The patients; their strata are taken within arms.
        cause: 1, 2, …
        kept: As in `hazard_ratio`.
    """
    found = []
    for k in range(len(arms.names)):
        rows = arms.rows(k)
        own, outcomes = marker[rows], arms.outcomes.take(rows)
        if np.isfinite(own[outcomes.cause == cause]).sum() < FEWEST_EVENTS:
            found.append(ABSENT)
            continue
        stratum = None if arms.stratum is None else arms.stratum[rows]
        found.append(hazard_ratio(own, outcomes, cause, stratum=stratum, kept=kept))
    return WithinArms(tuple(found), heterogeneity(list(map(_of_logarithm, found))))


def _of_logarithm(ratio: Estimate) -> Estimate:
    return difference(log(ratio.point), ratio.standard_error) if ratio.point > 0 else ABSENT


def stratum_of_arms(arms: Arms) -> IntArray:
    """(rows,): a number for each arm and stratum together."""
    pairs = np.column_stack([arms.arm, np.zeros(len(arms)) if arms.stratum is None else arms.stratum])
    return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
