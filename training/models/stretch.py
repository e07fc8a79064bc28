"""The scale on which risks err, and truths that lie further apart than a model tells.

A fit that shrinks tells risks that lie closer together than they are. Were its own answers the truth, a second fit
would shrink those again: what refits err by is then less than what the model errs by. A truth stretched so far that
refits come out as far apart as the model did shows all of it (indirect inference: Gouriéroux, Monfort & Renault, J
Appl Econom 1993;8:S85).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from features.patients import FloatArray

SMALLEST_RISK = 1e-9
"""Risks are held this far from 0 and 1 before their logarithms are taken."""


def log_cumulative_hazard(risk: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(−log(1 − F))."""
    theta: NDArray[np.float64] = np.log(-np.log1p(-np.clip(risk, SMALLEST_RISK, 1 - SMALLEST_RISK)))
    return theta


def risk_of(theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `log_cumulative_hazard`."""
    risk: NDArray[np.float64] = -np.expm1(-np.exp(np.minimum(theta, 700.0)))
    return risk


@dataclass(frozen=True, slots=True)
class Stretch:
    """θ = log(−log(1 − F)) of each cause, pulled away from its mean over the training rows."""

    factor: FloatArray
    """(causes,): 1 leaves a cause as it is."""
    centre: FloatArray
    """(causes, times): mean θ."""
    times_days: FloatArray
    """(times,)."""

    @classmethod
    def none(cls, n_causes: int) -> Self:
        """Everything as it is."""
        return cls(np.ones(n_causes), np.zeros((n_causes, 1)), np.zeros(1))

    def theta(self, theta: NDArray[np.float64], times_days: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows, causes, times), stretched."""
        centre = np.stack([np.interp(times_days, self.times_days, one) for one in self.centre])
        by = self.factor[:, None]
        return np.where(by == 1.0, theta, centre + by * (theta - centre))

    def incidence(self, incidence: NDArray[np.float64], times_days: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows, causes, times), stretched; where the causes of a row would then exceed 1 together, in proportion."""
        if (self.factor == 1.0).all():
            return incidence
        apart = risk_of(self.theta(log_cumulative_hazard(incidence), times_days))
        apart = np.maximum.accumulate(np.where(incidence > 0, apart, 0.0), axis=2)
        together = apart[:, :, -1].sum(axis=1)
        held: NDArray[np.float64] = apart / np.maximum(together, 1.0)[:, None, None]
        return held
