"""What a patient's next laboratory value is likely to be, from the last one and the days between them.

Values v are put on the scale of a standard normal distribution by their ranks among those of all patients: z(v). There,
values have a course μ(day) that is common to all patients and a spread s around it, and two values of a patient taken Δ
days apart are correlated around the course by

    ρ(Δ) = share · exp(−Δ / days),

an exponential process with measurement error (Diggle, Heagerty, Liang & Zeger, Analysis of Longitudinal Data, 2nd ed.,
Oxford 2002, section 5.2). So the score of a value on day d, given one v on day e, is normal with

    mean  μ(d) + ρ(d − e) · (z(v) − μ(e)),  variance  s² · (1 − ρ(d − e)²),

and without any so far with mean μ(d) and variance s². `training.fitting.persistence` fits all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Annotated

import numpy as np
from pydantic import Field

from features.drift import DECILES, Spread, rounded
from features.patients import FloatArray
from features.schema import Frozen

SMALLEST_SHARE = 0.001
"""Of patients, that lie below or above any value."""


class Persistence(Frozen):
    """Of one variable."""

    share: Annotated[float, Field(ge=0, lt=1)]
    """Correlation, around the course, of two values taken at once: what is not measurement error, and not over within
    hours."""
    days: Annotated[float, Field(gt=0)]
    """After which the correlation has fallen to 1/e of that."""
    course: Annotated[tuple[tuple[float, float], ...], Field(min_length=1)]
    """Day, ascending, and mean score then; even between two days, and before the first and after the last as there."""
    spread: Annotated[float, Field(gt=0)]
    """Standard deviation of scores around the course."""
    values: Annotated[tuple[tuple[float, Annotated[float, Field(gt=0, lt=1)]], ...], Field(min_length=2)]
    """Value, ascending, and share of all values below it: what scores are of. Rounded to two digits, as bounds of
    `features.drift` are: none is read off one patient."""

    def correlation(self, lag_days: float) -> float:
        """Of two values so many days apart, around the course."""
        return float(self.share * np.exp(-abs(lag_days) / self.days))

    def mean(self, day: float) -> float:
        """Score of the common course on a day."""
        days, means = zip(*self.course, strict=True)
        return float(np.interp(day, days, means))

    def covers(self, value: float) -> bool:
        """Whether a value lies, at two significant digits, among those it was learnt from."""
        return bool(self.values[0][0] <= rounded([value])[0] <= self.values[-1][0])

    def likely_values(self, day: float, last: tuple[float, float] | None) -> tuple[float, ...]:
        """Deciles of what a value is likely to be on a day, ascending.

        Args:
            day: Since infusion.
            last: Day and value of the patient's last one; None: not known, and the course alone tells.

        Returns:
            Within `values`, between which scores are even: what would lie beyond is taken for the first or last.
        """
        values, below = zip(*self.values, strict=True)
        scale = _scores(below)
        middle, rest = self.mean(day), self.spread
        if last is not None:
            correlation = self.correlation(day - last[0])
            middle += correlation * (float(np.interp(last[1], values, scale)) - self.mean(last[0]))
            rest *= float(np.sqrt(1 - correlation**2))
        return tuple(np.interp(middle + rest * _scores(DECILES), scale, values).tolist())


def usual_values(spread: Spread) -> tuple[float, ...]:
    """Deciles of the values of all patients, ascending, where no persistence is known.

    Args:
        spread: Of the values; between its edges they are taken to be even, and none lies beyond.
    """
    below = np.clip(np.cumsum(spread.shares)[:-1], SMALLEST_SHARE, 1 - SMALLEST_SHARE)
    return tuple(np.interp(_scores(DECILES), _scores(below), spread.edges).tolist())


def _scores(shares: FloatArray | Sequence[float]) -> FloatArray:
    """(shares,): of a standard normal distribution, below which the shares lie."""
    return np.array([NormalDist().inv_cdf(float(share)) for share in shares])
