"""All cells of one sample: the input of whatever looks at single cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNLABELLED = "unlabelled"
"""Cell type of cells that carry no label."""


@dataclass(frozen=True, slots=True)
class CellBag:
    """All cells of one sample: a sparse matrix (cells, genes) in CSR form."""

    genes: tuple[str, ...]
    indptr: NDArray[np.int64]
    """(cells + 1,): values of cell i are ``indptr[i]:indptr[i + 1]``."""
    indices: NDArray[np.int64]
    """(values,): gene of each value."""
    values: NDArray[np.float64]
    """(values,): raw counts or declared intensities."""
    cell_type: NDArray[np.object_]
    """(cells,): label of each cell, `UNLABELLED` where there is none."""

    def __len__(self) -> int:
        return len(self.indptr) - 1
