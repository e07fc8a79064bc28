"""What is known of patients before each day: last values, and whether something has happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.strategies.treated import Low
from features.cohort import Cohort
from features.errors import SequelaError, nearest_or_all
from features.patients import FloatArray, IntArray
from features.scaling import ColumnScaler
from training.strategies.followed import BoolArray


@dataclass(frozen=True, slots=True)
class Days:
    """Which days of which patients are looked at, and when what is measured counts as known."""

    rows: IntArray
    """(patients,): positions in ``cohort.patients``."""
    landmark_day: float
    """Since infusion: day 0 of those looked at."""
    n_days: int
    same_day: bool
    """Whether what was measured on a day was known when treatment was decided on it."""


def check_changing(cohort: Cohort, option: str, name: str, *, events: bool) -> None:
    """Refuse an option that names nothing measured over time, nor an event where these may be named.

    Raises:
        SequelaError: There is none of this name.
    """
    variables = cohort.card.variables
    known = [
        one for one in variables if one in set(cohort.measurements["variable"]) and variables[one].kind == "numeric"
    ]
    known += sorted(set(cohort.events["event"])) if events else []
    if name in known:
        return
    remedy = nearest_or_all(name, known)
    what = "measured variable or event" if events else "measured variable"
    msg = f"{option} {name}: no {what} of {cohort.folder} has this name; {remedy}"
    raise SequelaError(msg)


def last_values(cohort: Cohort, name: str, days: Days) -> FloatArray:
    """(patients, days): the last value before each day; NaN where there is none.

    A baseline variable of the same name stands until the first measurement. Of several values on one day, the greatest
    counts, as in features. With `same_day`, values of the day itself count.
    """
    table = cohort.measurements[cohort.measurements["variable"] == name]
    found = np.full((len(days.rows), days.n_days), np.nan)
    if name in cohort.baseline_variables:
        found[:, 0] = cohort.patients[name].to_numpy(dtype=float)[days.rows]
    place, known_from = _places(cohort, table, days)
    value = table["value"].to_numpy(dtype=float)
    kept = np.flatnonzero((place >= 0) & (known_from < days.n_days) & np.isfinite(value))
    order = kept[np.lexsort((value[kept], table["day"].to_numpy(dtype=float)[kept]))]
    found[place[order], np.maximum(known_from[order], 0)] = value[order]  # of one cell the last one stays
    filled: FloatArray = pd.DataFrame(found).ffill(axis=1).to_numpy(dtype=float)
    return filled


def has_happened(cohort: Cohort, event: str, days: Days) -> FloatArray:
    """(patients, days): 1 from when an event, of any grade, is known to have happened."""
    table = cohort.events[cohort.events["event"] == event]
    place, known_from = _places(cohort, table, days)
    kept = (place >= 0) & (known_from < days.n_days)
    found = np.zeros((len(days.rows), days.n_days))
    found[place[kept], np.maximum(known_from[kept], 0)] = 1.0
    return np.maximum.accumulate(found, axis=1)


def _places(cohort: Cohort, table: pd.DataFrame, days: Days) -> tuple[IntArray, IntArray]:
    """Of each line of a table, the patient (−1: none of these) and the first day on which it is known."""
    ids = pd.Index(cohort.patients["patient_id"].to_numpy(dtype=object)[days.rows])
    place = ids.get_indexer(table["patient_id"].to_numpy(dtype=object)).astype(np.int64)
    day = table["day"].to_numpy(dtype=float) - days.landmark_day
    known_from = np.ceil(day) if days.same_day else np.floor(day) + 1
    return place, known_from.astype(np.int64)


@dataclass(frozen=True, slots=True)
class Changing:
    """Covariates that change, of the patients of a trial."""

    names: tuple[str, ...]
    """Of variables and events."""
    columns: tuple[str, ...]
    """Of the columns, those for what is below a limit and for what is not known among them."""
    values: FloatArray
    """(patients, days, columns), standardised over the days on which somebody could start."""


def changing_covariates(
    cohort: Cohort, names: Sequence[str], lows: Sequence[Low], days: Days, deciding: BoolArray
) -> Changing:
    """Columns of what may decide about a start: values, events, and whether a value is below a limit of a strategy.

    Args:
        cohort: The cohort.
        names: Measured variables and events.
        lows: Limits of strategies.
        days: Which days of whom.
        deciding: (patients, days): those on which somebody could start.
    """
    measured = set(cohort.measurements["variable"])
    named = list(dict.fromkeys([*names, *(low.variable for low in lows)]))
    raw = {
        name: last_values(cohort, name, days) if name in measured else has_happened(cohort, name, days)
        for name in named
    }
    raw |= {low.name: (raw[low.variable] < low.limit).astype(float) for low in lows}
    if not raw:
        return Changing((), (), np.zeros((*deciding.shape, 0)))
    columns = {name: values[deciding] for name, values in raw.items()}
    scaler = ColumnScaler.fit(columns, minimum_observed=0.0)
    shape = (*deciding.shape, len(scaler.output_names))
    values = scaler.transform({name: one.ravel() for name, one in raw.items()}).reshape(shape)
    return Changing(tuple(named), scaler.output_names, values)
