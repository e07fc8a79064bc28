"""T-ICAHT: grades of thrombocytopenia after CAR-T cells, from repeated platelet counts.

Rejeski et al., "T-ICAHT: grading and prognostic impact of thrombocytopenia after CAR T-cell therapy", Blood 2025,
doi:10.1182/blood.2025028833, Table 1. Early (days 0-30), by the days below the threshold taken together: < 50·10⁹/L for
1-6 days 1, from 7 days on 2; < 20·10⁹/L for 1-13 days 3, from 14 days on 4. Late (days 31-100), in two or more counts:
< 100·10⁹/L 1, < 50·10⁹/L 2, < 20·10⁹/L for up to 13 days 3, from 14 days on 4.

The footnote of the table counts recoveries of fewer than three days as days below the threshold, and ends the count at
progression, next therapy or death. Days without a count are filled as for ICAHT. Platelet transfusions are not known
here: a transfused platelet counts as the patient's own.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.patients import FloatArray, Patients
from features.scores.icaht import (
    EARLY_DAYS,
    LATE_DAYS,
    daily_counts,
    earlier,
    fill_short_gaps,
    joined_spells,
    measured,
    two_lowest,
)
from features.units import convert

_MILD, _MODERATE, _SEVERE = 100.0, 50.0, 20.0
_EARLY_LONG_DAYS: Final = 7
_SEVERE_LONG_DAYS: Final = 14


def early_t_icaht(day: FloatArray, platelets_per_nl: FloatArray, *, known_until_day: float = math.inf) -> float:
    """Early T-ICAHT grade, 0 to 4, of one patient.

    Args:
        day: (counts,) days since infusion, in any order; of several counts of one day the lowest counts.
        platelets_per_nl: (counts,) platelets in 10⁹/L; NaN, infinite and negative ones are left out.
        known_until_day: The landmark, or the day of progression, next therapy or death if that is earlier.

    Returns:
        The grade, or NaN when there is no count on days 0-30 by `known_until_day`. Where more than seven days in a row
        have no count they do not count as low, so that the grade is then the least it can be.
    """
    row = np.zeros(len(day), dtype=np.int64)
    return float(_early(row, day, platelets_per_nl, np.array([known_until_day], dtype=np.float64))[0])


def late_t_icaht(day: FloatArray, platelets_per_nl: FloatArray, *, known_until_day: float = math.inf) -> float:
    """Late T-ICAHT grade, 0 to 4, of one patient.

    The second lowest count, of another day, must be below 100·10⁹/L too, else the thrombocytopenia was transient and
    the grade 0; a single count is graded alone, as the published code does for ICAHT. Days without a count are
    filled between two counts only, never before the first or after the last.

    Args:
        day: (counts,) days since infusion, in any order.
        platelets_per_nl: (counts,) platelets in 10⁹/L; NaN, infinite and negative ones are left out.
        known_until_day: The landmark, or the day of progression, next therapy or death if that is earlier.

    Returns:
        The grade, or NaN when there is no count on days 31-100 by `known_until_day`.
    """
    row = np.zeros(len(day), dtype=np.int64)
    return float(_late(row, day, platelets_per_nl, np.array([known_until_day], dtype=np.float64))[0])


def t_icaht_columns(
    patients: Patients, platelets: str, *, unit: str, censor_day: FloatArray | None = None
) -> dict[str, FloatArray]:
    """Early and late T-ICAHT grades at each row's landmark, from counts with day ≤ landmark only.

    Args:
        patients: Rows with repeated counts.
        platelets: Name of the measured variable.
        unit: UCUM unit of its values.
        censor_day: (rows,) day of progression or next therapy, NaN for none; counts after it do not enter.

    Returns:
        ``<platelets>:early_t_icaht`` and ``<platelets>:late_t_icaht``, (rows,), NaN where not gradable.

    Raises:
        UnitError: The unit is not one of a cell count.
    """
    row, day, value = measured(patients, platelets)
    counts = convert(value, unit, "10*9/L")
    until = earlier(patients.landmark_day, censor_day)
    return {
        f"{platelets}:early_t_icaht": _early(row, day, counts, until),
        f"{platelets}:late_t_icaht": _late(row, day, counts, until),
    }


def _days_below(filled: FloatArray, threshold: float) -> NDArray[np.int64]:
    """Days below a threshold taken together, recoveries of fewer than three days with them, (rows,)."""
    return np.asarray(joined_spells(filled < threshold).sum(axis=1), dtype=np.int64)


def _early(row: NDArray[np.int64], day: FloatArray, count: FloatArray, until: FloatArray) -> FloatArray:
    grid = daily_counts(row, day, count, until, EARLY_DAYS)
    filled = fill_short_gaps(grid)
    moderate, severe = _days_below(filled, _MODERATE), _days_below(filled, _SEVERE)
    grade = np.select(
        [severe >= _SEVERE_LONG_DAYS, severe > 0, moderate >= _EARLY_LONG_DAYS, moderate > 0], [4.0, 3.0, 2.0, 1.0], 0.0
    )
    return np.where(np.isfinite(grid).any(axis=1), grade, np.nan)


def _late(row: NDArray[np.int64], day: FloatArray, count: FloatArray, until: FloatArray) -> FloatArray:
    grid = daily_counts(row, day, count, until, LATE_DAYS)
    lowest, second = two_lowest(grid)
    severe = _days_below(fill_short_gaps(grid, edges=False), _SEVERE)
    grade = np.select(
        [severe >= _SEVERE_LONG_DAYS, lowest < _SEVERE, lowest < _MODERATE, lowest < _MILD], [4.0, 3.0, 2.0, 1.0], 0.0
    )
    grade[np.isfinite(second) & (second >= _MILD)] = 0.0
    return np.where(np.isfinite(lowest), grade, np.nan)
