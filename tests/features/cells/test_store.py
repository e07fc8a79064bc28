"""The feature store: what is put in comes out, in the smallest form, and what was damaged is not used."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import features.cells.matrix
import features.cells.store_files
from features.cells.anndata_io import CellFileError, iter_bags, write_cells
from features.cells.bag import CellBag
from features.cells.processing import CellProcessing
from features.cells.store import CellStore, build, inspect
from features.cells.store_build import shard_cuts
from features.cells.store_files import StoreError
from features.cells.store_write import ValueStream
from features.cells.summary import CellSummary, summarise
from features.schema import CellsCard

N_CELLS, GENES = 90, tuple(f"LOCAL{i}" for i in range(13))
SAMPLE = np.repeat(["s3", "s1", "s2"], 30)
LABEL = np.array(["CD8", "CD4", None, "NK", "CD8"], dtype=object)[np.arange(N_CELLS) % 5]
Table = np.ndarray[Any, np.dtype[np.float32]]


def counts(seed: int = 0) -> Table:
    table = np.random.default_rng(seed).poisson(1.2, size=(N_CELLS, len(GENES))).astype(np.float32)
    table[::9] = 0
    return table


def write(path: Path, table: object, order: Any = None, genes: tuple[str, ...] = GENES) -> Path:
    """With anndata alone, cells in any order."""
    order = np.arange(N_CELLS) if order is None else order
    obs = pd.DataFrame(
        {"sample_id": pd.Categorical(SAMPLE[order]), "cell_type": pd.Categorical(LABEL[order])},
        index=[f"c{i}" for i in order],
    )
    cells = anndata.AnnData(table, obs=obs, var=pd.DataFrame(index=list(genes)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what zarr and anndata say of their own formats
        cells.write_zarr(path) if path.suffix == ".zarr" else cells.write_h5ad(path)
    return path


def dense(bag: CellBag) -> np.ndarray[Any, np.dtype[np.float64]]:
    return scipy.sparse.csr_array((bag.values, bag.indices, bag.indptr), shape=(len(bag), len(bag.genes))).toarray()


def assert_same_summary(found: CellSummary, expected: CellSummary) -> None:
    """Row for row, whatever the order in which sums are stored."""
    assert (found.cell_types, found.genes) == (expected.cell_types, expected.genes)
    for name in ("offsets", "cell_type", "n_cells"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in ("total", "lognorm"):
        rows = getattr(found, name)[found.group], getattr(expected, name)[expected.group]
        np.testing.assert_allclose(*rows, rtol=1e-12, atol=1e-12)
    for name in ("normalised", "squared"):
        rows = getattr(found, name)[found.sample], getattr(expected, name)[expected.sample]
        np.testing.assert_allclose(*rows, rtol=1e-12, atol=1e-12)


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    return write(tmp_path / "cells.h5ad", scipy.sparse.csr_matrix(counts()))


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
@pytest.mark.parametrize(
    "layout", [scipy.sparse.csr_matrix, scipy.sparse.csc_matrix, np.asarray], ids=["csr", "csc", "dense"]
)
@pytest.mark.parametrize("scattered", [False, True], ids=["contiguous", "scattered"])
def test_cells_and_sums_come_back(
    tmp_path: Path, suffix: str, layout: Callable[[Table], Any], scattered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features.cells.matrix, "BLOCK_VALUES", 60)  # several blocks a sample
    order = np.random.default_rng(3).permutation(N_CELLS) if scattered else np.arange(N_CELLS)
    path = write(tmp_path / f"cells{suffix}", layout(counts()[order]), order)
    seen: list[tuple[int, int]] = []
    store = build(path, tmp_path / "store", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (N_CELLS, N_CELLS)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    expected = dict(iter_bags(path))
    assert store.samples == tuple(expected)
    for name, bag in expected.items():
        found = store.bag(name)
        np.testing.assert_array_equal(dense(found), dense(bag))
        np.testing.assert_array_equal(dense(found), counts()[order][SAMPLE[order] == name])
        assert found.cell_type.tolist() == bag.cell_type.tolist()
        assert (found.genes, found.values.dtype, found.indices.dtype) == (GENES, np.float64, np.int64)
    whole = CellSummary.concatenate([summarise(bag, counts=True) for bag in expected.values()])
    assert_same_summary(store.summary(), whole)
    assert isinstance(store.summary().total, np.memmap), "the sums are mapped, not read"
    store.verify()


def test_samples_are_taken_by_name(cells: Path, tmp_path: Path) -> None:
    store = build(cells, tmp_path / "store")
    rows = store.rows_of(["s2", "s3"])
    taken = store.summary().take(rows)
    expected = CellSummary.concatenate([summarise(store.bag(name), counts=True) for name in ("s2", "s3")])
    np.testing.assert_array_equal(taken.cells_by_type, expected.cells_by_type)
    np.testing.assert_allclose(taken.normalised[taken.sample], expected.normalised)
    np.testing.assert_array_equal(dense(store.bags(["s1", "s2"])[1]), dense(store.bag("s2")))
    assert len(store.bags()) == 3
    with pytest.raises(StoreError, match=r"no sample nobody; it is not in cells\.h5ad"):
        store.bag("nobody")
    with pytest.raises(StoreError, match="no sample nobody"):
        store.rows_of(["s1", "nobody"])


@pytest.mark.parametrize(
    ("highest", "kind"),
    [
        (255.0, "uint8"),
        (256.0, "uint16"),
        (65_535.0, "uint16"),
        (65_536.0, "float32"),
        (0.1, "float64"),
        (0.5, "float32"),
    ],
)
def test_values_are_kept_without_loss_in_the_smallest_type(tmp_path: Path, highest: float, kind: str) -> None:
    table = counts().astype(np.float64)
    table[-1, -1] = highest  # late: what was written narrow is written anew
    path = write(tmp_path / "cells.h5ad", scipy.sparse.csr_matrix(table))
    store = build(path, tmp_path / "store", CellsCard(genes="markers"))
    assert store.manifest.shards[-1].value_type == kind
    assert {shard.value_type for shard in store.manifest.shards[:-1]} == {"uint8"}
    np.testing.assert_array_equal(dense(store.bag("s2")), table[60:])
    assert store.shards[0].indices.dtype == np.uint16


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    parts=st.lists(
        st.lists(st.one_of(st.integers(0, 300), st.integers(0, 70_000), st.floats(width=32), st.floats()), max_size=5),
        max_size=6,
    )
)
def test_any_values_are_kept_as_they_are(tmp_path: Path, parts: list[list[float]]) -> None:
    stream = ValueStream(tmp_path / "values")
    finite = [[x for x in part if np.isfinite(x)] for part in parts]
    for part in finite:
        stream.add(np.array(part, dtype=np.float64))
    file = stream.stream.close()
    content = (tmp_path / "values").read_bytes()
    assert (file.size_bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    np.testing.assert_array_equal(np.frombuffer(content, dtype=stream.value_type), [x for part in finite for x in part])
    assert [path.name for path in tmp_path.iterdir()] == ["values"]


def test_columns_of_one_gene_are_added_up(tmp_path: Path) -> None:
    genes = ("ENSG00000198851.10", *GENES[1:12], "CD3E")
    path = write(tmp_path / "cells.h5ad", scipy.sparse.csr_matrix(counts()), genes=genes)
    store = build(path, tmp_path / "store")
    assert store.genes == ("CD3E", *GENES[1:12])
    both = counts()[:, 0] + counts()[:, 12]
    np.testing.assert_array_equal(dense(store.bag("s1")), np.column_stack([both, counts()[:, 1:12]])[30:60])
    assert [row.n_values for row in store.inspect()] == [
        np.count_nonzero(part) for part in np.split(np.column_stack([both, counts()[:, 1:12]]), 3)
    ], "no gene of a cell is stored twice"
    np.testing.assert_allclose(store.summary().normalised.sum(), 1e4 * np.count_nonzero(counts().any(axis=1)))
    apart = build(path, tmp_path / "store", CellsCard(genes="markers"))
    assert apart.genes == genes
    assert apart.key != store.key


def test_intensities_may_be_negative_and_counts_may_not(tmp_path: Path) -> None:
    path = write(tmp_path / "cells.h5ad", counts() - 0.75)
    store = build(path, tmp_path / "store", CellsCard(values="intensities", genes="markers"))
    assert_same_summary(
        store.summary(), CellSummary.concatenate([summarise(bag, counts=False) for _, bag in iter_bags(path)])
    )
    with pytest.raises(StoreError, match=r"cells of sample s3: .*every raw count at least 0"):
        build(path, tmp_path / "store", CellsCard(genes="markers"))
    assert len(inspect(tmp_path / "store")) == 1
    assert not list((tmp_path / "store" / ".building").iterdir())


class KeepEven(BaseModel):
    """A processing of cells: every second one is kept, and all types are named anew."""

    prefix: str = "x"

    def __call__(self, bag: CellBag) -> tuple[CellBag, dict[str, float]]:
        kept = scipy.sparse.csr_matrix((bag.values, bag.indices, bag.indptr), shape=(len(bag), len(bag.genes)))[::2]
        labels = np.array([f"{self.prefix} {label}" for label in bag.cell_type[::2]], dtype=object)
        numbers = {"n_before": float(len(bag)), "car_positive_share": float("nan")}
        indptr, indices = kept.indptr.astype(np.int64), kept.indices.astype(np.int64)
        return CellBag(bag.genes, indptr, indices, kept.data, labels), numbers


def test_processed_cells_are_stored_with_what_was_found_out(cells: Path, tmp_path: Path) -> None:
    store = build(cells, tmp_path / "store", processing=KeepEven(), processor=KeepEven())
    assert store.n_cells == N_CELLS // 2
    assert store.cell_types == ("x CD4", "x CD8", "x NK", "x unlabelled")
    np.testing.assert_array_equal(dense(store.bag("s1")), counts()[30:60:2])
    summary = store.summary()
    np.testing.assert_array_equal(summary.number("n_before"), [30, 30, 30])
    assert np.isnan(summary.number("car_positive_share")).all()
    bags = [KeepEven()(bag)[0] for _, bag in iter_bags(cells)]
    assert_same_summary(summary, CellSummary.concatenate([summarise(bag, counts=True) for bag in bags]))
    other = KeepEven(prefix="y")
    assert build(cells, tmp_path / "store", processing=other, processor=other).cell_types[0] == "y CD4"
    assert len(inspect(tmp_path / "store")) == 2


def test_a_processing_that_changes_genes_is_refused(cells: Path, tmp_path: Path) -> None:
    def fewer_genes(bag: CellBag) -> tuple[CellBag, dict[str, float]]:
        return CellBag(bag.genes[:-1], bag.indptr, bag.indices, bag.values, bag.cell_type), {}

    with pytest.raises(StoreError, match="sample s3: processing changed the genes"):
        build(cells, tmp_path / "store", processing=KeepEven(), processor=fewer_genes)
    with pytest.raises(ValueError, match="a processor comes with its configuration"):
        build(cells, tmp_path / "store", processor=fewer_genes)


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_cells_that_change_meanwhile_make_no_store(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"cells{suffix}", scipy.sparse.csr_matrix(counts()))

    def touching(bag: CellBag) -> tuple[CellBag, dict[str, float]]:
        os.utime(path if path.is_file() else next(file for file in path.rglob("*") if file.is_file()))
        return bag, {}

    with pytest.raises(StoreError, match=r"cells\.(h5ad|zarr): changed while it was read"):
        build(path, tmp_path / "store", processing=KeepEven(), processor=touching)
    assert inspect(tmp_path / "store") == []


def test_cells_are_processed_as_configured(cells: Path, tmp_path: Path) -> None:
    store = build(cells, tmp_path / "store", processing=CellProcessing(min_genes=8))
    kept = np.count_nonzero(counts(), axis=1) >= 8
    assert 0 < kept.sum() < N_CELLS
    assert store.n_cells == kept.sum()
    np.testing.assert_array_equal(dense(store.bag("s1")), counts()[30:60][kept[30:60]])
    assert store.summary().number("n_cells_read").tolist() == [30, 30, 30]
    assert store.manifest.processing != build(cells, tmp_path / "store").manifest.processing


def test_transformed_counts_are_intensities(cells: Path, tmp_path: Path) -> None:
    store = build(cells, tmp_path / "store", CellsCard(genes="markers"), CellProcessing(cofactor=5.0))
    summary = store.summary()
    np.testing.assert_allclose(summary.total.sum(), np.arcsinh(counts() / 5.0).sum(), rtol=1e-6)
    np.testing.assert_array_equal(summary.lognorm, summary.total)


def test_samples_whose_cells_are_all_removed_stay_as_empty(cells: Path, tmp_path: Path) -> None:
    def none_of_s1(bag: CellBag) -> tuple[CellBag, dict[str, float]]:
        if not np.array_equal(dense(bag), counts()[30:60]):
            return bag, {"kept": 1.0}
        none = np.zeros(0, dtype=np.int64)
        return CellBag(bag.genes, np.zeros(1, dtype=np.int64), none, np.zeros(0), np.zeros(0, dtype=object)), {}

    store = build(cells, tmp_path / "store", processing=KeepEven(), processor=none_of_s1)
    assert [row.n_cells for row in store.inspect()] == [30, 0, 30]
    assert len(store.bag("s1")) == 0
    np.testing.assert_array_equal(store.summary().number("kept"), [1, np.nan, 1])
    assert store.summary().cells_by_type.sum(axis=1).tolist() == [30, 0, 30]
    assert sum(map(len, store.batches(7))) == 60


def test_the_same_store_is_found_again(cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build(cells, tmp_path / "store")
    written = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}
    read: list[Path] = []
    real = features.cells.store_files.sha256_of_file

    def spy(path: Path) -> str:
        read.append(path)
        return real(path)

    monkeypatch.setattr(features.cells.store_files, "sha256_of_file", spy)
    assert build(cells, tmp_path / "store").folder == first.folder
    assert read == [], "nothing has changed, so nothing is read"
    os.utime(cells)
    assert build(cells, tmp_path / "store").folder == first.folder
    assert read == [cells], "another time, the same content"
    assert {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")} == written
    cells.unlink()
    write(cells, scipy.sparse.csr_matrix(counts(1)))
    assert build(cells, tmp_path / "store").key != first.key


def test_a_folder_has_the_content_of_its_files(tmp_path: Path) -> None:
    path = write(tmp_path / "cells.zarr", scipy.sparse.csr_matrix(counts()))
    first = build(path, tmp_path / "store")
    path.rename(tmp_path / "moved.zarr")
    assert build(tmp_path / "moved.zarr", tmp_path / "store").key == first.key
    (tmp_path / "moved.zarr" / "more").write_text("x")
    assert build(tmp_path / "moved.zarr", tmp_path / "store").key != first.key


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "short": (lambda f: os.truncate(f / "shard-0000" / "values", 3), r"values has 3 bytes instead of"),
    "gone": (lambda f: (f / "total.npy").unlink(), r"total\.npy is missing"),
    "manifest": (lambda f: (f / "manifest.json").write_text("{}"), "the manifest has changed"),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), r"manifest\.json is missing"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_not_opened_and_is_built_anew(cells: Path, tmp_path: Path, damage: str) -> None:
    store = build(cells, tmp_path / "store")
    break_it, match = DAMAGES[damage]
    break_it(store.folder)
    with pytest.raises(StoreError, match=match):
        CellStore.open(tmp_path / "store", store.key)
    (row,) = inspect(tmp_path / "store")
    assert row.key == store.key
    assert row.fault
    build(cells, tmp_path / "store").verify()
    assert [row.fault for row in inspect(tmp_path / "store")] == [""]


@pytest.mark.parametrize("file", ["shard-0000/values", "shard-0002/indices", "lognorm.npy", "shard-0001/cell_type"])
def test_a_changed_byte_is_found(cells: Path, tmp_path: Path, file: str) -> None:
    store = build(cells, tmp_path / "store")
    content = bytearray((store.folder / file).read_bytes())
    content[-1] ^= 1
    (store.folder / file).write_bytes(content)
    CellStore.open(tmp_path / "store", store.key)
    with pytest.raises(StoreError, match=rf"{file} has changed since it was written"):
        CellStore.open(tmp_path / "store", store.key, verify=True)


def test_an_unknown_format_is_refused(cells: Path, tmp_path: Path) -> None:
    store = build(cells, tmp_path / "store")
    manifest = json.loads((store.folder / "manifest.json").read_text()) | {"format": "sequela-cell-store/9"}
    text = json.dumps(manifest)
    (store.folder / "manifest.json").write_text(text)
    (store.folder / "manifest.sha256").write_text(hashlib.sha256(text.encode()).hexdigest())
    with pytest.raises(StoreError, match="not a feature store of this version"):
        CellStore.open(tmp_path / "store", store.key)


def test_a_store_is_pickled_as_its_folder(cells: Path, tmp_path: Path) -> None:
    store = build(cells, tmp_path / "store")
    pickled = pickle.dumps(store)
    assert len(pickled) < 1000
    np.testing.assert_array_equal(dense(pickle.loads(pickled).bag("s2")), dense(store.bag("s2")))  # noqa: S301


def test_tables_show_what_is_stored(cells: Path, tmp_path: Path) -> None:
    assert inspect(tmp_path / "store") == []
    store = build(cells, tmp_path / "store")
    (row,) = inspect(tmp_path / "store")
    assert (row.n_samples, row.n_cells, row.n_genes, row.source) == (3, N_CELLS, len(GENES), "cells.h5ad")
    assert row.n_values == np.count_nonzero(counts())
    assert row.size_bytes == sum(
        path.stat().st_size for path in store.folder.rglob("*") if path.parent != store.folder
    ) + sum(path.stat().st_size for path in store.folder.glob("*.npy"))
    sample = store.inspect()[0]
    assert (sample.sample_id, sample.n_cells) == ("s3", 30)
    assert sample.cell_types == {"CD4": 6, "CD8": 12, "NK": 6, "unlabelled": 6}


@pytest.mark.parametrize("damage", ["cut", "absent", "flipped"])
def test_nothing_is_left_of_cells_that_cannot_be_read(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "cells.zarr"
    write_cells(path, counts(), GENES, SAMPLE)
    chunk = path / "X" / "indices" / "c" / "0"
    if damage == "absent":
        chunk.unlink()
    else:
        chunk.write_bytes(chunk.read_bytes()[:-9] if damage == "cut" else b"x" + chunk.read_bytes()[1:])
    with pytest.raises(CellFileError, match=r"^cells\.zarr: "):
        build(path, tmp_path / "store")
    assert inspect(tmp_path / "store") == []
    assert not list((tmp_path / "store").glob(".building/*"))


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(1, 400_000), min_size=1, max_size=60))
def test_shards_are_even_runs_of_samples(sizes: list[int]) -> None:
    cuts = shard_cuts(np.array(sizes))
    assert (cuts[0], cuts[-1]) == (0, len(sizes))
    assert sorted(set(cuts)) == cuts
    held = [sum(sizes[low:high]) for low, high in pairwise(cuts)]
    assert max(held) <= max(max(sizes), min(1 << 18, -(-sum(sizes) // 16)))
