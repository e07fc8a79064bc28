"""Some cells of every sample, read once, and what quality control says of each sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse

from features.cells.bag import CellBag
from features.cells.quality import measure, row_sums
from features.cells.summary import TARGET_SUM
from features.cells.variable_genes import variable_genes
from features.patients import FloatArray, IntArray, Samples, TextArray

MOST_CELLS = 5000
VARIABLE_GENES = 1000
COMPONENTS = 20
QUALITY = {
    "median_counts": "counts per cell (median)",
    "median_genes": "genes per cell (median)",
    "mitochondrial_share": "mitochondrial share (median)",
    "doublet_share": "doublet share",
    "car_positive_share": "CAR-positive share",
}
_MEASURED = ("median_counts", "median_genes", "mitochondrial_share")


@dataclass(frozen=True, slots=True)
class SampledCells:
    """Cells drawn evenly over samples, on the leading principal axes of their expression."""

    components: FloatArray
    """(cells, components)."""
    explained: FloatArray
    """(components,): share of the variance of the variable genes."""
    sample: IntArray
    """(cells,): index of the sample."""
    cell: IntArray
    """(cells,): index of the cell in the sample."""
    cell_type: TextArray
    n_genes: int


def quota(n_cells: IntArray, most: int) -> IntArray:
    """(samples,): cells taken of each sample; equal as far as the samples have them, `most` in all at most."""
    taken = np.zeros_like(n_cells)
    left = min(most, int(n_cells.sum()))
    while left:
        open_to = np.flatnonzero(taken < n_cells)
        each = max(left // len(open_to), 1)
        more = np.minimum(n_cells[open_to] - taken[open_to], each)[: left if each == 1 else None]
        taken[open_to[: len(more)]] += more
        left -= int(more.sum())
    return taken


def read_cells(
    samples: Samples, *, counts: bool, rng: np.random.Generator, progress: Callable[[int, int], None]
) -> tuple[SampledCells | None, Mapping[str, FloatArray]]:
    """Read each sample once, hold few of its cells, and measure what the summary does not know.

    Returns:
        The sampled cells, None with fewer than 10 of them or without bags; and the numbers of `QUALITY` that are known,
        (samples,) each.
    """
    summary, bags = samples.summary, samples.bags
    numbers = {name: summary.number(name) for name in QUALITY}
    n_cells = summary.cells_by_type.sum(axis=1).astype(np.int64)
    there = np.flatnonzero(n_cells)
    if bags is None or not len(there):
        return None, _known(numbers)
    chosen = variable_genes(summary.take(there), VARIABLE_GENES, counts=counts)
    genes = tuple(summary.genes[i] for i in chosen)
    parts, labels, cells, taken = [], [], [], quota(n_cells, MOST_CELLS)
    for done, i in enumerate(there):
        bag = bags[int(i)]
        _measure(bag, int(i), numbers, counts=counts)
        picked = np.sort(rng.choice(len(bag), size=min(int(taken[i]), len(bag)), replace=False))
        parts.append(_expression(bag, genes, picked, counts=counts))
        labels.append(bag.cell_type[picked])
        cells.append(picked)
        progress(done + 1, len(there))
    sample = np.repeat(there, [part.shape[0] for part in parts])
    if len(sample) < 10:
        return None, _known(numbers)
    matrix = scipy.sparse.vstack(parts, format="csr").toarray()
    components, explained = principal_components(matrix if counts else _standardised(matrix))
    found = SampledCells(components, explained, sample, np.concatenate(cells), np.concatenate(labels), len(genes))
    return found, _known(numbers)


def _measure(bag: CellBag, i: int, numbers: Mapping[str, FloatArray], *, counts: bool) -> None:
    """Fill in what the summary does not say of a sample."""
    unknown = [name for name in _MEASURED if np.isnan(numbers[name][i])]
    if not counts or not unknown or not len(bag):
        return
    quality = measure(bag)
    found = (quality.counts, quality.genes, quality.mitochondrial)
    for name, values in zip(_MEASURED, found, strict=True):
        if name in unknown:
            numbers[name][i] = np.median(values)


def _known(numbers: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    return {name: values for name, values in numbers.items() if np.isfinite(values).any()}


def _expression(bag: CellBag, genes: tuple[str, ...], picked: IntArray, *, counts: bool) -> scipy.sparse.csr_matrix:
    """(picked cells, genes): log1p of counts per `TARGET_SUM`, or intensities as they are."""
    column = _columns(bag.genes, genes)
    totals = row_sums(bag, bag.values)[picked] if counts else np.zeros(0)
    matrix = scipy.sparse.csr_matrix((bag.values, bag.indices, bag.indptr), shape=(len(bag), len(bag.genes)))[picked]
    kept = column[matrix.indices] >= 0
    row = np.repeat(np.arange(len(picked)), np.diff(matrix.indptr))[kept]
    values = matrix.data[kept]
    if counts:
        values = np.log1p(values * TARGET_SUM / np.maximum(totals, 1.0)[row])
    entries = (values.astype(np.float32), (row, column[matrix.indices[kept]]))
    return scipy.sparse.csr_matrix(entries, shape=(len(picked), len(genes)))


@lru_cache(maxsize=1)
def _columns(have: tuple[str, ...], want: tuple[str, ...]) -> IntArray:
    """(genes,): place of each gene among those wanted, -1 for the others; samples mostly share one panel."""
    place = {gene: j for j, gene in enumerate(want)}
    return np.array([place.get(gene, -1) for gene in have], dtype=np.int64)


def _standardised(matrix: FloatArray) -> FloatArray:
    spread = matrix.std(axis=0)
    scaled: FloatArray = matrix / np.where(spread > 0, spread, 1.0)
    return scaled


def principal_components(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Scores (rows, components) on the leading axes of the centred columns, and each one's share of the variance.

    The sign of an axis is such that its largest loading is positive.
    """
    centred = matrix.astype(np.float64) - matrix.mean(axis=0, dtype=np.float64)
    covariance = centred.T @ centred / max(len(centred) - 1, 1)
    variance, axes = np.linalg.eigh(covariance)
    n = min(COMPONENTS, *matrix.shape)
    variance, axes = np.maximum(variance[::-1], 0.0), axes[:, ::-1][:, :n]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(n)])
    return centred @ axes, variance[:n] / max(float(variance.sum()), 1e-300)
