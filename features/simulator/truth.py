"""The true cumulative incidence of every patient, given everything that the simulator knows of them.

"Everything" includes the latent traits that nobody measures: no model can reach this truth, only approach it. Events
before a landmark add nothing to it: given the traits, the hazards do not depend on the past.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.patients import FloatArray
from features.simulator.course import Rates
from features.simulator.hazards import cumulative_hazard, exposure, incidence, incidence_from

PATIENTS_AT_ONCE = 500


def severe_infection(rates: Rates, times_days: FloatArray, landmark_day: float = 0.0) -> FloatArray:
    """(patients, 3, times): incidence of severe infection, death, relapse after a landmark, exactly.

    Death is that without a severe infection before it: a fatal infection counts as an infection.
    """
    causes = np.stack([rates.severe_infection, rates.death, rates.relapse], axis=1)
    return incidence_from(causes, rates.starts_days, landmark_day, times_days)


def non_relapse_death(rates: Rates, times_days: FloatArray) -> FloatArray:
    """(patients, 2, times): incidence of death without relapse, and of relapse, from infusion, exactly.

    A fatal infection kills after 1, 2, … or `fatal_lag_days` days, so its part is a mean of shifted incidences.
    """
    by_infection, other, relapsed = ends_without_relapse(rates, times_days)
    return np.stack([by_infection + other, relapsed], axis=1)


def alive(rates: Rates, times_days: FloatArray) -> FloatArray:
    """(patients, times): probability of being alive: without relapse, after relapse, or in a last infection."""
    ended = sum(ends_without_relapse(rates, times_days), start=np.zeros(1))
    return 1.0 - ended + _alive_after_relapse(rates, times_days)


def second_malignancy(rates: Rates, times_days: FloatArray) -> FloatArray:
    """(patients, 2, times): incidence of second malignancy, and of death before it, from infusion.

    F₁(t) = ∫₀ᵗ A(s) d(1 − exp(−Λ(s))), with A the probability of being alive and Λ the cumulative hazard of second
    malignancy, which does not depend on relapse or infection; F₂ = 1 − F₁ − A exp(−Λ). The integral is taken day by day
    with A linear within a day, which costs less than 1e-5.
    """
    days = np.arange(int(np.ceil(times_days.max())) + 1, dtype=float)
    living = alive(rates, days)
    spared = np.exp(-cumulative_hazard(rates.second_malignancy, rates.starts_days, days))
    daily = -np.diff(spared, axis=1) * (living[:, 1:] + living[:, :-1]) / 2.0
    cumulative = np.concatenate([np.zeros((len(daily), 1)), np.cumsum(daily, axis=1)], axis=1)
    first = np.stack([np.interp(times_days, days, row) for row in cumulative])
    event_free = np.stack([np.interp(times_days, days, row) for row in living * spared])
    return np.stack([first, 1.0 - first - event_free], axis=1)


def _first_ends(rates: Rates) -> FloatArray:
    """(patients, 3, periods): hazards of fatal infection, of other death, and of relapse."""
    return np.stack([rates.severe_infection * rates.fatal_share, rates.death, rates.relapse], axis=1)


def ends_without_relapse(rates: Rates, times_days: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(patients, times) each: incidence of death by infection and of other death, without relapse, and of relapse."""
    lags = np.arange(1, rates.fatal_lag_days + 1)
    shifted = np.maximum(times_days[None, :] - lags[:, None], 0.0).ravel()
    days, place = np.unique(np.concatenate([times_days, shifted]), return_inverse=True)
    ends = incidence(_first_ends(rates), rates.starts_days, days)
    now, *delayed = np.split(place, len(lags) + 1)
    by_infection = sum((ends[:, 0, then] for then in delayed), start=np.zeros(1)) / len(lags)
    return by_infection, ends[:, 1, now], ends[:, 2, now]


def _alive_after_relapse(rates: Rates, times_days: FloatArray) -> FloatArray:
    """(patients, times): ∫₀ᵗ λ_relapse(u) S(u) exp(−μ (t − u)) du, period by period."""
    starts = rates.starts_days
    total = _first_ends(rates).sum(axis=1)
    intact_at_start = np.exp(-cumulative_hazard(total, starts, starts))
    spent = exposure(starts, times_days)
    mu = rates.death_after_relapse[:, None]
    result = np.zeros((len(total), len(times_days)))
    for p, start in enumerate(starts):
        length = spent[:, p]
        since_period = np.maximum(times_days - start - length, 0.0)
        gap = total[:, p, None] - mu
        x = gap * length
        ratio = np.divide(-np.expm1(-x), x, out=np.ones_like(x), where=np.abs(x) > 1e-12)
        entered = rates.relapse[:, p, None] * intact_at_start[:, p, None] * length * ratio
        result += entered * np.exp(-mu * (length + since_period))
    return result


@dataclass(frozen=True, slots=True)
class _Part:
    """What the table holds of one endpoint from one landmark."""

    endpoint: str
    landmark_day: float
    times_days: FloatArray
    incidence: Callable[[Rates, FloatArray], FloatArray]


def _grid(last_day: int) -> FloatArray:
    """Every tenth day, and whole years."""
    return np.union1d(np.arange(10, last_day + 1, 10), np.arange(365, last_day + 1, 365)).astype(float)


_PARTS = (
    _Part("severe_infection", 0.0, _grid(365), severe_infection),
    _Part("severe_infection", 30.0, _grid(365), lambda rates, times: severe_infection(rates, times, 30.0)),
    _Part("non_relapse_death", 0.0, _grid(365), non_relapse_death),
    _Part("second_malignancy", 0.0, _grid(730), second_malignancy),
)
SCHEMA = pa.schema(
    {
        "patient_id": pa.string(),
        "endpoint": pa.string(),
        "landmark_day": pa.float64(),
        "cause": pa.int64(),
        "time_days": pa.float64(),
        "incidence": pa.float64(),
    }
)
"""``time_days`` counts from the landmark; ``cause`` numbers the endpoint's causes from 1."""


def write_truth(path: Path, patient_ids: Sequence[str], rates: Rates) -> None:
    """Write the true incidence of every patient as a parquet table with the columns of `SCHEMA`."""
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for first in range(0, len(patient_ids), PATIENTS_AT_ONCE):
            last = min(first + PATIENTS_AT_ONCE, len(patient_ids))
            some = take(rates, np.arange(first, last))
            for part in _PARTS:
                values = part.incidence(some, part.times_days)
                writer.write_table(_table(patient_ids[first:last], part, values))


def take(rates: Rates, rows: NDArray[np.int64]) -> Rates:
    """The hazards of the given patients."""
    per_patient = {
        field.name: getattr(rates, field.name)[rows]
        for field in fields(rates)
        if field.name not in ("starts_days", "fatal_share", "fatal_lag_days")
    }
    return replace(rates, **per_patient)


def _table(patient_ids: Sequence[str], part: _Part, values: FloatArray) -> pa.Table:
    n, n_causes, n_times = values.shape
    columns = {
        "patient_id": np.repeat(np.array(patient_ids, dtype=object), n_causes * n_times),
        "endpoint": np.full(values.size, part.endpoint, dtype=object),
        "landmark_day": np.full(values.size, part.landmark_day),
        "cause": np.tile(np.repeat(np.arange(1, n_causes + 1), n_times), n),
        "time_days": np.tile(part.times_days, n * n_causes),
        "incidence": values.ravel(),
    }
    return pa.table(columns, schema=SCHEMA)
