"""Later patients predicted from earlier ones: what was known of these when the first later one was infused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.config import RunConfig
from experiments.data import TrainingRows
from features.cohort import Cohort
from features.errors import SequelaError
from training.fitting.companions import Companion
from training.splits import Fold, days_until, is_calendar, known_by


def column_of_patients(cohort: Cohort, column: str, patient_id: NDArray[np.object_]) -> pd.Series[Any]:
    """A column of the patients table, for each row.

    Raises:
        SequelaError: There is none.
    """
    table = cohort.patients
    if column not in table.columns:
        known = ", ".join(name for name in table.columns if name != "patient_id")
        msg = f"validation.column = {column}: {cohort.folder} has no such column in patients; it has {known}"
        raise SequelaError(msg)
    return table.set_index("patient_id")[column].loc[list(patient_id)]


def times_of(cohort: Cohort, column: str, patient_id: NDArray[np.object_]) -> NDArray[np.float64]:
    """(rows,): the time of each row's patient, NaN where it is not known.

    Raises:
        SequelaError: The column is missing, or holds no numbers.
    """
    values = column_of_patients(cohort, column, patient_id)
    if not pd.api.types.is_numeric_dtype(values):
        msg = f"validation.column = {column}: is no number; give a column of numbers, e.g. the year of infusion"
        raise SequelaError(msg)
    return values.to_numpy(dtype=float)


def before_test(rows: TrainingRows, config: RunConfig, fold: Fold) -> tuple[TrainingRows, Fold]:
    """Rows and a fold of a temporal split, of which nothing is learnt that happened once the test span had begun.

    Training follow-up ends then, rows whose landmark was not reached are not trained on, and of other endpoints neither
    later patients nor later events are seen. Where the column tells an order alone, follow-up stays as it is.

    Raises:
        SequelaError: Nobody was followed before the test span.
    """
    column = config.validation.column
    if config.validation.scheme != "temporal" or column is None:
        return rows, fold
    ids = rows.patients.patient_id
    when = times_of(rows.cohort, column, ids)
    start = float(when[fold.test].min())
    companions = tuple(
        _earlier(one, times_of(rows.cohort, column, one.patients.patient_id), start, when) for one in rows.companions
    )
    if not is_calendar(when):
        return replace(rows, companions=companions), fold
    days = days_until(when, start) - rows.patients.landmark_day
    kept, known = known_by(rows.outcomes.take(fold.train), days[fold.train])
    if not len(kept):
        msg = (
            f"validation.column = {column}: nobody was followed before {start:g}, when the patients of a fold begin; "
            "use fewer folds, or scheme: cross_validation"
        )
        raise SequelaError(msg)
    train, outcomes = fold.train[kept], rows.outcomes
    duration, cause = outcomes.duration_days.copy(), outcomes.cause.copy()
    duration[train], cause[train] = known.duration_days, known.cause
    after = None if outcomes.after_days is None else outcomes.after_days.copy()
    if after is not None:
        after[train] = known.after_days
    then = replace(outcomes, duration_days=duration, cause=cause, after_days=after)
    return replace(rows, outcomes=then, companions=companions), replace(fold, train=train)


def _earlier(
    companion: Companion, when: NDArray[np.float64], start: float, all_times: NDArray[np.float64]
) -> Companion:
    """A companion's patients of before the start, as they were known then."""
    days = np.where(when < start, np.inf, np.nan)
    if is_calendar(all_times):
        days = np.where(when < start, days_until(when, start) - companion.patients.landmark_day, np.nan)
    rows, outcomes = known_by(companion.outcomes, days)
    return Companion(companion.patients.take(rows), outcomes)


def follow_up_sentence(rows: TrainingRows, config: RunConfig) -> str:
    """What models of a temporal split knew of the time that they were tested in; empty for other splits."""
    column = config.validation.column
    if config.validation.scheme != "temporal" or column is None:
        return ""
    if is_calendar(times_of(rows.cohort, column, rows.patients.patient_id)):
        return f"follow-up of earlier patients ended, for training, when the tested ones begin by {column}"
    return (
        f"{column} tells the order of patients, not the year: for training, follow-up of earlier patients may reach "
        "into the time in which the later ones were treated"
    )
