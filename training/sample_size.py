"""How many patients a prediction model needs, and how many parameters a given cohort can carry, before it is trained.

The criteria of Riley et al. for time-to-event outcomes (Stat Med 2019;38:1276–1296; BMJ 2020;368:m441), for each cause
on its own: a cause-specific hazard model is a time-to-event model in which other causes end the follow-up.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, floor, inf, log, sqrt

import numpy as np

from features.outcomes import Outcomes

SHRINKAGE = 0.9
"""Least expected shrinkage: predictions overfitted by 10 % at most."""
OPTIMISM = 0.05
"""Largest optimism of Nagelkerke's R²."""
MARGIN = 0.05
"""Largest error of the overall risk at the horizon, as half of its 95 % interval."""
USUAL_R2 = 0.15
"""Share of the largest possible Cox–Snell R² to expect of a model when nothing is known (Riley et al., BMJ 2020)."""
NORMAL = 1.96


@dataclass(frozen=True, slots=True)
class SampleSize:
    """Patients needed by each criterion."""

    by_shrinkage: int
    by_optimism: int
    by_overall_risk: int
    r2_cox_snell: float
    r2_max: float

    @property
    def n_patients(self) -> int:
        """The largest: all criteria hold."""
        return max(self.by_shrinkage, self.by_optimism, self.by_overall_risk)


@dataclass(frozen=True, slots=True)
class CauseAdvice:
    """What a cohort can carry for one cause."""

    cause: str
    n_patients: int
    n_events: int
    needed: SampleSize | None
    """For the parameters asked about; None without an event."""
    n_parameters: int
    """Most parameters for which shrinkage and optimism hold in this cohort."""
    overall_risk_error: float
    """Half of the 95 % interval of the overall risk at the horizon, upper side; NaN without an event."""

    @property
    def is_enough(self) -> bool:
        """Whether the cohort is as large as needed."""
        return self.needed is not None and self.n_patients >= self.needed.n_patients


def largest_r2(events_per_patient: float) -> float:
    """Largest Cox–Snell R² of a time-to-event model, 1 − exp(2 ln L₀ / n) with ln L₀ / n = φ ln φ − φ.

    φ is the expected number of events for each patient, rate × mean follow-up (Riley et al. 2019, equation 23).
    """
    return 1 - exp(2 * (events_per_patient * log(events_per_patient) - events_per_patient))


def sample_size(
    *,
    r2_cox_snell: float,
    n_parameters: int,
    event_rate: float,
    mean_follow_up: float,
    horizon: float,
    shrinkage: float = SHRINKAGE,
    optimism: float = OPTIMISM,
    margin: float = MARGIN,
) -> SampleSize:
    """Patients needed to develop a time-to-event model with `n_parameters` candidate parameters.

    - Shrinkage S: n = p / ((S − 1) ln(1 − R² / S)).
    - Optimism δ of Nagelkerke's R²: the same with S = R² / (R² + δ max R²).
    - Overall risk 1 − exp(−λ t): its 95 % upper bound, with λ + 1.96 √(λ / person-time), is at most a margin above it.

    (Riley et al., Stat Med 2019;38:1276–1296.) The R package pmsampsize has the first two, with the events of 10,000
    patients rounded up for max R²; for the third it reports the interval at the n of the others.

    Args:
        r2_cox_snell: Anticipated, adjusted for optimism.
        n_parameters: Candidates before any selection; a spline or a category counts each of its columns.
        event_rate: Events for each unit of person-time.
        mean_follow_up: In the same unit of time.
        horizon: In the same unit of time.
        shrinkage: Below 1, above R².
        optimism: δ.
        margin: Of the overall risk.

    Raises:
        ValueError: An R² that is impossible at this rate and follow-up, or any value out of its range.
    """
    if min(event_rate, mean_follow_up, horizon, optimism, margin) <= 0 or n_parameters < 1:
        msg = "rate, follow-up, horizon, optimism and margin must be positive, with one parameter or more"
        raise ValueError(msg)
    r2_max = largest_r2(event_rate * mean_follow_up)
    if not 0 < r2_cox_snell < min(r2_max, shrinkage) or shrinkage >= 1:
        msg = f"R² of {r2_cox_snell:g} must be above 0, below its maximum {r2_max:.3g} and below the shrinkage, below 1"
        raise ValueError(msg)
    by_shrinkage = n_parameters / _parameters_per_patient(r2_cox_snell, shrinkage)
    by_optimism = n_parameters / _parameters_per_patient(r2_cox_snell, _implied(r2_cox_snell, r2_max, optimism))
    # The bound is λ + z √(λ / (n × follow-up)) ≤ the rate whose risk is the margin higher.
    risk = 1 - exp(-event_rate * horizon)
    highest = -log(1 - risk - margin) / horizon if risk + margin < 1 else inf
    by_risk = event_rate * (NORMAL / (highest - event_rate)) ** 2 / mean_follow_up
    return SampleSize(ceil(by_shrinkage), ceil(by_optimism), max(1, ceil(by_risk)), r2_cox_snell, r2_max)


def advise(
    outcomes: Outcomes, horizon_days: float, n_parameters: int, *, r2_share: float = USUAL_R2
) -> tuple[CauseAdvice, ...]:
    """What the researcher's own cohort can carry, by cause.

    Rate and follow-up are those of the cohort. The overall risk is that of the cause alone, 1 − exp(−λ t), which other
    causes only lower.

    Args:
        outcomes: One row for each patient, e.g. at one landmark.
        horizon_days: Where the risk is to be predicted.
        n_parameters: Candidates asked about.
        r2_share: Expected share of the largest Cox–Snell R² (Nagelkerke's R²).

    Raises:
        ValueError: No rows, or a value out of its range.
    """
    if len(outcomes) == 0 or not 0 < r2_share < 1:
        msg = f"{len(outcomes)} rows with a share of R² of {r2_share:g}; at least one row, a share between 0 and 1"
        raise ValueError(msg)
    days = float(np.sum(outcomes.duration_days - outcomes.entered))
    counts = np.bincount(outcomes.cause, minlength=len(outcomes.causes) + 1)[1:]
    return tuple(
        _advise_cause(name, int(n), len(outcomes), days, horizon_days, n_parameters, r2_share)
        for name, n in zip(outcomes.causes, counts, strict=True)
    )


def _advise_cause(
    cause: str, n_events: int, n_patients: int, days: float, horizon_days: float, n_parameters: int, r2_share: float
) -> CauseAdvice:
    if n_events == 0:
        return CauseAdvice(cause, n_patients, 0, None, 0, float("nan"))
    rate, follow_up = n_events / days, days / n_patients
    r2_max = largest_r2(n_events / n_patients)
    r2 = r2_share * r2_max
    needed = sample_size(
        r2_cox_snell=r2, n_parameters=n_parameters, event_rate=rate, mean_follow_up=follow_up, horizon=horizon_days
    )
    carried = min(_parameters_per_patient(r2, s) for s in (SHRINKAGE, _implied(r2, r2_max, OPTIMISM)))
    error = exp(-rate * horizon_days) * (1 - exp(-NORMAL * sqrt(rate / days) * horizon_days))
    return CauseAdvice(cause, n_patients, n_events, needed, floor(n_patients * carried), error)


def _parameters_per_patient(r2: float, shrinkage: float) -> float:
    """(S − 1) ln(1 − R² / S)."""
    return (shrinkage - 1) * log(1 - r2 / shrinkage)


def _implied(r2: float, r2_max: float, optimism: float) -> float:
    """The shrinkage at which the optimism of Nagelkerke's R² is as given."""
    return r2 / (r2 + optimism * r2_max)
