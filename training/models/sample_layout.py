"""How samples of patients are laid out for a network: each different sample once, and where each row finds its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from features.patients import FloatArray, IntArray
from training.models.predictor import KnownSamples

N_DAY_FEATURES = 3


class CellBatch(NamedTuple):
    """Cells of different samples, padded to one number."""

    cells: Tensor
    """(samples, cells, inputs)."""
    known: Tensor
    """(samples, cells): False for padding."""
    material: Tensor
    """(samples,): number of the material."""


class SampleGrid(NamedTuple):
    """Which samples each row knows, padded to one number."""

    slot: Tensor
    """(rows, slots): number of the sample in its batch."""
    days: Tensor
    """(rows, slots, 3): see `day_features`."""
    known: Tensor
    """(rows, slots): False for padding."""


def day_features(day: FloatArray, age_days: FloatArray) -> FloatArray:
    """(samples, 3): day since infusion, weeks on a compressed scale; whether before it; age at the landmark."""
    return np.stack([np.arcsinh(day / 7.0), (day <= 0).astype(float), np.log1p(age_days / 7.0)], axis=-1) / 2.0


@dataclass(frozen=True, slots=True)
class SampleLayout:
    """Samples of known materials, each once, and where each row finds its own."""

    first: IntArray
    """(different samples,): where each stands first among the samples."""
    material: IntArray
    """(different samples,): number of its material."""
    unique: IntArray
    """(samples,): number of each among the different ones; −1 where the material is unknown."""
    occurrence: IntArray
    """(rows, slots): the samples of each row, −1 for padding."""
    days: FloatArray
    """(samples, 3): `day_features`."""

    @classmethod
    def of(cls, samples: KnownSamples, materials: tuple[str, ...]) -> SampleLayout:
        """Lay out the samples of the given materials."""
        place = {name: i for i, name in enumerate(materials)}
        code = np.array([place.get(name, -1) for name in samples.material], dtype=np.int64)
        used = np.flatnonzero(code >= 0)
        _, first, inverse = np.unique(samples.bags.sample[used], return_index=True, return_inverse=True)
        unique = np.full(len(samples), -1, dtype=np.int64)
        unique[used] = inverse
        row = samples.row[used]
        nth = np.arange(len(used)) - np.searchsorted(row, row, side="left")
        occurrence = np.full((samples.n_rows, int(nth.max(initial=-1)) + 1), -1, dtype=np.int64)
        occurrence[row, nth] = used
        days = day_features(samples.day, samples.age_days)
        return cls(used[first], code[used[first]], unique, occurrence, days)

    def grid(self, rows: IntArray, dtype: torch.dtype) -> SampleGrid:
        """The samples of some rows, as `BagHazards` takes them."""
        known = self.occurrence[rows] >= 0
        at = np.maximum(self.occurrence[rows], 0)
        if not known.any():
            known = known[:, :0]
            at = at[:, :0]
        slot, days = self.unique[at], self.days[at]
        return SampleGrid(torch.as_tensor(slot), torch.as_tensor(days, dtype=dtype), torch.as_tensor(known))
