"""Hazards in bins of follow-up, and the cumulative incidence between their edges."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def log_hazards(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Log probabilities of each cause (…, causes, bins), and of none (…, bins), in a bin."""
    none = -torch.logsumexp(nn.functional.pad(logits, (0, 0, 1, 0)), dim=-2)
    return logits + none.unsqueeze(-2), none


def bins_of(
    edges_days: NDArray[np.float64], times_days: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """For each time its bin, and the share of the bin that is gone by then."""
    bin_of = np.clip(np.searchsorted(edges_days, times_days, side="right") - 1, 0, len(edges_days) - 2)
    return bin_of, np.clip((times_days - edges_days[bin_of]) / np.diff(edges_days)[bin_of], 0.0, 1.0)


def interpolate(
    hazard: NDArray[np.float64],
    log_none: NDArray[np.float64],
    edges_days: NDArray[np.float64],
    times_days: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Cumulative incidence at any time, with the hazard constant within each bin.

    Args:
        hazard: (…, causes, bins): probability of each cause in a bin, given event-free at its start.
        log_none: (…, bins): log probability of no event in a bin.
        edges_days: (bins + 1,).
        times_days: (times,).

    Returns:
        (…, causes, times): smooth between edges, since S(t) = S(start) · P(none)^(share of the bin gone).
    """
    bin_of, gone = bins_of(edges_days, times_days)
    zero = np.zeros((*log_none.shape[:-1], 1))
    log_start = np.concatenate([zero, np.cumsum(log_none, axis=-1)[..., :-1]], axis=-1)
    start = np.exp(log_start)
    any_cause = np.maximum(hazard.sum(axis=-2), 1e-300)
    share = hazard / any_cause[..., None, :]
    lost = start * -np.expm1(log_none)
    before = np.cumsum(lost[..., None, :] * share, axis=-1)
    before = np.concatenate([np.zeros((*before.shape[:-1], 1)), before[..., :-1]], axis=-1)
    within = start[..., bin_of] * -np.expm1(log_none[..., bin_of] * gone)
    values: NDArray[np.float64] = before[..., bin_of] + within[..., None, :] * share[..., bin_of]
    return values
