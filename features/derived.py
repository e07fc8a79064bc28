"""Features that several variables or events make together: thresholds, scores, grades, history, an InflaMix mixture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from features.analytes import find
from features.config import FeatureConfig, Grade
from features.errors import SequelaError
from features.history import history_columns
from features.landmark import Thresholds, landmark_columns
from features.patients import FloatArray, Measurements, Patients
from features.schema import Variable
from features.scores import SCORES, score_columns
from features.scores.icaht import icaht_columns
from features.scores.inflamix import LABS, InflaMix, Lab
from features.scores.score import Score
from features.scores.thrombocytopenia import t_icaht_columns
from features.units import same_dimension

GRADED: Mapping[Grade, str] = {"icaht": "anc", "t_icaht": "platelets"}
"""The analyte whose daily counts a grade is read from."""
_EVENT = "prior "
_INFLAMIX = "inflamix"
_NO_ANALYTES: frozenset[Lab] = frozenset({"il10", "tnf_alpha"})


@dataclass(frozen=True, slots=True)
class DerivedFeatures:
    """What is computed beyond each variable's own columns; the mixture is fitted, the rest only chosen."""

    baseline_inputs: tuple[str, ...] = ()
    """Baseline variables that scores take."""
    measured_inputs: tuple[str, ...] = ()
    """Measured variables that scores, grades and thresholds take."""
    scores: tuple[str, ...] = ()
    grades: Mapping[str, str] = field(default_factory=dict)
    """Measured variable of each grade."""
    thresholds: Mapping[str, Thresholds] = field(default_factory=dict)
    events: tuple[str, ...] = ()
    recent_days: float = 30.0
    inflamix: InflaMix | None = None

    @classmethod
    def fit(cls, patients: Patients, variables: Mapping[str, Variable], config: FeatureConfig) -> DerivedFeatures:
        """Choose inputs from what the training patients have, and fit the mixture.

        Raises:
            SequelaError: A score, grade or threshold names what the cohort does not have.
        """
        at_baseline = {name: variables[name] for name in patients.baseline if name in variables}
        measured = {name: variables[name] for name in patients.measurements.names if name in variables}
        grades: dict[str, str] = {grade: _graded(grade, measured) for grade in config.grades}
        _require_measured(config.thresholds, measured)
        present = at_baseline | measured
        _require_scores(config.scores, present)
        scored = [(score, name) for score in _scores(config.scores) for name in (*score.inputs, *score.coded)]
        mixture = InflaMix.fit(patients, variables, _labs(present), seed=0) if config.inflamix else None
        labs = () if mixture is None else mixture.variables
        from_baseline = [score.variable_of(name, at_baseline) for score, name in scored]
        from_measured = [score.variable_of(name, measured) for score, name in scored]
        return cls(
            _unique((*from_baseline, *(lab for lab in labs if lab in at_baseline))),
            _unique((*from_measured, *grades.values(), *config.thresholds, *(lab for lab in labs if lab in measured))),
            config.scores,
            grades,
            config.thresholds,
            tuple(matching(patients.events.names, config.events, "features.events", "event")),
            config.recent_days,
            mixture,
        )

    def columns(self, patients: Patients, variables: Mapping[str, Variable]) -> dict[str, FloatArray]:
        """Columns (rows,) by name, NaN where missing; nothing after the landmark enters."""
        columns = landmark_columns(patients, (), (), self.thresholds) if self.thresholds else {}
        columns |= score_columns(patients, variables, self.scores)
        for grade, name in self.grades.items():
            of_grade = icaht_columns if grade == "icaht" else t_icaht_columns
            columns |= of_grade(patients, name, unit=variables[name].unit)
        history = history_columns(patients.landmark_day, patients.events, self.events, (self.recent_days,))
        columns |= {f"{_EVENT}{name}": values for name, values in history.items()}
        if self.inflamix is not None:
            columns |= self.inflamix.columns(patients)
        return columns

    def place(self, column: str) -> str | None:
        """Where in a patient's record a column comes from; None for columns of a variable."""
        event = column.removeprefix(_EVENT)
        if event != column and event.rpartition(":")[0] in self.events:
            return f"events.{event}"
        if column in self.scores or (column == _INFLAMIX and self.inflamix is not None):
            return f"scores.{column}"
        return None

    def state(self) -> dict[str, Any]:
        """Plain JSON that `from_state` rebuilds the features from."""
        return {
            "baseline_inputs": list(self.baseline_inputs),
            "measured_inputs": list(self.measured_inputs),
            "scores": list(self.scores),
            "grades": dict(self.grades),
            "thresholds": {name: limits.model_dump(mode="json") for name, limits in self.thresholds.items()},
            "events": list(self.events),
            "recent_days": self.recent_days,
            "inflamix": None if self.inflamix is None else self.inflamix.state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> DerivedFeatures:
        """Rebuild what `state` described; artifacts of the first format describe nothing."""
        if not state:
            return cls()
        return cls(
            tuple(state["baseline_inputs"]),
            tuple(state["measured_inputs"]),
            tuple(state["scores"]),
            dict(state["grades"]),
            {name: Thresholds.model_validate(limits) for name, limits in state["thresholds"].items()},
            tuple(state["events"]),
            state["recent_days"],
            None if state["inflamix"] is None else InflaMix.from_state(state["inflamix"]),
        )


def _scores(names: Sequence[str]) -> Iterator[Score]:
    """The scores meant, whatever their scale."""
    for name in names:
        yield SCORES[name.partition(":")[0]]


def _require_scores(names: Sequence[str], variables: Mapping[str, Variable]) -> None:
    """Refuse scores that do not exist, or that these variables cannot give."""
    baseline = {name: np.zeros(0) for name in variables}
    nobody = Patients(np.zeros(0, dtype=object), np.zeros(0), baseline, Measurements.empty(0))
    try:
        score_columns(nobody, variables, names)
    except SequelaError as error:
        msg = f"features.scores: {error}"
        raise SequelaError(msg) from error


def _require_measured(names: Iterable[str], measured: Mapping[str, Variable]) -> None:
    """Refuse thresholds of what was not measured."""
    for name in names:
        if name not in measured:
            raise SequelaError(f"features.thresholds: no measured variable is called {name!r}; {_near(name, measured)}")


def _labs(variables: Mapping[str, Variable]) -> dict[Lab, str]:
    """What the patients' variables call the laboratory values of InflaMix that they have."""
    found = {lab: _lab(lab, variables) for lab in LABS}
    return {lab: name for lab, name in found.items() if name is not None}


def _lab(lab: Lab, variables: Mapping[str, Variable]) -> str | None:
    """The variable that is a laboratory value; one that is no analyte known here goes by its name."""
    if lab in _NO_ANALYTES:
        return lab if lab in variables and variables[lab].kind == "numeric" else None
    return find(lab, variables)


def _graded(grade: Grade, measured: Mapping[str, Variable]) -> str:
    """The measured variable that a grade is read from."""
    name = find(GRADED[grade], measured)
    if name is None:
        msg = (
            f"features.grades: {grade} needs repeated counts of {GRADED[grade]}, and no measured variable is that. "
            "Declare it in cohort.yaml under this name or with its LOINC code, or leave the grade out."
        )
        raise SequelaError(msg)
    unit = measured[name].unit
    if not same_dimension(unit, "10*9/L"):
        msg = f"features.grades: {grade} needs counts of cells, as in 10*9/L, and {name} is in {unit!r}"
        raise SequelaError(f"{msg}. Correct its unit in cohort.yaml, or leave the grade out.")
    return name


def _unique(names: Sequence[str | None]) -> tuple[str, ...]:
    return tuple(name for name in dict.fromkeys(names) if name is not None)


def matching(names: Iterable[str], patterns: Sequence[str], place: str, what: str = "variable") -> list[str]:
    """The names that match any pattern, in their own order.

    Args:
        names: Names that there are.
        patterns: As `fnmatch` takes them, with capitals and small letters told apart.
        place: Key of the configuration that holds the patterns, for the message.
        what: What the names are names of, for the message.

    Raises:
        SequelaError: A pattern other than ``*`` matches none: it is misspelt, or the cohort lacks the variable.
    """
    names = list(names)
    for pattern in patterns:
        if pattern != "*" and not any(fnmatchcase(name, pattern) for name in names):
            msg = f"{place}: no {what} of the cohort matches {pattern!r}; {_near(pattern, names)}"
            raise SequelaError(msg)
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _near(name: str, valid: Iterable[str]) -> str:
    """What may have been meant, or what there is, and what to do."""
    known = sorted(valid)
    near = get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]}?"
    some = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
    return f"there are {some}. Correct it or leave it out." if known else "there are none. Leave it out."
