"""Cells on disk: every layout reads the same, damaged files are named, values agree with scanpy."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import features.cells.matrix
import features.cells.matrix_samples
from features.cells.anndata_io import CellFile, CellFileError, iter_bags, write_cells
from features.cells.bag import UNLABELLED, CellBag
from features.cells.store import build
from features.cells.summary import CellSummary, summarise
from features.check import read_cohort
from features.cohort import Cohort

N_CELLS, N_GENES = 60, 11
GENES = [f"GENE{i}" for i in range(N_GENES)]


def counts(seed: int = 0, n_cells: int = N_CELLS) -> np.ndarray[Any, np.dtype[np.float32]]:
    values = np.random.default_rng(seed).poisson(0.8, size=(n_cells, N_GENES)).astype(np.float32)
    values[::7] = 0  # cells without a count
    values[:, 3] = 0  # a silent gene
    return values


def dense(bag: CellBag) -> np.ndarray[Any, np.dtype[np.float64]]:
    return scipy.sparse.csr_array((bag.values, bag.indices, bag.indptr), shape=(len(bag), len(bag.genes))).toarray()


def store(path: Path, X: object, sample: list[Any], cell_type: list[Any] | None = None) -> Path:
    """Write with anndata alone, without reordering."""
    obs = pd.DataFrame({"sample_id": pd.Categorical(sample)}, index=[f"c{i}" for i in range(len(sample))])
    if cell_type is not None:
        obs["cell_type"] = pd.Categorical(cell_type)
    cells = anndata.AnnData(X, obs=obs, var=pd.DataFrame(index=GENES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what zarr and anndata say of their own formats
        cells.write_zarr(path) if path.suffix == ".zarr" else cells.write_h5ad(path)
    return path


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "csr": scipy.sparse.csr_matrix,
    "csc": scipy.sparse.csc_matrix,
    "dense": np.asarray,
}
ORDERS = {
    "contiguous": np.repeat(["b", "a", "c"], 20),
    "pieces": np.tile(np.repeat(["b", "a", "c"], 5), 4),
    "scattered": np.random.default_rng(1).permutation(np.repeat(["b", "a", "c"], 20)),
}
ORDERS["orphans"] = np.where(np.arange(N_CELLS) % 5 == 0, None, ORDERS["scattered"].astype(object))


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("order", ORDERS)
def test_every_layout_gives_each_sample_its_cells(
    tmp_path: Path, suffix: str, layout: str, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features.cells.matrix, "BLOCK_VALUES", 50)  # many blocks
    monkeypatch.setattr(features.cells.matrix_samples, "ROUND_VALUES", 150)  # several rounds
    monkeypatch.setattr(features.cells.matrix_samples, "_RUNS_PER_SAMPLE", 4)  # scattered samples are gathered
    sample, values = ORDERS[order], counts()
    label = np.where(np.arange(N_CELLS) % 3 == 0, None, "T cell")
    path = store(tmp_path / f"cells{suffix}", LAYOUTS[layout](values), list(sample), list(label))
    seen: list[tuple[int, int]] = []
    bags = dict(iter_bags(path, lambda done, total: seen.append((done, total))))
    assert list(bags) == [name for name in dict.fromkeys(sample) if name is not None]
    for name, bag in bags.items():
        np.testing.assert_array_equal(dense(bag), values[sample == name])
        assert bag.genes == tuple(GENES)
        expected = [UNLABELLED if text is None else text for text in label[sample == name]]
        assert bag.cell_type.tolist() == expected
    n_with_sample = sum(name is not None for name in sample)
    assert seen[-1] == (n_with_sample, n_with_sample)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sample=st.lists(st.sampled_from(["x", "y", "z", None]), min_size=1, max_size=40), seed=st.integers(0, 99))
def test_any_order_of_samples_is_read_right(tmp_path: Path, sample: list[str | None], seed: int) -> None:
    path = tmp_path / "any.h5ad"
    values = counts(seed, len(sample))
    store(path, scipy.sparse.csr_matrix(values), sample)
    bags = dict(iter_bags(path))
    names = np.array(sample, dtype=object)
    assert set(bags) == set(sample) - {None}, "cells without a sample are in no bag"
    for name, bag in bags.items():
        np.testing.assert_array_equal(dense(bag), values[names == name])


def test_written_cells_come_back_contiguous(tmp_path: Path) -> None:
    sample = ORDERS["scattered"]
    extra = pd.DataFrame({"umi": np.arange(N_CELLS)}, index=[f"x{i}" for i in range(N_CELLS)])
    write_cells(tmp_path / "cells.h5ad", scipy.sparse.csr_matrix(counts()), GENES, sample, sample, extra)
    with CellFile.open(tmp_path / "cells.h5ad") as cells:
        assert cells.n_cells == N_CELLS
        assert (np.diff(cells.sample) >= 0).all(), "a sample's cells lie together"
    stored = anndata.read_h5ad(tmp_path / "cells.h5ad")
    assert stored.X.dtype == np.float32
    order = stored.obs["umi"].to_numpy()
    np.testing.assert_array_equal(stored.X.toarray(), counts()[order])
    assert stored.obs["sample_id"].tolist() == sample[order].tolist() == stored.obs["cell_type"].tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cells.h5ad"], "nothing is left beside"


def test_a_file_is_not_overwritten_and_shapes_must_agree(tmp_path: Path) -> None:
    path = tmp_path / "cells.zarr"
    with pytest.raises(CellFileError, match=r"X \(60, 11\), 59 rows of obs and 11 genes"):
        write_cells(path, counts(), GENES, ["a"] * 59)
    write_cells(path, counts(), GENES, ["a"] * N_CELLS)
    with pytest.raises(CellFileError, match=r"cells.zarr: .*remove the file if it exists"):
        write_cells(path, counts(), GENES, ["a"] * N_CELLS)


def test_nothing_is_left_when_writing_fails(tmp_path: Path) -> None:
    extra = pd.DataFrame({"odd": [object()] * N_CELLS})
    with pytest.raises(TypeError, match="odd"):
        write_cells(tmp_path / "cells.h5ad", counts(), GENES, ["a"] * N_CELLS, extra_obs=extra)
    assert list(tmp_path.iterdir()) == []


def summarise_samples(cohort: Cohort, *, counts: bool = True) -> dict[str, CellSummary]:
    """Every sample of a cohort, read from its file and summarised."""
    assert cohort.cells is not None
    return {sample: summarise(bag, counts=counts) for sample, bag in iter_bags(cohort.cells)}


def stored(cohort: Cohort, stores: Path) -> CellSummary:
    """The summary that a run gets to see."""
    assert cohort.cells is not None
    return build(cohort.cells, stores, cohort.card.cells).summary()


def test_h5ad_and_zarr_give_identical_summaries(tiny_cohort: Path, write_tiny_cells: Callable[..., None]) -> None:
    first = summarise_samples(read_cohort(tiny_cohort))
    (tiny_cohort / "cells.h5ad").unlink()
    write_tiny_cells(tiny_cohort, ".zarr")
    second = summarise_samples(read_cohort(tiny_cohort))
    assert list(first) == list(second) == ["S1", "S2", "S3"]
    for name in first:
        assert_same(first[name], second[name])


def assert_same(first: CellSummary, second: CellSummary) -> None:
    assert (first.cell_types, first.genes) == (second.cell_types, second.genes)
    for field in ("n_cells", "total", "lognorm"):
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field))


def test_summaries_agree_with_scanpy(tiny_cohort: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside scanpy's own imports
        import scanpy

        cells = anndata.read_h5ad(tiny_cohort / "cells.h5ad")
        raw = pd.DataFrame(cells.X.toarray(), index=cells.obs_names, columns=cells.var_names)
        scanpy.pp.normalize_total(cells, target_sum=1e4)
        scanpy.pp.log1p(cells)
    lognorm = pd.DataFrame(cells.X.toarray(), index=cells.obs_names, columns=cells.var_names)
    labels = cells.obs["cell_type"].astype(object).where(cells.obs["cell_type"].notna(), UNLABELLED)
    groups = [cells.obs["sample_id"].astype(str), labels]
    totals, logs, sizes = raw.groupby(groups).sum(), lognorm.groupby(groups).sum(), raw.groupby(groups).size()
    n_compared = 0
    for sample, summary in summarise_samples(read_cohort(tiny_cohort)).items():
        for i, cell_type in enumerate(summary.cell_types):
            assert summary.n_cells[i] == sizes[sample, cell_type]
            np.testing.assert_allclose(summary.total[i], totals.loc[(sample, cell_type)], rtol=1e-6)
            np.testing.assert_allclose(summary.lognorm[i], logs.loc[(sample, cell_type)], rtol=1e-5)
            n_compared += 1
    assert n_compared == len(sizes)


def test_gene_versions_are_stripped_and_marker_names_kept(tmp_path: Path, tiny_cohort: Path) -> None:
    (tiny_cohort / "cells.h5ad").unlink()
    genes = [f"ENSG99{i:09d}.{i + 1}" for i in range(N_GENES)]
    sample = np.repeat(["S1", "S2", "S3"], 20)
    write_cells(tiny_cohort / "cells.h5ad", counts(), genes, sample)
    summary = stored(read_cohort(tiny_cohort), tmp_path / "stores")
    assert summary.genes == tuple(f"ENSG99{i:09d}" for i in range(N_GENES))
    card = (tiny_cohort / "cohort.yaml").read_text()
    assert "cells: {}" in card
    declared = card.replace("cells: {}", "cells: {values: intensities, genes: markers}")
    (tiny_cohort / "cohort.yaml").write_text(declared)
    (tiny_cohort / "cells.h5ad").unlink()
    markers = ["CD15-FITC", "FS Lin", *(f"m{i}.1" for i in range(N_GENES - 2))]
    values = counts() - 0.5
    write_cells(tiny_cohort / "cells.h5ad", values, markers, sample)
    summary = stored(read_cohort(tiny_cohort), tmp_path / "stores")
    assert summary.genes == tuple(markers)
    np.testing.assert_allclose(summary.total[1], values[20:40].sum(axis=0, dtype=float), rtol=1e-6)
    np.testing.assert_array_equal(summary.lognorm, summary.total)


def test_a_truncated_file_is_named_at_any_length(tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    write_cells(path, counts(), GENES, list(ORDERS["contiguous"]))
    whole = path.read_bytes()
    for length in (0, 1, 100, 512, 2048, len(whole) // 3, len(whole) // 2, len(whole) - 4096, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CellFileError, match=r"^cells\.h5ad: .*copy or write it again"):
            list(iter_bags(path))


# The same bytes each time: a few of all flips send HDF5 itself into a loop (attributes in a damaged global heap).
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_give_cells_or_an_error_that_names_the_file(tmp_path: Path, data: st.DataObject) -> None:
    path, damaged = tmp_path / "cells.h5ad", tmp_path / "damaged.h5ad"
    if not path.exists():
        write_cells(path, counts(), GENES, list(ORDERS["contiguous"]))
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=8)):
        content[place] ^= data.draw(st.integers(1, 255))
    damaged.write_bytes(content)
    failure, bags = None, []
    try:
        bags = list(iter_bags(damaged))
    except CellFileError as error:
        failure = str(error)
    assert failure is None or failure.startswith("damaged.h5ad: ")
    assert all(len(bag.indices) == len(bag.values) == bag.indptr[-1] for _, bag in bags)


@pytest.mark.parametrize("part", ["data", "indices"])
def test_a_store_with_a_lost_piece_is_refused(tmp_path: Path, part: str) -> None:
    path = tmp_path / "cells.zarr"
    write_cells(path, counts(), GENES, list(ORDERS["contiguous"]))
    (path / "X" / part / "c" / "0").unlink()
    with pytest.raises(CellFileError, match=r"pieces of X are missing|an index is repeated"):
        list(iter_bags(path))


DAMAGES: dict[str, tuple[Callable[[h5py.File], None], str, str]] = {
    "no-obs": (lambda f: f.__delitem__("obs"), "obs", "unreadable-cells"),
    "no-sample": (lambda f: f.__delitem__("obs/sample_id"), "obs.sample_id is missing", "missing-column"),
    "no-X": (lambda f: f.__delitem__("X"), "X", "unreadable-cells"),
    "unknown-X": (lambda f: f["X"].attrs.__setitem__("encoding-type", "coo"), "X is coo", "unreadable-cells"),
    "short-data": (lambda f: resize(f, "X/data", 5), "do not agree in length", "unreadable-cells"),
    "short-indptr": (lambda f: resize(f, "X/indptr", 5), "do not agree in length", "unreadable-cells"),
    "other-shape": (lambda f: f["X"].attrs.__setitem__("shape", [60, 10]), "X has shape", "unreadable-cells"),
    "bad-index": (lambda f: f["X/indices"].__setitem__(3, 99), "outside its 11 columns", "unreadable-cells"),
    "bad-pointer": (lambda f: f["X/indptr"].__setitem__(9, 10**6), "row pointers", "unreadable-cells"),
    "repeated-index": (lambda f: f["X/indices"].__setitem__(slice(None), 2), "is repeated", "unreadable-cells"),
}


def resize(file: h5py.File, name: str, length: int) -> None:
    values = file[name][:length]
    del file[name]
    file[name] = values


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_contradiction_is_named(tmp_path: Path, damage: str) -> None:
    break_it, match, code = DAMAGES[damage]
    path = tmp_path / "cells.h5ad"
    write_cells(path, counts(), GENES, list(ORDERS["contiguous"]))
    with h5py.File(path, "r+") as file:
        break_it(file)
    with pytest.raises(CellFileError, match=match) as error:
        list(iter_bags(path))
    assert error.value.code == code


@pytest.mark.parametrize("name", ["cells.h5ad", "cells.zarr"])
def test_an_absent_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(CellFileError, match=rf"{name}: there is no such file\. Check the path\."):
        CellFile.open(tmp_path / name)


def test_zarr_format_two_is_read(tmp_path: Path) -> None:
    obs = pd.DataFrame({"sample_id": ["s"] * N_CELLS}, index=[str(i) for i in range(N_CELLS)])
    cells = anndata.AnnData(counts(), obs, pd.DataFrame(index=GENES))
    with warnings.catch_warnings(), anndata.settings.override(zarr_write_format=2):
        warnings.simplefilter("ignore")
        cells.write_zarr(tmp_path / "cells.zarr")
    assert zarr.open_group(tmp_path / "cells.zarr", mode="r").metadata.zarr_format == 2
    ((name, bag),) = iter_bags(tmp_path / "cells.zarr")
    assert name == "s"
    np.testing.assert_array_equal(dense(bag), counts())


def test_numbers_and_padded_text_are_sample_names(tmp_path: Path) -> None:
    store(tmp_path / "a.h5ad", counts(), [1] * 30 + [2] * 30)
    assert [name for name, _ in iter_bags(tmp_path / "a.h5ad")] == ["1", "2"]
    store(tmp_path / "b.h5ad", counts(), ["s "] * 30 + ["s"] * 30)
    assert [(name, len(bag)) for name, bag in iter_bags(tmp_path / "b.h5ad")] == [("s", 60)]


def test_a_real_study_is_read_from_its_own_labels(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "carpall_scrna" / "carpall_hvg3000_counts.h5ad"
    whole = anndata.read_h5ad(source)
    sample = whole.obs["gex_sample"].astype(str)
    keep = sample.isin(sorted(sample.unique())[:4]).to_numpy()
    write_cells(tmp_path / "cells.zarr", whole.X[keep], list(whole.var_names), sample[keep])
    bags = dict(iter_bags(tmp_path / "cells.zarr"))
    assert sum(map(len, bags.values())) == keep.sum()
    for name, bag in bags.items():
        expected = whole.X[(sample == name).to_numpy()].sum(axis=0)
        np.testing.assert_array_equal(np.bincount(bag.indices, bag.values, len(bag.genes)), np.ravel(expected))
