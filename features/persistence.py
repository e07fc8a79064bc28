"""What a patient's next laboratory value is likely to be, from the last one and the days between them.

Values are put on the scale of a standard normal distribution by their ranks among all patients'. There, two values of a
patient taken Δ days apart are correlated by

    ρ(Δ) = share · exp(−Δ / days),

an exponential process with measurement error (Diggle, Heagerty, Liang & Zeger, Analysis of Longitudinal Data, 2nd ed.,
Oxford 2002, section 5.2); `training.persistence_fit` fits both numbers.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Annotated

import numpy as np
from pydantic import Field

from features.drift import DECILES, Spread
from features.schema import Frozen

SMALLEST_SHARE = 0.001
"""Of patients, that lie below or above any value."""


class Persistence(Frozen):
    """Of one variable."""

    share: Annotated[float, Field(ge=0, lt=1)]
    """Correlation of two values taken at once: what is not measurement error, and not over within hours."""
    days: Annotated[float, Field(gt=0)]
    """After which the correlation has fallen to 1/e of that."""

    def correlation(self, lag_days: float) -> float:
        """Of two values so many days apart."""
        return float(self.share * np.exp(-abs(lag_days) / self.days))


def likely_values(spread: Spread, last: float | None, correlation: float) -> tuple[float, ...]:
    """Deciles of what a value is likely to be, given the patient's last one, ascending.

    Args:
        spread: Of the values of all patients; between its edges they are taken to be even, and none lies beyond.
        last: The patient's last value; None: not known, and all patients' deciles are likely.
        correlation: Of the two, on the normal scale.
    """
    below = np.clip(np.cumsum(spread.shares)[:-1], SMALLEST_SHARE, 1 - SMALLEST_SHARE)
    scale = [NormalDist().inv_cdf(share) for share in below.tolist()]
    middle = 0.0 if last is None else correlation * float(np.interp(last, spread.edges, scale))
    rest = 1.0 if last is None else float(np.sqrt(1 - correlation**2))
    wanted = [middle + rest * NormalDist().inv_cdf(share) for share in DECILES.tolist()]
    return tuple(np.interp(wanted, scale, spread.edges).tolist())
