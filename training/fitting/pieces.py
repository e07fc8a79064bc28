"""Pieces of numeric features: how finely a network may bend its answer along each, by how many events there are."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from training.models.network import Pieces

MOST_PIECES = 8
"""Of one feature."""
PER_ROOT_EVENT = 0.3
"""Pieces grow with the square root of the events: 2 from 45, 3 from 100, 8 from 712."""
FEWEST_VALUES = 5
"""Features with fewer different values have no pieces."""


def fit_pieces(x: NDArray[np.float64], n_events: int) -> Pieces:
    """Pieces between quantiles of the features of training rows (rows, features); none where events are few.

    Several rows of a patient hold one event: `n_events` counts patients.
    """
    n_pieces = min(MOST_PIECES, int(PER_ROOT_EVENT * n_events**0.5))
    feature, start, end = [], list[float](), list[float]()
    for column in range(x.shape[1]) if n_pieces > 1 else ():
        edges = np.unique(np.quantile(x[:, column], np.linspace(0.0, 1.0, n_pieces + 1)))
        if len(edges) < 3 or len(np.unique(x[:, column])) < FEWEST_VALUES:
            continue
        feature += [column] * (len(edges) - 1)
        start += edges[:-1].tolist()
        end += edges[1:].tolist()
    return Pieces(torch.tensor(feature, dtype=torch.long), torch.tensor(start), torch.tensor(end))
