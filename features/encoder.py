"""`PatientEncoder`: what is fitted inside the fold. Patients in, matrix out; the same code in training and serving."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from features.baseline import BaselineEncoder, impossible
from features.cells.samples import PSEUDOBULK, SampleFeature, SampleFeatures
from features.errors import SequelaError
from features.landmark import Statistic, landmark_columns
from features.patients import FloatArray, Patients
from features.scaling import ColumnScaler
from features.schema import CellsCard, CohortCard, Frozen, Variable


class FeatureConfig(Frozen):
    """Which features a model sees. Names of variables are patterns: ``*`` is all, ``cd4_*`` those that begin so."""

    baseline: tuple[str, ...] = ("*",)
    """Baseline variables."""
    measurements: tuple[str, ...] = ("*",)
    """Repeatedly measured variables."""
    statistics: tuple[Statistic, ...] = ("last", "age", "slope", "min", "max")
    """What is computed from each measured variable up to the landmark."""
    cells: tuple[SampleFeature, ...] = ("composition", "pseudobulk", "programs")
    """What is computed from the cells of each material's latest sample."""
    pseudobulk_components: int = 8
    """Principal components kept of the cell-type pseudobulks, at most a tenth of the training patients."""
    minimum_observed: float = 0.1
    """A column observed in a smaller share of the training rows is left out."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """The matrix a model sees, and what was not as usual about each patient."""

    x: FloatArray
    """(rows, features)."""
    missing: tuple[tuple[str, ...], ...]
    """For each row, what was missing and was imputed: ``baseline.ferritin``, ``measurements.crp``, ``samples.blood`` if
    nothing is known of it, else the single feature, e.g. ``measurements.crp:slope``."""
    outside: tuple[tuple[str, ...], ...]
    """For each row, the features outside the central 99 % of the training rows, e.g. ``baseline.age``."""
    impossible: tuple[tuple[str, ...], ...]
    """For each row, the variables with a value outside their plausible range, treated as missing."""
    unseen: tuple[tuple[str, ...], ...]
    """For each row, the categorical variables with a level unseen in training, treated as no known level."""


@dataclass(frozen=True, slots=True)
class PatientEncoder:
    """Baseline, measurements and samples to one standardised matrix. Fitted on the patients of a training fold only."""

    variables: Mapping[str, Variable]
    """What the cohort declared of every variable in use."""
    baseline: BaselineEncoder
    measured: tuple[str, ...]
    statistics: tuple[Statistic, ...]
    samples: SampleFeatures | None
    scaler: ColumnScaler

    @classmethod
    def fit(cls, patients: Patients, card: CohortCard, config: FeatureConfig) -> PatientEncoder:
        """Learn levels, components, imputation and scale from training patients."""
        baseline = BaselineEncoder.fit(patients, card.variables, _matching(patients.baseline, config.baseline))
        measured = tuple(_matching(patients.measurements.names, config.measurements))
        cells = card.cells or CellsCard()
        samples = SampleFeatures.fit(
            patients,
            config.cells,
            config.pseudobulk_components,
            counts=cells.values == "counts",
            programs=cells.programs,
        )
        used = {name: card.variables[name] for name in dict.fromkeys((*baseline.names, *measured))}
        unscaled = cls(used, baseline, measured, config.statistics, samples, ColumnScaler.empty())
        columns = unscaled.columns(patients)
        scaler = ColumnScaler.fit(columns, minimum_observed=config.minimum_observed)
        return cls(used, baseline, measured, config.statistics, samples, scaler)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of the matrix."""
        return self.scaler.output_names

    def columns(self, patients: Patients) -> dict[str, FloatArray]:
        """Unscaled columns (rows,) by name, NaN where missing; nothing after the landmark enters."""
        patients = impossible(patients, self.variables)[0]
        columns = {"landmark_day": patients.landmark_day}
        columns |= self.baseline.columns(patients)
        columns |= landmark_columns(patients, self.measured, self.statistics)
        if self.samples is not None:
            columns |= self.samples.columns(patients)
        return columns

    def transform(self, patients: Patients) -> FloatArray:
        """The matrix (rows, features), without the report."""
        return self.scaler.transform(self.columns(patients))

    def encode(self, patients: Patients) -> Encoded:
        """The matrix with a report for each row."""
        columns = self.columns(patients)
        missing, outside = self.scaler.report(columns)
        return Encoded(
            self.scaler.transform(columns),
            tuple(map(self._condensed, missing)),
            tuple(tuple(dict.fromkeys(map(self._place, names))) for names in outside),
            impossible(patients, self.variables)[1],
            self.baseline.unseen(patients),
        )

    def _place(self, column: str) -> str:
        """Where in a patient's record a column comes from."""
        if column == "landmark_day":
            return column
        source, _, _ = column.partition(":")
        if source in self.measured and ":" in column:
            return f"measurements.{column}"
        if self.samples is not None and source in (*self.samples.materials, PSEUDOBULK):
            return f"samples.{column}"
        return f"baseline.{column.partition('=')[0]}"

    def _condensed(self, missing: Sequence[str]) -> tuple[str, ...]:
        """Sources of which nothing is known by their own name, else the columns; pseudobulks go without saying."""
        of_source = Counter(self._place(column.name).partition(":")[0] for column in self.scaler.kept)
        gone = Counter(self._place(name).partition(":")[0] for name in missing)
        named = []
        for name in missing:
            source = self._place(name).partition(":")[0]
            named.append(source if gone[source] == of_source[source] else self._place(name))
        return tuple(name for name in dict.fromkeys(named) if not name.startswith(f"samples.{PSEUDOBULK}"))

    def state(self) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        """Plain JSON and named arrays that `from_state` rebuilds the encoder from."""
        sizes: dict[str, Any] = {
            "variables": {name: v.model_dump(mode="json", exclude_defaults=True) for name, v in self.variables.items()},
            "baseline": self.baseline.state(),
            "measured": list(self.measured),
            "statistics": list(self.statistics),
            "scaler": self.scaler.state(),
            "samples": None,
        }
        if self.samples is None:
            return sizes, {}
        sizes["samples"], arrays = self.samples.state()
        return sizes, arrays

    @classmethod
    def from_state(cls, sizes: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> PatientEncoder:
        """Rebuild what `state` described."""
        samples = sizes["samples"]
        return cls(
            {name: Variable.model_validate(variable) for name, variable in sizes["variables"].items()},
            BaselineEncoder.from_state(sizes["baseline"]),
            tuple(sizes["measured"]),
            tuple(sizes["statistics"]),
            None if samples is None else SampleFeatures.from_state(samples, arrays),
            ColumnScaler.from_state(sizes["scaler"]),
        )


def _matching(names: Mapping[str, object] | Sequence[str], patterns: Sequence[str]) -> list[str]:
    """The names that match any pattern, in their own order.

    Raises:
        SequelaError: A pattern other than ``*`` matches none: it is misspelt, or the cohort lacks the variable.
    """
    for pattern in patterns:
        if pattern != "*" and not any(fnmatchcase(name, pattern) for name in names):
            near = get_close_matches(pattern, list(names), n=1)
            msg = f"features: no variable matches {pattern}" + (f"; did you mean {near[0]}?" if near else "")
            raise SequelaError(msg)
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
