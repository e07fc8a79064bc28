"""ICAHT: grades of neutropenia after CAR-T cells, from repeated neutrophil counts.

Grades: EHA/EBMT consensus, Rejeski et al., Blood 2023;142:865-877. What the consensus leaves open (days without a
count, what joins two spells, what "never recovered" means) follows the grading code that E. C. Liang published
(github.com/emilyliangmd/automatedicahtgrading), except that counts are not rounded to multiples of 10 here.

Early (days 0-30), by the longest spell: ANC ≤ 500/µL for 1-6 days 1, 7-13 days 2, from 14 days on 3; ANC ≤ 100/µL for
7-13 days 3, from 14 days on 4; never above 500/µL 4. Late (days 31-100), by the nadir: ANC ≤ 1500/µL 1, ≤ 1000/µL 2,
≤ 500/µL 3, ≤ 100/µL 4, in two or more counts.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.patients import FloatArray, Patients
from features.units import convert

EARLY_DAYS: Final = (0, 30)
LATE_DAYS: Final = (31, 100)
LONGEST_FILLED_GAP_DAYS: Final = 7
"""Days without a count are filled up to this many in a row: a weekly count covers its week."""
RECOVERY_DAYS: Final = 3
"""Consecutive days above the threshold that end a spell; fewer are part of it."""
LATEST_START_DAY: Final = 3
"""A spell that begins by this day and lasts to the end of the window was never recovered from."""
_SEVERE, _PROFOUND = 500.0, 100.0
_LATE_THRESHOLDS = (1500.0, 1000.0, 500.0, 100.0)

BoolArray = NDArray[np.bool_]


def early_icaht(
    day: FloatArray, anc_per_ul: FloatArray, *, known_until_day: float = math.inf, follow_up_ended: bool = False
) -> float:
    """Early ICAHT grade, 0 to 4, of one patient.

    Several counts of one day: the lowest counts. Up to seven days in a row without a count are interpolated linearly,
    before the first and after the last count by the nearest one; in a longer gap no day counts as neutropenic, so that
    the grade is then the least it can be.

    Args:
        day: (counts,) days since infusion, in any order; a count belongs to the whole day it falls in.
        anc_per_ul: (counts,) neutrophils per µL; NaN, infinite and negative ones are left out.
        known_until_day: The landmark, or the last day of follow-up: nothing after it enters.
        follow_up_ended: Whether the patient died or was lost on `known_until_day`. If not, and it lies before day 30,
            "never recovered" is not yet known, and grade 4 comes from the days below 100/µL alone.

    Returns:
        The grade, or NaN when there is no count on days 0-30 by `known_until_day`.
    """
    row = np.zeros(len(day), dtype=np.int64)
    until = np.array([known_until_day], dtype=np.float64)
    return float(_early(row, day, anc_per_ul, until, np.array([follow_up_ended]))[0])


def late_icaht(day: FloatArray, anc_per_ul: FloatArray, *, known_until_day: float = math.inf) -> float:
    """Late ICAHT grade, 0 to 4, of one patient: by the lowest count of days 31-100.

    The second lowest count, of another day, must be ≤ 1500/µL too, else the neutropenia was transient and the grade 0;
    a single count is graded alone. Days without a count are not filled.

    Args:
        day: (counts,) days since infusion, in any order.
        anc_per_ul: (counts,) neutrophils per µL; NaN, infinite and negative ones are left out.
        known_until_day: The landmark, or the day of progression, next therapy or last follow-up if that is earlier.

    Returns:
        The grade, or NaN when there is no count on days 31-100 by `known_until_day`.
    """
    row = np.zeros(len(day), dtype=np.int64)
    return float(_late(row, day, anc_per_ul, np.array([known_until_day], dtype=np.float64))[0])


def icaht_columns(
    patients: Patients, anc: str, *, unit: str, censor_day: FloatArray | None = None
) -> dict[str, FloatArray]:
    """Early and late ICAHT grades at each row's landmark, from counts with day ≤ landmark only.

    Args:
        patients: Rows with repeated counts.
        anc: Name of the measured variable.
        unit: UCUM unit of its values.
        censor_day: (rows,) day of progression or next therapy, NaN for none; late counts after it do not enter.

    Returns:
        ``<anc>:early_icaht`` and ``<anc>:late_icaht``, (rows,), NaN where not gradable.

    Raises:
        UnitError: The unit is not one of a cell count.
    """
    row, day, value = measured(patients, anc)
    counts = convert(value, unit, "/uL")
    until = patients.landmark_day
    return {
        f"{anc}:early_icaht": _early(row, day, counts, until, np.zeros(len(patients), dtype=np.bool_)),
        f"{anc}:late_icaht": _late(row, day, counts, earlier(until, censor_day)),
    }


def measured(patients: Patients, variable: str) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
    """Row, day and value of every measurement of one variable; empty when nobody has any."""
    series = patients.measurements
    names = list(series.names)
    picked = series.variable == (names.index(variable) if variable in names else -1)
    return series.row[picked], series.day[picked], series.value[picked]


def earlier(until: FloatArray, censor_day: FloatArray | None) -> FloatArray:
    """The earlier of two days, (rows,); a missing second one does not limit."""
    return until if censor_day is None else np.fmin(until, censor_day)


def daily_counts(
    row: NDArray[np.int64], day: FloatArray, count: FloatArray, until: FloatArray, window: tuple[int, int]
) -> FloatArray:
    """The lowest count of each day of a window, (rows, days): NaN without a count, +inf on days after `until`."""
    first, last = window
    days = np.arange(first, last + 1)
    grid = np.full((len(until), len(days)), np.inf)
    known = (day <= until[row]) & (np.floor(day) >= first) & (np.floor(day) <= last) & np.isfinite(count) & (count >= 0)
    np.minimum.at(grid, (row[known], (np.floor(day[known]) - first).astype(np.int64)), count[known])
    grid[np.isinf(grid) & (days <= until[:, None])] = np.nan
    return grid


def fill_short_gaps(grid: FloatArray, *, edges: bool = True) -> FloatArray:
    """Interpolate runs of at most seven days without a count, (rows, days), as `early_icaht` says.

    Args:
        grid: What `daily_counts` gives.
        edges: Whether the first and the last count also stand for the days before and after them.
    """
    n_days = grid.shape[1]
    at = np.arange(n_days)
    n_inside = (~np.isposinf(grid)).sum(axis=1)[:, None]
    before = np.maximum.accumulate(np.where(np.isfinite(grid), at, -1), axis=1)
    after = np.minimum.accumulate(np.where(np.isfinite(grid), at, n_days)[:, ::-1], axis=1)[:, ::-1]
    short = np.minimum(after, n_inside) - before - 1 <= LONGEST_FILLED_GAP_DAYS
    has_left, has_right = before >= 0, after < n_days
    usable = np.isnan(grid) & short & ((has_left | has_right) if edges else (has_left & has_right))
    row, here = np.nonzero(usable)
    since = np.where(has_left, at - before, 0)[usable]
    ahead = np.where(has_right, after - at, 0)[usable]
    left = grid[row, np.where(since > 0, here - since, here + ahead)]
    right = grid[row, np.where(ahead > 0, here + ahead, here - since)]
    filled = grid.copy()
    # One division at the end: whole counts keep their order, and a day that meets the threshold meets it exactly.
    filled[usable] = (left * ahead + right * since) / (since + ahead)
    return filled


def joined_spells(low: BoolArray) -> BoolArray:
    """Days of spells, (rows, days): low days, and gaps between them too short to be a recovery."""
    n_days = low.shape[1]
    at = np.arange(n_days)
    before = np.maximum.accumulate(np.where(low, at, -n_days), axis=1)
    after = np.minimum.accumulate(np.where(low, at, 2 * n_days)[:, ::-1], axis=1)[:, ::-1]
    return low | (after - before - 1 < RECOVERY_DAYS)


def _runs(spell: BoolArray) -> NDArray[np.int64]:
    """How many days the spell has lasted by each day, (rows, days); 0 outside spells."""
    at = np.arange(1, spell.shape[1] + 1)
    return at - np.maximum.accumulate(np.where(spell, 0, at), axis=1)


def _early(
    row: NDArray[np.int64], day: FloatArray, count: FloatArray, until: FloatArray, follow_up_ended: BoolArray
) -> FloatArray:
    grid = daily_counts(row, day, count, until, EARLY_DAYS)
    gradable = np.isfinite(grid).any(axis=1)
    filled = fill_short_gaps(grid)
    severe = _runs(joined_spells(filled <= _SEVERE))
    profound = _runs(joined_spells(filled <= _PROFOUND)).max(axis=1)
    longest = severe.max(axis=1)
    grade = np.digitize(longest, [1, 7, 14]).astype(np.float64)
    grade = np.maximum(grade, np.select([profound >= 14, profound >= 7], [4.0, 3.0], 0.0))
    last = np.maximum((~np.isposinf(filled)).sum(axis=1) - 1, 0)
    to_the_end = np.take_along_axis(severe, last[:, None], axis=1)[:, 0]
    started = EARLY_DAYS[0] + last - to_the_end + 1
    over = follow_up_ended | (until >= EARLY_DAYS[1])
    grade[over & (to_the_end > 0) & (started <= LATEST_START_DAY)] = 4.0
    return np.where(gradable, grade, np.nan)


def two_lowest(grid: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The lowest and the second lowest daily count, (rows,) each; +inf where there is none."""
    ordered = np.sort(np.where(np.isnan(grid), np.inf, grid), axis=1)
    return ordered[:, 0], ordered[:, 1]


def _late(row: NDArray[np.int64], day: FloatArray, count: FloatArray, until: FloatArray) -> FloatArray:
    lowest, second = two_lowest(daily_counts(row, day, count, until, LATE_DAYS))
    grade = (lowest[:, None] <= np.array(_LATE_THRESHOLDS)).sum(axis=1).astype(np.float64)
    grade[np.isfinite(second) & (second > _LATE_THRESHOLDS[0])] = 0.0
    return np.where(np.isfinite(lowest), grade, np.nan)
