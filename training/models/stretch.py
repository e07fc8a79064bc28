"""The scale on which risks err, and truths that lie further apart than a model tells.

A fit that shrinks tells risks that lie closer together than they are. Were its own answers the truth, a second fit
would shrink those again: what refits err by is then less than what the model errs by. A truth stretched so far that
refits come out as far apart as the model did shows all of it (indirect inference: Gouriéroux, Monfort & Renault, J
Appl Econom 1993;8:S85). The mean risk stays what it is, so that as many events happen as before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from features.patients import FloatArray

SMALLEST_RISK = 1e-9
"""Risks are held this far from 0 and 1 before their logarithms are taken; smaller ones are not stretched."""
MOST_APART = float(np.log(10.0))
"""That two θ count as being: one of which nothing has happened yet has risk 0, infinitely far, and says no more than
that the risk is small."""


def log_cumulative_hazard(risk: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(−log(1 − F))."""
    theta: NDArray[np.float64] = np.log(-np.log1p(-np.clip(risk, SMALLEST_RISK, 1 - SMALLEST_RISK)))
    return theta


def risk_of(theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `log_cumulative_hazard`."""
    risk: NDArray[np.float64] = -np.expm1(-np.exp(np.minimum(theta, 700.0)))
    return risk


NO_RISK = float(log_cumulative_hazard(np.array(2 * SMALLEST_RISK)))


def moved(theta: NDArray[np.float64], centre: NDArray[np.float64], factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """θ pulled away from a centre, by at most (factor − 1) · `MOST_APART`; where there is no risk, it stays so."""
    away: NDArray[np.float64] = (factor - 1.0) * np.clip(theta - centre, -MOST_APART, MOST_APART)
    return np.where(theta > NO_RISK, theta + away, theta)


@dataclass(frozen=True, slots=True)
class Stretch:
    """θ = log(−log(1 − F)) of each cause, pulled away from a centre that leaves a landmark's mean risk as it is."""

    factor: FloatArray
    """(causes,): 1 leaves a cause as it is."""
    landmark_days: FloatArray
    """(landmarks,), ascending; a day between two goes by the nearest."""
    times_days: FloatArray
    """(times,), ascending; before the first the centre falls as with a constant hazard."""
    centre: FloatArray
    """(landmarks, causes, times)."""

    @classmethod
    def none(cls, n_causes: int) -> Self:
        """Everything as it is."""
        return cls(np.ones(n_causes), np.zeros(1), np.ones(1), np.zeros((1, n_causes, 1)))

    def theta(
        self, theta: NDArray[np.float64], landmark_day: NDArray[np.float64], times_days: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(rows, causes, times), stretched."""
        if (self.factor == 1.0).all():
            return theta
        nearest = np.abs(landmark_day[:, None] - self.landmark_days).argmin(axis=1)
        return moved(theta, self._centre_at(times_days)[nearest], self.factor[:, None])

    def incidence(
        self, incidence: NDArray[np.float64], landmark_day: NDArray[np.float64], times_days: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(rows, causes, times), stretched; where the causes of a row would then exceed 1 together, in proportion."""
        if (self.factor == 1.0).all():
            return incidence
        theta = log_cumulative_hazard(incidence)
        apart = np.where(theta > NO_RISK, risk_of(self.theta(theta, landmark_day, times_days)), incidence)
        apart = np.maximum.accumulate(apart, axis=2)
        together = apart[:, :, -1].sum(axis=1)
        held: NDArray[np.float64] = apart / np.maximum(together, 1.0)[:, None, None]
        return held

    def _centre_at(self, times_days: NDArray[np.float64]) -> NDArray[np.float64]:
        """(landmarks, causes, times)."""
        at, known = (np.log(np.maximum(days, 1e-6)) for days in (times_days, self.times_days))
        flat = [np.interp(at, known, one) for one in self.centre.reshape(-1, len(known))]
        centre = np.stack(flat).reshape(*self.centre.shape[:2], len(at))
        below: NDArray[np.float64] = centre + np.minimum(at - known[0], 0.0)
        return below
