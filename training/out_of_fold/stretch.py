"""How far a truth has to be stretched for refits to come out as far apart as the model itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.patients import FloatArray
from training.models.stretch import Stretch, log_cumulative_hazard

MOST = 4.0
"""Where refits find nothing again, nothing tells how far; further than this it would be noise."""


def learn_stretch(
    incidence: NDArray[np.float64],
    refits: Sequence[NDArray[np.float64]],
    times_days: FloatArray,
    where: NDArray[np.int64],
) -> Stretch:
    """Of each cause, 1 over the slope of the refits' mean θ on the model's, within horizons; at least 1.

    Were shrinkage linear in θ, refits of a truth stretched so far would have slope 1 on the model's answers.

    Args:
        incidence: (rows, causes, times): the model's, from which the refits' outcomes were simulated.
        refits: Theirs, (rows, causes, times) each.
        times_days: (times,).
        where: Which of the times are horizons: late enough for most refits to have events.
    """
    theta = log_cumulative_hazard(incidence)
    own = _within(theta[..., where])
    found = _within(np.mean([log_cumulative_hazard(refit[..., where]) for refit in refits], axis=0))
    spread, slope = (own**2).sum(axis=(0, 2)), (own * found).sum(axis=(0, 2))
    factor = np.ones(len(spread))
    told = spread > 1e-9 * own[:, 0].size  # where all risks are alike there is nothing to stretch
    factor[told] = np.clip(spread[told] / np.maximum(slope[told], spread[told] / MOST), 1.0, MOST)
    return Stretch(factor, theta.mean(axis=0), times_days)


def _within(theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows, causes, horizons) less the mean over rows."""
    centred: NDArray[np.float64] = theta - theta.mean(axis=0)
    return centred
