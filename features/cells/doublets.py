"""Doublets: two cells read as one, recognised by their likeness to simulated sums of two cells of the same sample.

Only used while features are built. A request for a prediction is answered without it: scanpy is no part of the service,
and a handful of cells cannot be simulated from.
"""

from __future__ import annotations

import warnings
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from features.cells.bag import CellBag
from features.errors import SequelaError

MINIMUM_CELLS = 100
MINIMUM_GENES = 100
"""With fewer cells, or genes read in 3 cells or more, the method's 30 principal components and histogram of scores say
nothing."""


def doublets(bag: CellBag, seed: int = 0) -> NDArray[np.bool_] | None:
    """(cells,): cells that Scrublet calls doublets; None where it cannot tell.

    Scrublet (Wolock et al., Cell Syst 2019;8:281) as in ``scanpy.pp.scrublet``, with its defaults. It looks at one
    sample only, so nothing is learnt across patients. It cannot tell with fewer than `MINIMUM_CELLS` cells that have a
    count or `MINIMUM_GENES` genes, or when no threshold separates its scores.

    Args:
        bag: Cells of one sample with raw counts; ambient and empty droplets should have been removed.
        seed: Of the simulated doublets.

    Raises:
        SequelaError: scanpy or scikit-image is not installed.
    """
    filled = np.diff(bag.indptr) > 0
    read = np.bincount(bag.indices[bag.values > 0], minlength=len(bag.genes)) >= 3
    if filled.sum() < MINIMUM_CELLS or read.sum() < MINIMUM_GENES:
        return None
    of_filled = _scrublet(bag, filled, seed)
    if of_filled is None:
        return None
    called = np.zeros(len(bag), dtype=bool)
    called[filled] = of_filled
    return called


def _scrublet(bag: CellBag, kept: NDArray[np.bool_], seed: int) -> NDArray[np.bool_] | None:
    """(kept cells,): what scanpy calls them; None without a threshold."""
    try:  # imported by name and here: a second's work, and no part of the service, which can do without
        scanpy, anndata, sparse, _ = map(import_module, ("scanpy", "anndata", "scipy.sparse", "skimage.filters"))
    except ImportError as error:
        msg = f"doublets: {error.name} is not installed; pip install scanpy scikit-image, or set doublets: keep"
        raise SequelaError(msg) from error
    shape = (len(bag), len(bag.genes))
    counts = sparse.csr_matrix((bag.values.astype(np.float32), bag.indices, bag.indptr), shape=shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions to come, and of scores without a threshold, which we look for
        cells = anndata.AnnData(counts[kept])
        scanpy.pp.scrublet(cells, random_state=seed, verbose=False)
    if "predicted_doublet" not in cells.obs:
        return None
    # cells with fewer than 3 genes are passed over by scanpy, and have no call
    return np.asarray(cells.obs["predicted_doublet"].eq(True), dtype=bool)  # noqa: FBT003 - of pandas
