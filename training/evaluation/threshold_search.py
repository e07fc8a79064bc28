"""From which of many thresholds on is acting by a prediction worth more than acting on all or on nobody?

At a threshold p and in policies that act on all at some landmarks and on nobody at the others, the gain is the least
over policies of D = Σ_l w_l [NB_l(p) − a_l NB_all,l(p)], a_l being 1 or 0 and w_l the share of rows: so nothing is
credited to knowing the day alone. It is above 0 only if every D is, so that each may be tested at the full level
(intersection-union; Berger, Technometrics 1982;24:295–300).

Intervals hold at every threshold and policy at once: D ± (c·s + h), c being the 95 % quantile, over resamples of
patients, of the largest |D* − D| / s* (max-t; Westfall & Young 1993; Hothorn et al., Biom J 2008;50:346–363), at least
1.96. s* is the standard deviation over the resamples, which is too small where few were flagged or spared and none, or
all, had the event; s is therefore not less than it would be were the risk of those flagged, or spared, the threshold:
√(share · p / (1 − p) / patients), the standard error of the score test. h is the net benefit of half an event, since
counts of the few are whole (Yates, Suppl J R Stat Soc 1934;1:217–235).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.intervals import LEVEL, Interval, resample_patients
from training.evaluation.net_benefit import net_benefit, treat_all

LEAST_QUANTILE = 1.96
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Predicted:
    """Predictions of one cause at one horizon, and what happened."""

    risk: Floats
    """(rows,)"""
    outcomes: Outcomes
    cause: int
    horizon_days: float
    patient_id: NDArray[Any]
    """(rows,), the unit that is drawn."""
    landmark: NDArray[Any]
    """(rows,): net benefit is estimated within each."""


def searched_gains(
    of: Predicted, thresholds: Sequence[float], *, rng: np.random.Generator, n_bootstrap: int
) -> list[Interval]:
    """The gain of acting from each threshold on, with 95 % intervals that hold at all of them at once.

    Predictions are held fixed in resamples. A gain is NaN where those flagged were not followed to the horizon at some
    landmark; bounds are NaN there, and where half of the resamples have none.

    Args:
        of: Predictions and outcomes; within a landmark censoring is assumed independent of the causes.
        thresholds: Each above 0 and below 1.
        rng: Source of the resamples.
        n_bootstrap: Number of resamples; the quantile of a maximum takes more of them than a percentile.
    """
    levels = np.asarray(thresholds, dtype=np.float64)
    policies = np.array(list(product((0.0, 1.0), repeat=len(np.unique(of.landmark)))))
    point = _differences(of, levels, policies, np.ones((1, len(of.outcomes))))[0]
    weights = resample_patients(of.patient_id, n_bootstrap, rng)
    blocks = [_differences(of, levels, policies, block) for block in weights]
    draws = np.concatenate([np.empty((0, *point.shape)), *blocks])
    half = _quantile(point, draws) * np.maximum(_spread(draws), _least_error(of, levels, policies))
    half += 0.5 / (1 - levels) / len(np.unique(of.patient_id))
    half[2 * np.isfinite(draws).sum(axis=0) <= len(draws)] = np.nan
    ends = (end.min(axis=0) for end in (point, point - half, point + half))
    return [Interval(*map(float, one)) for one in zip(*ends, strict=True)]


def _differences(of: Predicted, levels: Floats, policies: Floats, row: Floats) -> Floats:
    """D (resamples, policies, thresholds) for weights (resamples, rows) of the rows."""
    model, everyone = [], []
    for rows in _landmarks(of):
        outcomes, own = of.outcomes.take(rows), row[:, rows]
        share = (own.sum(axis=1) / row.sum(axis=1))[:, None]
        value = net_benefit(of.risk[rows], outcomes, of.cause, of.horizon_days, levels, own)
        model.append(np.where(share > 0, share * value, 0.0))
        alike = treat_all(outcomes, of.cause, of.horizon_days, levels, own)
        everyone.append(np.where(share > 0, share * alike, 0.0))
    against = np.einsum("al,lrt->rat", policies, np.stack(everyone))
    found: Floats = np.sum(model, axis=0)[:, None] - against
    return found


def _landmarks(of: Predicted) -> Iterator[NDArray[np.int64]]:
    for day in np.unique(of.landmark):
        yield np.flatnonzero(of.landmark == day)


def _spread(draws: Floats) -> Floats:
    """Standard deviation (policies, thresholds) of what is known."""
    known = np.where(np.isfinite(draws), draws, 0.0)
    n = np.maximum(np.isfinite(draws).sum(axis=0), 1)
    mean = known.sum(axis=0) / n
    spread: Floats = np.sqrt((np.where(np.isfinite(draws), draws - mean, 0.0) ** 2).sum(axis=0) / np.maximum(n - 1, 1))
    return spread


def _quantile(point: Floats, draws: Floats) -> float:
    """c; differences that never vary, as of those who flag nobody, have no part in it."""
    spread = _spread(draws)
    scaled = np.abs(draws - point) / np.where(spread > 1e-12, spread, np.inf)
    largest = np.where(np.isfinite(scaled), scaled, 0.0).max(axis=(1, 2))
    return max(LEAST_QUANTILE, float(np.quantile(largest, LEVEL))) if len(draws) else np.nan


def _least_error(of: Predicted, levels: Floats, policies: Floats) -> Floats:
    """Of D (policies, thresholds), were the risk of those flagged (or spared, where all would be) the threshold."""
    flagged = of.risk[:, None] >= levels
    share = np.stack([flagged[rows].sum(axis=0) / len(of.risk) for rows in _landmarks(of)])
    spared = np.stack([(~flagged[rows]).sum(axis=0) / len(of.risk) for rows in _landmarks(of)])
    acted = (1 - policies) @ share + policies @ spared
    error: Floats = np.sqrt(acted * levels / (1 - levels) / len(np.unique(of.patient_id)))
    return error
