"""Baseline variables as columns, and what is impossible in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.patients import FloatArray, Measurements, Patients, TextArray
from features.schema import Variable

Flags = tuple[tuple[str, ...], ...]
"""For each row, the names of the columns or variables concerned."""


def flags(masks: Mapping[str, NDArray[np.bool_]], n_rows: int) -> Flags:
    """For each row, the names whose mask holds."""
    if not masks:
        return ((),) * n_rows
    return named(np.column_stack(list(masks.values())), list(masks))


def named(mask: NDArray[np.bool_], names: Sequence[str]) -> Flags:
    """For each row of a mask (rows, names), the names where it holds."""
    found: list[list[str]] = [[] for _ in mask]
    for row, column in zip(*(places.tolist() for places in np.nonzero(mask)), strict=True):
        found[row].append(names[column])
    return tuple(map(tuple, found))


@dataclass(frozen=True, slots=True)
class BaselineEncoder:
    """Numeric variables as they are, ordinal ones by the index of their level, categorical ones one column a level."""

    names: tuple[str, ...]
    kinds: Mapping[str, str]
    levels: Mapping[str, tuple[str, ...]]
    """Declared levels of ordinal variables; levels seen in training of categorical ones."""
    seen: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Levels seen in training of ordinal variables; artifacts of the first format do not know."""

    @classmethod
    def fit(cls, patients: Patients, variables: Mapping[str, Variable], names: Sequence[str]) -> BaselineEncoder:
        """Learn the levels of categorical variables."""
        kinds = {name: variables[name].kind for name in names}
        levels: dict[str, tuple[str, ...]] = {}
        seen: dict[str, tuple[str, ...]] = {}
        for name in names:
            if kinds[name] == "numeric":
                continue
            found = {level for level in _levels(patients.baseline[name]) if level is not None}
            if kinds[name] == "ordinal":
                levels[name] = variables[name].levels or ()
                seen[name] = tuple(level for level in levels[name] if level in found)
            else:
                levels[name] = tuple(sorted(found))
        return cls(tuple(names), kinds, levels, seen)

    def columns(self, patients: Patients) -> dict[str, FloatArray]:
        """Columns (rows,) by name, e.g. ``age``, ``product=axi-cel``; NaN where missing."""
        columns: dict[str, FloatArray] = {}
        for name in self.names:
            values = patients.baseline.get(name)
            if values is None:  # a served patient need not name every variable
                values = np.full(len(patients), None, dtype=object)
            if self.kinds[name] == "numeric":
                columns[name] = values.astype(float)
            elif self.kinds[name] == "ordinal":
                index = {level: float(i) for i, level in enumerate(self.levels[name])}
                columns[name] = np.array([np.nan if v is None else index.get(v, np.nan) for v in _levels(values)])
            else:
                columns |= self._indicators(name, _levels(values))
        return columns

    def _indicators(self, name: str, values: TextArray) -> dict[str, FloatArray]:
        """One 0/1 column a level; one only, of the second level, when there are two.

        An unseen level is 0 in each column. With one column that would mean the first level, so there it is missing.
        """
        known = self.levels[name]
        missing = np.array([v is None or (len(known) == 2 and v not in known) for v in values], dtype=bool)
        levels = known[1:] if len(known) == 2 else known
        return {f"{name}={level}": np.where(missing, np.nan, (values == level).astype(float)) for level in levels}

    def unseen(self, patients: Patients) -> Flags:
        """For each row, the variables whose level was not seen in training, though an ordinal one may have its rank."""
        masks = {}
        for name in self.levels:
            if name in patients.baseline:
                known = {None, *self.seen.get(name, self.levels[name])}
                masks[name] = np.array([v not in known for v in _levels(patients.baseline[name])], dtype=bool)
        return flags(masks, len(patients))

    def state(self) -> dict[str, Any]:
        """Plain JSON that `from_state` rebuilds the encoder from."""
        return {
            "names": list(self.names),
            "kinds": dict(self.kinds),
            "levels": {name: list(levels) for name, levels in self.levels.items()},
            "seen": {name: list(levels) for name, levels in self.seen.items()},
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> BaselineEncoder:
        """Rebuild what `state` described."""
        levels, seen = ({k: tuple(v) for k, v in state.get(part, {}).items()} for part in ("levels", "seen"))
        return cls(tuple(state["names"]), state["kinds"], levels, seen)


def _levels(values: FloatArray | TextArray) -> TextArray:
    """(rows,): levels as text, None where missing, as which NaN counts too."""
    levels = np.empty(len(values), dtype=object)
    levels[:] = [None if v is None or (isinstance(v, (float, np.floating)) and np.isnan(v)) else str(v) for v in values]
    return levels


def impossible(patients: Patients, variables: Mapping[str, Variable]) -> tuple[Patients, Flags]:
    """Turn values outside their variable's plausible range, or not finite, into missing ones.

    Returns:
        The patients without those values, and for each row the variables concerned (up to its landmark).
    """
    baseline, masks = dict(patients.baseline), {}
    for name, variable in variables.items():
        if variable.kind == "numeric" and name in baseline:
            numbers = baseline[name].astype(float)
            bad = _beyond(numbers, *_limits(variable))
            if bad.any():
                baseline[name] = np.where(bad, np.nan, numbers)
                masks[name] = bad
    measured, of_measured = _possible(patients, variables)
    for name, rows in of_measured.items():
        masks[name] = masks[name] | rows if name in masks else rows
    in_order = {name: masks[name] for name in variables if name in masks}
    return replace(patients, baseline=baseline, measurements=measured), flags(in_order, len(patients))


def _possible(
    patients: Patients, variables: Mapping[str, Variable]
) -> tuple[Measurements, dict[str, NDArray[np.bool_]]]:
    """Measurements without impossible values; by variable, which rows (rows,) had one up to their landmark."""
    measured = patients.measurements
    limits = [_limits(variables[name]) if name in variables else (np.nan, np.nan) for name in measured.names]
    low, high = np.array(limits).reshape(-1, 2)[measured.variable].T
    bad = _beyond(measured.value, low, high) & ~np.isnan(low)
    if not bad.any():
        return measured, {}
    row = measured.row
    known = bad & (measured.day <= patients.landmark_day[row])
    rows = {
        measured.names[number]: np.bincount(row[known & (measured.variable == number)], minlength=len(patients)) > 0
        for number in np.unique(measured.variable[known]).tolist()
    }
    return replace(measured, value=np.where(bad, np.nan, measured.value)), rows


def _limits(variable: Variable) -> tuple[float, float]:
    return variable.range or (-np.inf, np.inf)


def _beyond(values: FloatArray, low: FloatArray | float, high: FloatArray | float) -> NDArray[np.bool_]:
    return np.isinf(values) | (values < low) | (values > high)
