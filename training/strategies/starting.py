"""Who started when, and how probable that was."""

from __future__ import annotations

import numpy as np

from training.strategies.followed import FloatArray, Followed
from training.strategies.pooled_days import PooledDays


def days_of_starts(followed: Followed, baseline: FloatArray, changing: FloatArray) -> PooledDays:
    """Days on which patients could have started, and did; arguments as those of `PooledDays.of`."""
    return PooledDays.of(followed.deciding, followed.starts & followed.deciding, baseline, changing)


def log_probability_of_what_was_done(days: PooledDays, followed: Followed, probability: FloatArray) -> FloatArray:
    """(patients, days): logarithm of the probability, by the model, of a patient's starts and waits up to a day.

    Args:
        days: From `days_of_starts`.
        followed: The patients.
        probability: (rows,): of starting on a day.
    """
    waiting, starting = np.log1p(-probability), np.log(probability)
    steps = np.where(days.at_risk, waiting[days.row_of], 0.0)
    who = np.flatnonzero(followed.start_day < followed.n_days)
    at = followed.start_day[who]
    steps[who, at] = starting[days.row_of[who, at]]
    found: FloatArray = np.cumsum(steps, axis=1)
    return found
