"""`sequela import omop` on a small synthetic common data model with known answers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from features.check import examine, read_cohort, read_endpoint
from features.documents import read_document
from features.errors import SequelaError
from features.importers.omop import OmopSpec, import_omop

CONFIG = Path(__file__).parents[3] / "configs" / "import" / "omop.yaml"
INFUSION, PRODUCT, CRP, INFECTION, PNEUMONIA, CANCER = 11, 12, 21, 31, 32, 33
MG_L, MG_DL = 8751, 8840
TABLES: dict[str, list[dict[str, object]]] = {
    "person": [
        {"person_id": 1, "gender_concept_id": 8507, "year_of_birth": 1960, "month_of_birth": 3, "day_of_birth": 1},
        {
            "person_id": 2,
            "gender_concept_id": 8532,
            "year_of_birth": 1950,
            "month_of_birth": None,
            "day_of_birth": None,
        },
        {"person_id": 3, "gender_concept_id": 0, "year_of_birth": 1970, "month_of_birth": 5, "day_of_birth": None},
        {"person_id": 4, "gender_concept_id": 8507, "year_of_birth": 1980, "month_of_birth": 1, "day_of_birth": 1},
        {"person_id": 5, "gender_concept_id": 8507, "year_of_birth": 1980, "month_of_birth": 1, "day_of_birth": 1},
    ],
    "observation_period": [
        {"person_id": 1, "observation_period_start_date": "2019-01-01", "observation_period_end_date": "2021-03-01"},
        {"person_id": 2, "observation_period_start_date": "2019-01-01", "observation_period_end_date": "2020-06-01"},
        {"person_id": 3, "observation_period_start_date": "2020-01-01", "observation_period_end_date": "2020-12-31"},
        {"person_id": 4, "observation_period_start_date": "2010-01-01", "observation_period_end_date": "2011-01-01"},
        {"person_id": 5, "observation_period_start_date": "2019-01-01", "observation_period_end_date": "2021-01-01"},
    ],
    "procedure_occurrence": [
        {"person_id": 1, "procedure_concept_id": INFUSION, "procedure_date": "2020-03-01"},
        {"person_id": 1, "procedure_concept_id": INFUSION, "procedure_date": "2020-09-01"},
        {"person_id": 2, "procedure_concept_id": INFUSION, "procedure_date": "2020-02-01"},
        {"person_id": 4, "procedure_concept_id": INFUSION, "procedure_date": "2020-02-01"},
        {"person_id": 5, "procedure_concept_id": 999, "procedure_date": "2020-02-01"},
    ],
    "drug_exposure": [
        {"person_id": 3, "drug_concept_id": PRODUCT, "drug_exposure_start_date": "2020-05-01"},
    ],
    "condition_occurrence": [
        {"person_id": 1, "condition_concept_id": PNEUMONIA, "condition_start_date": "2020-03-11"},
        {"person_id": 1, "condition_concept_id": PNEUMONIA, "condition_start_date": "2020-03-11"},
        {"person_id": 1, "condition_concept_id": INFECTION, "condition_start_date": "2020-02-20"},
        {"person_id": 2, "condition_concept_id": INFECTION, "condition_start_date": "2020-07-01"},
        {"person_id": 3, "condition_concept_id": CANCER, "condition_start_date": "2020-11-01"},
        {"person_id": 5, "condition_concept_id": INFECTION, "condition_start_date": "2020-02-02"},
    ],
    "measurement": [
        {"person_id": 1, "measurement_concept_id": CRP, "measurement_date": "2020-03-03", "value_as_number": 12.5}
        | {"unit_concept_id": MG_L, "unit_source_value": "mg/l"},
        {"person_id": 1, "measurement_concept_id": CRP, "measurement_date": "2018-03-03", "value_as_number": 4}
        | {"unit_concept_id": MG_L, "unit_source_value": "mg/l"},
        {"person_id": 2, "measurement_concept_id": CRP, "measurement_date": "2020-01-31", "value_as_number": 3}
        | {"unit_concept_id": MG_DL, "unit_source_value": None},
        {"person_id": 2, "measurement_concept_id": CRP, "measurement_date": "2020-02-05", "value_as_number": 7}
        | {"unit_concept_id": 0, "unit_source_value": "Milligram"},
        {"person_id": 3, "measurement_concept_id": CRP, "measurement_date": "2020-05-02", "value_as_number": 9}
        | {"unit_concept_id": 0, "unit_source_value": None},
        {"person_id": 3, "measurement_concept_id": CRP, "measurement_date": "2020-05-03", "value_as_number": None}
        | {"unit_concept_id": MG_L, "unit_source_value": None},
        {"person_id": 3, "measurement_concept_id": 999, "measurement_date": "2020-05-03", "value_as_number": 1}
        | {"unit_concept_id": MG_L, "unit_source_value": None},
        {"person_id": 3, "measurement_concept_id": CRP, "measurement_date": "2021-05-03", "value_as_number": 1}
        | {"unit_concept_id": MG_L, "unit_source_value": None},
    ],
    "death": [{"person_id": 2, "death_date": "2020-06-11"}, {"person_id": 3, "death_date": "2021-06-11"}],
    "concept": [
        {"concept_id": CRP, "vocabulary_id": "LOINC", "concept_code": "1988-5"},
        {"concept_id": MG_L, "vocabulary_id": "UCUM", "concept_code": "mg/L"},
        {"concept_id": MG_DL, "vocabulary_id": "UCUM", "concept_code": "mg/dL"},
    ],
    "concept_ancestor": [
        {"ancestor_concept_id": INFECTION, "descendant_concept_id": INFECTION},
        {"ancestor_concept_id": INFECTION, "descendant_concept_id": PNEUMONIA},
    ],
}
SPEC: dict[str, Any] = {
    "title": "Synthetic",
    "provenance": "simulated",
    "patient_ids": "keep",
    "infusion": {"procedures": [INFUSION], "drugs": [PRODUCT]},
    "history_days": 365,
    "variables": {"crp": {"kind": "numeric", "unit": "mg/L", "loinc": "1988-5"}},
    "units": {"Milligram": "mg/L"},
    "events": {
        "infection": {"conditions": [INFECTION], "descendants": True},
        "second_malignancy": {"conditions": [CANCER]},
    },
    "death_within_days": 30,
    "endpoints": [
        {"name": "infection", "event": {"name": "infection"}, "competing": [{"name": "death"}]}
        | {"horizons_days": [90]}
    ],
}


def write_csv(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name, rows in TABLES.items():
        pd.DataFrame(rows, dtype=object).to_csv(folder / f"{name.upper()}.csv", index=False)
    return folder


def write_parquet(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name, rows in TABLES.items():
        (folder / name).mkdir()
        table = pd.DataFrame(rows)
        for column in table.columns[table.columns.str.endswith("_date")]:
            table[column] = pd.to_datetime(table[column])
        for number, part in enumerate((table.iloc[:2], table.iloc[2:])):
            if len(part):
                part.to_parquet(folder / name / f"part{number}.parquet", index=False)
    return folder


def write_duckdb(folder: Path) -> Path:
    with duckdb.connect(str(folder.with_suffix(".duckdb"))) as connection:
        connection.execute('CREATE SCHEMA "my ""cdm"')
        for name, rows in TABLES.items():
            connection.register("rows", pd.DataFrame(rows))
            connection.execute(f'CREATE TABLE "my ""cdm"."{name}" AS SELECT * FROM rows')  # noqa: S608
    return folder.with_suffix(".duckdb")


def run(folder: Path, source: Path, spec: dict[str, Any]) -> Path:
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    import_omop(folder / "spec.yaml", source, folder / "cohort")
    return folder / "cohort"


@pytest.mark.parametrize("write", [write_csv, write_parquet, write_duckdb], ids=["CSV", "Parquet", "DuckDB"])
def test_known_answers(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    folder = run(tmp_path, write(tmp_path / "cdm [1]*"), SPEC)
    assert examine(folder, read_endpoint(folder / "endpoints" / "infection.yaml")).findings == ()
    cohort = read_cohort(folder)
    patients = cohort.patients.set_index("patient_id")
    assert patients["follow_up_days"].to_dict() == {"1": 365, "2": 131, "3": 244}
    assert patients["age"].to_dict() == {"1": 60.0, "2": 69.6, "3": 50.0}
    assert patients["sex"].fillna("?").to_dict() == {"1": "male", "2": "female", "3": "?"}
    assert cohort.events[["patient_id", "day", "event"]].to_numpy().tolist() == [
        ["1", -10, "infection"],
        ["1", 10, "infection"],
        ["2", 131, "death"],
        ["3", 184, "second_malignancy"],
    ]
    assert cohort.measurements.to_numpy().tolist() == [
        ["1", 2, "crp", 12.5],
        ["2", -1, "crp", 30],
        ["2", 4, "crp", 7],
        ["3", 1, "crp", 9],
    ]
    assert "1 patients have no observation period at the infusion" in cohort.card.notes
    assert "1 events after follow-up" in cohort.card.notes
    assert "1 measurements after follow-up" in cohort.card.notes
    assert "1 measurements have no unit" in cohort.card.notes


EVENTS_OF_2: dict[str, tuple[dict[str, Any], float, list[list[object]]]] = {
    "a late death is not observed": ({"death_within_days": 9}, 121, []),
    "an early one is": ({"death_within_days": 10}, 131, [[131, "death"]]),
}


@pytest.mark.parametrize(("changes", "follow_up", "events"), EVENTS_OF_2.values(), ids=EVENTS_OF_2.keys())
def test_deaths_after_observation(
    tmp_path: Path, changes: dict[str, Any], follow_up: float, events: list[list[object]]
) -> None:
    cohort = read_cohort(run(tmp_path, write_csv(tmp_path / "cdm"), SPEC | changes))
    assert cohort.patients.set_index("patient_id").loc["2", "follow_up_days"] == follow_up
    of_2 = cohort.events[cohort.events["patient_id"] == "2"]
    assert of_2[["day", "event"]].to_numpy().tolist() == events


def test_brackets_in_a_path_are_no_pattern(tmp_path: Path) -> None:
    write_csv(tmp_path / "cdm 1")
    source = write_csv(tmp_path / "cdm [1]")
    edit("person", 0, "gender_concept_id", 8532)(source)
    cohort = read_cohort(run(tmp_path, source, SPEC))
    assert cohort.patients["sex"].iloc[0] == "female"  # and not the sibling's


def test_choices_of_the_specification(tmp_path: Path) -> None:
    changes = {
        "infusions": "last",
        "patient_ids": "running",
        "age": None,
        "sex": "gender",
        "events": {},
        "endpoints": [],
    }
    cohort = read_cohort(run(tmp_path, write_csv(tmp_path / "cdm"), SPEC | changes))
    assert sorted(cohort.patients["patient_id"]) == ["P1", "P2", "P3"]
    assert sorted(cohort.patients["follow_up_days"]) == [131, 181, 244]
    assert list(cohort.baseline_variables) == ["gender"]
    for path in (tmp_path / "cohort").glob("*.csv"):
        assert "2020" not in path.read_text()


def edit(table: str, row: int, column: str, value: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / f"{table.upper()}.csv"
        content = pd.read_csv(path, dtype=object)
        content.loc[row, column] = value
        content.to_csv(path, index=False)

    return change


def drop(table: str, column: str | None = None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / f"{table.upper()}.csv"
        content = pd.read_csv(path, dtype=object)
        path.unlink()
        if column is not None:
            content.drop(columns=column).to_csv(path, index=False)

    return change


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "no table": (drop("observation_period"), r"table observation_period is missing; there are concept, "),
    "no column": (
        drop("person", "year_of_birth"),
        r"PERSON\.csv: column year_of_birth is missing; it has day_of_birth",
    ),
    "no date": (edit("death", 0, "death_date", "soon"), r"DEATH\.csv: cannot be used \(.*soon"),
    "no number": (edit("measurement", 0, "value_as_number", "high"), r"MEASUREMENT\.csv: cannot be used \(.*high"),
    "unknown unit": (
        edit("measurement", 3, "unit_source_value", "spoon"),
        r"crp has 1 values in 'spoon'.*units: \{'spoon",
    ),
    "other unit": (edit("measurement", 3, "unit_source_value", "mmol/L"), r"crp has 1 values in 'mmol/L'"),
    "dead before": (edit("death", 0, "death_date", "2019-01-01"), r"death: 1 patients died before their infusion"),
    "no LOINC": (edit("concept", 0, "concept_code", "1-1"), r"LOINC code '1988-5' is not among the concepts"),
}


@pytest.mark.parametrize(("damage", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_models_are_refused(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    source = write_csv(tmp_path / "cdm")
    damage(source)
    with pytest.raises(SequelaError, match=message):
        run(tmp_path, source, SPEC)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cdm", "spec.yaml"]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "text for a concept": (
        {"infusion": {"procedures": ["1) OR (1=1"]}},
        r"infusion\.procedures\.0: Input should be a valid i",
    ),
    "nothing listed": ({"infusion": {}}, r"infusion: List concept ids under conditions, drugs or procedures"),
    "no way to find it": ({"variables": {"x": {"kind": "numeric"}}}, r"variables\.x: List concepts"),
    "death listed": ({"events": {"death": {"conditions": [1]}}}, r"Death is imported by itself"),
    "endpoint of nothing": ({"events": {}}, r"Endpoint infection: infection is not among the events"),
    "taken name": ({"variables": {"age": {"kind": "numeric", "loinc": "1-1"}}}, r"Age is taken"),
    "injected LOINC": (
        {"variables": {"x": {"kind": "numeric", "loinc": "' OR 1=1 --"}}},
        r"LOINC code \"' OR 1=1 --\" is not among the concepts",
    ),
    "nobody": ({"infusion": {"procedures": [5]}}, r"cdm: nobody has an infusion within observation"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_specifications_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SequelaError, match=message):
        run(tmp_path, write_csv(tmp_path / "cdm"), SPEC | changes)
    assert not (tmp_path / "cohort").exists()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cdm.duckdb").write_bytes(b"not a database" * 100)
    with pytest.raises(SequelaError, match=r"cdm\.duckdb: cannot be read as a DuckDB database"):
        run(tmp_path, tmp_path / "cdm.duckdb", SPEC)


@settings(max_examples=8, deadline=None)
@given(
    table=st.sampled_from(["measurement", "death", "person"]),
    at=st.floats(0, 1, exclude_max=True),
    byte=st.integers(0, 255),
)
def test_any_changed_byte_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, table: str, at: float, byte: int
) -> None:
    folder = tmp_path_factory.mktemp("byte")
    path = write_csv(folder / "cdm") / f"{table.upper()}.csv"
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] = byte
    path.write_bytes(content)
    try:
        cohort = read_cohort(run(folder, folder / "cdm", SPEC))
    except SequelaError:
        assert sorted(item.name for item in folder.iterdir()) in (["cdm", "spec.yaml"], ["cdm", "cohort", "spec.yaml"])
    else:
        assert np.isfinite(cohort.patients["follow_up_days"]).all()


def test_the_specification_of_the_repository_is_sound() -> None:
    assert read_document(CONFIG, OmopSpec).endpoints[0].name == "infection"


def test_without_duckdb_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)  # what Python keeps of a module that is not there
    monkeypatch.delitem(sys.modules, "features.importers.duck", raising=False)
    with pytest.raises(SequelaError, match=r"DuckDB is not installed.*sequela\[cdm\]"):
        run(tmp_path, write_csv(tmp_path / "cdm"), SPEC)
