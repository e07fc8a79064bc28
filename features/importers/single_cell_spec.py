"""The specification of `sequela import single_cell`: what the cells, their samples and the clinical table mean."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from features.importers.spec import (
    DAYS_PER_UNIT,
    RESERVED,
    Column,
    EventColumn,
    TableSpec,
    TableVariable,
    TimeColumn,
    slug,
)
from features.schema import CellsCard, Frozen

Cofactor = Annotated[float, Field(gt=0)]


class CellsSpec(Frozen):
    """What the values are, and where they stand."""

    values: Literal["counts", "intensities"] = "counts"
    genes: Literal["genes", "markers"] = "genes"
    matrix: str = "X"
    """Of an .h5ad: ``X``, ``raw`` (for raw.X), or the name of a layer."""
    gene_names: str | None = None
    """Of an .h5ad: the column of var with the names; the index where it is not given."""
    cofactor: Cofactor | dict[str, Cofactor] | None = None
    """Intensities become arcsinh(value / cofactor): one for all markers, or by marker; markers that are not named stay
    as they are."""
    programs: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sound(self) -> CellsSpec:
        if self.cofactor is not None and self.values == "counts":
            msg = "a cofactor is of intensities; declare values: intensities, or leave it out"
            raise ValueError(msg)
        return self

    def card(self) -> CellsCard:
        """What cohort.yaml declares."""
        return CellsCard(values=self.values, genes=self.genes, programs=self.programs)


class DayColumn(Frozen):
    """A column with the time of a sample since infusion."""

    column: str
    unit: Literal["days", "weeks", "months", "years"] = "days"

    @property
    def days(self) -> float:
        """Days in one unit."""
        return DAYS_PER_UNIT[self.unit]


class SamplesSpec(Frozen):
    """Which cells are a sample, whose, of when, and of what: columns of obs, or of a table with a row a sample."""

    file: str | None = None
    """CSV with a row a sample; without it the columns are those of obs of an .h5ad."""
    sample_id: str | None = None
    """Column. Of 10x matrices without a table, the sample is the prefix of its files or the name of its folder."""
    patient_id: str | None = None
    """Column; without it every sample is a patient of its own."""
    day: float | DayColumn = 0.0
    material: str | Column
    assay: str | Column | None = None
    cell_type: str | None = None
    """Column of obs with the labels of cells."""
    missing: tuple[str, ...] = ()
    """Codes for a missing value beside the customary ones."""

    @property
    def columns(self) -> dict[str, str]:
        """The columns that are named, by what they say."""
        parts = {"sample_id": self.sample_id, "patient_id": self.patient_id}
        for name in ("day", "material", "assay"):
            part = getattr(self, name)
            parts[name] = part.column if isinstance(part, (Column, DayColumn)) else None
        return {name: column for name, column in parts.items() if column is not None}


class ClinicalSpec(Frozen):
    """A clinical table: variables, and the outcome as `sequela import table` takes it, or none."""

    file: str
    """CSV, beside the cells or beside the specification."""
    patient_id: str
    time: TimeColumn | None = None
    event: EventColumn | None = None
    event_times: dict[str, tuple[str, ...]] | None = None
    entry: Column | None = None
    start: Column | None = None
    visit: Column | None = None
    missing: tuple[str, ...] = ()
    variables: dict[str, TableVariable] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sound(self) -> ClinicalSpec:
        if self.time is not None:
            self.table("-", "-", None)
        elif any((self.event, self.event_times, self.entry, self.start, self.visit)):
            msg = "event, event_times, entry, start and visit need time; name its column and unit"
            raise ValueError(msg)
        names = [variable.rename or column for column, variable in self.variables.items()]
        taken = [name for name in names if name in RESERVED or names.count(name) > 1]
        if taken:
            msg = f"{taken[0]} is taken; give the variable another name with rename"
            raise ValueError(msg)
        return self

    def table(self, title: str, notes: str, horizons_days: tuple[float, ...] | None) -> TableSpec:
        """The same as a specification of `sequela import table`.

        Raises:
            ValueError: It breaks a rule of such a specification.
        """
        content = self.model_dump(exclude={"file"}, exclude_defaults=True)
        try:
            return TableSpec.model_validate(content | {"title": title, "notes": notes, "horizons_days": horizons_days})
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


class LabelSpec(Frozen):
    """Two classes of patients, told by a column.

    A patient of the positive class has the event on day 1, every patient is followed for 2 days: the risk at the
    horizon of 1 day is the probability of the class.
    """

    column: str
    event: str
    """Name of the event, which is the positive class."""
    positive: str | tuple[str, ...]
    """Value or values of the column that are the positive class."""
    negative: str | tuple[str, ...] | None = None
    """Values of the other class; all others where not given."""
    table: Literal["samples", "clinical"] = "samples"
    """Where the column stands."""

    @model_validator(mode="after")
    def _named(self) -> LabelSpec:
        if slug(self.event) != self.event:
            msg = f"the event is written in snake_case, such as {slug(self.event) or 'relapse'}"
            raise ValueError(msg)
        if set(self.positives) & set(self.negatives or ()):
            msg = "a value is of one class"
            raise ValueError(msg)
        return self

    @property
    def positives(self) -> tuple[str, ...]:
        """The values of the positive class."""
        return (self.positive,) if isinstance(self.positive, str) else self.positive

    @property
    def negatives(self) -> tuple[str, ...] | None:
        """The values of the other class, if they are listed."""
        return (self.negative,) if isinstance(self.negative, str) else self.negative


class SingleCellSpec(Frozen):
    """Single cells with, or without, a clinical table."""

    title: str
    citation: str = "not stated"
    licence: str = "not stated"
    provenance: Literal["real", "simulated"] = "real"
    notes: str = ""
    cells: CellsSpec = Field(default_factory=CellsSpec)
    samples: SamplesSpec
    clinical: ClinicalSpec | None = None
    label: LabelSpec | None = None
    horizons_days: tuple[float, ...] | None = None
    """For the causes of the clinical table; default: quartiles of their times."""

    @model_validator(mode="after")
    def _sound(self) -> SingleCellSpec:
        if self.label is not None and self.clinical is not None and self.clinical.time is not None:
            msg = "name one outcome: a label, or time and events of the clinical table"
            raise ValueError(msg)
        if self.label is not None and self.label.table == "clinical" and self.clinical is None:
            msg = "the label stands in the clinical table, and there is none; name it under clinical"
            raise ValueError(msg)
        if self.horizons_days is not None and (self.clinical is None or self.clinical.time is None):
            msg = "horizons_days are of the clinical table's events, and it has no time"
            raise ValueError(msg)
        return self
