"""The CARPALL cells: raw counts, dated samples, and the authors' labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from features.cells.anndata_io import iter_bags
from features.cells.bag import UNLABELLED
from features.check import examine, read_cohort
from features.cohort import Cohort
from features.errors import SequelaError
from features.importers import IMPORTERS
from features.importers.carpall2023 import FILE


@pytest.fixture(scope="module")
def published(shared_data: Path) -> Path:
    return shared_data / "carpall_scrna" / FILE


@pytest.fixture(scope="module")
def folder(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("carpall") / "cohort"
    IMPORTERS["carpall2023"].run(published.parent, folder)
    return folder


@pytest.fixture(scope="module")
def cohort(folder: Path) -> Cohort:
    return read_cohort(folder)


def test_folder_is_sound(folder: Path) -> None:
    assert examine(folder).findings == ()


def test_patients_and_samples(cohort: Cohort) -> None:
    assert len(cohort.samples) == 34
    follow_up = cohort.patients.set_index("patient_id")["follow_up_days"]
    assert follow_up.to_dict() == {
        "P01": 1826.25, "P02": 456.5625, "P03": 182.625, "P06": 547.875, "P08": 426.125,
        "P09": 350.03125, "P10": 91.3125, "P11": 91.3125, "P13": 91.3125,
    }  # fmt: skip
    product = cohort.samples[cohort.samples["material"] == "infusion_product"]
    assert product[["patient_id", "day"]].to_numpy().tolist() == [["P02", 0.0]]
    assert cohort.samples["material"].value_counts().to_dict() == {
        "bone_marrow": 14,
        "blood": 19,
        "infusion_product": 1,
    }
    assert len(cohort.events) == 0


def test_every_count_arrives_in_its_cell_and_sample(published: Path, folder: Path) -> None:
    source = anndata.read_h5ad(published)
    seen = {}
    for sample, bag in iter_bags(folder / "cells.h5ad"):
        theirs = source[source.obs["gex_sample"] == sample]
        assert bag.genes == tuple(theirs.var_names)
        np.testing.assert_array_equal(np.diff(bag.indptr), np.diff(theirs.X.indptr))
        np.testing.assert_array_equal(bag.values, theirs.X.sorted_indices().data)
        np.testing.assert_array_equal(bag.indices, theirs.X.sorted_indices().indices)
        labels = theirs.obs["cart_celltype"].astype(object).where(theirs.obs["cart_celltype"].notna(), UNLABELLED)
        assert list(bag.cell_type) == list(labels)
        seen[sample] = len(bag)
    assert seen == source.obs["gex_sample"].value_counts().to_dict()
    assert sum(seen.values()) == 22_309


def test_a_sample_lies_in_one_piece(folder: Path) -> None:
    sample = anndata.read_h5ad(folder / "cells.h5ad", backed="r").obs["sample_id"].astype(str)
    assert (sample != sample.shift()).sum() == 34


def small(path: Path, **columns: list[object]) -> Path:
    """A file of the published form: three cells of two libraries over two genes."""
    obs = {
        "gex_sample": ["L1", "L2", "L1"],
        "patient": ["P1", "P1", "P1"],
        "months": [0.0, 1.5, 0.0],
        "source": ["PROD", "PB", "PROD"],
        "sort": ["NoSo", "CD3+CAT+", "NoSo"],
        "timepoint": ["M0", "M1.5", "M0"],
        "cart_celltype": ["CD8 CTL", None, None],
        "pct_mt": [1.0, 2.0, 3.0],
        "n_counts_total": [10, 20, 30],
        **columns,
    }
    frame = pd.DataFrame(obs, index=["a", "b", "c"])
    for name in ("gex_sample", "patient", "source", "sort", "timepoint", "cart_celltype"):
        frame[name] = pd.Categorical(frame[name])
    var = pd.DataFrame(index=["CD4", "CD8A"])
    counts = csr_matrix(np.array([[1, 0], [0, 2], [3, 4]], dtype=np.float32))
    anndata.AnnData(counts, obs=frame, var=var).write_h5ad(path)
    return path


def test_a_small_file(tmp_path: Path) -> None:
    IMPORTERS["carpall2023"].run(small(tmp_path / "small.h5ad"), tmp_path / "cohort")
    cohort = read_cohort(tmp_path / "cohort")
    assert cohort.samples[["sample_id", "day", "material"]].to_numpy().tolist() == [
        ["L1", 0.0, "infusion_product"],
        ["L2", 45.65625, "blood"],
    ]
    bags = dict(iter_bags(tmp_path / "cohort" / "cells.h5ad"))
    assert bags["L1"].values.tolist() == [1.0, 3.0, 4.0]
    assert bags["L1"].cell_type.tolist() == ["CD8 CTL", UNLABELLED]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2000])


def without_column(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["obs"]["months"]


BROKEN: dict[str, tuple[dict[str, list[object]], Callable[[Path], None] | None, str]] = {
    "cut short": ({}, cut, r"cannot be read as the published AnnData file \(.*truncated file"),
    "column missing": ({}, without_column, r"cannot be read as the published AnnData file \(.*months"),
    "unknown material": ({"source": ["CSF", "PB", "CSF"]}, None, r"obs\.source = 'CSF'; known are PROD, PB, BM"),
    "two patients": ({"patient": ["P1", "P1", "P2"]}, None, r"library 'L1' has two of patient, months, source, sort"),
}


@pytest.mark.parametrize(("columns", "damage", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_another_file_is_refused(
    tmp_path: Path, columns: dict[str, list[object]], damage: Callable[[Path], None] | None, message: str
) -> None:
    path = small(tmp_path / "small.h5ad", **columns)
    if damage:
        damage(path)
    with pytest.raises(SequelaError, match=message):
        IMPORTERS["carpall2023"].run(path, tmp_path / "cohort")
    assert [path.name for path in tmp_path.iterdir()] == ["small.h5ad"]


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SequelaError, match=r"carpall_hvg3000_counts\.h5ad: cannot be read"):
        IMPORTERS["carpall2023"].run(tmp_path, tmp_path / "cohort")
