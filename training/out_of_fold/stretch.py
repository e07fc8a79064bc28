"""How far a truth has to be stretched for refits to come out as far apart as the model itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.patients import FloatArray
from training.models.stretch import MOST_APART, SMALLEST_RISK, Stretch, log_cumulative_hazard, moved, risk_of
from training.out_of_fold.stack_weights import FEWEST_EVENTS

MOST = 3.0
"""Where refits find little again, nothing tells how far; further than this it would be noise."""


def learn_stretch(
    incidence: NDArray[np.float64],
    refits: Sequence[NDArray[np.float64]],
    n_events: Sequence[int],
    landmark_day: FloatArray,
    times_days: FloatArray,
    where: NDArray[np.int64],
) -> Stretch:
    """Of each cause, 1 over the slope of the refits' θ on the model's within landmark and horizon; at least 1.

    Were shrinkage linear in θ, refits of a truth stretched so far would have slope 1 on the model's answers. As the
    slope is of a few refits, its distance from 1 is shrunk by z² / (z² + 1), z being its distance in standard errors.

    Args:
        incidence: (rows, causes, times): the model's, from which the refits' outcomes were simulated.
        refits: Theirs, (rows, causes, times) each; two or more.
        n_events: (causes,): patients with an event; of a cause with few nothing is told.
        landmark_day: (rows,).
        times_days: (times,).
        where: Which of the times are horizons: late enough for most refits to have events.
    """
    factor = np.array(
        [
            _factor(incidence[:, k, where], [refit[:, k, where] for refit in refits], landmark_day)
            if n_events[k] >= FEWEST_EVENTS
            else 1.0
            for k in range(incidence.shape[1])
        ]
    )
    days, theta = np.unique(landmark_day), log_cumulative_hazard(incidence)
    centre = np.stack([_centre(theta[landmark_day == day], factor) for day in days])
    return Stretch(factor, days.astype(np.float64), times_days, centre)


def _factor(risk: NDArray[np.float64], refits: Sequence[NDArray[np.float64]], landmark_day: FloatArray) -> float:
    """Of one cause, whose risks are (rows, horizons)."""
    there = risk > SMALLEST_RISK
    own = _within(log_cumulative_hazard(risk), there, landmark_day)
    spread = float((own**2).sum())
    if spread <= 1e-9 * own.size:  # where all risks are alike there is nothing to stretch
        return 1.0
    slopes = []
    for refit in refits:
        apart = np.clip(log_cumulative_hazard(refit) - log_cumulative_hazard(risk), -MOST_APART, MOST_APART)
        slopes.append(1.0 + float((own * _within(apart, there, landmark_day)).sum()) / spread)
    mean, error = np.mean(slopes), np.std(slopes, ddof=1) / len(slopes) ** 0.5
    z = (1.0 - mean) / max(error, 1e-9)
    sure = 1.0 - (1.0 - mean) * z**2 / (z**2 + 1.0)
    return float(np.clip(1.0 / max(sure, 1.0 / MOST), 1.0, MOST))


def _within(values: NDArray[np.float64], there: NDArray[np.bool_], landmark_day: FloatArray) -> NDArray[np.float64]:
    """(rows, horizons) less the mean of their landmark's; 0 where there is no risk."""
    centred = np.zeros_like(values)
    for day in np.unique(landmark_day):
        rows = landmark_day == day
        held = np.where(there[rows], values[rows], 0.0)
        mean = held.sum(axis=0) / np.maximum(there[rows].sum(axis=0), 1)
        centred[rows] = np.where(there[rows], values[rows] - mean, 0.0)
    return centred


def _centre(theta: NDArray[np.float64], factor: NDArray[np.float64]) -> NDArray[np.float64]:
    """(causes, times): from which θ (rows, causes, times) are pulled away with the mean risk kept, by bisection.

    The mean risk falls as the centre rises.
    """
    wanted = risk_of(theta).mean(axis=0)
    low, high = theta.min(axis=0) - MOST_APART, theta.max(axis=0) + MOST_APART
    for _ in range(50):
        middle = (low + high) / 2
        above = risk_of(moved(theta, middle, factor[:, None])).mean(axis=0) > wanted
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    centre: NDArray[np.float64] = (low + high) / 2
    return centre
