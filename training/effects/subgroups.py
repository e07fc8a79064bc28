"""Whether an effect differs between groups of patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.effects.adjusted import Standardised, possible
from training.effects.arms import Arms, FloatArray, IntArray, followed_to
from training.effects.estimates import ABSENT, NAN, ChiSquared, Estimate
from training.effects.risks import Measure, Table, by_arm, differences

FEWEST = 5
"""Patients of each arm in a group, below which nothing is said of it."""


@dataclass(frozen=True, slots=True)
class Subgroup:
    """Each arm less the first, in one group of patients."""

    name: str
    n_rows: int
    differences: tuple[Table, ...] | None
    """By arm but the first; None where an arm has too few patients, NaN where one is not followed to the horizon."""


def subgroups(
    arms: Arms,
    group: IntArray,
    names: Sequence[str],
    measure: Measure,
    horizons_days: FloatArray,
    adjusted: Standardised | None = None,
) -> list[Subgroup]:
    """Differences within groups: of the arms as they are, or of adjusted values averaged over each group's patients.

    A group's doubly robust effect is the mean over its patients of the values whose mean over everyone is the effect
    (Semenova & Chernozhukov, Econom J 2021;24:264).

    Args:
        arms: The patients.
        group: (patients,): number of the group that each is in; −1: in none.
        names: Of the groups.
        measure: Risk or time lost.
        horizons_days: (horizons,)
        adjusted: The doubly robust estimate of all patients; None: the arms as they are.
    """
    found = []
    for number, name in enumerate(names):
        rows = np.flatnonzero(group == number)
        counts = np.bincount(arms.arm[rows], minlength=len(arms.names))
        own: tuple[Table, ...] | None = None
        if counts.min() >= FEWEST and adjusted is not None:
            own = _within(adjusted, rows, measure, horizons_days).differences()
        elif counts.min() >= FEWEST:
            part = Arms(arms.outcomes.take(rows), arms.arm[rows], arms.names)
            own = differences(by_arm(part, measure, horizons_days))
        if own is not None:
            own = _known(own, horizons_days <= _followed_to(arms, rows))
        found.append(Subgroup(name, len(rows), own))
    return found


def _followed_to(arms: Arms, rows: IntArray) -> float:
    """The last day to which every arm is followed in a group."""
    return min(followed_to(arms.outcomes.take(rows[arms.arm[rows] == k])) for k in range(len(arms.names)))


def _known(tables: tuple[Table, ...], known: NDArray[np.bool_]) -> tuple[Table, ...]:
    """Nothing at horizons (horizons,) that are not known."""
    return tuple(
        tuple(tuple(one if is_known else ABSENT for one, is_known in zip(row, known, strict=True)) for row in table)
        for table in tables
    )


def _within(everyone: Standardised, rows: IntArray, measure: Measure, horizons_days: FloatArray) -> Standardised:
    """The same values, averaged over some patients alone."""
    values = everyone.points[:, None] + everyone.influence.shape[1] * everyone.influence[:, rows]
    points = values.mean(axis=1)
    return Standardised(possible(points, measure, horizons_days), (values - points[:, None]) / len(rows))


def heterogeneity(estimates: Sequence[Estimate]) -> ChiSquared:
    """Test that independent groups share one difference (Cochran, Biometrics 1954;10:101).

    Q = Σ (d_g − d̄)² / se_g², d̄ weighted by 1 / se². NaN with fewer than two groups of known standard error.
    """
    known = [one for one in estimates if one.standard_error > 0]
    if len(known) < 2:
        return ChiSquared(NAN, 0, NAN)
    point = np.array([one.point for one in known])
    weight = np.array([one.standard_error**-2 for one in known])
    mean = weight @ point / weight.sum()
    return ChiSquared.of(float(weight @ (point - mean) ** 2), len(known) - 1)
