"""Folds that keep patients whole: at random, by centre, by time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import SequelaError
from features.outcomes import Outcomes

CALENDAR_YEARS = (1950.0, 2100.0)
"""A time column whose values all lie between holds years of infusion."""
DAYS_A_YEAR = 365.25


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold of one repeat; `number` is unique over all repeats."""

    number: int
    repeat: int
    train: NDArray[np.int64]
    """Row numbers."""
    test: NDArray[np.int64]
    held_out: str = ""
    """What the test rows share, where the split is not at random: a centre, or a span of time."""


def fold_of_rows(folds: Sequence[Fold], n_rows: int) -> NDArray[np.int64]:
    """(repeats, rows): the number of the fold that tests each row; −1 where none does."""
    found = np.full((1 + max((fold.repeat for fold in folds), default=0), n_rows), -1, dtype=np.int64)
    for fold in folds:
        found[fold.repeat, fold.test] = fold.number
    return found


def patient_folds(
    patient_id: NDArray[np.object_], cause: NDArray[np.int64], *, n_folds: int, n_repeats: int, seed: int
) -> list[Fold]:
    """Folds that keep all rows of a patient together, stratified by the patient's cause.

    Where a patient's rows have several causes, the one with the lowest number counts, and censoring last. The order of
    rows does not matter.

    Raises:
        SequelaError: There are fewer patients than folds.
    """
    ids, patient = np.unique(patient_id.astype(str), return_inverse=True)
    if len(ids) < n_folds:
        msg = f"validation.folds = {n_folds}: only {len(ids)} patients are at risk; use at most as many folds"
        raise SequelaError(msg)
    censored = np.iinfo(np.int64).max
    stratum = np.full(len(ids), censored)
    np.minimum.at(stratum, patient, np.where(cause > 0, cause, censored))
    folds = []
    for repeat in range(n_repeats):
        rng = np.random.default_rng([seed, repeat])
        shuffled = rng.permutation(len(ids))
        by_stratum = shuffled[np.argsort(stratum[shuffled], kind="stable")]
        fold_of = np.empty(len(ids), dtype=np.int64)
        fold_of[by_stratum] = np.arange(len(ids)) % n_folds
        for fold in range(n_folds):
            held_out = fold_of[patient] == fold
            number = repeat * n_folds + fold
            folds.append(Fold(number, repeat, np.flatnonzero(~held_out), np.flatnonzero(held_out)))
    return folds


def site_folds(patient_id: NDArray[np.object_], site: NDArray[np.object_]) -> list[Fold]:
    """Each centre is held out once, in the order of its name.

    Rows whose site is None, or of a patient with several, have no centre: they are trained on, and never tested.

    Args:
        patient_id: (rows,).
        site: (rows,): str or None.

    Raises:
        SequelaError: There are fewer than two centres.
    """
    _, patient = np.unique(patient_id.astype(str), return_inverse=True)
    names = sorted({str(name) for name in site if name is not None})
    if len(names) < 2:
        msg = f"validation.scheme = site: {len(names)} centre is known; it takes two, or scheme: cross_validation"
        raise SequelaError(msg)
    code = np.array([-1 if name is None else names.index(str(name)) for name in site])
    lowest, highest = np.full(patient.max() + 1, len(names)), np.full(patient.max() + 1, -1)
    np.minimum.at(lowest, patient, code)
    np.maximum.at(highest, patient, code)
    of_row = np.where(lowest == highest, highest, -1)[patient]
    return [
        Fold(number, 0, np.flatnonzero(of_row != number), np.flatnonzero(of_row == number), name)
        for number, name in enumerate(names)
        if (of_row == number).any()
    ]


def temporal_folds(patient_id: NDArray[np.object_], when: NDArray[np.float64], *, n_folds: int) -> list[Fold]:
    """Patients in order of time, in `n_folds` + 1 parts: each part but the first is predicted from all before it.

    Patients of one time are in one part. Rows without a time are left out: nobody knows whether they came before.

    Args:
        patient_id: (rows,).
        when: (rows,): e.g. the year of infusion; NaN where unknown.
        n_folds: Parts that are tested.

    Raises:
        SequelaError: There are not enough different times.
    """
    _, first, patient = np.unique(patient_id.astype(str), return_index=True, return_inverse=True)
    known = np.sort(when[first][~np.isnan(when[first])])
    places = -(-np.arange(1, n_folds + 1) * (len(known) - 1) // (n_folds + 1))  # in whole numbers: 0.6 × 5 is above 3
    cuts = np.unique(known[places]) if len(known) else known
    part = np.searchsorted(cuts, when[first], side="right")
    part = np.where(np.isnan(when[first]), -1, part)[patient]
    if len(cuts) < n_folds or not (part == 0).any():
        msg = (
            f"validation.folds = {n_folds}: patients of {len(np.unique(known))} different times cannot be cut into "
            f"{n_folds + 1} parts; use fewer folds"
        )
        raise SequelaError(msg)
    folds = []
    for number in range(n_folds):
        test = np.flatnonzero(part == number + 1)
        span = f"{when[test].min():g} to {when[test].max():g}"
        folds.append(Fold(number, 0, np.flatnonzero((part >= 0) & (part <= number)), test, span))
    return folds


def is_calendar(when: NDArray[np.float64]) -> bool:
    """Whether times (rows,), NaN where unknown, are years of infusion, whole or with fractions, or an order alone."""
    known = when[~np.isnan(when)]
    return len(known) > 0 and bool(((known >= CALENDAR_YEARS[0]) & (known < CALENDAR_YEARS[1])).all())


def days_until(when: NDArray[np.float64], start: float) -> NDArray[np.float64]:
    """(rows,): days from infusion to the start of a test span, negative after it; NaN where the infusion is unknown.

    Where all times are whole years the infusion is taken to have been in the middle of its year, and the span to start
    with its own: then follow-up ends half a year too late at most.

    Args:
        when: (rows,): years of infusion.
        start: The earliest year of infusion of the patients who are tested.
    """
    known = when[~np.isnan(when)]
    middle = 0.5 if (known == np.floor(known)).all() else 0.0
    days: NDArray[np.float64] = (start - when - middle) * DAYS_A_YEAR
    return days


def known_by(outcomes: Outcomes, days: NDArray[np.float64]) -> tuple[NDArray[np.int64], Outcomes]:
    """Outcomes as they were known so many days (rows,) after each row's landmark: what came later is censored.

    Of an event between two days, the later one, on which it was seen, says whether it was known.

    Returns:
        The rows under observation by then, and outcomes of these.
    """
    rows = np.flatnonzero(days > outcomes.entered)
    own, until = outcomes.take(rows), days[rows]
    known = own.duration_days <= until
    after = None if own.after_days is None else np.where(known, own.after_days, np.nan)
    duration, cause = np.minimum(own.duration_days, until), np.where(known, own.cause, 0)
    return rows, Outcomes(duration, cause, own.causes, own.entry_days, after)
