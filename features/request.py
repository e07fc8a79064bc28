"""A patient in a request: the cohort folder in small. What is wrong with it is said by field, never by value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from features.analytes import analyte_of, convert_analyte
from features.cells.bag import UNLABELLED, Bags, CellBag
from features.cells.genes import resolve
from features.cells.summary import CellSummary, summarise
from features.encoder import PatientEncoder
from features.errors import InputError, SequelaError
from features.patients import Clones, Events, FloatArray, IntArray, Measurements, Patients, Samples, TextArray
from features.schema import Endpoint, Frozen, Variable
from features.units import UnitError

MAX_VALUES = 20_000_000
"""Largest number of non-zero values in one sample's cells."""


MAX_COUNT = 10_000_000
"""Largest believable count of one gene in one cell."""


class Quantity(Frozen):
    """A value with its unit."""

    value: float
    unit: str
    """UCUM; converted to the unit the model was trained in."""


class MeasurementRecord(Frozen):
    """One value of a repeatedly measured variable."""

    variable: str
    day: float
    """Days since infusion."""
    value: float
    unit: str | None = None
    """UCUM; absent: the unit the model was trained in."""


class EventRecord(Frozen):
    """One event that has happened to the patient."""

    event: str
    """As named in the training cohort, e.g. ``infection``."""
    day: float
    """Days since infusion; events after the landmark are not used."""
    grade: Annotated[int, Field(ge=1, le=5)] | None = None


class CloneRecord(Frozen):
    """One clone of a sample: a T-cell receptor, or a site of vector integration."""

    locus: Literal["tcr", "integration"]
    clone: Annotated[str, Field(min_length=1, max_length=200)]
    """Its identity within the sample."""
    abundance: Annotated[float, Field(gt=0)]
    """Cells, or distinct fragments, of the clone."""
    near_oncogene: bool | None = None


class SampleRecord(Frozen):
    """One sample: its cells as a sparse matrix (cells, genes) in CSR form, its clones, or both."""

    material: str
    """For example ``infusion_product`` or ``blood``."""
    day: float
    """Days since infusion."""
    genes: tuple[str, ...] = ()
    """Gene symbols or Ensembl ids; empty when only clones were measured."""
    indptr: tuple[int, ...] = (0,)
    """(cells + 1,): values of cell i are ``indptr[i]:indptr[i + 1]``."""
    indices: tuple[int, ...] = ()
    """(values,): position in `genes` of each value."""
    values: tuple[float, ...] = ()
    """(values,): raw counts, or intensities where the model was trained on intensities."""
    cell_types: tuple[str, ...] | None = None
    """(cells,): label of each cell."""
    clones: tuple[CloneRecord, ...] = ()
    """Clones of the sample, each once."""

    @model_validator(mode="after")
    def _complete(self) -> SampleRecord:
        if self.genes and len(self.indptr) < 2:
            msg = "indptr holds one number more than there are cells, and there must be a cell where genes are given"
            raise ValueError(msg)
        if not self.genes and (len(self.indptr) > 1 or self.indices or self.values or not self.clones):
            msg = "genes must not be empty, unless only clones are given"
            raise ValueError(msg)
        if len({(clone.locus, clone.clone) for clone in self.clones}) < len(self.clones):
            msg = "clones must name a clone once; add its abundances up"
            raise ValueError(msg)
        return self


class PatientRecord(Frozen):
    """One patient seen from one landmark day. What is absent is imputed, and the answer says so."""

    patient_id: Annotated[str, Field(min_length=1, max_length=200)] = "patient"
    """Echoed in the answer; use a pseudonym."""
    landmark_day: float = 0.0
    """Days since infusion from which the prediction looks ahead."""
    baseline: dict[str, float | str | Quantity | None] = Field(default_factory=dict)
    """Baseline variables: numbers in the model's unit or with a unit, levels as text, null for unknown."""
    measurements: tuple[MeasurementRecord, ...] = ()
    """Repeated measurements; those after the landmark are not used."""
    samples: tuple[SampleRecord, ...] = ()
    """Samples with their cells or clones; those after the landmark are not used."""
    events: tuple[EventRecord, ...] = ()
    """What has happened so far; those after the landmark are not used."""


def to_patients(records: Sequence[PatientRecord], encoder: PatientEncoder) -> Patients:
    """Bring records into the form the encoder takes, checking every field against what the model knows.

    Raises:
        InputError: A variable is unknown to the model, or a value has the wrong type, unit, level or range.
    """
    checked = [_checked_baseline(record, f"patients[{i}]", encoder) for i, record in enumerate(records)]
    baseline = {
        name: _column(encoder.variables[name], [values.get(name) for values in checked])
        for name in encoder.baseline_inputs
    }
    return Patients(
        _texts([record.patient_id for record in records]),
        np.array([record.landmark_day for record in records], dtype=float),
        baseline,
        _measurements(records, encoder),
        _samples(records, encoder),
        _events(records, encoder),
    )


def requested_horizons(horizons_days: Sequence[float] | None, endpoint: Endpoint) -> tuple[float, ...]:
    """The horizons asked for, or the endpoint's.

    Raises:
        InputError: They do not ascend from above 0, or go beyond the last horizon of the endpoint.
    """
    if horizons_days is None:
        return endpoint.horizons_days
    last = endpoint.horizons_days[-1]
    before = 0.0
    for i, day in enumerate(horizons_days):
        if not before < day <= last:
            rule = f"must ascend from above 0 to at most {last:g} days, the last horizon the model was trained for"
            raise InputError(f"horizons_days[{i}]", rule)
        before = day
    return tuple(horizons_days)


def _checked_baseline(record: PatientRecord, place: str, encoder: PatientEncoder) -> dict[str, float | str | None]:
    known: dict[str, float | str | None] = {}
    for name, value in record.baseline.items():
        field = f"{place}.baseline.{name}"
        if name not in encoder.baseline_inputs:
            raise InputError(field, f"is no baseline variable of this model; it knows {_some(encoder.baseline_inputs)}")
        variable = encoder.variables[name]
        if value is None:
            known[name] = None
        elif variable.kind == "numeric":
            known[name] = _number(value, name, variable, field)
        else:
            known[name] = _level(value, variable, field)
    return known


def _number(value: float | str | Quantity, name: str, variable: Variable, field: str) -> float:
    """The value in the model's unit."""
    if isinstance(value, str):
        raise InputError(field, f"is text; the variable is numeric, in {variable.unit}")
    number = _converted(value.value, value.unit, name, variable, field) if isinstance(value, Quantity) else value
    if not np.isfinite(number):
        raise InputError(field, f"is too large once it is in {variable.unit}; check its unit")
    low, high = variable.range or (-np.inf, np.inf)
    if not low <= number <= high:
        raise InputError(field, f"is outside the possible range [{low:g}, {high:g}] {variable.unit}; check its unit")
    return number


def _converted(value: float, unit: str, name: str, variable: Variable, field: str) -> float:
    try:
        return float(convert_analyte(value, unit, variable.unit, analyte_of(name, variable)))
    except UnitError as error:
        raise InputError(f"{field}.unit", str(error)) from error


def _level(value: float | str | Quantity, variable: Variable, field: str) -> str:
    if not isinstance(value, str):
        raise InputError(field, f"is a number; the variable is {variable.kind} and takes text")
    if variable.levels is not None and value not in variable.levels:
        raise InputError(field, f"is not one of the levels {_some(variable.levels)}")
    return value


def _column(variable: Variable, values: list[float | str | None]) -> FloatArray | TextArray:
    if variable.kind == "numeric":
        return np.array([np.nan if value is None else value for value in values], dtype=float)
    return _texts(values)


def _measurements(records: Sequence[PatientRecord], encoder: PatientEncoder) -> Measurements:
    place = {name: i for i, name in enumerate(encoder.measured_inputs)}
    rows: list[int] = []
    variables: list[int] = []
    days: list[float] = []
    values: list[float] = []
    for i, record in enumerate(records):
        for j, measurement in enumerate(record.measurements):
            field = f"patients[{i}].measurements[{j}]"
            if measurement.variable not in place:
                known = _some(encoder.measured_inputs) or "none"
                raise InputError(f"{field}.variable", f"is not measured in this model; it knows {known}")
            variable = encoder.variables[measurement.variable]
            quantity = Quantity(value=measurement.value, unit=measurement.unit or variable.unit)
            rows.append(i)
            variables.append(place[measurement.variable])
            days.append(measurement.day)
            values.append(_number(quantity, measurement.variable, variable, f"{field}.value"))
    ints: list[IntArray] = [np.array(rows, dtype=np.int64), np.array(variables, dtype=np.int64)]
    day, value = np.array(days, dtype=float), np.array(values, dtype=float)
    return Measurements.from_columns(len(records), ints[0], encoder.measured_inputs, ints[1], day, value)


def _events(records: Sequence[PatientRecord], encoder: PatientEncoder) -> Events:
    place = {name: i for i, name in enumerate(encoder.events)}
    rows: list[int] = []
    found: list[EventRecord] = []
    for i, record in enumerate(records):
        for j, event in enumerate(record.events):
            if event.event not in place:
                known = _some(encoder.events) or "none"
                rule = f"is no event this model counts; it counts {known}"
                raise InputError(f"patients[{i}].events[{j}].event", rule)
            rows.append(i)
            found.append(event)
    return Events.from_columns(
        len(records),
        np.array(rows, dtype=np.int64),
        encoder.events,
        np.array([place[event.event] for event in found], dtype=np.int64),
        np.array([event.day for event in found], dtype=float),
        np.array([np.nan if event.grade is None else event.grade for event in found], dtype=float),
    )


def _samples(records: Sequence[PatientRecord], encoder: PatientEncoder) -> Samples | None:
    """All samples of the request, summarised, ordered by patient and day."""
    rows: list[int] = []
    samples: list[SampleRecord] = []
    bags: list[CellBag | None] = []
    summaries: list[CellSummary] = []
    for i, record in enumerate(records):
        for j, sample in sorted(enumerate(record.samples), key=lambda numbered: numbered[1].day):
            bag, summary = _cells(sample, f"patients[{i}].samples[{j}]", encoder)
            rows.append(i)
            samples.append(sample)
            bags.append(bag)
            summaries.append(summary)
    if not samples:
        return None
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(records)))]).astype(np.int64)
    return Samples(
        offsets,
        _texts([f"{i}" for i in range(len(samples))]),
        np.array([sample.day for sample in samples], dtype=float),
        _texts([sample.material for sample in samples]),
        CellSummary.concatenate(summaries),
        _clones(samples),
        Bags.of(bags),
    )


def _cells(sample: SampleRecord, field: str, encoder: PatientEncoder) -> tuple[CellBag | None, CellSummary]:
    """The cells of a sample, processed as those of training were, and their summary."""
    if encoder.samples is None:
        raise InputError(field, "this model uses no cells; leave samples out")
    if sample.material not in encoder.samples.materials:
        raise InputError(f"{field}.material", f"is unknown; the model knows {_some(encoder.samples.materials)}")
    if not sample.genes:
        return None, CellSummary.of_no_cells(1)
    bag = _bag(sample, field)
    if encoder.samples.counts and ((bag.values != np.floor(bag.values)) | (bag.values > MAX_COUNT)).any():
        raise InputError(f"{field}.values", f"must be raw counts: whole numbers up to {MAX_COUNT:,}")
    if encoder.samples.human_genes:
        bag = bag.renamed(resolve(bag.genes).canonical)
    share = len(set(bag.genes) & set(encoder.samples.genes)) / max(len(encoder.samples.genes), 1)
    minimum = 0.0 if encoder.processor is None else encoder.processor.config.minimum_overlap
    if share == 0 or share < minimum:
        rule = f"hold {share:.0%} of the model's genes, e.g. {_some(encoder.samples.genes)}; at least {minimum:.0%}"
        raise InputError(f"{field}.genes", f"{rule} are needed, and absent ones count as not expressed")
    try:
        numbers = None
        if encoder.processor is not None:
            bag, numbers = encoder.processor(bag)
        return bag, summarise(bag, counts=encoder.samples.counts, numbers=numbers)
    except SequelaError as error:
        raise InputError(f"{field}.values", str(error)) from error


def _clones(samples: Sequence[SampleRecord]) -> Clones:
    """The clones of all samples."""
    found = [clone for sample in samples for clone in sample.clones]
    near = [np.nan if clone.near_oncogene is None else float(clone.near_oncogene) for clone in found]
    return Clones(
        np.concatenate([[0], np.cumsum([len(sample.clones) for sample in samples])]).astype(np.int64),
        _texts([clone.locus for clone in found]),
        _texts([clone.clone for clone in found]),
        np.array([clone.abundance for clone in found], dtype=float),
        np.array(near, dtype=float),
    )


def _bag(sample: SampleRecord, field: str) -> CellBag:
    """The sample's matrix, once its three arrays agree."""
    if len(sample.values) > MAX_VALUES:
        raise InputError(f"{field}.values", f"holds more than {MAX_VALUES:,} values; send fewer cells")
    indptr, indices = _positions(sample.indptr, f"{field}.indptr"), _positions(sample.indices, f"{field}.indices")
    n_cells = len(indptr) - 1
    if len(set(sample.genes)) != len(sample.genes):
        raise InputError(f"{field}.genes", "names a gene twice")
    if indptr[0] != 0 or (np.diff(indptr) < 0).any() or indptr[-1] != len(sample.values):
        raise InputError(f"{field}.indptr", "must begin with 0, not decrease, and end with the number of values")
    if len(indices) != len(sample.values) or (indices < 0).any() or (indices >= len(sample.genes)).any():
        raise InputError(f"{field}.indices", "must be one for each value, each a position in genes")
    place = np.repeat(np.arange(n_cells), np.diff(indptr)) * len(sample.genes) + indices
    if not (np.diff(place) > 0).all() and len(np.unique(place)) < len(place):
        raise InputError(f"{field}.indices", "must name a gene at most once in a cell; add its values up")
    labels = sample.cell_types or (UNLABELLED,) * n_cells
    if len(labels) != n_cells:
        raise InputError(f"{field}.cell_types", f"must be one for each of the {n_cells} cells")
    return CellBag(sample.genes, indptr, indices, np.array(sample.values, dtype=float), _texts(labels))


def _positions(numbers: Sequence[int], field: str) -> IntArray:
    try:
        return np.array(numbers, dtype=np.int64)
    except OverflowError as error:
        raise InputError(field, "holds a number that is no position") from error


def _texts(values: Sequence[object]) -> TextArray:
    """An object array, whatever the values look like."""
    column = np.empty(len(values), dtype=object)
    column[:] = list(values)
    return column


def _some(names: Sequence[str], n: int = 8) -> str:
    """The first few names."""
    return ", ".join(names[:n]) + (f", … ({len(names)} in all)" if len(names) > n else "")
