"""The PRINCE trial: events and profiles as published, nothing from after treatment at baseline."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.check import examine, read_cohort, read_endpoint
from features.cohort import Cohort, outcomes_at
from features.errors import SequelaError
from features.importers import IMPORTERS
from features.importers.prince import NOMINAL_DAYS, slug

ENDPOINT = Path(__file__).parents[3] / "configs" / "endpoint" / "prince_progression.yaml"
PFS, OS = "clinical.observation.pfs", "clinical.observation.os"


@pytest.fixture(scope="module")
def source(shared_data: Path) -> Path:
    return shared_data / "prince_immunotherapy"


@pytest.fixture(scope="module")
def folder(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prince") / "cohort"
    IMPORTERS["prince"].run(source, folder)
    return folder


@pytest.fixture(scope="module")
def cohort(folder: Path) -> Cohort:
    return read_cohort(folder)


@pytest.fixture(scope="module")
def clinic(source: Path) -> pd.DataFrame:
    table = pd.read_csv(source / "clinical.csv")
    return table.set_index("PRINCE-" + table["Deidentified.ID"].astype(str)).sort_index()


def test_folder_is_sound_but_for_the_patient_censored_on_day_0(folder: Path) -> None:
    assert [(finding.code, finding.row) for finding in examine(folder).findings] == [("zero-follow-up", 102)]


def test_events_are_the_published_ones(cohort: Cohort, clinic: pd.DataFrame) -> None:
    assert cohort.events["event"].value_counts().to_dict() == {"death": 80, "progression": 59}
    progressed = clinic[f"{PFS}.reason"].str.endswith("progressed")
    for event, happened, column in (("progression", progressed, PFS), ("death", clinic[f"{OS}.event"], OS)):
        dated = cohort.events[cohort.events["event"] == event].set_index("patient_id")["day"].sort_index()
        pd.testing.assert_series_equal(dated, clinic.loc[happened, column].astype(float), check_names=False)
    without = set(cohort.events.query("event == 'death'")["patient_id"]) - set(clinic.index[progressed])
    assert len(without) == 37


def test_whoever_was_censored_for_progression_is_followed_no_longer(cohort: Cohort, clinic: pd.DataFrame) -> None:
    follow_up = cohort.patients.set_index("patient_id")["follow_up_days"].sort_index()
    censored = clinic[f"{PFS}.reason"].str.contains("censored")
    expected = clinic[PFS].where(censored, clinic[[PFS, OS]].max(axis=1)).astype(float)
    pd.testing.assert_series_equal(follow_up, expected, check_names=False)


def test_endpoint_is_the_configured_one_and_counts_right(folder: Path, cohort: Cohort) -> None:
    endpoint = read_endpoint(ENDPOINT)
    assert read_endpoint(folder / "endpoints" / "prince_progression.yaml") == endpoint
    assert endpoint.landmark_days == (0.0, 28.0)
    counts = [outcomes_at(cohort, endpoint, day)[1].counts() for day in endpoint.landmark_days]
    assert counts[0] == {"censored": 11, "progression": 59, "death": 37}  # one of 12 is censored on day 0
    assert counts[1] == {"censored": 10, "progression": 59, "death": 34}


def test_baseline(cohort: Cohort, clinic: pd.DataFrame) -> None:
    assert set(cohort.baseline_variables) == {
        "age", "sex", "arm", "phase", "ecog", "tumour_location", "stage_at_diagnosis", "prior_surgery",
        "prior_chemotherapy", "tobacco",
    }  # fmt: skip
    patients = cohort.patients.set_index("patient_id").sort_index()
    np.testing.assert_array_equal(patients["age"], clinic["Age"])
    np.testing.assert_array_equal(patients["prior_surgery"] == 1, clinic["Prior Cancer Surgery"] == "Y")
    assert pd.crosstab(patients["arm"], clinic["Arm"]).to_numpy().tolist() == [[34, 0, 0], [0, 37, 0], [0, 0, 37]]
    assert patients.loc["PRINCE-2", "stage_at_diagnosis"] == "II"
    assert cohort.card.variables["stage_at_diagnosis"].levels == ("I", "II", "III", "IV")


@pytest.mark.parametrize(
    ("file", "prefix", "patients"),
    [
        ("cytof_populations.csv", "cytof_", 92),
        ("flow_x50_populations.csv", "x50_", 96),
        ("olink_proteins.csv", "olink_", 106),
    ],
)
def test_every_published_value_arrives_on_its_nominal_day(
    source: Path, cohort: Cohort, file: str, prefix: str, patients: int
) -> None:
    table = pd.read_csv(source / file)
    values = table.drop(columns=["Deidentified.ID", "timepoint.id", "sample.id"])
    ours = cohort.measurements[cohort.measurements["variable"].str.startswith(prefix)]
    assert len(ours) == values.notna().sum().sum()
    assert ours["patient_id"].nunique() == table["Deidentified.ID"].nunique() == patients
    expected = values.sum(axis=1).groupby(table["timepoint.id"].map(NOMINAL_DAYS)).sum()
    np.testing.assert_allclose(ours.groupby("day")["value"].sum(), expected.sort_index())
    assert set(ours["day"]) <= {0.0, 14.0, 28.0, 56.0, 84.0}


def test_a_value(cohort: Cohort) -> None:
    table = cohort.measurements.query("patient_id == 'PRINCE-2' and variable == 'olink_cxcl10'")
    assert table[["day", "value"]].to_numpy().tolist()[:3] == [[0, 10.48804], [14, 11.80736], [28, 10.03905]]
    assert cohort.card.variables["olink_cxcl10"].description == "Olink NPX, log2: CXCL10"


def test_variables_have_the_population_as_description(source: Path, cohort: Cohort) -> None:
    columns = {
        column
        for file in ("cytof_populations.csv", "flow_x50_populations.csv", "olink_proteins.csv")
        for column in pd.read_csv(source / file, nrows=1).columns[3:]
    }
    described = {v.description.partition(": ")[2] for v in cohort.card.variables.values() if v.description}
    assert described == columns
    assert len([name for name in cohort.card.variables if "_" in name]) >= len(columns) == 62


@pytest.mark.parametrize(
    ("population", "name"),
    [
        ("2B4+ non-naive CD4+ T cells (% of non-naive CD4 T cells)", "2b4_pos_non_naive_cd4_pos_t_cells"),
        ("CD1c-CD141+ Cross Presenting DC", "cd1c_neg_cd141_pos_cross_presenting_dc"),
        ("CCR7+ CD11b+ CD27- B cells", "ccr7_pos_cd11b_pos_cd27_neg_b_cells"),
        ("PD-1+CD39+ effector memory 1 CD4+ T cells (% of x)", "pd_1_pos_cd39_pos_effector_memory_1_cd4_pos_t_cells"),
        ("IFN-γ", "ifn_gamma"),
    ],
    ids=["fraction", "negative", "both", "hyphen", "greek"],
)
def test_names_of_populations(population: str, name: str) -> None:
    assert slug(population) == name


def edit(name: str, row: int, column: str, value: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        table = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
        table.loc[row, column] = value
        table.to_csv(folder / name, index=False)

    return apply


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing file": (lambda folder: (folder / "olink_proteins.csv").unlink(), r"olink_proteins\.csv: cannot be read"),
    "unknown reason": (edit("clinical.csv", 0, f"{PFS}.reason", "lost"), r"row 2: \S+reason = 'lost'; known are"),
    "no event though progressed": (
        edit("clinical.csv", 0, f"{PFS}.event", "False"),
        r"row 2: \S+ = 'False'; it is True",
    ),
    "dead and alive": (
        edit("clinical.csv", 30, f"{PFS}.reason", ":clinical-observation.event-reason/dead"),
        r"row 32: \S+os\.event = 'False'; pfs\.reason says that the patient died",
    ),
    "progression after death": (edit("clinical.csv", 0, PFS, "900"), r"row 2: \S+pfs = '900'; it ends by the day"),
    "unknown arm": (edit("clinical.csv", 2, "Arm", "D9"), r"row 4: Arm = 'D9'; known are A1, B2, C2"),
    "twin": (edit("clinical.csv", 1, "Deidentified.ID", "2"), r"row 3: Deidentified\.ID = '2'; patients have one"),
    "unknown visit": (
        edit("cytof_populations.csv", 0, "timepoint.id", "C9D1"),
        r"row 2: timepoint\.id = 'C9D1'; known",
    ),
    "fraction above 1": (
        edit("cytof_populations.csv", 0, "Conventional DC", "1.5"),
        r"cytof_populations\.csv row 2: Conventional DC = '1\.5'; 0 to 1 is allowed",
    ),
    "stranger": (edit("olink_proteins.csv", 0, "Deidentified.ID", "999"), r"row 2: .* = '999'; every patient is in"),
    "text in a number": (edit("olink_proteins.csv", 3, "CXCL9", "high"), r"row 5: CXCL9 = 'high'; a number is"),
}


@pytest.mark.parametrize(("damage", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_changed_source_is_refused(
    source: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    copy = tmp_path / "source"
    copy.mkdir()
    for name in ("clinical.csv", "cytof_populations.csv", "flow_x50_populations.csv", "olink_proteins.csv"):
        shutil.copyfile(source / name, copy / name)
    damage(copy)
    with pytest.raises(SequelaError, match=message):
        IMPORTERS["prince"].run(copy, tmp_path / "cohort")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
