"""Rows of patients at each of their visits, with risks from models that never saw them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.data import TrainingRows
from features.cohort import Cohort, outcomes_at
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.patients import Patients
from features.schema import Endpoint
from training.evaluation.alerts import Visits
from training.evaluation.importance import HeldOutModel


@dataclass(frozen=True, slots=True)
class VisitRows:
    """Patients at risk, as they are known on given days, ordered by patient and day."""

    patients: Patients
    outcomes: Outcomes
    """From each row's own day."""
    number: NDArray[np.int64]
    """(rows,): of the patient in the cohort's table."""

    def __len__(self) -> int:
        return len(self.number)


def visit_days(cohort: Cohort, endpoint: Endpoint) -> pd.DataFrame:
    """patient_id and whole day, each pair once, on which something came to be known between the landmarks.

    Everyone has a visit on the first landmark day.
    """
    first, last = endpoint.landmark_days[0], endpoint.landmark_days[-1]
    tables = [cohort.measurements, cohort.samples, cohort.events]
    known = pd.concat([table[["patient_id", "day"]] for table in tables])
    known["day"] = np.ceil(known["day"].astype(float))
    begin = cohort.patients[["patient_id"]].assign(day=first)
    found = pd.concat([begin, known[(known["day"] > first) & (known["day"] <= last)]])
    return found.drop_duplicates().reset_index(drop=True)


def rows_on(
    cohort: Cohort, endpoint: Endpoint, patients: Patients, days: Sequence[float], wanted: pd.DataFrame | None = None
) -> VisitRows:
    """Rows of the patients who are at risk on given days.

    Args:
        cohort: Whose they are.
        endpoint: That puts them at risk.
        patients: All patients of the cohort, one row each.
        days: Ascending.
        wanted: patient_id and day of the rows that are wanted; None: all.

    Raises:
        SequelaError: Nobody is at risk on any of the days.
    """
    ids = pd.Index(cohort.patients["patient_id"])
    numbers, at, outcomes = [], [], []
    of_day = {} if wanted is None else {day: ids.get_indexer(part) for day, part in wanted.groupby("day")["patient_id"]}
    for day in days:
        try:
            at_risk, from_day = outcomes_at(cohort, endpoint, day)
        except SequelaError:
            if day == days[0]:
                raise
            break  # nobody is left
        kept = np.flatnonzero(from_day.from_landmark)
        if wanted is not None:
            kept = kept[np.isin(at_risk[kept], of_day.get(day, ()))]
        numbers.append(at_risk[kept])
        at.append(np.full(len(kept), float(day)))
        outcomes.append(from_day.take(kept))
    number, day_of_row, stacked = np.concatenate(numbers), np.concatenate(at), Outcomes.concatenate(outcomes)
    order = np.lexsort((day_of_row, number))
    rows = patients.take(number[order]).at_landmark(day_of_row[order])
    return VisitRows(rows, stacked.take(order), number[order])


def visits_of(rows: VisitRows, endpoint: Endpoint, horizon_days: float) -> Visits:
    """The visits of rows, for what alerts do."""
    _, patient = np.unique(rows.number, return_inverse=True)
    first = np.diff(patient, prepend=-1) > 0
    day = rows.patients.landmark_day
    return Visits(
        patient.astype(np.int64),
        day,
        (day + rows.outcomes.duration_days)[first],
        rows.outcomes.cause[first] == 1,
        endpoint.landmark_days[-1],
        horizon_days,
    )


def watched_risks(
    trained: TrainingRows,
    patients: Patients,
    models: Sequence[HeldOutModel],
    horizon_days: float,
    told: Callable[[int, int], None] | None = None,
) -> tuple[VisitRows, NDArray[np.float64], NDArray[np.int64]]:
    """All visits of a run's patients; what is returned is that of `held_out_risks`."""
    cohort, endpoint = trained.cohort, trained.endpoint
    wanted = visit_days(cohort, endpoint)
    rows = rows_on(cohort, endpoint, patients, np.unique(wanted["day"]).tolist(), wanted)
    return held_out_risks(rows, trained, models, horizon_days, told)


def held_out_risks(
    rows: VisitRows,
    trained: TrainingRows,
    models: Sequence[HeldOutModel],
    horizon_days: float,
    told: Callable[[int, int], None] | None = None,
) -> tuple[VisitRows, NDArray[np.float64], NDArray[np.int64]]:
    """Rows of the patients for whom there is a model that never saw them.

    Returns:
        These rows, their risks (rows, causes) within the horizon by those models, and the fold (rows,) of each.
    """
    risk = np.full((len(rows), len(rows.outcomes.causes)), np.nan)
    fold = np.full(len(rows), -1, dtype=np.int64)
    for number, held_out in enumerate(models):
        tested = set(trained.patients.patient_id[held_out.rows])
        own = np.flatnonzero([one in tested for one in rows.patients.patient_id])
        if len(own):
            predicted = held_out.model.predict_incidence(rows.patients.take(own), np.array([horizon_days]))
            risk[own], fold[own] = predicted.values[:, :, 0], number
        if told is not None:
            told(number + 1, len(models))
    of_fold = np.flatnonzero(fold >= 0)
    found = VisitRows(rows.patients.take(of_fold), rows.outcomes.take(of_fold), rows.number[of_fold])
    return found, risk[of_fold], fold[of_fold]
