"""Quality control, against scanpy's."""

from __future__ import annotations

from collections.abc import Callable

import anndata
import numpy as np
import pytest
import scanpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features.cells.bag import CellBag
from features.cells.quality import measure, row_sums, select_cells
from features.errors import SequelaError

GENES = ("CD3D", "MT-CO1", "mt-nd1", "CD8A", "MTOR")
COUNTS = arrays(np.float64, st.tuples(st.integers(1, 8), st.just(len(GENES))), elements=st.integers(0, 5))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(COUNTS)
def test_numbers_equal_scanpys(make_bag: Callable[..., CellBag], matrix: np.ndarray) -> None:
    quality = measure(make_bag(matrix, GENES))
    cells = anndata.AnnData(matrix.copy())
    cells.var_names = list(GENES)
    cells.var["mt"] = cells.var_names.str.upper().str.startswith("MT-")
    scanpy.pp.calculate_qc_metrics(cells, qc_vars=["mt"], percent_top=None, log1p=False, inplace=True)
    np.testing.assert_allclose(quality.counts, cells.obs["total_counts"])
    np.testing.assert_array_equal(quality.genes, cells.obs["n_genes_by_counts"])
    np.testing.assert_allclose(quality.mitochondrial, cells.obs["pct_counts_mt"].fillna(0) / 100, rtol=1e-6)


def test_numbers_equal_scanpys_on_real_cells(carpall: anndata.AnnData, carpall_bag: CellBag) -> None:
    cells = carpall.copy()
    cells.var["mt"] = cells.var_names.str.startswith("MT-")
    scanpy.pp.calculate_qc_metrics(cells, qc_vars=["mt"], percent_top=None, log1p=False, inplace=True)
    quality = measure(carpall_bag)
    np.testing.assert_array_equal(quality.counts, cells.obs["total_counts"])
    np.testing.assert_array_equal(quality.genes, cells.obs["n_genes_by_counts"])
    np.testing.assert_allclose(quality.mitochondrial, cells.obs["pct_counts_mt"] / 100, rtol=1e-5)


def test_thresholds_include_their_ends(make_bag: Callable[..., CellBag]) -> None:
    matrix = [[5, 5, 0, 0, 0], [4, 5, 0, 0, 0], [9, 1, 0, 0, 0], [10, 0, 0, 0, 0], [3, 3, 4, 0, 0]]
    quality = measure(make_bag(matrix, GENES))
    assert quality.passing(10, 2, 0.5).tolist() == [True, False, True, False, False]
    assert quality.passing(0, 0, 1.0).all()


def test_a_mitochondrial_limit_needs_mitochondrial_genes(make_bag: Callable[..., CellBag]) -> None:
    quality = measure(make_bag([[1, 2]], ("CD3D", "MTOR")))
    assert np.isnan(quality.mitochondrial).all()
    assert quality.passing(0, 0, 1.0).all()
    with pytest.raises(SequelaError, match=r"max_mitochondrial: 0\.2 is asked for, and no gene"):
        quality.passing(0, 0, 0.2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(COUNTS, st.data())
def test_selection_keeps_rows_and_labels(
    make_bag: Callable[..., CellBag], matrix: np.ndarray, data: st.DataObject
) -> None:
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=len(matrix), max_size=len(matrix))))
    labels = [f"c{i}" for i in range(len(matrix))]
    chosen = select_cells(make_bag(matrix, GENES, labels), kept)
    expected = make_bag(matrix[kept], GENES, [label for label, keep in zip(labels, kept, strict=True) if keep])
    for name in ("indptr", "indices", "values", "cell_type"):
        np.testing.assert_array_equal(getattr(chosen, name), getattr(expected, name))


def test_sums_of_cells_without_values(make_bag: Callable[..., CellBag]) -> None:
    bag = make_bag([[0, 0], [1, 2], [0, 0], [0, 4], [0, 0]])
    assert row_sums(bag, bag.values).tolist() == [0, 3, 0, 4, 0]
    nothing = make_bag(np.zeros((0, 2)))
    assert row_sums(nothing, nothing.values).shape == (0,)
