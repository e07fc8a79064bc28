"""Repeated measurements up to a landmark day, as columns: last value, its age, slope, extremes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from features.patients import FloatArray, Patients

Statistic = Literal["last", "age", "slope", "min", "max"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)


def landmark_columns(
    patients: Patients, variables: Sequence[str], statistics: Sequence[Statistic] = STATISTICS
) -> dict[str, FloatArray]:
    """Summaries of each variable's values with day ≤ the row's landmark day; nothing later enters.

    ``last``: the latest value, of several on its day the largest; ``age``: landmark day minus its day, in days;
    ``slope``: least-squares slope in units a day, for values on at least two days; ``min`` and ``max``: extremes. NaN
    where a row has no such value. Values that are not finite count as absent.

    Returns:
        Columns of shape (rows,) by name, e.g. ``ferritin:last``.
    """
    measured = patients.measurements
    place = np.full(len(measured.names) + 1, -1, dtype=np.int64)
    for i, name in enumerate(measured.names):
        if name in variables:
            place[i] = list(variables).index(name)
    row = measured.row
    known = (measured.day <= patients.landmark_day[row]) & (place[measured.variable] >= 0) & np.isfinite(measured.value)
    group = row[known] * len(variables) + place[measured.variable[known]]
    order = np.argsort(group, kind="stable")  # days ascend within a row, hence within a group
    cells = _by_group(group[order], measured.day[known][order], measured.value[known][order])
    size = len(patients) * len(variables)
    columns: dict[str, FloatArray] = {}
    for statistic in statistics:
        flat = np.full(size, np.nan)
        flat[cells["group"].astype(np.int64)] = cells[statistic]
        table = flat.reshape(len(patients), len(variables))
        if statistic == "age":  # `_by_group` gives the day of the last value
            table = patients.landmark_day[:, None] - table
        columns |= {f"{name}:{statistic}": table[:, j] for j, name in enumerate(variables)}
    return columns


def _by_group(group: NDArray[np.int64], day: FloatArray, value: FloatArray) -> dict[str, FloatArray]:
    """Statistics of runs of equal `group`; ``age`` holds the day of the last value."""
    if not len(group):
        return dict.fromkeys(("group", *STATISTICS), np.zeros(0))
    start = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    end = np.r_[start[1:], len(group)] - 1
    n = (end - start + 1).astype(float)
    centred_day = day - np.repeat(np.add.reduceat(day, start) / n, end - start + 1)
    sxx = np.add.reduceat(centred_day**2, start)
    sxy = np.add.reduceat(centred_day * value, start)
    slope = np.divide(sxy, sxx, out=np.full(len(n), np.nan), where=day[end] > day[start])
    return {
        "group": group[start].astype(float),
        "last": value[end],
        "age": day[end],
        "slope": slope,
        "min": np.minimum.reduceat(value, start),
        "max": np.maximum.reduceat(value, start),
    }
