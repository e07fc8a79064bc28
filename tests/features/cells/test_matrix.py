"""Arrays on disk are read forwards in whole chunks, each once, whatever slices are asked for."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from features.cells.matrix import Compressed, CsrMatrix, DamagedMatrixError, Rows, Window
from features.cells.matrix_samples import by_sample

N_VALUES = 100


class Chunked:
    """An array in memory that says how it is chunked and remembers what was read."""

    def __init__(self, values: Any, chunk: int) -> None:
        self.values, self.chunks, self.read = np.asarray(values), (chunk,), list[int]()
        self.shape = self.values.shape

    def __getitem__(self, key: slice) -> Any:
        self.read.extend(range(*key.indices(len(self.values))))
        return self.values[key]


@given(cuts=st.lists(st.integers(0, N_VALUES), min_size=2), chunk=st.integers(1, 30))
def test_forward_slices_read_every_value_once(cuts: list[int], chunk: int) -> None:
    array = Chunked(np.arange(N_VALUES) * 3, chunk)
    window = Window(array)
    bounds = sorted(cuts)
    for start, stop in pairwise(bounds):
        np.testing.assert_array_equal(window.read(start, stop), array.values[start:stop])
    assert len(set(array.read)) == len(array.read)
    assert set(array.read) <= set(range(bounds[0], -(-bounds[-1] // chunk) * chunk))


@given(slices=st.lists(st.tuples(st.integers(0, N_VALUES), st.integers(0, N_VALUES)).map(sorted)))
def test_slices_in_any_order_are_right(slices: list[list[int]]) -> None:
    window = Window(Chunked(np.arange(N_VALUES), 7))
    for start, stop in slices:
        np.testing.assert_array_equal(window.read(start, stop), np.arange(start, stop))


@given(seed=st.integers(0, 1000), chunk=st.integers(1, 40), n_samples=st.integers(1, 9))
def test_samples_are_read_right_from_small_chunks(seed: int, chunk: int, n_samples: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.poisson(0.5, (40, 6)).astype(np.float32)
    csr = scipy.sparse.csr_matrix(table)
    parts = Compressed(40, 6, Chunked(csr.data, chunk), Chunked(csr.indices, chunk), Chunked(csr.indptr, chunk))
    sample = np.sort(rng.integers(0, n_samples, 40))
    for found in by_sample(CsrMatrix(parts), sample, n_samples):
        rows = Rows.joined(list(found.parts)) if len(found.cells) else None
        if rows is not None:
            dense = scipy.sparse.csr_matrix((rows.values, rows.indices, rows.indptr), shape=(len(rows), 6)).toarray()
            np.testing.assert_array_equal(dense, table[sample == found.number])


def test_unsorted_rows_and_stored_zeros_become_plain(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["data"], file["indices"], file["indptr"] = [1.0, 0.0, 3.0, 4.0], [4, 2, 0, 1], [0, 3, 4]
        rows = Compressed(2, 5, file["data"], file["indices"], file["indptr"]).rows(0, 2)
    assert (rows.indptr.tolist(), rows.indices.tolist(), rows.values.tolist()) == ([0, 2, 3], [0, 4, 1], [3, 1, 4])


def test_a_gene_that_a_cell_has_twice_is_damage_even_apart() -> None:
    arrays = (Chunked(np.ones(3), 4), Chunked([2, 0, 2], 4), Chunked([0, 3], 4))
    with pytest.raises(DamagedMatrixError, match="an index is repeated in the rows 0 to 1"):
        Compressed(1, 5, *arrays).rows(0, 1)
