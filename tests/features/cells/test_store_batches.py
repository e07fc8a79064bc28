"""Shuffled batches: every cell once, in another order each time, with all that belongs to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import features.cells.store_batches
from features.cells.anndata_io import write_cells
from features.cells.store import CellStore, build
from features.schema import CellsCard

N_CELLS = 300
GENES = ("number", "a", "b", "c")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> CellStore:
    """Cell i has the value i + 1 in its first gene; shards differ in the type of their values."""
    folder = tmp_path_factory.mktemp("batches")
    table = np.zeros((N_CELLS, 4), dtype=np.float32)
    table[:, 0] = np.arange(N_CELLS) + 1
    table[:, 1:] = np.random.default_rng(0).poisson(0.6, (N_CELLS, 3))
    label = np.where(np.arange(N_CELLS) % 3 == 0, "T", "B")
    write_cells(folder / "cells.zarr", table, GENES, np.arange(N_CELLS) // 60, label)
    built = build(folder / "cells.zarr", folder / "store", CellsCard(genes="markers"))
    assert {shard.value_type for shard in built.manifest.shards} == {"uint8", "uint16"}
    return built


def expected(store: CellStore) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    rows = np.zeros((N_CELLS, 4))
    start = 0
    for name in store.samples:
        bag = store.bag(name)
        rows[start + np.repeat(np.arange(len(bag)), np.diff(bag.indptr)), bag.indices] = bag.values
        start += len(bag)
    return rows


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batch_size=st.integers(1, 350),
    block=st.integers(1, 70),
    seed=st.integers(0, 9),
    buffer=st.sampled_from([64, 128, 999]),
)
def test_every_cell_comes_once_with_its_values(
    store: CellStore, batch_size: int, block: int, seed: int, buffer: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features.cells.store_batches, "BUFFER_CELLS", buffer)
        batches = list(store.batches(batch_size, block, seed))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1), "only the last may be smaller"
    rows = np.concatenate([batch.dense() for batch in batches])
    order = rows[:, 0].astype(int) - 1
    assert sorted(order.tolist()) == list(range(N_CELLS))
    np.testing.assert_array_equal(rows, expected(store)[order])
    sample = np.concatenate([batch.sample for batch in batches])
    np.testing.assert_array_equal(sample, order // 60)
    labels = np.array(store.cell_types)[np.concatenate([batch.cell_type for batch in batches])]
    np.testing.assert_array_equal(labels, np.where(order % 3 == 0, "T", "B"))


def order_of(store: CellStore, seed: int | np.random.Generator) -> list[float]:
    return [float(x) for batch in store.batches(32, 8, seed) for x in batch.dense()[:, 0]]


def test_the_order_is_the_seeds_and_epochs_differ(store: CellStore) -> None:
    assert order_of(store, 1) == order_of(store, 1)
    assert order_of(store, 1) != order_of(store, 2)
    rng = np.random.default_rng(0)
    assert order_of(store, rng) != order_of(store, rng), "a generator goes on"


def test_neighbours_are_torn_apart(store: CellStore) -> None:
    order = np.array(order_of(store, 0))
    correlation = np.corrcoef(np.arange(N_CELLS), order)[0, 1]
    assert abs(correlation) < 0.25, "stored order shows no more"
    assert np.mean(np.abs(np.diff(order)) == 1) < 0.1


def test_genes_are_chosen_and_ordered(store: CellStore) -> None:
    for batch in store.batches(64, 8, 0, genes=["c", "nowhere", "number"]):
        assert batch.n_genes == 3
        rows = batch.dense()
        np.testing.assert_array_equal(rows[:, [0, 2]], expected(store)[rows[:, 2].astype(int) - 1][:, [3, 0]])
        assert not rows[:, 1].any()
