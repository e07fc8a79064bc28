"""Days before any event and after a first one, each weighed by what it is worth."""

from __future__ import annotations

import numpy as np

from training.strategies.followed import FloatArray


def days_in_states(time_lost: FloatArray, horizon_days: float) -> FloatArray:
    """(…, 1 + causes): mean days up to the horizon before any event, and after a first event of each cause.

    The time lost to a cause, ∫₀^τ F_k(t) dt, is the mean time after a first event of it (Andersen, Stat Med
    2013;32:5278); what comes after a first event is not looked at.

    Args:
        time_lost: (…, causes): within the horizon.
        horizon_days: τ.
    """
    return np.concatenate([horizon_days - time_lost.sum(axis=-1, keepdims=True), time_lost], axis=-1)


def equal_at(days: FloatArray, reference: FloatArray, worth: FloatArray, state: int) -> float:
    """Which worth of a day in a state gives two strategies the same weighted days; NaN if one has more at any.

    Args:
        days: (states,) of a strategy.
        reference: (states,) of the other one.
        worth: (states,): of a day in the others.
        state: Whose worth is varied, from 0 to 1.
    """
    more = days - reference
    rest = float(more @ np.where(np.arange(len(worth)) == state, 0.0, worth))
    equal = -rest / float(more[state]) if more[state] else np.nan
    return equal if 0 <= equal <= 1 else np.nan
