"""Summaries of cells from dense tables, as tests write them down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.cells.summary import CellSummary
from features.patients import FloatArray


def dense_summary(
    cell_types: Sequence[str],
    genes: Sequence[str],
    n_cells: FloatArray,
    total: FloatArray,
    lognorm: FloatArray,
    **numbers: FloatArray,
) -> CellSummary:
    """A summary from dense tables (samples, cell types, genes), every type in every sample.

    Moments are those of cells that all equal the mean of their sample.
    """
    n_samples, n_types = n_cells.shape
    shape = (n_samples * n_types, len(genes))
    mean = np.expm1(lognorm.sum(axis=1) / np.maximum(n_cells.sum(axis=1), 1.0)[:, None])
    weight = n_cells.sum(axis=1)[:, None]
    return CellSummary(
        tuple(cell_types),
        tuple(genes),
        np.arange(n_samples + 1) * n_types,
        np.tile(np.arange(n_types), n_samples),
        n_cells.reshape(-1).astype(float),
        np.arange(n_samples * n_types),
        np.arange(n_samples),
        total.reshape(shape),
        lognorm.reshape(shape),
        mean * weight,
        mean**2 * weight,
        numbers,
    )
