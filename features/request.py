"""A patient in a request: the cohort folder in small. What is wrong with it is said by field, never by value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from features.cells.bag import UNLABELLED, CellBag
from features.cells.summary import CellSummary, summarise
from features.encoder import PatientEncoder
from features.errors import InputError, SequelaError
from features.patients import FloatArray, IntArray, Measurements, Patients, Samples, TextArray
from features.schema import Endpoint, Frozen, Variable
from features.units import UnitError, convert

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


class SampleRecord(Frozen):
    """The cells of one sample, as a sparse matrix (cells, genes) in CSR form."""

    material: str
    """For example ``infusion_product`` or ``blood``."""
    day: float
    """Days since infusion."""
    genes: Annotated[tuple[str, ...], Field(min_length=1)]
    """Gene symbols or Ensembl ids, as in the training cohort."""
    indptr: Annotated[tuple[int, ...], Field(min_length=2)]
    """(cells + 1,): values of cell i are ``indptr[i]:indptr[i + 1]``."""
    indices: tuple[int, ...]
    """(values,): position in `genes` of each value."""
    values: tuple[float, ...]
    """(values,): raw counts, or intensities where the model was trained on intensities."""
    cell_types: tuple[str, ...] | None = None
    """(cells,): label of each cell."""


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
    """Samples with their cells; those after the landmark are not used."""


def to_patients(records: Sequence[PatientRecord], encoder: PatientEncoder) -> Patients:
    """Bring records into the form the encoder takes, checking every field against what the model knows.

    Raises:
        InputError: A variable is unknown to the model, or a value has the wrong type, unit, level or range.
    """
    checked = [_checked_baseline(record, f"patients[{i}]", encoder) for i, record in enumerate(records)]
    baseline = {
        name: _column(encoder.variables[name], [values.get(name) for values in checked])
        for name in encoder.baseline.names
    }
    return Patients(
        _texts([record.patient_id for record in records]),
        np.array([record.landmark_day for record in records], dtype=float),
        baseline,
        _measurements(records, encoder),
        _samples(records, encoder),
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
        if name not in encoder.baseline.names:
            raise InputError(field, f"is no baseline variable of this model; it knows {_some(encoder.baseline.names)}")
        variable = encoder.variables[name]
        if value is None:
            known[name] = None
        elif variable.kind == "numeric":
            known[name] = _number(value, variable, field)
        else:
            known[name] = _level(value, variable, field)
    return known


def _number(value: float | str | Quantity, variable: Variable, field: str) -> float:
    """The value in the model's unit."""
    if isinstance(value, str):
        raise InputError(field, f"is text; the variable is numeric, in {variable.unit}")
    number = _converted(value.value, value.unit, variable, field) if isinstance(value, Quantity) else value
    if not np.isfinite(number):
        raise InputError(field, f"is too large once it is in {variable.unit}; check its unit")
    low, high = variable.range or (-np.inf, np.inf)
    if not low <= number <= high:
        raise InputError(field, f"is outside the possible range [{low:g}, {high:g}] {variable.unit}; check its unit")
    return number


def _converted(value: float, unit: str, variable: Variable, field: str) -> float:
    try:
        return float(convert(value, unit, variable.unit))
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
    place = {name: i for i, name in enumerate(encoder.measured)}
    rows: list[int] = []
    variables: list[int] = []
    days: list[float] = []
    values: list[float] = []
    for i, record in enumerate(records):
        for j, measurement in enumerate(record.measurements):
            field = f"patients[{i}].measurements[{j}]"
            if measurement.variable not in place:
                known = _some(encoder.measured) or "none"
                raise InputError(f"{field}.variable", f"is not measured in this model; it knows {known}")
            variable = encoder.variables[measurement.variable]
            quantity = Quantity(value=measurement.value, unit=measurement.unit or variable.unit)
            rows.append(i)
            variables.append(place[measurement.variable])
            days.append(measurement.day)
            values.append(_number(quantity, variable, f"{field}.value"))
    ints: list[IntArray] = [np.array(rows, dtype=np.int64), np.array(variables, dtype=np.int64)]
    day, value = np.array(days, dtype=float), np.array(values, dtype=float)
    return Measurements.from_columns(len(records), ints[0], encoder.measured, ints[1], day, value)


def _samples(records: Sequence[PatientRecord], encoder: PatientEncoder) -> Samples | None:
    """All samples of the request, summarised, ordered by patient and day."""
    rows, samples, summaries = [], [], []
    for i, record in enumerate(records):
        for j, sample in sorted(enumerate(record.samples), key=lambda numbered: numbered[1].day):
            field = f"patients[{i}].samples[{j}]"
            if encoder.samples is None:
                raise InputError(field, "this model uses no cells; leave samples out")
            rows.append(i)
            samples.append(sample)
            summaries.append(_summary(sample, field, encoder))
    if not samples:
        return None
    offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(records)))]).astype(np.int64)
    return Samples(
        offsets,
        _texts([f"{i}" for i in range(len(samples))]),
        np.array([sample.day for sample in samples], dtype=float),
        _texts([sample.material for sample in samples]),
        CellSummary.concatenate(summaries),
    )


def _summary(sample: SampleRecord, field: str, encoder: PatientEncoder) -> CellSummary:
    if encoder.samples is None:
        raise InputError(field, "this model uses no cells; leave samples out")
    if sample.material not in encoder.samples.materials:
        raise InputError(f"{field}.material", f"is unknown; the model knows {_some(encoder.samples.materials)}")
    if not set(sample.genes) & set(encoder.samples.genes):
        raise InputError(f"{field}.genes", f"none is in the model's panel, e.g. {_some(encoder.samples.genes)}")
    bag = _bag(sample, field)
    if encoder.samples.counts and ((bag.values != np.floor(bag.values)) | (bag.values > MAX_COUNT)).any():
        raise InputError(f"{field}.values", f"must be raw counts: whole numbers up to {MAX_COUNT:,}")
    try:
        return summarise(bag, counts=encoder.samples.counts)
    except SequelaError as error:
        raise InputError(f"{field}.values", str(error)) from error


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
