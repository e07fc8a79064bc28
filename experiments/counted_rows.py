"""The rows on which expected numbers of events are learnt, and the folds of a run that they fall into."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from experiments.config import RunConfig
from experiments.crossval import folds_of, sites_of
from experiments.data import TrainingRows, all_patients
from experiments.home import Home
from experiments.temporal import times_of
from features.cohort import Cohort
from features.cohort_recurrence import recurrences_at
from features.errors import SequelaError
from features.patients import IntArray, Patients
from features.recurrence import Recurrences
from features.schema import Endpoint
from training.splits import Fold, days_until, is_calendar


@dataclass(frozen=True, slots=True)
class CountedRows:
    """Every patient at each landmark beyond which he is followed, without an event by then that ends the counting.

    They are more than those at risk of a first event: an earlier event of interest does not matter.
    """

    patients: Patients
    recurrences: Recurrences

    def __len__(self) -> int:
        return len(self.patients)

    def take(self, rows: IntArray) -> CountedRows:
        """The given rows, in that order."""
        return CountedRows(self.patients.take(rows), self.recurrences.take(rows))

    def by_landmark(self) -> Iterator[tuple[float, IntArray]]:
        """Days that there are, ascending, and the rows of each."""
        for day in np.unique(self.patients.landmark_day):
            yield float(day), np.flatnonzero(self.patients.landmark_day == day)


def events_of_run(cohort: Cohort, endpoint: Endpoint) -> list[tuple[IntArray, Recurrences]]:
    """For each landmark, positions in ``cohort.patients`` of those at risk of counting, and their events.

    Raises:
        SequelaError: Nobody is at risk at a landmark, somebody enters observation after one, or no event comes back.
    """
    try:
        found = [recurrences_at(cohort, endpoint, day) for day in endpoint.landmark_days]
    except SequelaError as error:
        msg = f"counts: {error}; or remove `counts`"
        raise SequelaError(msg) from error
    if max(np.bincount(events.row, minlength=1).max() for _, events in found) < 2:
        msg = (
            f"counts: nobody in {cohort.folder} has {endpoint.event.name}, as {endpoint.name} defines it, more than "
            "once after a landmark: its expected number is the risk of the first; remove `counts`, or add the later "
            "ones to events"
        )
        raise SequelaError(msg)
    return found


def counted_rows(rows: TrainingRows, config: RunConfig, home: Home) -> CountedRows:
    """Those of a run that asks for `counts`, with the cells of which its features are made.

    Raises:
        SequelaError: As `events_of_run`.
    """
    found = events_of_run(rows.cohort, rows.endpoint)
    everyone = all_patients(rows.cohort, config.features.processing if config.features.cells else None, home.features)
    days = np.repeat(rows.endpoint.landmark_days, [len(at_risk) for at_risk, _ in found])
    patients = everyone.take(np.concatenate([at_risk for at_risk, _ in found])).at_landmark(days)
    return CountedRows(patients, Recurrences.concatenate([events for _, events in found]))


def counted_folds(rows: TrainingRows, counted: CountedRows, config: RunConfig) -> list[tuple[Fold, Fold]]:
    """The folds of the run, and the same ones over the rows of counting, with all rows of a patient on one side.

    Patients who are at no landmark at risk of a first event are in no fold of the run: they are dealt to folds at
    random, or by their centre or time as the others are.
    """
    patient_id = counted.patients.patient_id.astype(str)
    ids = rows.patients.patient_id.astype(str)
    known = np.isin(patient_id, ids)
    found = []
    for fold in folds_of(rows, config):
        train, test = _where_others_fall(rows, counted, config, fold)
        train = np.where(known, np.isin(patient_id, ids[fold.train]), train)
        test = np.where(known, np.isin(patient_id, ids[fold.test]), test)
        found.append((fold, Fold(fold.number, fold.repeat, np.flatnonzero(train), np.flatnonzero(test), fold.held_out)))
    return found


def _where_others_fall(
    rows: TrainingRows, counted: CountedRows, config: RunConfig, fold: Fold
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(rows,) each: whether a row that is in no fold of the run is trained on, or tested, in one of them."""
    validation, patient_id = config.validation, counted.patients.patient_id
    if validation.scheme == "site":
        test = sites_of(replace(rows, patients=counted.patients), validation) == fold.held_out
        return ~test, test
    if validation.scheme == "temporal" and validation.column is not None:
        when = times_of(rows.cohort, validation.column, patient_id)
        tested = times_of(rows.cohort, validation.column, rows.patients.patient_id[fold.test])
        return when < tested.min(), (when >= tested.min()) & (when <= tested.max())
    _, patient = np.unique(patient_id.astype(str), return_inverse=True)
    dealt = np.random.default_rng([config.seed, fold.repeat, 1]).permutation(patient.max() + 1) % validation.folds
    test = dealt[patient] == fold.number % validation.folds
    return ~test, test


def known_before_test(
    rows: TrainingRows, counted: CountedRows, config: RunConfig, fold: Fold, own: Fold
) -> CountedRows:
    """The training rows of a fold; of a temporal split by the calendar, as they were known when its test span began.

    See `experiments.temporal.before_test`.

    Args:
        rows: Of the run.
        counted: Of counting.
        config: Of the run.
        fold: Of the run.
        own: The same of `counted`.
    """
    train, column = counted.take(own.train), config.validation.column
    if config.validation.scheme != "temporal" or column is None:
        return train
    all_times = times_of(rows.cohort, column, rows.patients.patient_id)
    if not is_calendar(all_times):
        return train
    start = float(all_times[fold.test].min())
    days = _days_until(times_of(rows.cohort, column, train.patients.patient_id), all_times, start)
    days = days - train.patients.landmark_day
    kept = np.flatnonzero(days > 0)
    if not len(kept):
        msg = (
            f"counts: validation.column = {column}: nobody was followed before {start:g}, when the patients of a fold "
            "begin; use fewer folds, or scheme: cross_validation"
        )
        raise SequelaError(msg)
    then = train.take(kept)
    return CountedRows(then.patients, then.recurrences.known_by(days[kept]))


def _days_until(when: NDArray[np.float64], all_times: NDArray[np.float64], start: float) -> NDArray[np.float64]:
    """`days_until` of some rows, in whose place the times of all tell whether they are whole years."""
    return days_until(np.concatenate([when, all_times]), start)[: len(when)]
