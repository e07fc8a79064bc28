"""Principal components of cell-type pseudobulks; genes, scale and components are fitted on training patients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from features.cells.summary import AlignedSums, FloatArray

MINIMUM_CELLS = 5
"""A pseudobulk of fewer cells counts as missing."""


def log_pseudobulk(sums: AlignedSums, *, counts: bool) -> FloatArray:
    """(samples, types · genes): log1p counts per million of the type's counts on the panel, or mean intensities.

    NaN where a sample has fewer than `MINIMUM_CELLS` cells of the type.
    """
    if counts:
        bulk = log_counts_per_million(sums.total, sums.depth)
    else:
        bulk = sums.total / np.maximum(sums.n_cells, 1.0)[:, :, None]
    enough = (sums.n_cells >= MINIMUM_CELLS)[:, :, None]
    masked: FloatArray = np.where(enough, bulk, np.nan).reshape(len(bulk), len(sums.cell_types) * len(sums.genes))
    return masked


def log_counts_per_million(total: FloatArray, depth: FloatArray | None = None) -> FloatArray:
    """log1p of sums of counts (…, genes), per million of those of all genes, or of a depth (…)."""
    of = total.sum(axis=-1) if depth is None else depth
    found: FloatArray = np.log1p(1e6 * total / np.maximum(of, 1.0)[..., None])
    return found


@dataclass(frozen=True, slots=True)
class PseudobulkComponents:
    """A projection of pseudobulks (rows, columns) on few axes."""

    center: FloatArray
    """(columns,): training means, which also fill in missing pseudobulks."""
    scale: FloatArray
    """(columns,): training standard deviations; infinite for constant columns, which drop out."""
    components: FloatArray
    """(components, columns)."""

    @classmethod
    def fit(cls, bulk: FloatArray, n_components: int) -> PseudobulkComponents:
        """Fit on pseudobulks of training rows; at most a tenth of the rows as components."""
        bulk = bulk[np.isfinite(bulk).any(axis=1)]
        observed = np.isfinite(bulk)
        n = np.maximum(observed.sum(axis=0), 1)
        center = np.where(observed, bulk, 0.0).sum(axis=0) / n
        deviation = np.where(observed, bulk - center, 0.0)
        spread = np.sqrt((deviation**2).sum(axis=0) / n)
        scale = np.where(spread > 1e-8, spread, np.inf)
        kept = principal_axes(deviation / scale, min(n_components, max(1, len(bulk) // 10)))
        return cls(center, scale, kept)

    def transform(self, bulk: FloatArray) -> FloatArray:
        """(rows, components): NaN for rows of which every pseudobulk is missing."""
        known = np.isfinite(bulk)
        centred = np.where(known, (bulk - self.center) / self.scale, 0.0)
        projected: FloatArray = np.where(known.any(axis=1, keepdims=True), centred @ self.components.T, np.nan)
        return projected

    def state(self) -> dict[str, FloatArray]:
        """Named arrays that `from_state` rebuilds the components from."""
        return {"center": self.center, "scale": self.scale, "components": self.components}

    @classmethod
    def from_state(cls, arrays: Mapping[str, FloatArray]) -> PseudobulkComponents:
        """Rebuild what `state` described."""
        return cls(arrays["center"], arrays["scale"], arrays["components"])


def principal_axes(x: FloatArray, n_axes: int) -> FloatArray:
    """The leading right singular vectors of x (rows, columns), at most `n_axes`, each with its largest entry positive.

    They come from the smaller of the two Gram matrices: pseudobulks have far more columns than rows.
    """
    wide = x.shape[1] > x.shape[0]
    values, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    leading = np.argsort(values)[::-1][:n_axes]
    leading = leading[values[leading] > 1e-10 * max(float(values.max(initial=0.0)), 1e-300)]
    axes = vectors[:, leading].T
    if wide:
        axes = axes @ x / np.sqrt(values[leading])[:, None]
    sign = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    signed: FloatArray = axes * sign[:, None]
    return signed


def columns_named(prefix: str, values: FloatArray) -> dict[str, FloatArray]:
    """Columns of a matrix, named by a prefix and their number from 1 on."""
    return {f"{prefix}{j + 1}": values[:, j] for j in range(values.shape[1])}
