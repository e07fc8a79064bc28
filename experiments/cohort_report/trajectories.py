"""Repeated measurements over time: one median a patient in each window of days, then quantiles over patients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
import scipy.stats

from experiments.page.privacy import SMALLEST, Disclosure
from features.cohort import Cohort
from features.patients import FloatArray

MOST_VARIABLES = 12
MOST_LINES = 120
"""Lines of patients drawn, chosen by chance; more make a blot."""
WINDOWS = 16
LINEAR_TO_DAY = 30.0
SKEWED = 2.0
"""Skewness beyond which values are drawn on a logarithmic axis, where that makes them less skewed."""
Scale = Literal["linear", "log", "symlog"]


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One variable over days since infusion."""

    name: str
    label: str
    n_patients: int
    n_values: int
    day: FloatArray
    """(windows,): median day of the values in each window, ascending."""
    median: FloatArray
    low: FloatArray
    high: FloatArray
    """(windows,): quartiles over patients."""
    scale: Scale
    linear_to: float
    """Where a symlog axis ceases to be linear."""
    limits: tuple[float, float]
    lines: list[FloatArray] = field(default_factory=list)
    """(days, 2) each: day and value of some single patients."""


def measured_variables(cohort: Cohort) -> list[tuple[str, int, int]]:
    """Name, patients and values of each measured variable, those of most patients first."""
    groups = cohort.measurements.groupby("variable")["patient_id"]
    table = [(str(name), int(ids.nunique()), len(ids)) for name, ids in groups]
    return sorted(table, key=lambda row: (-row[1], -row[2], row[0]))


def trajectory(cohort: Cohort, name: str, shown: Disclosure, rng: np.random.Generator) -> Trajectory | None:
    """The course of one variable; None where no window has enough patients to be shown."""
    table = cohort.measurements[cohort.measurements["variable"] == name]
    least = SMALLEST if shown.guarded else min(SMALLEST, table["patient_id"].nunique())
    summary = _windows(table, least)
    if summary.empty:
        return None
    values = table["value"].to_numpy(dtype=float)
    scale, linear_to = scale_of(values)
    lines = _lines(table, float(summary["day"].iloc[-1]), rng) if shown.individual_lines else []
    unit = cohort.card.variables[name].unit
    return Trajectory(
        name,
        name if unit == "1" else f"{name} ({unit})",
        int(table["patient_id"].nunique()),
        len(table),
        summary["day"].to_numpy(dtype=float),
        summary["median"].to_numpy(dtype=float),
        summary["low"].to_numpy(dtype=float),
        summary["high"].to_numpy(dtype=float),
        scale,
        linear_to,
        _limits(values if lines else summary[["low", "high"]].to_numpy(dtype=float).ravel(), scale),
        lines,
    )


def _windows(table: pd.DataFrame, least: int) -> pd.DataFrame:
    """Day, median and quartiles of each window with at least so many patients."""
    day = table["day"].to_numpy(dtype=float)
    window = _edges(day).searchsorted(day, side="right")
    of_patient = table.assign(window=window).groupby(["window", "patient_id"])[["day", "value"]].median()
    by_window = of_patient.groupby("window")
    summary = pd.DataFrame(
        {
            "n": by_window.size(),
            "day": by_window["day"].median(),
            "low": by_window["value"].quantile(0.25),
            "median": by_window["value"].quantile(0.5),
            "high": by_window["value"].quantile(0.75),
        }
    )
    return summary[summary["n"] >= least].sort_values("day")


def _edges(day: FloatArray) -> FloatArray:
    """Edges of windows: between the days of a protocol where there are few, else with equal numbers of values."""
    days = np.unique(day)
    if len(days) <= WINDOWS:
        return (days[1:] + days[:-1]) / 2
    return np.unique(np.quantile(day, np.linspace(0, 1, WINDOWS + 1)[1:-1]))


def scale_of(values: FloatArray) -> tuple[Scale, float]:
    """The axis on which values are told apart, and where a symlog one ceases to be linear."""
    if len(values) < 3 or np.ptp(values) == 0 or values.min() < 0:
        return "linear", 1.0
    positive = values[values > 0]
    skew = float(scipy.stats.skew(values))
    if skew <= SKEWED or abs(float(scipy.stats.skew(np.log(positive)))) >= skew:
        return "linear", 1.0
    if len(positive) == len(values):
        return "log", 1.0
    return "symlog", float(np.quantile(positive, 0.05))


def _limits(values: FloatArray, scale: Scale) -> tuple[float, float]:
    """Ends of the axis: all but the outermost hundredths, with some room."""
    low, high = (float(x) for x in np.quantile(values, [0.005, 0.995]))
    if scale == "log":
        return low / 1.15, high * 1.15
    room = 0.06 * (high - low) or max(abs(high), 1.0) * 0.1
    if scale == "symlog":
        return 0.0, high * 1.15
    return max(low - room, 0.0) if low >= 0 else low - room, high + room


def _lines(table: pd.DataFrame, last: float, rng: np.random.Generator) -> list[FloatArray]:
    ids = np.sort(table["patient_id"].unique())
    chosen = rng.choice(ids, size=min(MOST_LINES, len(ids)), replace=False)
    some = table[table["patient_id"].isin(set(chosen)) & (table["day"] <= last)].sort_values(["patient_id", "day"])
    return [of_one[["day", "value"]].to_numpy(dtype=float) for _, of_one in some.groupby("patient_id")]
