"""The choice of variable genes from sums equals scanpy's from cells."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
import scanpy
import scipy.sparse

from features.cells.bag import CellBag
from features.cells.summary import CellSummary, summarise
from features.cells.variable_genes import variable_genes


def bags(seed: int, n_samples: int, n_genes: int) -> list[CellBag]:
    """Counts of genes that differ in level and in dispersion."""
    rng = np.random.default_rng(seed)
    level, shape = rng.lognormal(-1.0, 1.5, n_genes), rng.uniform(0.3, 5.0, n_genes)
    genes = tuple(f"G{i}" for i in range(n_genes))
    made = []
    for _ in range(n_samples):
        counts = scipy.sparse.csr_matrix(rng.poisson(rng.gamma(shape, level / shape, (40, n_genes))).astype(float))
        parts = counts.indptr.astype(np.int64), counts.indices.astype(np.int64), counts.data
        made.append(CellBag(genes, *parts, np.full(40, "T", dtype=object)))
    return made


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("n_top", [10, 60, 150])
def test_chooses_what_scanpy_chooses(seed: int, n_top: int) -> None:
    made = bags(seed, 5, 200)
    pooled = scipy.sparse.vstack([scipy.sparse.csr_matrix((b.values, b.indices, b.indptr), (40, 200)) for b in made])
    cells = anndata.AnnData(pooled.astype(np.float64), var={"gene": list(made[0].genes)})
    scanpy.pp.normalize_total(cells, target_sum=1e4)
    scanpy.pp.log1p(cells)
    scanpy.pp.highly_variable_genes(cells, flavor="seurat", n_top_genes=n_top)
    summary = CellSummary.concatenate([summarise(bag, counts=True) for bag in made])
    assert variable_genes(summary, n_top).tolist() == np.flatnonzero(cells.var["highly_variable"]).tolist()


def test_only_the_given_samples_decide() -> None:
    """What the others hold changes nothing: the choice can be made inside a fold."""
    made = bags(0, 6, 80)
    training = CellSummary.concatenate([summarise(bag, counts=True) for bag in made[:4]])
    every = CellSummary.concatenate([summarise(bag, counts=True) for bag in made])
    chosen = variable_genes(every.take(np.arange(4)), 20)
    assert chosen.tolist() == variable_genes(training, 20).tolist()
    assert chosen.tolist() != variable_genes(every.take(np.array([4, 5])), 20).tolist()


def test_small_panels_markers_and_no_cells() -> None:
    summary = summarise(bags(0, 1, 30)[0], counts=True)
    assert variable_genes(summary, 30).tolist() == list(range(30))
    spread = summary.squared[0] - summary.normalised[0] ** 2 / 40
    assert set(variable_genes(summary, 3, counts=False)) == set(np.argsort(spread)[-3:])
    assert len(variable_genes(summary.take(np.array([-1])), 3)) == 3
