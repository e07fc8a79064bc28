"""How unevenly each gene is expressed among the cells of a sample: what a population of few cells shows in sums.

One cell in a hundred that expresses a gene strongly hardly moves the sample's mean of it, but multiplies its variance.
The variance follows from the sums of values and of squares that a `CellSummary` holds, so that no cell is read again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.cells.summary import CellSummary, FloatArray

MINIMUM_CELLS = 10
"""The dispersion of fewer cells counts as missing."""


def log_dispersion(summary: CellSummary, genes: Sequence[str], *, counts: bool) -> FloatArray:
    """(samples, genes): log[(variance + 1) / (mean + 1)] of normalised counts, less its median over the genes.

    Variance over mean is the index of dispersion that variable genes are chosen by (`features.cells.variable_genes`),
    here within each sample; the ones keep genes that are hardly expressed from being all noise. Poisson noise alone
    gives 10⁴ / counts of a cell, more in shallow samples and in all genes alike: the median takes that away. Of
    intensities, the standard deviations. NaN where a sample has fewer than `MINIMUM_CELLS` cells.
    """
    n_cells, mean, variance = summary.moments(genes)
    if counts:
        spread = np.log((variance + 1.0) / (mean + 1.0))
        spread -= np.median(spread, axis=1, keepdims=True)
    else:
        spread = np.sqrt(variance)
    found: FloatArray = np.where((n_cells >= MINIMUM_CELLS)[:, None], spread, np.nan)
    return found
