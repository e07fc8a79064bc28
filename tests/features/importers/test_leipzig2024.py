"""The Leipzig study: what is published arrives, nothing from after infusion becomes a baseline variable."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import yaml

from features.check import examine, read_cohort, read_endpoint
from features.cohort import Cohort, outcomes_at
from features.errors import SequelaError
from features.importers import IMPORTERS
from features.importers.leipzig2024_cells import MARKERS
from features.importers.leipzig2024_visits import nominal_day, visit_name

ENDPOINTS = Path(__file__).parents[3] / "configs" / "endpoint"
BASELINE_SOURCES = {
    "age_cart", "sex", "Product", "R-ISS", "EMD", "gain_1q", "del_1p", "del_13q", "del_17p", "t(4;14)", "t(11;14)",
    "sum_cytogen", "n_lines_treatment", "refractoriness_group", "had_bispecific", "therapy_before_cart",
    "all_groups_before_cart", "Ferritin", "time_diag_cart", "time_apheresis_cart", "OOS_binary",
}  # fmt: skip
"""Columns of clin_data.csv that were measured or decided by day 0."""


@pytest.fixture(scope="module")
def source(shared_data: Path) -> Path:
    return shared_data / "leipzig_bcma_cart"


@pytest.fixture(scope="module")
def folder(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leipzig") / "cohort"
    IMPORTERS["leipzig2024"].run(source, folder)
    return folder


@pytest.fixture(scope="module")
def cohort(folder: Path) -> Cohort:
    return read_cohort(folder)


@pytest.fixture(scope="module")
def clinic(source: Path) -> pd.DataFrame:
    return pd.read_csv(source / "clin_data.csv").set_index("patient_id")


def test_folder_is_sound(folder: Path) -> None:
    assert examine(folder).findings == ()


def test_events_are_the_published_ones(cohort: Cohort, clinic: pd.DataFrame) -> None:
    events = cohort.events
    assert events["event"].value_counts().to_dict() == {"crs": 39, "progression": 19, "death": 8, "icans": 4}
    assert events.loc[events["event"] == "crs", "grade"].value_counts().to_dict() == {1.0: 29, 2.0: 10}
    assert events.loc[events["event"] != "crs", "grade"].isna().all()
    for event, happened, day in (("progression", "progression", "pfs"), ("death", "death", "os")):
        dated = events[events["event"] == event].set_index("patient_id")["day"]
        expected = clinic.loc[clinic[happened] == 1, day].astype(float)
        pd.testing.assert_series_equal(dated.sort_index(), expected.sort_index(), check_names=False)
    assert set(events.loc[events["event"].isin(["crs", "icans"]), "day"]) == {14.0}
    follow_up = cohort.patients.set_index("patient_id")["follow_up_days"]
    pd.testing.assert_series_equal(follow_up, clinic["os"].astype(float), check_names=False)


def test_endpoints_are_the_configured_ones_and_count_right(folder: Path, cohort: Cohort, clinic: pd.DataFrame) -> None:
    counts = {}
    for name in ("leipzig_progression", "leipzig_crs2"):
        endpoint = read_endpoint(ENDPOINTS / f"{name}.yaml")
        assert read_endpoint(folder / "endpoints" / f"{name}.yaml") == endpoint
        assert examine(folder, endpoint).findings == ()
        assert endpoint.landmark_days == (0.0,)
        counts[name] = outcomes_at(cohort, endpoint, 0.0)[1].counts()
    assert counts["leipzig_progression"] == {"censored": 31, "progression": 19, "death": 2}
    deaths = ((clinic["death"] == 1) & (clinic["crs_grade"] != "Grade 2")).sum()
    assert counts["leipzig_crs2"] == {"censored": 42 - deaths, "crs": 10, "death": deaths}


def test_baseline_comes_only_from_what_was_known_by_day_0(cohort: Cohort, clinic: pd.DataFrame) -> None:
    """Every baseline column must equal, value by value, a column of the list above, recoded one to one."""
    columns = cohort.baseline_variables
    assert len(columns) == len(BASELINE_SOURCES)
    for name in columns:
        ours = pd.factorize(cohort.patients[name], use_na_sentinel=True)[0]
        same = [
            column
            for column in clinic.columns
            if np.array_equal(pd.factorize(clinic[column], use_na_sentinel=True)[0], ours)
        ]
        assert set(same) & BASELINE_SOURCES, name


@pytest.mark.parametrize(
    ("patient", "name", "value"),
    [
        ("Patient001", "age", 58.0),
        ("Patient001", "sex", "male"),
        ("Patient007", "product", "cilta_cel"),
        ("Patient012", "r_iss", "III"),
        ("Patient012", "refractoriness", "penta_refractory"),
        ("Patient022", "bridging_therapy", "bispecific"),
        ("Patient009", "response_before_infusion", "SD"),
        ("Patient031", "ferritin", 5148.0),
        ("Patient054", "prior_lines", 1.0),
    ],
)
def test_baseline_values(cohort: Cohort, patient: str, name: str, value: float | str) -> None:
    assert cohort.patients.set_index("patient_id").loc[patient, name] == value


def test_ordered_levels_go_from_low_to_high(cohort: Cohort) -> None:
    levels = {name: variable.levels for name, variable in cohort.card.variables.items() if variable.kind == "ordinal"}
    assert levels == {
        "r_iss": ("I", "II", "III"),
        "refractoriness": ("triple_class_exposed", "triple_class_refractory", "penta_refractory"),
        "response_before_infusion": ("PD", "SD", "PR", "VGPR", "CR"),
    }


@pytest.mark.parametrize(
    ("patient", "variable", "day", "value"),
    [
        ("Patient001", "crp", -5.0, 4.9),
        ("Patient001", "il6", 0.5, 37.4),
        ("Patient009", "cd3_count", -58.0, 595.0),
        ("Patient009", "cd3_pd1_percent", -58.0, 64.9),
        ("Patient001", "car_copies", 8.0, 185.0),
        ("Patient001", "cd4_central_memory_percent", -49.0, 64.0196078431372),
        ("Patient001", "soluble_bcma", 0.0, 1540.0),
        ("Patient022", "soluble_bcma", -134.0, 493.785),
        ("Patient041", "cd3_count", 7.0, 202.0),
        ("Patient007", "tcr_shannon_cd4", -83.0, 5.64433491480291),
    ],
)
def test_measurements(cohort: Cohort, patient: str, variable: str, day: float, value: float) -> None:
    table = cohort.measurements
    found = table[(table["patient_id"] == patient) & (table["variable"] == variable) & (table["day"] == day)]
    np.testing.assert_allclose(found["value"], [value], rtol=1e-12)


def test_every_published_laboratory_value_arrives(source: Path, cohort: Cohort) -> None:
    crs = pd.read_csv(source / "crs.csv")
    by_variable = cohort.measurements.groupby("variable")["value"]
    for prefix, name in (("CRP_d", "crp"), ("il6_d", "il6"), ("PCT_d", "procalcitonin")):
        values = crs.filter(regex=f"^{re.escape(prefix)}").to_numpy(dtype=float)
        np.testing.assert_allclose(by_variable.sum()[name], np.nansum(values))
        assert by_variable.size()[name] == np.isfinite(values).sum()
    copies = pd.read_csv(source / "pcr_data.csv").query("sample != 'copies_100'")["no_copies"]
    assert by_variable.size()["car_copies"] == copies.notna().sum() == 147
    flow = pd.read_csv(source / "immune_df.csv", dtype=str)
    assert by_variable.size()["cd3_car_percent"] == pd.to_numeric(flow["CD3_CAR_%"], errors="coerce").notna().sum()


def test_il6_of_one_day_keeps_its_hours(source: Path, cohort: Cohort) -> None:
    days = cohort.measurements.query("variable == 'il6' and day >= 1 and day < 2")["day"]
    crs = pd.read_csv(source / "crs.csv")
    expected = {1 + hour / 24: crs[f"il6_d1-{hour:02d}00"].count() for hour in (0, 3, 8, 15, 18)}
    assert days.value_counts().to_dict() == expected


def test_what_is_known_on_day_0_does_not_tell_who_will_have_crs(cohort: Cohort) -> None:
    """No variable may have been measured by day 0 in CRS patients alone."""
    crs = set(cohort.events.loc[cohort.events["event"] == "crs", "patient_id"])
    known = cohort.measurements[cohort.measurements["day"] <= 0]
    for variable, patients in known.groupby("variable")["patient_id"]:
        assert set(patients) - crs, variable
    assert not set(known["variable"]) & {"il6", "procalcitonin"}


def test_units_are_declared_for_all_measurements(cohort: Cohort) -> None:
    names = set(cohort.measurements["variable"])
    assert names <= set(cohort.card.variables)
    assert cohort.card.variables["crp"].unit == "mg/L"
    assert cohort.card.variables["cd4_count"].unit == "{cells}/uL"


def test_every_cell_arrives_with_both_markers(source: Path, folder: Path) -> None:
    cells = anndata.read_h5ad(folder / "cells.h5ad")
    assert list(cells.var_names) == list(MARKERS)
    assert cells.shape == (6481, 7)
    assert set(cells.obs["cell_type"]) == {"plasma cell"}
    sample = cells.obs["sample_id"].astype(str).to_numpy()
    assert (sample[1:] != sample[:-1]).sum() + 1 == len(set(sample))  # one block for each sample
    rows = pd.read_csv(source / "plasma_cells_single_cell.csv.gz")
    values = pd.DataFrame(cells.X.toarray(), columns=cells.var_names)
    for marker in ("TNFRSF17_RNA", "TNFRSF17_ADT"):
        published = np.sort(rows.loc[rows["TYPE"] == marker, "EXPRS"])
        np.testing.assert_allclose(np.sort(values[marker]), published, rtol=1e-6)
    one = rows[(rows["PATIENT_ID"] == "Patient022") & (rows["Day"] == "Pre Bite")]
    ours = values[sample == "Patient022_before_bispecific"]
    for marker in ("TNFRSF17_RNA", "TNFRSF17_ADT"):  # in the published order, so that markers of a cell stay together
        np.testing.assert_allclose(ours[marker], one.loc[one["TYPE"] == marker, "EXPRS"], rtol=1e-6)
    np.testing.assert_allclose(ours["S.Score"], one.loc[one["TYPE"] == marker, "S.Score"], rtol=1e-6)


def test_samples_are_dated_by_the_visits(cohort: Cohort) -> None:
    samples = cohort.samples.set_index("sample_id")
    assert len(samples) == 46
    assert samples["patient_id"].nunique() == 29
    assert samples.loc["Patient001_day_30", "day"] == 23.0
    assert samples.loc["Patient001_leukapheresis", ["day", "material"]].tolist() == [-49.0, "apheresis"]
    assert samples.loc["Patient022_before_bispecific", ["day", "material"]].tolist() == [-134.0, "blood"]
    assert cohort.card.cells is not None
    assert cohort.card.cells.values == "intensities"


@pytest.mark.parametrize(
    ("text", "visit", "day"),
    [
        ("LA", "leukapheresis", np.nan),
        ("PBMC | Apheresis", "leukapheresis", np.nan),
        ("PBMC | Day 100", "day 100", 100.0),
        ("Pre Bite", "before bispecific", np.nan),
        ("pre BT", "before bispecific", np.nan),
    ],
    ids=["short", "receptors", "day", "cells", "elisa"],
)
def test_visit_names(text: str, visit: str, day: float) -> None:
    assert visit_name(text) == visit
    np.testing.assert_equal(nominal_day(visit), day)


def test_notes_say_what_is_conventional(folder: Path) -> None:
    notes = yaml.safe_load((folder / "cohort.yaml").read_text(encoding="utf-8"))["notes"]
    assert "dated day 14 by convention" in notes
    assert "Patients 011, 013 and 038 progressed on their last day" in notes


def edit(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        change(pd.read_csv(folder / name, dtype=str, keep_default_na=False)).to_csv(folder / name, index=False)

    return apply


def cell(row: int, column: str, value: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[row, column] = value
        return table

    return change


CELLS = "plasma_cells_single_cell.csv.gz"
BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing file": (lambda folder: (folder / "pcr_data.csv").unlink(), r"pcr_data\.csv: cannot be read"),
    "progression after death": (edit("clin_data.csv", cell(0, "pfs", "500")), r"row 2: pfs = '500'; progression-free"),
    "status contradicts": (edit("clin_data.csv", cell(3, "status", "1")), r"row 5: status = '1'; 1 means progression"),
    "early end": (edit("clin_data.csv", cell(3, "pfs", "700")), r"row 5: pfs = '700'; without progression it equals"),
    "unknown product": (edit("clin_data.csv", cell(1, "Product", "X-cel")), r"row 3: Product = 'X-cel'; known are Ide"),
    "text in a number": (edit("immune_df.csv", cell(2, "CD4_abs", "many")), r"row 4: CD4_abs = 'many'; a number is"),
    "twin patient": (
        edit("clin_data.csv", cell(1, "patient_id", "Patient001")),
        r"row 3: .* have one row each",
    ),
    "patient without crs": (
        edit("crs.csv", lambda table: table.iloc[1:]),
        r"crs\.csv: patient 'Patient001' .*missing",
    ),
    "stranger in crs": (edit("crs.csv", cell(0, "patient_id", "Patient999")), r"row 2: patient_id = 'Patient999'"),
    "cells out of order": (edit(CELLS, cell(0, "nCount_RNA", "1")), r"must be the same cells in the same order"),
}


@pytest.mark.parametrize(("damage", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_changed_source_is_refused(
    source: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    copy = tmp_path / "source"
    shutil.copytree(source, copy, copy_function=shutil.copyfile)
    copy.chmod(0o755)
    damage(copy)
    with pytest.raises(SequelaError, match=message):
        IMPORTERS["leipzig2024"].run(copy, tmp_path / "cohort")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
