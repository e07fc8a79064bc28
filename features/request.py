"""Records of patients brought into the form that the encoder takes. What is wrong is said by field, never by value."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from features.analytes import analyte_of, convert_analyte
from features.cells.bag import Bags, CellBag
from features.cells.genes import resolve
from features.cells.summary import CellSummary, summarise
from features.encoder import PatientEncoder
from features.errors import InputError, SequelaError
from features.patients import Clones, Events, FloatArray, IntArray, Measurements, Patients, Samples, TextArray
from features.records import EventRecord, PatientRecord, Quantity, SampleRecord, texts
from features.schema import Endpoint, Variable
from features.units import UnitError

MAX_VALUES = 20_000_000
"""Largest number of non-zero values in one sample's cells."""


MAX_COUNT = 10_000_000
"""Largest believable count of one gene in one cell."""


def to_patients(records: Sequence[PatientRecord], encoder: PatientEncoder) -> Patients:
    """Bring records into the form the encoder takes, checking every field against what the model knows.

    Raises:
        InputError: A variable is unknown to the model, or a value has the wrong type, unit, level or range.
    """
    inputs = encoder.baseline_inputs
    checked = [_checked_baseline(record, f"patients[{i}]", encoder, inputs) for i, record in enumerate(records)]
    baseline = {name: _column(encoder.variables[name], [values.get(name) for values in checked]) for name in inputs}
    return Patients(
        texts([record.patient_id for record in records]),
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


def _checked_baseline(
    record: PatientRecord, place: str, encoder: PatientEncoder, inputs: Sequence[str]
) -> dict[str, float | str | None]:
    known: dict[str, float | str | None] = {}
    for name, value in record.baseline.items():
        field = f"{place}.baseline.{name}"
        if name not in inputs:
            raise InputError(field, f"is no baseline variable of this model; it knows {_some(inputs)}")
        variable = encoder.variables[name]
        if value is None:
            known[name] = None
        elif variable.kind == "numeric":
            if isinstance(value, str):
                raise InputError(field, f"is text; the variable is numeric, in {variable.unit}")
            number, unit = (value.value, value.unit) if isinstance(value, Quantity) else (value, None)
            known[name] = checked_number(number, unit, name, variable, field)
        else:
            known[name] = _level(value, variable, field)
    return known


def checked_number(value: float, unit: str | None, name: str, variable: Variable, field: str) -> float:
    """The value in the model's unit, which is meant where none is given.

    Raises:
        InputError: At the field: another unit than the variable's, or a value outside its possible range.
    """
    number = value
    if unit is not None and unit != variable.unit:
        number = _converted(value, unit, name, variable, field)
    if not math.isfinite(number):
        raise InputError(field, f"is too large once it is in {variable.unit}; check its unit")
    low, high = variable.range or (-math.inf, math.inf)
    if not low <= number <= high:
        raise InputError(field, f"is outside the possible range [{low:g}, {high:g}] {variable.unit}; check its unit")
    return number


def _converted(value: float, unit: str, name: str, variable: Variable, field: str) -> float:
    try:
        return float(convert_analyte(value, unit, variable.unit, analyte_of(name, variable)))
    except UnitError as error:
        raise InputError(f"{field}.unit", error.rule) from None


def _level(value: float | str | Quantity, variable: Variable, field: str) -> str:
    if not isinstance(value, str):
        raise InputError(field, f"is a number; the variable is {variable.kind} and takes text")
    if variable.levels is not None and value not in variable.levels:
        raise InputError(field, f"is not one of the levels {_some(variable.levels)}")
    return value


def _column(variable: Variable, values: list[float | str | None]) -> FloatArray | TextArray:
    if variable.kind == "numeric":
        return np.array([np.nan if value is None else value for value in values], dtype=float)
    return texts(values)


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
            rows.append(i)
            variables.append(place[measurement.variable])
            days.append(measurement.day)
            unit = measurement.unit or None
            values.append(checked_number(measurement.value, unit, measurement.variable, variable, f"{field}.value"))
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
        texts([f"{i}" for i in range(len(samples))]),
        np.array([sample.day for sample in samples], dtype=float),
        texts([sample.material for sample in samples]),
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
        texts([clone.locus for clone in found]),
        texts([clone.clone for clone in found]),
        np.array([clone.abundance for clone in found], dtype=float),
        np.array(near, dtype=float),
    )


def _bag(sample: SampleRecord, field: str) -> CellBag:
    """The sample's matrix, once its arrays agree."""
    bag = sample.matrix(field)
    n_values = len(bag.values)
    if n_values > MAX_VALUES:
        raise InputError(f"{field}.values", f"holds more than {MAX_VALUES:,} values; send fewer cells")
    if len(set(bag.genes)) != len(bag.genes):
        raise InputError(f"{field}.genes", "names a gene twice")
    if bag.indptr[0] != 0 or (np.diff(bag.indptr) < 0).any() or bag.indptr[-1] != n_values:
        raise InputError(f"{field}.indptr", "must begin with 0, not decrease, and end with the number of values")
    if len(bag.indices) != n_values or not 0 <= bag.indices.min(initial=0) <= bag.indices.max(initial=0) < len(
        bag.genes
    ):
        raise InputError(f"{field}.indices", "must be one for each value, each a position in genes")
    place = np.repeat(np.arange(len(bag)), np.diff(bag.indptr)) * len(bag.genes) + bag.indices
    if not (np.diff(place) > 0).all() and len(np.unique(place)) < n_values:
        raise InputError(f"{field}.indices", "must name a gene at most once in a cell; add its values up")
    return bag


def _some(names: Sequence[str], n: int = 8) -> str:
    """The first few names."""
    return ", ".join(names[:n]) + (f", … ({len(names)} in all)" if len(names) > n else "")
