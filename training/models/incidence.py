"""`CumulativeIncidence`: what every risk model answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-6
"""Rounding allowed in the invariants; float32 networks sum over tens of bins."""


@dataclass(frozen=True, slots=True)
class CumulativeIncidence:
    """Cumulative incidence functions: P(event of cause k by time t), for each patient."""

    values: NDArray[np.float64]
    """(patients, causes, times): in [0, 1], non-decreasing in time, summing over causes to at most 1."""
    times_days: NDArray[np.float64]
    """(times,): days after the landmark, ascending."""
    causes: tuple[str, ...]

    @property
    def event_free(self) -> NDArray[np.float64]:
        """(patients, times): probability of no event of any cause by each time."""
        free: NDArray[np.float64] = np.clip(1.0 - self.values.sum(axis=1), 0.0, 1.0)
        return free

    def check(self) -> CumulativeIncidence:
        """Return self.

        Raises:
            ValueError: An invariant does not hold: shape, range, monotony in time, or the sum over causes.
        """
        if self.values.shape[1:] != (len(self.causes), len(self.times_days)):
            msg = f"incidence of shape {self.values.shape} for {len(self.causes)} causes, {len(self.times_days)} times"
            raise ValueError(msg)
        if not np.isfinite(self.values).all() or self.values.min(initial=0.0) < -TOLERANCE:
            msg = "incidence must be finite and at least 0"
            raise ValueError(msg)
        if (np.diff(self.values, axis=2) < -TOLERANCE).any():
            msg = "incidence must not decrease in time"
            raise ValueError(msg)
        if self.values.sum(axis=1).max(initial=0.0) > 1 + TOLERANCE:
            msg = "incidences of all causes must sum to at most 1"
            raise ValueError(msg)
        return self
