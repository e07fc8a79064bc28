"""Bags of cells under other names of genes: sums as a dense groupby gives them."""

from __future__ import annotations

from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from features.cells.bag import UNLABELLED, Bags, CellBag

Dense = NDArray[np.float64]


def bag_of(dense: Dense, genes: list[str], stored: NDArray[np.bool_] | None = None) -> CellBag:
    """A bag of a dense matrix; entries of `stored` are held even if they are 0."""
    cell, gene = np.nonzero((dense != 0) if stored is None else stored | (dense != 0))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=len(dense)))]).astype(np.int64)
    labels = np.array([f"type {i % 3}" for i in range(len(dense))], dtype=object)
    return CellBag(tuple(genes), indptr, gene.astype(np.int64), dense[cell, gene], labels)


def dense_of(bag: CellBag) -> pd.DataFrame:
    """The matrix of a bag, with names."""
    table = np.zeros((len(bag), len(bag.genes)))
    np.add.at(table, (np.repeat(np.arange(len(bag)), np.diff(bag.indptr)), bag.indices), bag.values)
    return pd.DataFrame(table, columns=list(bag.genes))


def grouped(dense: Dense, names: list[str]) -> pd.DataFrame:
    """The same by pandas: columns of one name added up, in the order in which names come first."""
    return pd.DataFrame(dense, columns=names).T.groupby(level=0, sort=False).sum().T


@st.composite
def cases(draw: st.DrawFn) -> tuple[Dense, NDArray[np.bool_], list[str]]:
    """Counts (cells, genes), which zeros are stored, and new names of which some are shared."""
    n_cells, n_genes = draw(st.integers(0, 6)), draw(st.integers(1, 7))
    dense = draw(arrays(np.float64, (n_cells, n_genes), elements=st.integers(0, 9).map(float)))
    stored = draw(arrays(np.bool_, (n_cells, n_genes)))
    names = draw(st.lists(st.sampled_from(["A", "B", "C", "D", "a", ""]), min_size=n_genes, max_size=n_genes))
    return dense, stored, names


def well_formed(bag: CellBag) -> None:
    """CSR with one value a cell and gene, ascending within a cell, of the declared types."""
    assert bag.indptr[0] == 0
    assert bag.indptr[-1] == len(bag.indices) == len(bag.values)
    assert (np.diff(bag.indptr) >= 0).all()
    assert len(bag.indptr) == len(bag.cell_type) + 1
    place = np.repeat(np.arange(len(bag)), np.diff(bag.indptr)) * max(len(bag.genes), 1) + bag.indices
    assert (np.diff(place) > 0).all()
    assert ((bag.indices >= 0) & (bag.indices < max(len(bag.genes), 1))).all()
    assert [str(part.dtype) for part in (bag.indptr, bag.indices, bag.values)] == ["int64", "int64", "float64"]


@given(cases())
def test_renaming_adds_up_columns_of_one_name(case: tuple[Dense, NDArray[np.bool_], list[str]]) -> None:
    dense, stored, names = case
    bag = bag_of(dense, [f"g{i}" for i in range(dense.shape[1])], stored)
    renamed = bag.renamed(names)
    pd.testing.assert_frame_equal(dense_of(renamed), grouped(dense, names))
    well_formed(renamed)
    assert renamed.cell_type.tolist() == bag.cell_type.tolist()
    assert renamed.values.sum() == dense.sum(), "no count is lost, none is counted twice"


@given(cases())
def test_renaming_twice_is_renaming_once(case: tuple[Dense, NDArray[np.bool_], list[str]]) -> None:
    dense, stored, names = case
    once = bag_of(dense, [f"g{i}" for i in range(dense.shape[1])], stored).renamed(names)
    twice = once.renamed(once.genes)
    assert twice.genes == once.genes
    for part in ("indptr", "indices", "values"):
        np.testing.assert_array_equal(getattr(twice, part), getattr(once, part))


@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_columns_does_not_matter(case: tuple[Dense, NDArray[np.bool_], list[str]], random: Random) -> None:
    dense, _, names = case
    order = list(range(dense.shape[1]))
    random.shuffle(order)
    first = bag_of(dense, list(map(str, order))).renamed(names)
    second = bag_of(dense[:, order], list(map(str, order))).renamed([names[i] for i in order])
    pd.testing.assert_frame_equal(dense_of(second)[list(first.genes)], dense_of(first))


def test_distinct_names_keep_the_very_arrays() -> None:
    """The usual case copies nothing, and does not touch values that are stored out of order."""
    bag = CellBag(
        ("x", "y"), np.array([0, 2]), np.array([1, 0]), np.array([3.0, 4.0]), np.array([UNLABELLED], dtype=object)
    )
    renamed = bag.renamed(["B", "A"])
    assert renamed.genes == ("B", "A")
    assert renamed.values is bag.values
    assert dense_of(renamed).to_dict("list") == {"B": [4.0], "A": [3.0]}
    assert bag.genes == ("x", "y"), "the original stays"


def test_values_out_of_order_are_added_up() -> None:
    bag = CellBag(
        ("x", "y", "z"),
        np.array([0, 3, 3, 4]),
        np.array([2, 0, 1, 1]),
        np.array([1.0, 10.0, 100.0, 7.0]),
        np.array(["T", "B", "T"], dtype=object),
    )
    renamed = bag.renamed(["A", "B", "A"])
    assert dense_of(renamed).to_numpy().tolist() == [[11.0, 100.0], [0.0, 0.0], [0.0, 7.0]]
    well_formed(renamed)


def test_as_many_names_as_columns() -> None:
    bag = bag_of(np.ones((2, 3)), ["x", "y", "z"])
    for names in (["A", "B"], ["A", "A"], ["A", "B", "C", "D"], ["A", "A", "B", "C"]):
        with pytest.raises(ValueError, match=rf"{len(names)} names for 3 columns"):
            bag.renamed(names)


@given(st.lists(st.integers(-1, 3), max_size=6), st.lists(st.integers(-1, 5), max_size=6))
def test_bags_are_taken_in_order_and_minus_one_is_a_sample_without_cells(first: list[int], second: list[int]) -> None:
    held = [bag_of(np.full((i + 1, 2), float(i + 1)), ["x", "y"]) for i in range(4)]
    bags = Bags.of([*held, None]).take(np.array([0, 1, 2, 3]))
    taken = bags.take(np.array(first, dtype=np.int64))
    assert [len(taken[i]) for i in range(len(taken))] == [i + 1 if i >= 0 else 0 for i in first]
    inside = [i for i in second if i < len(first)]
    again = taken.take(np.array(inside, dtype=np.int64))
    expected = [first[i] if i >= 0 else -1 for i in inside]
    assert [len(again[i]) for i in range(len(again))] == [i + 1 if i >= 0 else 0 for i in expected]
    assert len(Bags.of([None])[0]) == 0
