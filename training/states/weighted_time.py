"""Time weighed by what a day in each state is worth; benefit against harm; at which worth two groups are equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.stats import chi2

from training.effects.estimates import NAN, Estimate, difference_of
from training.effects.risks import risk
from training.evaluation.intervals import LEVEL
from training.states.occupation import FloatArray, Occupation


def expected_days(occupation: Occupation, at: int, worth: Sequence[float] | FloatArray) -> Estimate:
    """Expected days in the states up to a time, each day weighed: Σ_s w_s ∫₀ᵗ p_s(u) du.

    With w = 1 for a state and 0 for the others, the restricted mean time in it. With utilities between 0 and 1, the
    quality-adjusted time of Q-TWiST (Glasziou, Simes & Gelber, Stat Med 1990;9:1259–1276).

    Args:
        occupation: With its covariance.
        at: Place of the time in `times_days`.
        worth: (states,): of a day in each, from 0 to 1.
    """
    weight = np.asarray(worth, dtype=float)
    point = float(occupation.days[at] @ weight)
    error = sqrt(max(float(weight @ _of_days(occupation, at) @ weight), 0.0))
    return days_within(point, error, float(occupation.times_days[at]))


def days_within(point: float, standard_error: float, most: float) -> Estimate:
    """A mean number of days from 0 to a most, with an interval within these: that of `risk` for the share of them."""
    if not most > 0:
        return Estimate(point, NAN, NAN, NAN, NAN)
    share = risk(point / most, standard_error / most)
    return Estimate(point, most * share.low, most * share.high, NAN, most * share.standard_error)


def _of_days(occupation: Occupation, at: int) -> FloatArray:
    assert occupation.covariance is not None  # noqa: S101 - for the type checker
    n = len(occupation.days[at])
    return occupation.covariance[at, 2 * n :, 2 * n :]


@dataclass(frozen=True, slots=True)
class Threshold:
    """Two independent groups, compared whatever a day in one state is worth, the worth of the others being fixed."""

    equal_at: float
    """The worth from 0 to 1 at which both have the same weighted time; NaN if one has more at any."""
    at_none: Estimate
    """The first group less the other where a day in the state is worth 0."""
    at_full: Estimate
    """Where it is worth 1."""


def threshold(
    one: Occupation, other: Occupation, at: int, worth: Sequence[float] | FloatArray, state: int
) -> Threshold:
    """Threshold utility analysis of a state (Glasziou, Simes & Gelber, 1990): the difference is linear in its worth.

    Args:
        one: A group.
        other: The group that it is compared with, of other patients.
        at: Place of the time in `times_days` of both.
        worth: (states,): of a day in each; that of `state` is not used.
        state: Whose worth is varied.
    """
    ends = []
    for own in (0.0, 1.0):
        varied = np.array(worth, dtype=float)
        varied[state] = own
        ends.append(difference_of(expected_days(one, at, varied), expected_days(other, at, varied)))
    none, full = ends
    slope = full.point - none.point
    equal = -none.point / slope if slope else NAN
    return Threshold(equal if 0 <= equal <= 1 else NAN, none, full)


@dataclass(frozen=True, slots=True)
class Trade:
    """Benefit against harm by a time: where a group stands on the plane, with the joint uncertainty of both."""

    harm: float
    """Probability of ever having been in the state of the complication."""
    benefit_days: float
    """Expected days in the states of benefit."""
    covariance: FloatArray
    """(2, 2): of harm and benefit."""

    def region(self, n_points: int = 120) -> tuple[FloatArray, FloatArray]:
        """Harm and benefit (points,) along the border of the joint 95 % region, an ellipse of the normal approximation.

        {θ : (θ̂ − θ)ᵀ Σ⁻¹ (θ̂ − θ) = χ²₂(0.95)}; it holds both at once, and is wider than either's own interval.
        """
        values, vectors = np.linalg.eigh(self.covariance)
        angle = np.linspace(0.0, 2 * np.pi, n_points)
        circle = np.stack([np.cos(angle), np.sin(angle)]) * np.sqrt(chi2.ppf(LEVEL, 2))
        harm, benefit = vectors @ (np.sqrt(np.maximum(values, 0.0))[:, None] * circle)
        return self.harm + harm, self.benefit_days + benefit


def trade(occupation: Occupation, at: int, complication: int, beneficial: Sequence[int]) -> Trade:
    """Where a group stands.

    Args:
        occupation: With its covariance.
        at: Place of the time in `times_days`.
        complication: The state whose entry is the harm.
        beneficial: States in which days are the benefit.
    """
    assert occupation.covariance is not None  # noqa: S101 - for the type checker
    n = len(occupation.days[at])
    pick = np.zeros((2, 3 * n))
    pick[0, n + complication] = 1.0
    pick[1, 2 * n + np.asarray(beneficial)] = 1.0
    covariance = pick @ occupation.covariance[at] @ pick.T
    days = float(occupation.days[at, list(beneficial)].sum())
    return Trade(float(occupation.entered[at, complication]), days, covariance)
