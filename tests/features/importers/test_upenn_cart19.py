"""The CTL019/CART19 patients: relapses by type, clones, and nobody twice or at risk without follow-up."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from features.check import examine, read_cohort, read_endpoint
from features.cohort import Cohort, outcomes_at
from features.errors import SequelaError
from features.importers import IMPORTERS
from features.importers.upenn_cart19_specimens import day_of, material_of

ENDPOINTS = Path(__file__).parents[3] / "configs" / "endpoint"
SITES = "integration_sites.parquet"


@pytest.fixture(scope="module")
def source(shared_data: Path) -> Path:
    return shared_data / "upenn_cart19"


@pytest.fixture(scope="module")
def folder(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("upenn") / "cohort"
    IMPORTERS["upenn_cart19"].run(source, folder)
    return folder


@pytest.fixture(scope="module")
def cohort(folder: Path) -> Cohort:
    return read_cohort(folder)


@pytest.fixture(scope="module")
def course(source: Path) -> pd.DataFrame:
    return pd.read_csv(source / "ped_all_ctl019_relapse.csv").set_index("patient_key")


def test_folder_is_sound_but_for_patients_without_follow_up(folder: Path) -> None:
    findings = examine(folder).findings
    assert {(finding.code, finding.severity) for finding in findings} == {("zero-follow-up", "warning")}


def test_events_are_the_published_ones(cohort: Cohort, course: pd.DataFrame) -> None:
    assert cohort.events["event"].value_counts().to_dict() == {
        "relapse": 59,
        "relapse_cd19_negative": 27,
        "relapse_cd19_positive": 23,
        "relapse_cd19_partial": 6,
        "relapse_lineage_switch": 3,
        "second_malignancy": 1,
        "no_remission": 6,
        "reinfusion": 23,
    }
    for event, codes in (
        ("relapse", (1, 2, 3, 4)),
        ("relapse_cd19_negative", (1,)),
        ("relapse_cd19_partial", (2,)),
        ("relapse_cd19_positive", (3,)),
        ("relapse_lineage_switch", (4,)),
        ("second_malignancy", (5,)),
    ):
        days = cohort.events[cohort.events["event"] == event].set_index("patient_id")["day"].sort_index()
        expected = course.loc[course["event"].isin(codes), "time_days"].astype(float).sort_index()
        pd.testing.assert_series_equal(days, expected, check_names=False)


def test_death_is_no_event_because_it_is_not_coded(cohort: Cohort, folder: Path) -> None:
    assert "death" not in set(cohort.events["event"])
    notes = yaml.safe_load((folder / "cohort.yaml").read_text(encoding="utf-8"))["notes"]
    assert notes.startswith("DEATH IS NOT CODED")


def test_whoever_was_never_in_remission_is_not_at_risk_of_relapse(cohort: Cohort, course: pd.DataFrame) -> None:
    never = cohort.events[cohort.events["event"] == "no_remission"].set_index("patient_id")["day"]
    assert set(never.index) == set(course.index[course["event"] == 9])
    assert never.drop("16CT022-21").eq(28).all()
    assert never["16CT022-21"] == 19
    endpoint = read_endpoint(ENDPOINTS / "upenn_relapse.yaml")
    rows, outcomes = outcomes_at(cohort, endpoint, 28.0)
    assert not set(cohort.patients["patient_id"].iloc[rows]) & set(never.index)
    assert outcomes.counts() == {"censored": 64, "relapse": 59, "second_malignancy": 1, "no_remission": 0}


def test_patients_without_follow_up_enter_no_analysis(cohort: Cohort, course: pd.DataFrame) -> None:
    follow_up = cohort.patients.set_index("patient_id")["follow_up_days"]
    known = course["lastcontact_days"].astype(float).sort_index()
    pd.testing.assert_series_equal(follow_up[follow_up > 0].sort_index(), known, check_names=False)
    assert (follow_up == 0).sum() == 79
    endpoint = read_endpoint(ENDPOINTS / "upenn_relapse.yaml")
    rows, outcomes = outcomes_at(cohort, endpoint, 0.0)
    assert set(cohort.patients["patient_id"].iloc[rows]) == set(course.index)
    assert outcomes.counts() == {"censored": 64, "relapse": 59, "second_malignancy": 1, "no_remission": 6}


def test_a_later_infusion_is_no_patient_of_its_own(cohort: Cohort) -> None:
    ids = cohort.patients["patient_id"]
    assert len(ids) == 209
    assert not ids.str.contains("I2|I3|R").any()
    assert {"p03712-51", "p959-158"} <= set(ids)


@pytest.mark.parametrize(
    ("name", "landmark", "counts"),
    [
        ("upenn_relapse", 0.0, {"censored": 64, "relapse": 59, "second_malignancy": 1, "no_remission": 6}),
        (
            "upenn_relapse_cd19_negative",
            28.0,
            {
                "censored": 64,
                "relapse_cd19_negative": 27,
                "relapse_cd19_positive": 23,
                "relapse_cd19_partial": 6,
                "relapse_lineage_switch": 3,
                "second_malignancy": 1,
                "no_remission": 0,
            },
        ),
    ],
    ids=["any relapse", "by type"],
)
def test_endpoints_are_the_configured_ones_and_count_right(
    folder: Path, cohort: Cohort, name: str, landmark: float, counts: dict[str, int]
) -> None:
    endpoint = read_endpoint(ENDPOINTS / f"{name}.yaml")
    assert read_endpoint(folder / "endpoints" / f"{name}.yaml") == endpoint
    assert landmark in endpoint.landmark_days
    assert not [finding for finding in examine(folder, endpoint).findings if finding.severity == "error"]
    assert outcomes_at(cohort, endpoint, landmark)[1].counts() == counts


def test_baseline_is_what_was_known_by_day_0(cohort: Cohort) -> None:
    product, apheresis = "product_car_percent", "apheresis_cd8_central_memory_percent"
    assert set(cohort.baseline_variables) == {"trial", "disease", "age", product, apheresis}
    patient = cohort.patients[cohort.patients["patient_id"] == "p03712-03"]
    known = patient[["trial", "disease", "age", "product_car_percent"]].to_numpy().tolist()
    assert known == [["UPCC03712", "CLL/SLL", 62, 24.2]]


@pytest.mark.parametrize(
    ("patient", "variable", "day", "value"),
    [
        ("p03712-03", "blood_car_copies", -1.0, 0.0),
        ("p03712-03", "blood_car_copies", 0.5, 59.78),
        ("p959-133", "blood_car_copies", 0.0, 0.0),
        ("p959-133", "blood_car_copies", 0.5, 4422.12),
        ("p959-107", "marrow_car_vcn", 261.0, 1.0613),
        ("p959-103", "blood_site_uc50", 28.0, 1.0),
        ("p959-103", "best_response", 30.0, 2.0),
        ("p959-100", "best_response", 23.0, 4.0),
        ("p03712-51", "best_response", 28.0, 1.0),
    ],
)
def test_measurements(cohort: Cohort, patient: str, variable: str, day: float, value: float) -> None:
    table = cohort.measurements
    found = table[(table["patient_id"] == patient) & (table["variable"] == variable) & (table["day"] == day)]
    np.testing.assert_allclose(found["value"], [value], rtol=1e-12)


def test_every_published_copy_number_of_blood_and_marrow_arrives(source: Path, cohort: Cohort) -> None:
    kinetics = pd.read_csv(source / "car_kinetics_vcn.csv").groupby("sample_type")["copies_per_ug_dna"].sum()
    ours = cohort.measurements.groupby("variable")["value"].sum()
    np.testing.assert_allclose(
        ours[["blood_car_copies", "marrow_car_copies"]], kinetics[["PB", "BM"]].to_numpy(), rtol=1e-9
    )


def test_indices_of_unsorted_specimens_arrive_without_a_negative_chao1(source: Path, cohort: Cohort) -> None:
    size = cohort.measurements.groupby("variable").size()
    assert [size[f"{of}_site_richness"] for of in ("product", "blood", "marrow")] == [127, 330, 82]
    chao1 = cohort.measurements[cohort.measurements["variable"].str.endswith("chao1_jackknife")]["value"]
    assert (chao1 >= 0).all()
    published = pd.read_csv(source / "specimen_ml_features_569.csv.gz")
    assert len(chao1) < 127 + 330 + 82 <= len(published)


def test_the_product_alone_is_known_on_day_0(cohort: Cohort) -> None:
    sites = cohort.measurements[cohort.measurements["variable"].str.contains("_site_")]
    assert (sites["variable"].str.startswith("product_") == (sites["day"] <= 0)).all()
    material = cohort.samples["material"]
    assert (material.str.startswith("infusion_product") == (cohort.samples["day"] == 0)).all()


def test_every_site_arrives(source: Path, cohort: Cohort) -> None:
    sites = pd.read_parquet(source / SITES)
    assert len(cohort.samples) == 562
    assert len(cohort.clones) == len(sites) == 206_156
    assert set(cohort.clones["locus"]) == {"integration"}
    by_specimen = sites.groupby(sites["gtsp"].astype(str))["n_fragments"].agg(["size", "sum"]).astype(float)
    ours = cohort.clones.groupby("sample_id")["abundance"].agg(["size", "sum"]).astype(float)
    pd.testing.assert_frame_equal(ours, by_specimen, check_names=False)
    first = sites.iloc[0]
    name = f"{first['chr']}{first['strand']}{first['site']}"
    found = cohort.clones[(cohort.clones["sample_id"] == first["gtsp"]) & (cohort.clones["clone"] == name)]
    assert found["abundance"].tolist() == [first["n_fragments"]]
    assert cohort.clones["near_oncogene"].isna().all()


@pytest.mark.parametrize(
    ("time_point", "day"), [("d0", 0), ("d28", 28), ("m3", 91.3125), ("y1.5", 547.875), ("m100", 3043.75)]
)
def test_days_of_time_points(time_point: str, day: float) -> None:
    assert day_of(time_point) == day


@pytest.mark.parametrize(
    ("cells", "day", "material"),
    [
        ("T cells", 0, "infusion_product"),
        ("T cells", 10, "blood"),
        ("Tcells:CAR+", 0, "infusion_product_car_positive"),
        ("Whole Blood", 28, "blood"),
        ("BM:CAR+", 14, "bone_marrow_car_positive"),
    ],
)
def test_materials(cells: str, day: float, material: str) -> None:
    assert material_of(cells, day) == material


def edit(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        change(pd.read_csv(folder / name, dtype=str, keep_default_na=False)).to_csv(folder / name, index=False)

    return apply


def cell(row: int, column: str, value: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[row, column] = value
        return table

    return change


def edit_sites(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        change(pd.read_parquet(folder / SITES).head(50)).to_parquet(folder / SITES)

    return apply


def cut(folder: Path) -> None:
    (folder / SITES).write_bytes((folder / SITES).read_bytes()[:5000])


COURSE, SPECIMENS = "ped_all_ctl019_relapse.csv", "specimen_ml_features_569.csv.gz"
BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing table": (lambda folder: (folder / "car_kinetics_vcn.csv").unlink(), r"car_kinetics_vcn\.csv: cannot be"),
    "missing sites": (lambda folder: (folder / SITES).unlink(), r"sites\.parquet: cannot be read .*take the Parquet"),
    "cut sites": (cut, r"integration_sites\.parquet: cannot be read"),
    "sites without site": (edit_sites(lambda sites: sites.drop(columns="site")), r"column 'site' is missing"),
    "sites of another": (
        edit_sites(lambda sites: sites.assign(patient="p959-100")),
        r"GTSP\d+, chr\S+: a specimen is of the same patient",
    ),
    "site without fragment": (
        edit_sites(lambda sites: sites.assign(n_fragments=0)),
        r"n_fragments is above 0\. Take the file as published",
    ),
    "site twice": (edit_sites(lambda sites: pd.concat([sites, sites])), r"a site stands once in a specimen"),
    "unknown event": (edit(COURSE, cell(0, "event", "7")), r"row 2: event = '7'; the codes are 0, 1, 2, 3, 4, 5, 9"),
    "event after contact": (edit(COURSE, cell(1, "time_days", "900")), r"row 3: time_days = '900'; an event comes by"),
    "early censoring": (edit(COURSE, cell(0, "time_days", "9")), r"row 2: time_days = '9'; without an event it equals"),
    "stranger": (edit(COURSE, cell(0, "patient_key", "p959-999")), r"row 2: patient_key = 'p959-999'; every patient"),
    "twin": (edit(COURSE, cell(1, "patient_key", "p959-100")), r"row 3: patient_key = 'p959-100'; patients have one"),
    "unknown trial": (edit("patients_merged.csv", cell(0, "patient_key", "q-1")), r"row 2: .*'q-1'; a key begins"),
    "unknown time": (edit(SPECIMENS, cell(0, "timepoint", "later")), r"row 2: timepoint = 'later'; time points look"),
    "unknown cells": (edit(SPECIMENS, cell(0, "cell_type", "hair")), r"row 2: cell_type = 'hair'; known are T cells"),
    "negative copies": (
        edit("car_kinetics_vcn.csv", cell(0, "copies_per_ug_dna", "-1")),
        r"row 2: copies_per_ug_dna = '-1'; a copy number is at least 0",
    ),
    "unknown response": (
        edit("best_overall_response.csv", cell(0, "best_response", "XX")),
        r"row 2: best_response = 'XX'; known are PD",
    ),
}


@pytest.mark.parametrize(("damage", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_changed_source_is_refused(
    source: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    copy = tmp_path / "source"
    copy.mkdir()
    for name in ("patients_merged.csv", "best_overall_response.csv", "car_kinetics_vcn.csv", COURSE, SPECIMENS, SITES):
        shutil.copyfile(source / name, copy / name)
    damage(copy)
    with pytest.raises(SequelaError, match=message):
        IMPORTERS["upenn_cart19"].run(copy, tmp_path / "cohort")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
