"""Doublets, against scanpy's Scrublet."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable

import anndata
import numpy as np
import pytest
import scanpy

from features.cells.bag import CellBag
from features.cells.doublets import MINIMUM_CELLS, doublets
from features.cells.quality import select_cells
from features.errors import SequelaError

LIBRARY = "CAR-T10310323"


def test_calls_equal_scanpys(carpall: anndata.AnnData, carpall_bag: CellBag) -> None:
    of_library = (carpall.obs["gex_sample"] == LIBRARY).to_numpy()
    called = doublets(select_cells(carpall_bag, of_library), seed=3)
    cells = carpall[of_library].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scanpy.pp.scrublet(cells, random_state=3)
    assert called is not None
    assert called.any()
    np.testing.assert_array_equal(called, cells.obs["predicted_doublet"])


def test_planted_doublets_are_called_and_empty_cells_change_nothing(make_bag: Callable[..., CellBag]) -> None:
    rng = np.random.default_rng(0)
    rates = rng.gamma(0.5, 1.0, size=(2, 400))
    single = rng.poisson(rates[rng.integers(0, 2, 400)])
    pairs = rng.poisson(rates[0], (20, 400)) + rng.poisson(rates[1], (20, 400))
    cells = np.concatenate([pairs, single])
    called = doublets(make_bag(cells))
    assert called is not None
    assert called[:20].sum() > 5  # how many it finds is Scrublet's affair
    assert called[20:].mean() < 0.1 * called[:20].mean()
    with_empty = np.insert(cells, [0, 7, 300], 0, axis=0)
    again = doublets(make_bag(with_empty))
    assert again is not None
    empty = with_empty.sum(axis=1) == 0
    assert not again[empty].any()
    np.testing.assert_array_equal(again[~empty], called)


def test_it_cannot_tell_from_few_cells_or_genes(make_bag: Callable[..., CellBag]) -> None:
    counts = np.random.default_rng(1).poisson(2.0, size=(MINIMUM_CELLS, 200))
    assert doublets(make_bag(counts[1:])) is None
    assert doublets(make_bag(counts[:, :50])) is None


@pytest.mark.parametrize("library", ["scanpy", "skimage.filters"])
def test_a_missing_library_is_named(
    make_bag: Callable[..., CellBag], monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    counts = np.random.default_rng(1).poisson(2.0, size=(MINIMUM_CELLS, 200))
    with pytest.raises(SequelaError, match=rf"doublets: {library} is not installed; pip install scanpy scikit-image"):
        doublets(make_bag(counts))
