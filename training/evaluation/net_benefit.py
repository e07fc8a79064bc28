"""Decision curves with competing risks: is it worth treating those whose predicted risk reaches a threshold?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.intervals import Interval, percentile_interval, resample_patients
from training.evaluation.observed import risk_by


@dataclass(frozen=True, slots=True)
class NetBenefit:
    """Net benefit at one threshold, in true positives for each patient; treating nobody has 0."""

    threshold: float
    """Risk from which on a patient is treated."""
    treated: float
    """Share of rows that the prediction treats."""
    model: Interval
    """Treating those whose predicted risk is the threshold or above."""
    treat_all: Interval
    gain: Interval
    """`model` less the better of treating all and treating nobody."""


def decision_curve(
    risk: NDArray[np.float64],
    outcomes: Outcomes,
    cause: int,
    horizon_days: float,
    thresholds: Sequence[float],
    patient_id: Sequence[Any] | NDArray[Any],
    *,
    rng: np.random.Generator,
    n_bootstrap: int = 200,
) -> list[NetBenefit]:
    """Net benefit of treating by predicted risk, at each threshold, with percentile intervals over patients.

    NB(p) = [F − (1 − F) p / (1 − p)] · P(risk ≥ p), F being the Aalen–Johansen risk of the cause by the horizon among
    those with risk ≥ p, so that a competing event is no event of interest, and not a censoring (Vickers & Elkin, Med
    Decis Making 2006;26:565–574; with competing risks Vickers et al., BMC Med Inform Decis Mak 2008;8:53).
    In a resample everything is estimated anew, with the predictions and the thresholds held fixed.

    NaN where those treated were not followed to the horizon; where nobody is treated the net benefit is 0.

    Args:
        risk: (rows,), predicted risk of the cause at the horizon.
        outcomes: What happened to the rows; among those treated, censoring is assumed independent of the causes.
        cause: 1, 2, …
        horizon_days: The horizon.
        thresholds: Each above 0 and below 1.
        patient_id: (rows,), the unit that is drawn.
        rng: Source of the resamples.
        n_bootstrap: Number of resamples; 0: no intervals.

    Raises:
        ValueError: A threshold outside (0, 1), or risks that do not fit the outcomes.
    """
    levels = np.asarray(thresholds, dtype=np.float64)
    if risk.shape != (len(outcomes),) or not ((levels > 0) & (levels < 1)).all():
        msg = f"risks of shape {risk.shape} for {len(outcomes)} rows, or a threshold that is not between 0 and 1"
        raise ValueError(msg)

    def curves(row: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape (..., 3, thresholds): model, treating all, gain."""
        model = net_benefit(risk, outcomes, cause, horizon_days, levels, row)
        all_of_them = treat_all(outcomes, cause, horizon_days, levels, row)
        return np.stack([model, all_of_them, model - np.maximum(all_of_them, 0.0)], axis=-2)

    point = curves(np.ones(len(outcomes)))
    blocks = [curves(resamples) for resamples in resample_patients(patient_id, n_bootstrap, rng)]
    draws = np.concatenate([np.empty((0, *point.shape)), *blocks])
    return [
        NetBenefit(
            float(level),
            float((risk >= level).mean()),
            *(percentile_interval(float(point[which, j]), draws[:, which, j]) for which in range(3)),
        )
        for j, level in enumerate(levels)
    ]


def net_benefit(
    risk: NDArray[np.float64],
    outcomes: Outcomes,
    cause: int,
    horizon_days: float,
    thresholds: Sequence[float] | NDArray[np.float64],
    row: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Net benefit (..., thresholds) of treating by predicted risk (rows,), for weights `row` (..., rows) of the rows.

    See `decision_curve`; two predictions with the same weights of resamples give paired differences.
    """
    at = [_net_benefit(risk >= level, outcomes, cause, horizon_days, level, row) for level in thresholds]
    return np.stack(at, axis=-1)


def _net_benefit(
    treated: NDArray[np.bool_],
    outcomes: Outcomes,
    cause: int,
    horizon_days: float,
    level: float,
    row: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Shape (...) of the weights (..., rows)."""
    if not treated.any():
        return np.zeros(row.shape[:-1])
    rows = np.flatnonzero(treated)
    share = row[..., rows].sum(axis=-1) / row.sum(axis=-1)
    happened = risk_by(outcomes.take(rows), cause, horizon_days, row[..., rows])
    return np.where(share > 0, (happened - (1 - happened) * level / (1 - level)) * share, 0.0)


def treat_all(
    outcomes: Outcomes, cause: int, horizon_days: float, levels: NDArray[np.float64], row: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Net benefit (..., thresholds) of treating everyone, for weights `row` (..., rows) of the rows."""
    happened = risk_by(outcomes, cause, horizon_days, row)[..., None]
    value: NDArray[np.float64] = happened - (1 - happened) * levels / (1 - levels)
    return value
