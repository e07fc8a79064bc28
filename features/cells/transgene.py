"""Which cells carry the CAR: the transcripts of its construct, where the reads were aligned to it as well."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from features.cells.bag import CellBag
from features.cells.genes import canonical
from features.cells.quality import row_sums


def car_positive(bag: CellBag, transgene: Collection[str]) -> NDArray[np.bool_] | None:
    """(cells,): whether a cell has at least one count of the construct; None when no part of it is on the panel.

    One transcript suffices, so that the call depends on no other cell. It errs in both directions: a CAR is expressed
    at few transcripts a cell, so CAR-positive cells without one are missed, and ambient transcripts of a sample rich in
    CAR-positive cells are counted. Compare its share with that of flow cytometry before trusting it.

    Args:
        bag: Cells with raw counts.
        transgene: Names of the construct's columns, such as the single-chain fragment or a part of the vector.
    """
    names = {canonical(name) for name in transgene}
    of_construct = np.array([canonical(gene) in names for gene in bag.genes], dtype=bool)
    if not of_construct.any():
        return None
    return row_sums(bag, bag.values * of_construct[bag.indices]) >= 1
