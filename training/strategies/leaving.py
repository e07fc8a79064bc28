"""Who was lost to follow-up when, and how probable it was to be still observed."""

from __future__ import annotations

import numpy as np

from training.strategies.followed import BoolArray, FloatArray, Followed
from training.strategies.pooled_days import PooledDays


def losses(followed: Followed) -> BoolArray:
    """(patients, days): the last day on which somebody is observed whose observation ends without an event.

    Nothing depends on who is lost on the last day looked at, which counts for nobody.
    """
    found: BoolArray = (followed.days == followed.end_day[:, None] - 1) & (followed.cause == 0)[:, None]
    found[:, -1] = False
    return found


def days_of_losses(followed: Followed, baseline: FloatArray, changing: FloatArray) -> PooledDays:
    """Days after which patients could have been lost, and were; whether they are treated by then is a covariate, too.

    Args:
        followed: The patients.
        baseline: (patients, columns), standardised: known at time zero.
        changing: (patients, days, columns), standardised: as last known before each day.
    """
    at_risk = followed.observed
    at_risk[:, -1] = False
    treated = (followed.start_day[:, None] <= followed.days).astype(float)
    columns = np.concatenate([changing, treated[:, :, None]], axis=2) if treated[at_risk].any() else changing
    return PooledDays.of(at_risk, losses(followed), baseline, columns)


def log_probability_of_staying(days: PooledDays, probability: FloatArray) -> FloatArray:
    """(patients, days): logarithm of the probability, by the model, of being observed on a day as far as loss goes.

    As weights for censoring that depends on what changes over time have it (Robins & Finkelstein, Biometrics
    2000;56:779).

    Args:
        days: From `days_of_losses`.
        probability: (rows,): of being lost after a day.
    """
    steps = np.where(days.at_risk, np.log1p(-probability)[days.row_of], 0.0)
    found: FloatArray = np.zeros_like(steps)
    found[:, 1:] = np.cumsum(steps, axis=1)[:, :-1]
    return found
