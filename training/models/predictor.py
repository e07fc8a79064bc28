"""The protocols of models: a `RiskModel` takes patients, a `Predictor` the encoder's matrix, some see cells too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from features.cells.bag import Bags
from features.errors import SequelaError
from features.patients import FloatArray, IntArray, Patients, TextArray
from training.models.incidence import CumulativeIncidence

Arrays = Mapping[str, NDArray[Any]]
"""Named arrays as they go into weights.safetensors."""
Sizes = dict[str, Any]
"""Plain JSON: what is needed beside the arrays to rebuild a predictor."""


class RiskModel(Protocol):
    """Anything that turns patients into cumulative incidences."""

    causes: tuple[str, ...]

    def predict_incidence(self, patients: Patients, times_days: NDArray[np.float64]) -> CumulativeIncidence:
        """Cumulative incidences of shape (patients, causes, times), counted from each patient's landmark day."""
        ...


class Predictor(Protocol):
    """The fitted part of a risk model that comes after the encoder; plain arrays inside, no pickle anywhere."""

    kind: ClassVar[str]
    """Name under which manifests and configurations know it."""

    def incidence(
        self, x: NDArray[np.float64], landmark_day: NDArray[np.float64], times_days: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Incidences (rows, causes, times) of encoded patients x (rows, features), from their landmark days (rows,)."""
        ...

    def state(self) -> tuple[Sizes, dict[str, NDArray[Any]]]:
        """Everything needed to rebuild the predictor: plain JSON, and named arrays."""
        ...

    @classmethod
    def from_state(cls, sizes: Sizes, arrays: Arrays) -> Self:
        """The predictor that `state` described."""
        ...


@dataclass(frozen=True, slots=True)
class KnownSamples:
    """The samples with cells that had been taken by each row's landmark; nothing later is in here."""

    n_rows: int
    row: IntArray
    """(samples,): whose; ascending. A sample that several rows know stands here once for each."""
    day: FloatArray
    """(samples,): days since infusion."""
    age_days: FloatArray
    """(samples,): from the sample to the row's landmark."""
    material: TextArray
    """(samples,)."""
    number: IntArray
    """(samples,): which of `Patients.samples` each is."""
    bags: Bags
    """(samples,): their cells; samples that are one and the same have one number in `Bags.sample`."""

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def none(cls, n_rows: int) -> KnownSamples:
        """Rows of which no cell is known."""
        nothing, no_day = np.zeros(0, dtype=np.int64), np.zeros(0)
        return cls(n_rows, nothing, no_day, no_day, np.zeros(0, dtype=object), nothing, Bags.of([]))

    @classmethod
    def of(cls, patients: Patients) -> KnownSamples:
        """All samples with cells up to the landmark, of whatever material.

        Raises:
            SequelaError: Only sums over the cells are at hand.
        """
        samples = patients.samples
        if samples is None:
            return cls.none(len(patients))
        row = samples.row
        age = patients.landmark_day[row] - samples.day
        known = np.flatnonzero((age >= 0) & (np.diff(samples.summary.offsets) > 0))
        if len(known) and samples.bags is None:
            msg = "model.kind: the model looks at single cells, and only their sums are here; choose kind: network"
            raise SequelaError(msg)
        bags = Bags.of([]) if samples.bags is None else samples.bags.take(known)
        return cls(len(patients), row[known], samples.day[known], age[known], samples.material[known], known, bags)


@runtime_checkable
class CellPredictor(Predictor, Protocol):
    """A predictor that also looks at single cells; its `incidence` is that of patients without any."""

    materials: tuple[str, ...]
    """Materials of the samples it knows; samples of others say nothing to it."""

    def incidence_of_cells(
        self,
        x: NDArray[np.float64],
        landmark_day: NDArray[np.float64],
        times_days: NDArray[np.float64],
        samples: KnownSamples,
    ) -> NDArray[np.float64]:
        """Incidences (rows, causes, times) of encoded patients x (rows, features) and the samples known of them."""
        ...

    def attention(self, samples: KnownSamples) -> CellAttention:
        """How much each cell, and each sample, counted."""
        ...


@runtime_checkable
class CellEmbedder(Protocol):
    """A predictor of cells that can tell what it makes of them."""

    def embedding(self, samples: KnownSamples) -> NDArray[np.float64]:
        """(rows, width): what is made of the samples known of each row together; NaN of rows without any."""
        ...


@dataclass(frozen=True, slots=True)
class CellAttention:
    """Attention, the mean over members and heads: what the model looked at, which is not yet what it concluded."""

    row: IntArray
    """(samples,): whose."""
    sample: FloatArray
    """(samples,): share of each sample in its row's attention; sums to 1 over the row's samples of known materials."""
    cells: tuple[FloatArray, ...]
    """For each sample (cells,): share of each cell, in the order of the bag; sums to 1. Cells beyond the number that
    the model reads have 0; all cells have 0 where the material is unknown."""
