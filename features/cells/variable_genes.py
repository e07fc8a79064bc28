"""Highly variable genes, chosen from sums over cells: inside the fold, and without reading a cell again."""

from __future__ import annotations

import numpy as np

from features.cells.summary import CellSummary, FloatArray, IntArray

BINS = 20
"""Bins of mean expression in which dispersions are compared, scanpy's default."""


def variable_genes(summary: CellSummary, n_genes: int, *, counts: bool = True) -> IntArray:
    """The genes whose dispersion is largest for their mean expression over all cells of the samples.

    Flavour "seurat" (Satija et al., Nat Biotechnol 2015;33:495): log dispersion of normalised counts, standardised
    within bins of mean expression; equal to ``scanpy.pp.highly_variable_genes(flavor="seurat", n_top_genes=…)``.
    Intensities of markers, of which there are few, are ranked by their variance.

    Args:
        summary: Samples; their sums are pooled.
        n_genes: How many; all genes when the panel has no more.
        counts: Whether the sums are of normalised counts.

    Returns:
        (≤ n_genes,): positions in ``summary.genes``, ascending.
    """
    if len(summary.genes) <= n_genes:
        return np.arange(len(summary.genes))
    n = summary.n_cells.sum()
    if n < 2:
        return np.arange(n_genes)
    total, squared = (_pooled(table, summary.sample) for table in (summary.normalised, summary.squared))
    mean = total / n
    variance = np.maximum((squared - total * mean) / (n - 1), 0.0)
    score = standardised_dispersion(mean, variance) if counts else variance
    ranked = np.argsort(np.nan_to_num(-score, nan=np.inf), kind="stable")
    return np.sort(ranked[:n_genes])


def standardised_dispersion(mean: FloatArray, variance: FloatArray) -> FloatArray:
    """(genes,): log(variance / mean), less the mean of its bin of log1p(mean), over the standard deviation there.

    A gene alone in its bin has 1; genes without variance have NaN.
    """
    mean = np.where(mean == 0, 1e-12, mean)
    dispersion = variance / mean
    with np.errstate(divide="ignore"):
        dispersion = np.where(dispersion == 0, np.nan, np.log(dispersion))
    level = np.log1p(mean)
    edges = np.linspace(level.min(), level.max(), BINS + 1)
    bin_of = np.clip(np.searchsorted(edges, level, side="left") - 1, 0, BINS - 1)
    known = np.isfinite(dispersion)
    n = np.bincount(bin_of[known], minlength=BINS)
    center = np.bincount(bin_of[known], dispersion[known], BINS) / np.maximum(n, 1)
    deviation = np.where(known, dispersion - center[bin_of], 0.0)
    spread = np.sqrt(np.bincount(bin_of, deviation**2, BINS) / np.maximum(n - 1, 1))
    alone = n == 1
    spread, center = np.where(alone, center, spread), np.where(alone, 0.0, center)
    standard: FloatArray = np.divide(
        dispersion - center[bin_of], spread[bin_of], out=np.full(len(mean), np.nan), where=spread[bin_of] != 0
    )
    return standard


def _pooled(table: FloatArray, rows: IntArray) -> FloatArray:
    """Sum of some rows of a table that may lie on disk."""
    pooled = np.zeros(table.shape[1])
    for row in rows:
        pooled += table[row]
    return pooled
