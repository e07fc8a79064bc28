"""Summaries of cells, against scanpy and against loops."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
import scanpy
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.cells.bag import UNLABELLED, CellBag
from features.cells.summary import CellSummary, summarise
from features.errors import SequelaError

TYPES = ("B", "T", UNLABELLED)


def bag_of(matrix: NDArray[np.float64], labels: list[str], genes: tuple[str, ...] | None = None) -> CellBag:
    sparse = scipy.sparse.csr_matrix(matrix)
    names = genes or tuple(f"g{i}" for i in range(matrix.shape[1]))
    cell_type = np.array(labels, dtype=object)
    return CellBag(names, sparse.indptr.astype(np.int64), sparse.indices.astype(np.int64), sparse.data, cell_type)


@st.composite
def matrices(draw: st.DrawFn) -> tuple[NDArray[np.float64], list[str]]:
    """Up to eight cells with counts of up to five genes, some cells without any count."""
    shape = draw(st.tuples(st.integers(1, 8), st.integers(1, 5)))
    counts = draw(st.lists(st.integers(0, 9), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    labels = draw(st.lists(st.sampled_from(TYPES), min_size=shape[0], max_size=shape[0]))
    return np.array(counts, dtype=float).reshape(shape), labels


@settings(deadline=None)
@given(matrices())
def test_sums_equal_scanpys_normalisation(case: tuple[NDArray[np.float64], list[str]]) -> None:
    matrix, labels = case
    summary = summarise(bag_of(matrix, labels), counts=True)
    cells = anndata.AnnData(matrix.copy())
    cells.obs_names = [f"c{i}" for i in range(len(matrix))]
    with_counts = matrix.sum(axis=1) > 0
    cells = cells[with_counts].copy()
    if cells.n_obs:
        scanpy.pp.normalize_total(cells, target_sum=1e4)
        scanpy.pp.log1p(cells)
    normal = np.zeros_like(matrix)
    normal[with_counts] = cells.X
    assert summary.cell_types == tuple(sorted(set(labels)))
    for i, name in enumerate(summary.cell_types):
        of_type = np.array(labels) == name
        assert summary.n_cells[i] == of_type.sum(), "cells without a count are cells too"
        np.testing.assert_allclose(summary.total[i], matrix[of_type].sum(axis=0), atol=1e-9)
        np.testing.assert_allclose(summary.lognorm[i], normal[of_type].sum(axis=0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(summary.normalised[0], np.expm1(normal).sum(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(summary.squared[0], (np.expm1(normal) ** 2).sum(axis=0), rtol=1e-4, atol=1e-4)


@given(matrices())
def test_intensities_enter_as_they_are(case: tuple[NDArray[np.float64], list[str]]) -> None:
    matrix, labels = case
    summary = summarise(bag_of(matrix - 4.0, labels), counts=False)
    np.testing.assert_allclose(summary.total.sum(axis=0), (matrix - 4.0).sum(axis=0), atol=1e-9)
    np.testing.assert_array_equal(summary.lognorm, summary.total)


@given(matrices(), st.integers(0, 99))
def test_order_of_cells_and_genes_does_not_matter(case: tuple[NDArray[np.float64], list[str]], seed: int) -> None:
    matrix, labels = case
    rng = np.random.default_rng(seed)
    cells, genes = rng.permutation(len(matrix)), rng.permutation(matrix.shape[1])
    one = summarise(bag_of(matrix, labels), counts=True)
    first = one.aligned(one.cell_types, one.genes)
    names = tuple(f"g{i}" for i in genes)
    shuffled = bag_of(matrix[cells][:, genes], [labels[i] for i in cells], names)
    second = summarise(shuffled, counts=True).aligned(first.cell_types, first.genes)
    np.testing.assert_array_equal(first.n_cells, second.n_cells)
    np.testing.assert_allclose(first.total, second.total, atol=1e-9)
    np.testing.assert_allclose(first.lognorm, second.lognorm, atol=1e-9)


@pytest.mark.parametrize(
    ("value", "counts"),
    [(np.nan, True), (np.inf, True), (-1.0, True), (np.nan, False), (-np.inf, False)],
    ids=["NaN count", "infinite count", "negative count", "NaN intensity", "infinite intensity"],
)
def test_impossible_values_are_refused(value: float, counts: bool) -> None:
    with pytest.raises(SequelaError, match="every value must be finite"):
        summarise(bag_of(np.array([[1.0, value]]), ["T"]), counts=counts)


def test_negative_intensities_are_allowed() -> None:
    assert summarise(bag_of(np.array([[1.0, -2.0]]), ["T"]), counts=False).total.tolist() == [[1.0, -2.0]]


def test_no_cells_and_empty_cells() -> None:
    nothing = summarise(bag_of(np.zeros((0, 3)), []), counts=True)
    assert len(nothing) == 1
    assert nothing.n_cells.shape == (0,)
    empty = summarise(bag_of(np.zeros((2, 3)), ["T", "T"]), counts=True)
    assert empty.n_cells.tolist() == [2.0]
    assert not empty.lognorm.any()


def test_alignment_adds_zeros_and_leaves_out_what_is_not_asked_for() -> None:
    summary = summarise(bag_of(np.array([[1.0, 2.0], [0.0, 4.0]]), ["B", "T"]), counts=True)
    aligned = summary.aligned(("T", "NK"), ("g9", "g1"))
    assert aligned.cell_types == ("T", "NK")
    assert aligned.genes == ("g9", "g1")
    assert aligned.n_cells.tolist() == [[1.0, 0.0]]
    assert aligned.total.tolist() == [[[0.0, 4.0], [0.0, 0.0]]]
    assert aligned.lognorm[0, 0].tolist() == pytest.approx([0.0, np.log1p(1e4)])
    assert aligned.depth.tolist() == [[4.0, 0.0]]
    over_panel = summary.aligned(("B", "T"), ("g9",), ("g0", "g1"))
    assert over_panel.depth.tolist() == [[3.0, 4.0]]
    levels = [[np.log1p(1e4 / 3) + np.log1p(2e4 / 3), np.log1p(1e4)]]
    np.testing.assert_allclose(over_panel.level, levels, rtol=1e-12)


def test_concatenation_keeps_samples_over_the_union_of_types_and_genes() -> None:
    first = summarise(bag_of(np.array([[1.0, 2.0]]), ["T"], ("CD3E", "PDCD1")), counts=True)
    second = summarise(bag_of(np.array([[5.0, 3.0]]), ["B"], ("MS4A1", "CD3E")), counts=True)
    both = CellSummary.concatenate([first, second])
    assert both.cell_types == ("B", "T")
    assert both.genes == ("CD3E", "PDCD1", "MS4A1")
    assert both.aligned(both.cell_types, both.genes).total.tolist() == [[[0, 0, 0], [1, 2, 0]], [[3, 0, 5], [0, 0, 0]]]
    taken = both.take(np.array([1, 1, -1, 0]))
    assert taken.cells_by_type.tolist() == [[1, 0], [1, 0], [0, 0], [0, 1]]
    again = CellSummary.concatenate([taken, first])
    assert again.cells_by_type.tolist() == [[1, 0], [1, 0], [0, 0], [0, 1], [0, 1]]
    np.testing.assert_array_equal(again.aligned(both.cell_types, both.genes).total[[0, 1, 2]].sum(axis=1)[2], 0)


def test_numbers_follow_their_sample() -> None:
    bag = bag_of(np.array([[1.0, 2.0]]), ["T"])
    first, second = summarise(bag, counts=True, numbers={"car_positive_share": 0.25}), summarise(bag, counts=True)
    both = CellSummary.concatenate([first, second]).take(np.array([1, 0, -1]))
    np.testing.assert_array_equal(both.number("car_positive_share"), [np.nan, 0.25, np.nan])
    assert np.isnan(both.number("unheard of")).all()
