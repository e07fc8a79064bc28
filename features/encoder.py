"""`PatientEncoder`: what is fitted inside the fold. Patients in, matrix out; the same code in training and serving."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from features.baseline import BaselineEncoder, impossible
from features.cells.processing import CellProcessor
from features.cells.samples import JOINT, SampleFeatures
from features.config import FeatureConfig
from features.derived import DerivedFeatures, matching
from features.errors import SequelaError
from features.landmark import Statistic, landmark_columns
from features.patients import FloatArray, Patients
from features.scaling import ColumnScaler
from features.schema import CellsCard, CohortCard, Variable

_PROCESSING = "processing."


@dataclass(frozen=True, slots=True)
class Encoded:
    """The matrix a model sees, and what was not as usual about each patient."""

    x: FloatArray
    """(rows, features)."""
    values: FloatArray
    """(rows, inputs): columns as they came, NaN where missing; see `PatientEncoder.input_names`."""
    missing: tuple[tuple[str, ...], ...]
    """For each row, what was missing and was imputed: ``baseline.ferritin``, ``measurements.crp``, ``samples.blood`` if
    nothing is known of it, else the single feature, e.g. ``measurements.crp:slope``."""
    outside: tuple[tuple[str, ...], ...]
    """For each row, the features outside the central 99 % of the training rows, e.g. ``baseline.age``."""
    impossible: tuple[tuple[str, ...], ...]
    """For each row, the variables with a value outside their plausible range, treated as missing."""
    unseen: tuple[tuple[str, ...], ...]
    """For each row, the variables with a level unseen in training: no known level, or the rank of a declared one."""


@dataclass(frozen=True, slots=True)
class PatientEncoder:
    """Clinic, history and samples to one standardised matrix. Fitted on the patients of a training fold only."""

    variables: Mapping[str, Variable]
    """What the cohort declared of every variable in use."""
    baseline: BaselineEncoder
    measured: tuple[str, ...]
    statistics: tuple[Statistic, ...]
    samples: SampleFeatures | None
    scaler: ColumnScaler
    derived: DerivedFeatures = field(default_factory=DerivedFeatures)
    """What is computed from variables and events beyond each variable's own columns."""
    processor: CellProcessor | None = None
    """How cells were processed before they came here; None in artifacts of the first format."""
    _placed: Mapping[str, str] = field(init=False, repr=False, compare=False)
    """Of each kept column, its place in a patient's record."""
    _of_source: Counter[str] = field(init=False, repr=False, compare=False)
    """Kept columns by the place without what follows a colon."""

    def __post_init__(self) -> None:
        placed = {column.name: self._place(column.name) for column in self.scaler.kept}
        object.__setattr__(self, "_placed", placed)
        object.__setattr__(self, "_of_source", Counter(place.partition(":")[0] for place in placed.values()))

    @classmethod
    def fit(cls, patients: Patients, card: CohortCard, config: FeatureConfig) -> PatientEncoder:
        """Learn levels, components, imputation and scale from training patients.

        Raises:
            SequelaError: The configuration names what the cohort does not have, or what cannot be computed from it.
        """
        patients = impossible(patients, card.variables)[0]
        at_baseline = matching(patients.baseline, config.baseline, "features.baseline")
        baseline = BaselineEncoder.fit(patients, card.variables, at_baseline)
        measured = tuple(matching(patients.measurements.names, config.measurements, "features.measurements"))
        cells = card.cells or CellsCard()
        if config.cells and config.processing.cofactor is not None and cells.values == "counts":
            msg = "features.processing.cofactor: it is of intensities, and cohort.yaml declares cells.values: counts"
            raise SequelaError(f"{msg}. Declare values: intensities, or leave the cofactor out.")
        samples = SampleFeatures.fit(
            patients,
            config.cells,
            config.pseudobulk_components,
            counts=cells.values == "counts",
            programs=cells.programs,
            n_variable_genes=config.variable_genes,
            human_genes=cells.genes == "genes",
        )
        derived = DerivedFeatures.fit(patients, card.variables, config)
        _require_names(baseline, derived)
        used = (*baseline.names, *measured, *derived.baseline_inputs, *derived.measured_inputs)
        variables = {name: card.variables[name] for name in dict.fromkeys(used)}
        unscaled = cls(variables, baseline, measured, config.statistics, samples, ColumnScaler.empty(), derived)
        scaler = ColumnScaler.fit(unscaled.columns(patients), minimum_observed=config.minimum_observed)
        processor = None if samples is None else CellProcessor(config.processing, counts=cells.values == "counts")
        return replace(unscaled, scaler=scaler, processor=processor)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of the matrix."""
        return self.scaler.output_names

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the columns that are kept, without indicators of what is missing."""
        return tuple(column.name for column in self.scaler.kept)

    @property
    def column_sources(self) -> tuple[str, ...]:
        """For each column of the matrix, what a person would call it: the part of a patient's record it comes from.

        ``baseline.product`` for each of its levels, ``measurements.ferritin`` for each of its statistics,
        ``samples.blood``, ``events.infection``, ``scores.inflamix``, ``landmark_day``; a missing-value indicator has
        the source whose value is missing.
        """
        kept = self.scaler.kept
        return tuple(self.source(column.name) for column in (*kept, *(c for c in kept if c.indicator)))

    @property
    def baseline_inputs(self) -> tuple[str, ...]:
        """Baseline variables that a patient may bring."""
        return tuple(dict.fromkeys((*self.baseline.names, *self.derived.baseline_inputs)))

    @property
    def measured_inputs(self) -> tuple[str, ...]:
        """Repeatedly measured variables that a patient may bring."""
        return tuple(dict.fromkeys((*self.measured, *self.derived.measured_inputs)))

    @property
    def events(self) -> tuple[str, ...]:
        """Events that a patient may bring."""
        return self.derived.events

    def columns(self, patients: Patients) -> dict[str, FloatArray]:
        """Unscaled columns (rows,) by name, NaN where missing; nothing after the landmark enters."""
        return self._columns(impossible(patients, self.variables)[0])

    def _columns(self, patients: Patients) -> dict[str, FloatArray]:
        """`columns` of patients without impossible values."""
        columns = {"landmark_day": patients.landmark_day}
        columns |= self.baseline.columns(patients)
        columns |= landmark_columns(patients, self.measured, self.statistics)
        columns |= self.derived.columns(patients, self.variables)
        if self.samples is not None:
            absent = patients.samples is None  # as with most who ask a service: nothing need be computed
            columns |= self._without_samples(len(patients)) if absent else self.samples.columns(patients)
        return columns

    def _without_samples(self, n_rows: int) -> dict[str, FloatArray]:
        """Kept columns of samples, of rows that have none."""
        unknown = np.full(n_rows, np.nan)
        return {name: unknown for name, place in self._placed.items() if place.startswith("samples.")}

    def transform(self, patients: Patients) -> FloatArray:
        """The matrix (rows, features), without the report."""
        return self.scaler.transform(self.columns(patients))

    def encode(self, patients: Patients) -> Encoded:
        """The matrix with a report for each row."""
        patients, could_not_be = impossible(patients, self.variables)
        values = self.scaler.values(self._columns(patients))
        missing, outside = self.scaler.report(values)
        condensed = {names: self._condensed(names) for names in set(missing)}  # many rows lack the same
        return Encoded(
            self.scaler.matrix(values),
            values,
            tuple(condensed[names] for names in missing),
            tuple(tuple(dict.fromkeys(self._placed[name] for name in names)) for names in outside),
            could_not_be,
            self.baseline.unseen(patients),
        )

    def _place(self, column: str) -> str:
        """Where in a patient's record a column comes from."""
        if column == "landmark_day":
            return column
        derived = self.derived.place(column)
        if derived is not None:
            return derived
        source, _, _ = column.partition(":")
        if source in self.measured_inputs and ":" in column:
            return f"measurements.{column}"
        if self.samples is not None and source in (*self.samples.materials, *JOINT):
            return f"samples.{column}"
        return f"baseline.{column.partition('=')[0]}"

    def source(self, column: str) -> str:
        """The place of a column without the statistic, component or scale."""
        place = self._place(column)
        if place.startswith("events."):
            return place.rpartition(":")[0]  # the name of an event may itself hold a colon
        return place.partition(":")[0] if place.startswith(("measurements.", "samples.", "scores.")) else place

    def _condensed(self, missing: Sequence[str]) -> tuple[str, ...]:
        """Sources of which nothing is known by their own name, else the columns.

        Components of all materials together go without saying, and what has not happened is not missing.
        """
        sources = [self._placed[name].partition(":")[0] for name in missing]
        gone = Counter(sources)
        named = [
            source if gone[source] == self._of_source[source] else self._placed[name]
            for name, source in zip(missing, sources, strict=True)
        ]
        unsaid = (*(f"samples.{name}" for name in JOINT), "events.")
        return tuple(name for name in dict.fromkeys(named) if not name.startswith(unsaid))

    def state(self) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        """Plain JSON and named arrays that `from_state` rebuilds the encoder from."""
        sizes: dict[str, Any] = {
            "variables": {name: v.model_dump(mode="json", exclude_defaults=True) for name, v in self.variables.items()},
            "baseline": self.baseline.state(),
            "measured": list(self.measured),
            "statistics": list(self.statistics),
            "scaler": self.scaler.state(),
            "derived": self.derived.state(),
            "samples": None,
        }
        if self.samples is None:
            return sizes, {}
        sizes["samples"], arrays = self.samples.state()
        if self.processor is not None:
            sizes["processing"], of_processing = self.processor.state()
            arrays |= {f"{_PROCESSING}{name}": array for name, array in of_processing.items()}
        return sizes, arrays

    @classmethod
    def from_state(cls, sizes: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> PatientEncoder:
        """Rebuild what `state` described."""
        samples, processing = sizes["samples"], sizes.get("processing")
        of_processing = {n.removeprefix(_PROCESSING): a for n, a in arrays.items() if n.startswith(_PROCESSING)}
        return cls(
            {name: Variable.model_validate(variable) for name, variable in sizes["variables"].items()},
            BaselineEncoder.from_state(sizes["baseline"]),
            tuple(sizes["measured"]),
            tuple(sizes["statistics"]),
            None if samples is None else SampleFeatures.from_state(samples, arrays),
            ColumnScaler.from_state(sizes["scaler"]),
            DerivedFeatures.from_state(sizes.get("derived", {})),
            None if processing is None else CellProcessor.from_state(processing, of_processing),
        )


def _require_names(baseline: BaselineEncoder, derived: DerivedFeatures) -> None:
    """Refuse a baseline variable that has the name of what is computed: one would silently replace the other."""
    for name in baseline.names:
        if derived.place(name) is not None:
            msg = f"features.baseline: the variable {name!r} has the name of a feature that is computed"
            raise SequelaError(f"{msg}. Rename it in cohort.yaml and patients.csv, or leave one of the two out.")
