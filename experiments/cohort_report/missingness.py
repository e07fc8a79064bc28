"""What is known of whom, and which values are missing together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.page.privacy import SMALLEST, Disclosure
from features.cohort import Cohort
from features.patients import FloatArray, Patients
from features.schema import Endpoint

DEFAULT_LANDMARKS = (0.0, 30.0, 90.0, 180.0, 365.0)
MOST_VARIABLES = 24


@dataclass(frozen=True, slots=True)
class Known:
    """Share of patients of whom a variable is known."""

    names: tuple[str, ...]
    columns: tuple[str, ...]
    share: FloatArray
    """(names, columns): NaN where nobody could have a value."""


def baseline_known(cohort: Cohort, shown: Disclosure) -> Known:
    """Share of patients of whom each baseline variable is known, least known first."""
    names = list(cohort.baseline_variables)
    n = len(cohort.patients)
    share = np.array([shown.share(int(cohort.patients[name].notna().sum()), n) for name in names])
    order = np.argsort(share, kind="stable")
    return Known(tuple(names[i] for i in order), ("baseline",), share[order, None])


def landmarks_of(endpoints: Sequence[Endpoint]) -> tuple[float, ...]:
    """The landmarks that endpoints name beside the customary ones."""
    return tuple(sorted({*DEFAULT_LANDMARKS, *(day for endpoint in endpoints for day in endpoint.landmark_days)}))


def known_by(patients: Patients, day: float) -> NDArray[np.bool_]:
    """(rows, measured variables): whether there is a value by the day; `Measurements.names` names the columns."""
    of = patients.measurements
    known = np.zeros((len(patients), len(of.names)), dtype=bool)
    by_then = of.day <= day
    known[of.row[by_then], of.variable[by_then]] = True
    return known


def measured_known(cohort: Cohort, patients: Patients, landmarks: Sequence[float], shown: Disclosure) -> Known:
    """Share of the patients followed to each landmark with at least one value by then; best known first."""
    follow_up = cohort.patients["follow_up_days"].to_numpy(dtype=float)
    days = [day for day in landmarks if shown.share(int((follow_up >= day).sum()), len(follow_up)) > 0]
    share = np.full((len(patients.measurements.names), len(days)), np.nan)
    for j, day in enumerate(days):
        there = follow_up >= day
        if shown.small(int(there.sum())):
            continue
        counts = known_by(patients, day)[there].sum(axis=0)
        share[:, j] = [shown.share(int(count), int(there.sum())) for count in counts]
    order = np.argsort(-np.nan_to_num(share.sum(axis=1)), kind="stable")
    names = tuple(patients.measurements.names[i] for i in order)
    return Known(names, tuple(f"day {day:g}" for day in days), share[order])


@dataclass(frozen=True, slots=True)
class CoMissing:
    """Correlation of missingness indicators."""

    names: tuple[str, ...]
    correlation: FloatArray
    """(names, names)."""


def co_missing(cohort: Cohort, patients: Patients, day: float, shown: Disclosure) -> CoMissing | None:
    """Phi coefficients between "is missing" of two variables: 1 always together, −1 never (missingno's heat map).

    Baseline variables, and measured ones without a value by `day`; variables known of all or of none say nothing and
    are left out. Bilogur, J Open Source Softw 2018;3(22):547.
    """
    columns = {name: cohort.patients[name].isna().to_numpy() for name in cohort.baseline_variables}
    by_day = known_by(patients, day)
    for j, name in enumerate(patients.measurements.names):
        columns[f"{name} by day {day:g}" if name in columns else name] = ~by_day[:, j]
    least = SMALLEST if shown.guarded else 1
    vary = {k: v for k, v in columns.items() if least <= v.sum() <= len(v) - least}
    most_missing = sorted(vary, key=lambda name: -int(vary[name].sum()))[:MOST_VARIABLES]
    if len(most_missing) < 2:
        return None
    names = [name for name in vary if name in set(most_missing)]
    return CoMissing(tuple(names), np.corrcoef(np.stack([vary[name] for name in names]).astype(float)))
