"""Repeated measurements up to a landmark day, as columns: last value, slope, area, time under a threshold.

Between two days on which a variable was measured its course is taken as linear; before the first and after the last
known value nothing is assumed. Several values on one day enter that course as their mean.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field, field_validator, model_validator

from features.errors import SequelaError
from features.patients import FloatArray, Measurements, Patients
from features.schema import Frozen
from features.series import Series, area, area_between, below, by_day, cmax, slope, tmax

NO_THRESHOLDS: Mapping[str, Thresholds] = MappingProxyType({})
_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?"
_ROWS_AT_ONCE = 512  # values of so many rows stay in the processor's cache
_WINDOWED_AREA = re.compile(rf"auc_({_NUMBER})_({_NUMBER})")


def parse_statistic(name: str) -> str:
    """The canonical name of a statistic, e.g. ``auc_0_28`` for ``auc_0.0_28``.

    Raises:
        SequelaError: There is no such statistic; the nearest one is named.
    """
    window = _window(name)
    if window is not None:
        if not window[0] < window[1] < math.inf:
            msg = f"the window of {name} must begin before it ends, both in days, as in auc_0_28"
            raise SequelaError(msg)
        return f"auc_{_shown(window[0])}_{_shown(window[1])}"
    if name in _SUMMARIES:
        return name
    valid = (*_SUMMARIES, "auc_0_28")
    near = get_close_matches(name, valid, n=1, cutoff=0.5)
    hint = f"the nearest is {near[0]}" if near else f"those valid are {', '.join(valid)}"
    msg = f"no statistic is called {name!r}; {hint}"
    raise SequelaError(msg)


def _checked(name: str) -> str:
    """`parse_statistic` as pydantic wants it."""
    try:
        return parse_statistic(name)
    except SequelaError as error:
        raise ValueError(str(error)) from None


def _window(name: str) -> tuple[float, float] | None:
    found = _WINDOWED_AREA.fullmatch(name)
    return None if found is None else (float(found[1]), float(found[2]))


def _shown(number: float) -> str:
    """A number as it stands in a column's name: 0.5, 2000."""
    return np.format_float_positional(number + 0.0, trim="-")  # + 0.0: no negative zero


Statistic = Annotated[
    str,
    AfterValidator(_checked),
    Field(examples=["last", "auc_0_28"], description="A summary of a measured variable, see `landmark_columns`."),
]
STATISTICS: tuple[Statistic, ...] = ("last", "age", "slope", "min", "max")
"""The statistics computed where none are named."""


class Thresholds(Frozen):
    """Limits of one measured variable, in its unit; time under or over each becomes a feature."""

    below: tuple[float, ...] = ()
    """Time under each of these counts."""
    above: tuple[float, ...] = ()
    """Time over each of these counts."""

    @field_validator("below", "above")
    @classmethod
    def _different(cls, limits: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(limits)) != len(limits):
            msg = "limits must differ from one another"
            raise ValueError(msg)
        return limits

    @model_validator(mode="after")
    def _any(self) -> Thresholds:
        if not self.below and not self.above:
            msg = "give limits under below, above or both"
            raise ValueError(msg)
        return self


def landmark_columns(
    patients: Patients,
    variables: Sequence[str],
    statistics: Sequence[Statistic] = STATISTICS,
    thresholds: Mapping[str, Thresholds] = NO_THRESHOLDS,
) -> dict[str, FloatArray]:
    """Summaries of each variable's values with day ≤ the row's landmark day; nothing later enters.

    ``last``: the latest value, of several on its day the largest; ``age``: landmark day minus its day, in days;
    ``slope``: least-squares slope in units a day; ``min``, ``max``, ``mean``, ``count``: of all values; ``cmax``,
    ``tmax``: the largest value since infusion (day ≥ 0) and its day, of equal ones the first; ``auc``: area under the
    course from the first to the last value, in unit·days; ``auc_A_B``: the part of that area between days A and B.
    At A and B the course is interpolated between the values on both sides and never extrapolated.

    For a limit L of `thresholds`: ``days_below_L``, time the course is under L (< L) from its first to its last value;
    ``since_below_L``, landmark day minus the last moment at which it was. Likewise ``above`` (> L).

    NaN where a row has no value (``count``: 0; ``cmax`` and ``tmax``: none since infusion), where ``slope``, ``auc`` or
    ``days_…`` have values on fewer than two days, ``auc_A_B`` on fewer than two days of [A, B], or where it was never
    so (``since_…``). Values that are not finite count as absent.

    Cmax after infusion: Awasthi et al., Blood Adv 2020;4:560; Tmax: Stein et al., CPT Pharmacometrics Syst Pharmacol
    2019;8:285; AUC from day 0 to 28: Mueller et al., "Clinical Pharmacology of Tisagenlecleucel in B-cell Acute
    Lymphoblastic Leukemia", Clin Cancer Res 2018. Here by the linear trapezoidal rule.

    Args:
        patients: Rows with their landmark days and measurements, in the form `Measurements.from_columns` gives.
        variables: Names of the variables to summarise.
        statistics: What is computed from each.
        thresholds: By variable, which need not be among `variables`.

    Returns:
        Columns of shape (rows,) by name, e.g. ``ferritin:last`` or ``anc:days_below_0.5``.

    Raises:
        SequelaError: There is no such statistic.
    """
    asked = tuple(map(parse_statistic, statistics))
    blocks = []
    for begin in range(0, max(len(patients), 1), _ROWS_AT_ONCE):
        landmark_day = patients.landmark_day[begin : begin + _ROWS_AT_ONCE]
        measured = _slice(patients.measurements, begin, begin + len(landmark_day))
        blocks.append(_columns(measured, landmark_day, variables, asked, thresholds))
    if len(blocks) == 1:
        return blocks[0]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _columns(
    measured: Measurements,
    landmark_day: FloatArray,
    variables: Sequence[str],
    statistics: Sequence[str],
    thresholds: Mapping[str, Thresholds],
) -> dict[str, FloatArray]:
    """`landmark_columns` of some rows."""
    names = list(dict.fromkeys((*variables, *thresholds)))
    columns: dict[str, FloatArray] = {}
    with np.errstate(all="ignore"):  # what overflows is missing; across the borders of series anything may happen
        series = _known(measured, landmark_day, names)
        course = by_day(series)
        for statistic in statistics:
            window = _window(statistic)
            table = area_between(course, *window) if window else _SUMMARIES[statistic](series, course)
            if statistic == "age":
                table = np.tile(landmark_day, len(names)) - table
            table = np.where(np.isfinite(table), table + 0.0, np.nan)  # + 0.0: no negative zero
            table = table.reshape(len(names), len(landmark_day))
            columns |= {f"{name}:{statistic}": table[names.index(name)] for name in variables}
        for name, limits in thresholds.items():
            own = course.variable(names.index(name), len(landmark_day))
            for word, sign, values in (("below", 1.0, limits.below), ("above", -1.0, limits.above)):
                for limit in values:  # above L is below −L once the values change their sign
                    days, since = below(own, sign, sign * limit, landmark_day)
                    columns[f"{name}:days_{word}_{_shown(limit)}"] = days
                    columns[f"{name}:since_{word}_{_shown(limit)}"] = since
    return columns


def _slice(measured: Measurements, begin: int, end: int) -> Measurements:
    offsets = measured.offsets[begin : end + 1]
    of_rows = slice(offsets[0], offsets[-1])
    return Measurements(
        offsets - offsets[0], measured.variable[of_rows], measured.day[of_rows], measured.value[of_rows], measured.names
    )


def _known(measured: Measurements, landmark_day: FloatArray, names: Sequence[str]) -> Series:
    """All finite values of the variables up to the landmark day, by variable, row and day."""
    place = np.full(len(measured.names) + 1, len(names), dtype=np.min_scalar_type(len(names)))
    for i, name in enumerate(measured.names):
        if name in names:
            place[i] = names.index(name)
    variable = place[measured.variable]
    known = measured.day <= np.repeat(landmark_day, np.diff(measured.offsets))
    known &= np.isfinite(measured.value)
    known &= variable < len(names)
    at = np.flatnonzero(known)
    at = at[np.argsort(variable[at], kind="stable")]  # rows, and days within a row, ascend already
    of = variable[at].astype(np.int64) * len(landmark_day) + measured.row[at]
    return Series.build(len(names) * len(landmark_day), of, measured.day[at], measured.value[at])


_SUMMARIES: dict[str, Callable[[Series, Series], FloatArray]] = {
    "last": lambda series, _: series.filled(series.some, series.value[series.last]),
    "age": lambda series, _: series.filled(series.some, series.day[series.last]),  # the day; `_columns` subtracts it
    "slope": lambda series, _: slope(series),
    "min": lambda series, _: series.extreme(np.minimum, series.value),
    "max": lambda series, _: series.extreme(np.maximum, series.value),
    "count": lambda series, _: series.number.astype(float),
    "mean": lambda series, _: series.mean(series.value),
    "auc": lambda _, course: area(course),
    "cmax": lambda series, _: cmax(series.since_infusion()),
    "tmax": lambda series, _: tmax(series.since_infusion()),
}
