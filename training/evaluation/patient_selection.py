"""Whom a threshold of predicted risk selects, and what becomes of them and of the others, with competing risks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.arrays import ratio
from training.evaluation.discrimination import known_status
from training.evaluation.intervals import Interval, percentile_interval, resample_patients
from training.evaluation.ipcw import ScoringWeights, scoring_weights
from training.evaluation.observed import risk_by

AROUND = (0.5, 0.75, 1.25, 1.5)
"""Times a threshold: where one looks how much hangs on it."""
MEASURES = ("share", "ppv", "risk_below", "sensitivity", "specificity")


@dataclass(frozen=True, slots=True)
class Selected:
    """What selecting from one threshold on comes to; each probability with its interval over patients."""

    threshold: float
    """Predicted risk from which on a patient is selected."""
    n_rows: int
    n_selected: int
    n_events: int
    """Selected rows in which the event was seen by the horizon; others may have been censored before it."""
    share: Interval
    """Of the rows, those selected."""
    ppv: Interval
    """Positive predictive value: the observed risk of those selected."""
    risk_below: Interval
    """The observed risk of those not selected."""
    sensitivity: Interval
    """Of those who meet the event by the horizon, the share that is selected."""
    specificity: Interval
    """Of those who do not, the share that is not."""

    @property
    def npv(self) -> Interval:
        """Negative predictive value: 1 − the observed risk of those not selected."""
        return Interval(1 - self.risk_below.point, 1 - self.risk_below.high, 1 - self.risk_below.low)

    @property
    def number_needed_to_watch(self) -> Interval:
        """Patients selected for one who meets the event, 1 / `ppv`; infinite where nobody does.

        Percentile intervals follow a monotone transformation (Efron & Tibshirani 1993, section 13.6).
        """
        return Interval(*(_reciprocal(value) for value in (self.ppv.point, self.ppv.high, self.ppv.low)))

    def number_needed_to_treat(self, relative_risk_reduction: float) -> Interval:
        """Selected patients treated to prevent one event by the horizon, 1 / (`ppv` · r), r being an assumption.

        Cook & Sackett, BMJ 1995;310:452–454, the risk without treatment being the observed one of those selected.

        Args:
            relative_risk_reduction: r, above 0 and at most 1, by which treatment would lower the cumulative incidence.

        Raises:
            ValueError: It is not.
        """
        if not 0 < relative_risk_reduction <= 1:
            msg = f"a relative risk reduction of {relative_risk_reduction}; it is above 0 and at most 1"
            raise ValueError(msg)
        watch = self.number_needed_to_watch
        return Interval(*(value / relative_risk_reduction for value in (watch.point, watch.low, watch.high)))


def selections(
    risk: NDArray[np.float64],
    outcomes: Outcomes,
    cause: int,
    horizon_days: float,
    thresholds: Sequence[float],
    patient_id: Sequence[Any] | NDArray[Any],
    *,
    rng: np.random.Generator,
    n_bootstrap: int = 200,
) -> list[Selected]:
    """Select those whose predicted risk is a threshold or above, at each threshold, with 95 % percentile intervals.

    Observed risks, and so predictive values, are Aalen–Johansen estimates within those selected and within the others,
    in each of which censoring is assumed independent of the causes. Sensitivity and specificity are weighted by the
    inverse probability of censoring, which is assumed independent of causes and risk: cases met the cause by the
    horizon, controls are event-free then or met another cause (Blanche, Dartigues & Jacqmin-Gadda, Stat Med
    2013;32:5381–5397, definition (ii); weights as in `training.evaluation.ipcw`). In a resample of patients everything
    is estimated anew, with the predictions and the thresholds held fixed. A probability estimated as 0 or 1 has no
    bounds, since resamples cannot tell how uncertain it is. NaN where those concerned were not followed to the horizon.

    Args:
        risk: (rows,), predicted risk of the cause at the horizon.
        outcomes: What happened to the rows, all observed from the landmark on.
        cause: 1, 2, …
        horizon_days: The horizon.
        thresholds: Of risk.
        patient_id: (rows,), the unit that is drawn.
        rng: Source of the resamples.
        n_bootstrap: Number of resamples; 0: no intervals.

    Raises:
        SequelaError: A row came under observation after its landmark.
        ValueError: Risks that do not fit the outcomes, or are not finite.
    """
    if risk.shape != (len(outcomes),) or not np.isfinite(risk).all():
        msg = f"risks of shape {risk.shape} for {len(outcomes)} rows; one finite risk for each row"
        raise ValueError(msg)
    chosen = risk >= np.asarray(thresholds, dtype=np.float64)[:, None]
    horizon = np.array([horizon_days])

    def measured(resamples: NDArray[np.float64] | None) -> NDArray[np.float64]:
        weights = scoring_weights(outcomes, horizon, resamples=resamples)
        at = [_measures(one, outcomes, cause, weights) for one in chosen]
        return np.stack(at, axis=-1) if at else np.empty((*weights.row.shape[:-1], len(MEASURES), 0))

    point = measured(None)
    draws = np.concatenate(
        [np.empty((0, *point.shape)), *map(measured, resample_patients(patient_id, n_bootstrap, rng))]
    )
    happened = (outcomes.cause == cause) & (outcomes.duration_days <= horizon_days)
    return [
        Selected(
            float(threshold),
            len(outcomes),
            int(chosen[j].sum()),
            int((happened & chosen[j]).sum()),
            *(_interval(float(point[which, j]), draws[:, which, j]) for which in range(len(MEASURES))),
        )
        for j, threshold in enumerate(thresholds)
    ]


def around(thresholds: Sequence[float]) -> tuple[float, ...]:
    """Thresholds, and those a quarter and a half of each below and above it; ascending, all between 0 and 1."""
    found = np.outer(thresholds, (1.0, *AROUND)).round(6).ravel()
    return tuple(np.unique(found[(found > 0) & (found < 1)]).tolist())


def _measures(
    chosen: NDArray[np.bool_], outcomes: Outcomes, cause: int, weights: ScoringWeights
) -> NDArray[np.float64]:
    """`MEASURES` (..., 5) of selecting some rows (rows,)."""
    by_now, free = known_status(outcomes, weights, 0)
    is_cause = outcomes.cause == cause
    cases, controls = by_now * is_cause, by_now * ~is_cause + free
    unknown = 0.0 * weights.after[..., 0]  # NaN where nobody was followed to the horizon
    parts = (np.flatnonzero(chosen), np.flatnonzero(~chosen))
    horizon_days = float(weights.times_days[0])
    found = np.stack(
        [
            ratio(weights.row @ chosen, weights.total),
            *(risk_by(outcomes.take(rows), cause, horizon_days, weights.row[..., rows]) for rows in parts),
            ratio((cases * chosen).sum(axis=-1), cases.sum(axis=-1)) + unknown,
            ratio((controls * ~chosen).sum(axis=-1), controls.sum(axis=-1)) + unknown,
        ],
        axis=-1,
    )
    return np.clip(found.round(12), 0.0, 1.0)  # sums of steps reach 1 but for rounding


def _interval(point: float, draws: NDArray[np.float64]) -> Interval:
    return percentile_interval(point, draws) if 0 < point < 1 else Interval(point, np.nan, np.nan)


def _reciprocal(value: float) -> float:
    return 1 / value if value else np.inf
