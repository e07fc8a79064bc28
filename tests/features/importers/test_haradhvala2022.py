"""Haradhvala 2022: responses as published, and cells of any samples that were downloaded."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse

from features.check import examine, read_cohort, read_endpoint
from features.cohort import Cohort, outcomes_at
from features.errors import SequelaError
from features.importers import IMPORTERS
from features.importers.haradhvala2022 import CLASS_DAY
from features.importers.haradhvala2022_cells import find_matrices

ENDPOINTS = Path(__file__).parents[3] / "configs" / "endpoint"
GENES = ("CD3E", "CD8A", "CD4", "GZMB", "PDCD1", "MKI67", "FOXP3", "SELL")
PATIENTS = ("Axi-N-06", "Axi-R-12", "Tisa-N-29")


@pytest.fixture(scope="module")
def source(shared_data: Path) -> Path:
    return shared_data / "haradhvala_clinical"


@pytest.fixture(scope="module")
def folder(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("haradhvala") / "cohort"
    IMPORTERS["haradhvala2022"].run(source, folder)
    return folder


@pytest.fixture(scope="module")
def cohort(folder: Path) -> Cohort:
    return read_cohort(folder)


@pytest.fixture(scope="module")
def clinic(source: Path) -> pd.DataFrame:
    return pd.read_csv(source / "patients.csv").set_index("sample_id").sort_index()


def test_folder_is_sound(folder: Path) -> None:
    assert examine(folder).findings == ()
    assert not list(folder.glob("cells.*"))


def test_the_class_of_response_is_an_event(cohort: Cohort, clinic: pd.DataFrame) -> None:
    failed = cohort.events[cohort.events["event"] == "no_durable_response"]
    assert set(failed["patient_id"]) == set(clinic.index[clinic["response_class"] == "NR"])
    assert len(failed) == 15
    assert set(failed["day"]) == {CLASS_DAY}


def test_progression_is_dated_by_the_first_scan_that_shows_it(cohort: Cohort, clinic: pd.DataFrame) -> None:
    day = cohort.events[cohort.events["event"] == "progression"].set_index("patient_id")["day"].sort_index()
    first, second = clinic["scan1_response"] == "PD", clinic["scan2_response"] == "PD"
    expected = clinic["scan1_day"].where(first, clinic["scan2_day"].where(second)).dropna().astype(float)
    assert len(expected) == 13
    pd.testing.assert_series_equal(day.drop(["Tisa-N-27", "Tisa-N-29"]), expected, check_names=False)
    assert day[["Tisa-N-27", "Tisa-N-29"]].tolist() == [136, 146]


def test_responses_are_dated_by_scan(cohort: Cohort) -> None:
    assert cohort.events["event"].value_counts().to_dict() == {
        "complete_response": 21,
        "no_durable_response": 15,
        "progression": 15,
        "partial_response": 4,
    }
    of_patient = cohort.events[cohort.events["patient_id"] == "Axi-R-17"].set_index("event")["day"]
    assert of_patient.to_dict() == {"partial_response": 44, "complete_response": 90}


def test_endpoints_are_the_configured_ones_and_everyone_is_classified(folder: Path, cohort: Cohort) -> None:
    for name in ("haradhvala_non_response", "haradhvala_progression"):
        endpoint = read_endpoint(ENDPOINTS / f"{name}.yaml")
        assert read_endpoint(folder / "endpoints" / f"{name}.yaml") == endpoint
        assert examine(folder, endpoint).findings == ()
    endpoint = read_endpoint(ENDPOINTS / "haradhvala_non_response.yaml")
    for landmark in endpoint.landmark_days:
        rows, outcomes = outcomes_at(cohort, endpoint, landmark)
        assert len(rows) == 32
        assert outcomes.counts() == {"censored": 17, "no_durable_response": 15}
        observed = (outcomes.cause > 0) | (outcomes.duration_days >= endpoint.horizons_days[-1])
        assert observed.all()  # nobody is censored before the horizon, so that the class is known for all


def test_baseline_holds_nothing_from_after_infusion(cohort: Cohort, clinic: pd.DataFrame) -> None:
    assert set(cohort.baseline_variables) == {
        "product", "sex", "age_at_diagnosis", "stage", "ecog", "prior_lines", "prior_imid",
        "prior_autologous_transplant", "tumour_burden", "bridging_therapy", "cell_of_origin", "double_or_triple_hit",
    }  # fmt: skip
    patients = cohort.patients.set_index("patient_id").sort_index()
    assert patients["product"].value_counts().to_dict() == {"axi_cel": 19, "tisa_cel": 13}
    np.testing.assert_array_equal(patients["tumour_burden"], clinic["baseline_tumor_burden_spd_cm2"])
    np.testing.assert_array_equal(patients["bridging_therapy"] == 1, clinic["bridging_therapy"].str.startswith("yes"))


@pytest.mark.parametrize(
    ("patient", "origin", "hit"),
    [
        ("Tisa-N-24", "gcb", 1),
        ("Axi-R-08", "non_gcb", 0),
        ("Tisa-N-23", "non_gcb", 0),
        ("Tisa-R-30", None, 1),
        ("Axi-N-09", "gcb", 1),
        ("Axi-N-16", None, 0),
        ("Tisa-R-21", None, np.nan),
    ],
)
def test_molecular_subtypes(cohort: Cohort, patient: str, origin: str | None, hit: float) -> None:
    found = cohort.patients[cohort.patients["patient_id"] == patient]
    assert found["cell_of_origin"].tolist() == [origin]
    np.testing.assert_equal(found["double_or_triple_hit"].tolist(), [hit])


@pytest.mark.parametrize(
    ("patient", "months"),
    [
        ("Tisa-N-31", {1: 1, 2: 0}),
        ("Tisa-R-26", {1: 1, 24: 1}),
        ("Tisa-R-21", dict.fromkeys(range(1, 7), 1)),
        ("Tisa-N-29", {1: 1}),
        ("Tisa-N-23", {}),
    ],
    ids=["lost", "years", "range", "second infusion", "not tested"],
)
def test_aplasia(cohort: Cohort, patient: str, months: dict[int, int]) -> None:
    found = cohort.measurements[cohort.measurements["patient_id"] == patient]
    assert dict(zip(found["day"] / 30.4375, found["value"], strict=True)) == months


def write_sample(folder: Path, prefix: str, *, cells: int = 5, genes: tuple[str, ...] = GENES, seed: int = 0) -> None:
    """A sample as 10x Genomics writes it: genes by cells, gzipped."""
    folder.mkdir(parents=True, exist_ok=True)
    counts = scipy.sparse.csc_matrix(np.random.default_rng(seed).poisson(1.0, size=(len(genes), cells)))
    plain = folder / "plain.mtx"
    scipy.io.mmwrite(plain, counts, field="integer")
    (folder / f"{prefix}matrix.mtx.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    rows = "".join(f"ENSG{i:011d}\t{gene}\tGene Expression\n" for i, gene in enumerate(genes))
    (folder / f"{prefix}features.tsv.gz").write_bytes(gzip.compress(rows.encode()))
    barcodes = "".join(f"ACGT{i:04d}-1\n" for i in range(cells))
    (folder / f"{prefix}barcodes.tsv.gz").write_bytes(gzip.compress(barcodes.encode()))


def test_samples_are_found_by_name_in_either_layout(tmp_path: Path) -> None:
    write_sample(tmp_path / "GSM1_Patient6-Baseline", "")
    write_sample(tmp_path / "matrices", "GSM2_Patient6-D7-CART_")
    write_sample(tmp_path / "matrices", "GSM3_Patient6-D7_")
    write_sample(tmp_path / "Patient12-Infusion", "")
    write_sample(tmp_path / "Patient29-D7-retreatment", "")
    found = [(m.sample_id, m.patient_id, m.day, m.material) for m in find_matrices(tmp_path, PATIENTS)]
    assert found == [
        ("Patient6-Baseline", "Axi-N-06", 0, "blood"),
        ("Patient6-D7", "Axi-N-06", 7, "blood"),
        ("Patient6-D7-CART", "Axi-N-06", 7, "blood_car_t"),
        ("Patient12-Infusion", "Axi-R-12", 0, "infusion_product"),
    ]


def stands_twice(folder: Path) -> None:
    for name in "ab":
        write_sample(folder / name / "Patient6-D7", "")


def without_barcodes(folder: Path) -> None:
    write_sample(folder / "Patient6-D7", "")
    (folder / "Patient6-D7" / "barcodes.tsv.gz").unlink()


def archive(folder: Path) -> None:
    (folder / "GSE197268_RAW.tar").touch()


MISNAMED: dict[str, tuple[Callable[[Path], None], str]] = {
    "no sample": (lambda folder: write_sample(folder / "x", ""), r"its name, or that of its folder, is that of"),
    "stranger": (lambda folder: write_sample(folder / "Patient99-D7", ""), r"of a patient of patients\.csv; rename"),
    "twice": (stands_twice, r"sample Patient6-D7 stands a second time, beside"),
    "without barcodes": (without_barcodes, r"barcodes\.tsv is missing beside it"),
    "archive": (archive, r"an archive.*extract it"),
}


@pytest.mark.parametrize(("damage", "message"), MISNAMED.values(), ids=MISNAMED.keys())
def test_files_that_are_no_samples_are_refused(
    source: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    copy = tmp_path / "source"
    shutil.copytree(source, copy, copy_function=shutil.copyfile)
    copy.chmod(0o755)
    damage(copy)
    with pytest.raises(SequelaError, match=message):
        IMPORTERS["haradhvala2022"].run(copy, tmp_path / "cohort")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_downloaded_samples_become_cells(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("features.importers.tenx")
    copy = tmp_path / "source"
    shutil.copytree(source, copy, copy_function=shutil.copyfile)
    copy.chmod(0o755)
    write_sample(copy / "Patient6-Baseline", "", cells=4, seed=1)
    write_sample(copy / "all", "GSM9_Patient12-Infusion_", cells=6, seed=2)
    IMPORTERS["haradhvala2022"].run(copy, tmp_path / "cohort")
    cohort = read_cohort(tmp_path / "cohort")
    assert cohort.samples[["sample_id", "patient_id", "day", "material"]].to_numpy().tolist() == [
        ["Patient6-Baseline", "Axi-N-06", 0, "blood"],
        ["Patient12-Infusion", "Axi-R-12", 0, "infusion_product"],
    ]
    import anndata

    cells = anndata.read_h5ad(tmp_path / "cohort" / "cells.h5ad")
    expected = [np.random.default_rng(seed).poisson(1.0, size=(len(GENES), n)).T for seed, n in ((1, 4), (2, 6))]
    np.testing.assert_array_equal(cells.X.toarray(), np.vstack(expected))
    assert cells.obs["sample_id"].tolist() == ["Patient6-Baseline"] * 4 + ["Patient12-Infusion"] * 6


def test_samples_of_different_genes_are_refused(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("features.importers.tenx")
    copy = tmp_path / "source"
    shutil.copytree(source, copy, copy_function=shutil.copyfile)
    copy.chmod(0o755)
    write_sample(copy / "Patient6-Baseline", "")
    write_sample(copy / "Patient12-Infusion", "", genes=GENES[::-1])
    with pytest.raises(SequelaError, match=r"genes are not those of the samples before it"):
        IMPORTERS["haradhvala2022"].run(copy, tmp_path / "cohort")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def edit(row: int, column: str, value: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        table = pd.read_csv(folder / "patients.csv", dtype=str, keep_default_na=False)
        table.loc[row, column] = value
        table.to_csv(folder / "patients.csv", index=False)

    return apply


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing table": (lambda folder: (folder / "patients.csv").unlink(), r"patients\.csv: cannot be read"),
    "unknown product": (edit(0, "product", "Y-cel"), r"row 2: product = 'Y-cel'; known are Axi-cel, Tisa-cel"),
    "unknown class": (edit(0, "response_class", "CR"), r"row 2: response_class = 'CR'; it is R, PR or NR"),
    "responder who progressed": (edit(0, "response_class", "R"), r"row 2: response_class = 'R'; a scan shows"),
    "failure without a scan": (edit(16, "response_class", "NR"), r"row 18: .* = 'NR'; class NR has a scan with PD"),
    "unknown aplasia": (edit(0, "bcell_aplasia", "aplasia at 9M"), r"row 2: bcell_aplasia = 'aplasia at 9M'; the impo"),
    "early scan": (edit(16, "scan1_day", "3"), r"row 18: scan1_day = '3'; follow-up goes beyond day 8"),
    "unknown stage": (edit(2, "ann_arbor_stage", "V"), r"row 4: ann_arbor_stage = 'V'; the levels are I, II, III, IV"),
    "unclear bridging": (edit(2, "bridging_therapy", "maybe"), r"row 4: bridging_therapy = 'maybe'; it is no, or"),
    "twin": (edit(1, "sample_id", "Tisa-N-28"), r"row 3: sample_id = 'Tisa-N-28'; patients have one row each"),
}


@pytest.mark.parametrize(("damage", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_changed_table_is_refused(source: Path, tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    copy = tmp_path / "source"
    shutil.copytree(source, copy, copy_function=shutil.copyfile)
    copy.chmod(0o755)
    damage(copy)
    with pytest.raises(SequelaError, match=message):
        IMPORTERS["haradhvala2022"].run(copy, tmp_path / "cohort")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
