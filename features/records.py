"""A patient as a request has it: the cohort folder in small."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, InstanceOf, model_validator

from features.cells.bag import UNLABELLED, CellBag
from features.errors import InputError
from features.patients import IntArray, TextArray
from features.schema import Frozen

MAX_LABEL = 200
"""Characters of a cell's label, and of an event's name."""


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
    """One event that has happened to a patient."""

    event: Annotated[str, Field(min_length=1, max_length=MAX_LABEL)]
    """As named in the training cohort, e.g. ``infection``."""
    day: float
    """Days since infusion."""
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
    cell_types: tuple[Annotated[str, Field(max_length=MAX_LABEL)], ...] | None = None
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
        self._require_own_clones()
        return self

    def _require_own_clones(self) -> None:
        if len({(clone.locus, clone.clone) for clone in self.clones}) < len(self.clones):
            msg = "clones must name a clone once; add its abundances up"
            raise ValueError(msg)

    @property
    def labels(self) -> frozenset[str]:
        """Cell types that its cells carry."""
        return frozenset(self.cell_types or (UNLABELLED,))

    @property
    def n_values(self) -> int:
        """Non-zero values of its cells."""
        return len(self.values)

    def matrix(self, field: str) -> CellBag:
        """The cells as arrays, which may still disagree with each other.

        Args:
            field: Place of the sample in the request.

        Raises:
            InputError: A position does not fit into 64 bits, or labels and cells differ in number.
        """
        indptr, indices = (_positions(getattr(self, name), f"{field}.{name}") for name in ("indptr", "indices"))
        n_cells = len(indptr) - 1
        labels = self.cell_types or (UNLABELLED,) * n_cells
        if len(labels) != n_cells:
            raise InputError(f"{field}.cell_types", f"must be one for each of the {n_cells} cells")
        return CellBag(self.genes, indptr, indices, np.array(self.values, dtype=float), texts(labels))


class PackedSample(SampleRecord):
    """A sample whose cells came as arrays: see `serving.packed`."""

    cells: InstanceOf[CellBag]
    """In place of `indptr`, `indices`, `values` and `cell_types`; its genes are those in `genes`."""

    @model_validator(mode="after")
    def _complete(self) -> PackedSample:
        self._require_own_clones()
        return self

    @property
    def labels(self) -> frozenset[str]:
        """Cell types that its cells carry."""
        return frozenset(self.cells.cell_type.tolist())

    @property
    def n_values(self) -> int:
        """Non-zero values of its cells."""
        return len(self.cells.values)

    def matrix(self, field: str) -> CellBag:
        """The cells as they came; see `SampleRecord.matrix`."""
        del field
        return self.cells


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


def texts(values: Sequence[object]) -> TextArray:
    """An object array, whatever the values look like."""
    column = np.empty(len(values), dtype=object)
    column[:] = list(values)
    return column


def _positions(numbers: Sequence[int], field: str) -> IntArray:
    try:
        return np.array(numbers, dtype=np.int64)
    except OverflowError as error:
        raise InputError(field, "must be integers of 64 bits") from error
