"""`Score`: a published clinical score, and what of it is known of each patient by a landmark day.

A score is arithmetic on a few laboratory values in the units of its paper. Nothing is learnt: the same numbers come out
for one served patient and for a cohort. A patient of whom an input is not known has no score; none is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.analytes import convert_analyte, find
from features.baseline import Flags, flags
from features.errors import SequelaError
from features.landmark import landmark_columns
from features.patients import FloatArray, Patients, TextArray
from features.schema import Variable
from features.units import UnitError


@dataclass(frozen=True, slots=True)
class Group:
    """A named range of a score: from `low` up to where the next group begins."""

    name: str
    low: float = -np.inf
    low_included: bool = True


@dataclass(frozen=True, slots=True)
class Score:
    """A published score: its inputs with their units, its formula, and how its paper divides it."""

    name: str
    title: str
    citation: str
    inputs: Mapping[str, str]
    """Laboratory analytes, with the UCUM unit in which the formula takes each."""
    formula: Callable[[Mapping[str, FloatArray]], FloatArray]
    """Inputs (n,) by name, all known, to the score (n,)."""
    range: tuple[float, float]
    """Lowest and highest value the score can take."""
    when: str
    """Which day the inputs should be from."""
    groups: tuple[Group, ...] = ()
    """Named ranges, ascending; the first begins at minus infinity. Empty where the paper gives no cut-off."""
    coded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Inputs that no laboratory measures, with their allowed values; the formula takes the index of the value."""
    ratio: bool = False
    """Whether the score is a positive ratio, skewed to the right, that is analysed as its logarithm to base 2."""
    of_its_day: bool = False
    """Whether the score describes the day it is taken on: then the latest measurement goes before baseline."""

    def compute(self, inputs: Mapping[str, ArrayLike]) -> FloatArray:
        """The score from its inputs in the units of `inputs`, and the indices of the values of `coded`.

        Args:
            inputs: Every input by name, each (n,) or a scalar.

        Returns:
            (n,): NaN where an input is missing, negative or no allowed code, or the formula divides by 0.

        Raises:
            SequelaError: An input is not named, or a name is no input.
        """
        names = (*self.inputs, *self.coded)
        if set(inputs) != set(names):
            wrong = ", ".join(sorted(set(inputs) ^ set(names)))
            msg = f"score {self.name}: {wrong} is missing or is no input. Give exactly {', '.join(names)}."
            raise SequelaError(msg)
        arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(inputs[name], dtype=float)) for name in names))
        values = {name: cast("FloatArray", array) for name, array in zip(names, arrays, strict=True)}
        usable = np.logical_and.reduce([self._usable(name, array) for name, array in values.items()])
        with np.errstate(all="ignore"):
            result = self.formula(values)
        return np.where(usable & np.isfinite(result), result, np.nan)

    def _usable(self, name: str, values: FloatArray) -> NDArray[np.bool_]:
        """Where an input is a number that it can be."""
        if name in self.coded:
            return np.isin(values, np.arange(len(self.coded[name])))
        return np.isfinite(values) & (values >= 0)

    def group(self, values: FloatArray) -> TextArray:
        """Name of the group of each value (n,); None where the score is missing or has no groups."""
        named = np.full(len(values), None, dtype=object)
        for group in self.groups:
            named[(values >= group.low) if group.low_included else (values > group.low)] = group.name
        return named

    def log2(self, values: FloatArray) -> FloatArray:
        """Logarithm to base 2 of a ratio (n,); NaN where it is not above 0: its inputs were below detection."""
        return np.log2(values, out=np.full(len(values), np.nan), where=values > 0)

    def lacking(self, variables: Mapping[str, Variable]) -> tuple[str, ...]:
        """The inputs that no variable of the cohort is."""
        return tuple(name for name in (*self.inputs, *self.coded) if self.variable_of(name, variables) is None)

    def variable_of(self, name: str, variables: Mapping[str, Variable]) -> str | None:
        """The cohort's variable that is this input: an analyte by LOINC, name or alias, a coded input by its name."""
        if name in self.coded:
            return name if name in variables else None
        return find(name, variables)


@dataclass(frozen=True, slots=True)
class ScoreInputs:
    """What is known of a score's inputs by each row's landmark."""

    values: Mapping[str, FloatArray]
    """(rows,) by name of input, in the units that `Score.compute` takes; NaN where not known."""
    missing: Flags
    """For each row, the inputs that are not known."""


def score_inputs(score: Score, patients: Patients, variables: Mapping[str, Variable]) -> ScoreInputs:
    """The inputs of a score by each row's landmark day; nothing measured later enters.

    Of a score taken before lymphodepletion, the baseline variable that is the analyte, and where the patient has none,
    the last finite measurement with day ≤ landmark day (of several on its day, the largest). Of a score `of_its_day`,
    the measurement first, the baseline variable where there is none.

    Args:
        score: The score.
        patients: (rows,). Impossible values are to be removed before (`features.baseline.impossible`).
        variables: What the cohort declares; its units are those of the values.

    Raises:
        SequelaError: The cohort has no variable for an input, or one that cannot be that input (kind, unit, levels).
    """
    lacking = score.lacking(variables)
    if lacking:
        msg = (
            f"score {score.name} needs {', '.join(lacking)}, and no variable of the cohort is that. "
            f"Declare it in cohort.yaml, a laboratory value as numeric with its LOINC code, or leave {score.name} out."
        )
        raise SequelaError(msg)
    values = {name: _known(score, name, patients, variables) for name in (*score.inputs, *score.coded)}
    masks = {name: np.isnan(column) for name, column in values.items()}
    return ScoreInputs(values, flags(masks, len(patients)))


def _known(score: Score, name: str, patients: Patients, variables: Mapping[str, Variable]) -> FloatArray:
    """One input (rows,), in the formula's unit or as the index of its code."""
    empty = np.full(len(patients), np.nan)
    # A study may hold the analyte twice: once at baseline, once as a repeated measurement under another name.
    at_baseline = score.variable_of(name, _only(variables, patients.baseline))
    measured = score.variable_of(name, _only(variables, patients.measurements.names))
    baseline = empty
    if at_baseline is not None:
        baseline = _read(score, name, at_baseline, variables, patients.baseline[at_baseline])
    latest = empty
    if measured is not None:
        last = landmark_columns(patients, [measured], ["last"])[f"{measured}:last"]
        latest = _read(score, name, measured, variables, last)
    first, second = (latest, baseline) if score.of_its_day else (baseline, latest)
    return np.where(np.isnan(first), second, first)


def _only(variables: Mapping[str, Variable], names: Iterable[str]) -> dict[str, Variable]:
    present = set(names)
    return {name: variable for name, variable in variables.items() if name in present}


def _read(
    score: Score, name: str, column: str, variables: Mapping[str, Variable], values: FloatArray | TextArray
) -> FloatArray:
    """Values of the cohort's variable `column` as the formula takes the input `name`; NaN where they are not finite."""
    variable = variables[column]
    if name in score.coded and variable.kind != "numeric":
        return _codes(score, name, variable, cast("TextArray", values))
    numbers = values.astype(float)
    numbers = np.where(np.isfinite(numbers), numbers, np.nan)
    if name in score.coded:
        return np.where(np.isin(numbers, np.arange(len(score.coded[name]))), numbers, np.nan)
    try:
        return convert_analyte(numbers, variable.unit, score.inputs[name], name)
    except UnitError as error:
        msg = f"score {score.name}: variable {column} cannot be read as {name} in {score.inputs[name]}: {error}"
        raise SequelaError(msg) from error


def _codes(score: Score, name: str, variable: Variable, values: TextArray) -> FloatArray:
    """Index of each value among the allowed ones; NaN where it is none of them."""
    allowed = score.coded[name]
    strange = [level for level in variable.levels or () if level not in allowed]
    if strange:
        msg = (
            f"score {score.name}: variable {name} has the level {strange[0]!r}; allowed are {', '.join(allowed)}. "
            f"Rename the levels in cohort.yaml and in the table."
        )
        raise SequelaError(msg)
    index = {level: float(i) for i, level in enumerate(allowed)}
    return np.array([index.get(value, np.nan) for value in values], dtype=float)
