"""`sequela import table`: conversion and refusals, on small synthetic tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from features.errors import SequelaError
from features.importers.spec import TableSpec, slug
from features.importers.table import import_table

SPEC: dict[str, Any] = {
    "title": "A small table",
    "time": {"column": "t", "unit": "months"},
    "event": {"column": "e", "causes": {1: "Relapse", 2: "death in remission (TRM)"}},
    "variables": {
        "age": {"kind": "numeric", "unit": "a", "range": [0, 120]},
        "stage": {"kind": "ordinal", "levels": [1, 2]},
        "Sex": {"kind": "categorical", "rename": "sex"},
    },
}
TABLE = "t,e,age,stage,Sex\n1,0,50,1,f\n2.5,1,NA,2.0,m\n3,2,70,,\n4,1,61.5,1,f\n"
INTERVALS = (
    "id,from,to,e,pneu,age\nb,0,4,0,0,60\na,0,2,1,0,50\nb,6,9,2,1,60\nb,4,6,1,1,60\na,2,5,0,1,50\nc,3,7,0,0,40\n"
)
INTERVAL_SPEC = {
    "title": "Intervals",
    "time": {"column": "to", "unit": "days"},
    "start": {"column": "from"},
    "patient_id": "id",
    "event": {"column": "e", "causes": {1: "infection", 2: "death"}},
    "variables": {"pneu": {"kind": "numeric"}, "age": {"kind": "numeric"}},
}
VISITS = "id,day,t,e,bili,sex\nx,0,30,1,1.5,f\ny,0,40,0,2,m\nx,10,30,1,,f\nx,20,30,1,3.5,f\n"
VISIT_SPEC = {
    "title": "Visits",
    "time": {"column": "t", "unit": "weeks"},
    "visit": {"column": "day"},
    "patient_id": "id",
    "event": {"column": "e", "causes": {1: "death"}},
    "variables": {"bili": {"kind": "numeric", "unit": "mg/dL"}, "sex": {"kind": "categorical"}},
}


def run(folder: Path, table: str, spec: dict[str, Any]) -> Path:
    (folder / "t.csv").write_text(table, encoding="utf-8")
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False), encoding="utf-8")
    import_table(folder / "spec.yaml", folder / "t.csv", folder / "cohort")
    return folder / "cohort"


def read(cohort: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(cohort / f"{name}.csv", dtype={"patient_id": str, "stage": str})


def test_one_row_a_patient(tmp_path: Path) -> None:
    cohort = run(tmp_path, TABLE, SPEC)
    patients, events = read(cohort, "patients"), read(cohort, "events")
    assert list(patients.columns) == ["patient_id", "follow_up_days", "age", "stage", "sex"]
    assert list(patients["patient_id"]) == ["1", "2", "3", "4"]
    np.testing.assert_array_equal(patients["follow_up_days"], np.array([1, 2.5, 3, 4]) * 30.4375)
    np.testing.assert_array_equal(patients["age"], [50, np.nan, 70, 61.5])
    assert patients["stage"].fillna("missing").tolist() == ["1", "2", "missing", "1"]
    assert events.to_dict("list") == {
        "patient_id": ["2", "3", "4"],
        "day": [76.09375, 91.3125, 121.75],
        "event": ["relapse", "death_in_remission_trm", "relapse"],
    }
    assert sorted(path.name for path in cohort.iterdir()) == ["cohort.yaml", "endpoints", "events.csv", "patients.csv"]


def test_one_endpoint_for_each_cause_with_the_others_competing(tmp_path: Path) -> None:
    cohort = run(tmp_path, TABLE, SPEC)
    endpoint = yaml.safe_load((cohort / "endpoints" / "relapse.yaml").read_text(encoding="utf-8"))
    assert endpoint["event"] == {"name": "relapse"}
    assert endpoint["competing"] == [{"name": "death_in_remission_trm"}]
    assert endpoint["horizons_days"] == [88.0, 99.0, 110.0]  # quartiles of 76.09 and 121.75 days
    assert (cohort / "endpoints" / "death_in_remission_trm.yaml").exists()


def test_a_cause_that_never_occurs_gets_no_endpoint(tmp_path: Path) -> None:
    event = {"column": "e", "causes": {1: "relapse", 2: "death", 3: "second malignancy"}}
    cohort = run(tmp_path, TABLE, SPEC | {"event": event, "horizons_days": [30, 60]})
    assert sorted(path.stem for path in (cohort / "endpoints").iterdir()) == ["death", "relapse"]
    endpoint = yaml.safe_load((cohort / "endpoints" / "relapse.yaml").read_text(encoding="utf-8"))
    assert endpoint["competing"] == [{"name": "death"}]
    assert endpoint["horizons_days"] == [30.0, 60.0]


@pytest.mark.parametrize(("unit", "days"), [("days", 1.0), ("weeks", 7.0), ("months", 30.4375), ("years", 365.25)])
def test_units_of_time(tmp_path: Path, unit: str, days: float) -> None:
    cohort = run(tmp_path, TABLE, SPEC | {"time": {"column": "t", "unit": unit}})
    np.testing.assert_array_equal(read(cohort, "patients")["follow_up_days"], np.array([1, 2.5, 3, 4]) * days)


def test_card_tells_what_the_table_is(tmp_path: Path) -> None:
    card = yaml.safe_load((run(tmp_path, TABLE, SPEC) / "cohort.yaml").read_text(encoding="utf-8"))
    assert card["provenance"] == "real"
    assert card["licence"] == "not stated"
    assert set(card["variables"]) == {"age", "stage", "sex"}
    assert card["variables"]["stage"]["levels"] == ["1", "2"]
    assert "rename" not in card["variables"]["sex"]
    assert "t.csv, with times in months of 30.4375 days" in card["notes"]


def test_time_zero_is_kept_noted_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cohort = run(tmp_path, TABLE.replace("3,2,", "0,2,"), SPEC)
    assert read(cohort, "patients")["follow_up_days"].tolist()[2] == 0
    assert "1 patients have time 0" in (cohort / "cohort.yaml").read_text(encoding="utf-8")
    assert "1 patients have time 0" in caplog.text


def test_entry_is_left_truncation(tmp_path: Path) -> None:
    spec = {**SPEC, "entry": {"column": "age"}, "variables": {}}
    cohort = run(tmp_path, TABLE.replace("50", "0.5").replace("70", "2").replace("61.5", "1"), spec)
    np.testing.assert_array_equal(read(cohort, "patients")["entry_day"], np.array([0.5, 0, 2, 1]) * 30.4375)


def test_intervals_become_recurrent_events_and_measurements(tmp_path: Path) -> None:
    cohort = run(tmp_path, INTERVALS, INTERVAL_SPEC)
    patients = read(cohort, "patients")
    assert patients.to_dict("list") == {
        "patient_id": ["b", "a", "c"],
        "follow_up_days": [9.0, 5.0, 7.0],
        "entry_day": [0.0, 0.0, 3.0],
        "age": [60.0, 50.0, 40.0],
    }
    events = [tuple(row) for row in read(cohort, "events").to_numpy()]
    assert events == [("b", 6.0, "infection"), ("b", 9.0, "death"), ("a", 2.0, "infection")]
    pneu = [tuple(row) for row in read(cohort, "measurements").to_numpy()]
    assert pneu == [
        ("b", 0.0, "pneu", 0.0), ("b", 4.0, "pneu", 1.0), ("b", 6.0, "pneu", 1.0),
        ("a", 0.0, "pneu", 0.0), ("a", 2.0, "pneu", 1.0),
        ("c", 3.0, "pneu", 0.0),
    ]  # fmt: skip


def test_visits_become_measurements_and_one_event(tmp_path: Path) -> None:
    cohort = run(tmp_path, VISITS, VISIT_SPEC)
    assert read(cohort, "patients")["follow_up_days"].tolist() == [210.0, 280.0]
    assert read(cohort, "events").to_dict("list") == {"patient_id": ["x"], "day": [210.0], "event": ["death"]}
    bili = read(cohort, "measurements")
    assert bili["day"].tolist() == [0.0, 140.0, 0.0]
    assert bili["value"].tolist() == [1.5, 3.5, 2.0]
    assert "sex" in read(cohort, "patients")


def test_wide_times_become_recurrent_events(tmp_path: Path) -> None:
    table = "id,end,t1,t2\np,20,5,9\nq,30,,\nr,40,40,\n"
    spec = {
        "title": "Wide",
        "time": {"column": "end", "unit": "days"},
        "event_times": {"serious infection": ["t1", "t2"]},
        "patient_id": "id",
    }
    events = read(run(tmp_path, table, spec), "events")
    assert list(zip(events["patient_id"], events["day"], strict=True)) == [("p", 5.0), ("p", 9.0), ("r", 40.0)]
    assert set(events["event"]) == {"serious_infection"}


def with_variable(**variable: object) -> dict[str, Any]:
    return SPEC | {"variables": {"age": {"kind": "numeric", **variable}}}


OUTCOME = {key: value for key, value in SPEC.items() if key != "variables"}
CAUSES = {"column": "e", "causes": {1: "r", 2: "d"}}
REFUSALS: dict[str, tuple[str, dict[str, Any], str]] = {
    "unknown key": (TABLE, SPEC | {"tilte": "x"}, r"spec\.yaml: tilte: No such key\. Did you mean title"),
    "unknown key of a variable": (TABLE, with_variable(unti="a"), r"variables\.age\.unti: No such key\. .* unit"),
    "unknown unit of time": (
        TABLE,
        SPEC | {"time": {"column": "t", "unit": "hours"}},
        r"time\.unit: .*'months' or 'year",
    ),
    "code 0 named": (TABLE, SPEC | {"event": CAUSES | {"causes": {0: "censored"}}}, r"0 always means censored"),
    "twin causes": (TABLE, SPEC | {"event": CAUSES | {"causes": {1: "a b", 2: "A-B"}}}, r"differ from one another"),
    "two kinds of events": (
        TABLE,
        SPEC | {"event_times": {"death": ["t"]}},
        r"exactly one of event .* and event_times",
    ),
    "intervals without patients": (TABLE, SPEC | {"start": {"column": "x"}}, r"tart and visit need patient_id"),
    "outcome as variable": (TABLE, SPEC | {"variables": {"e": {"kind": "numeric"}}}, r" is part of the outcome"),
    "reserved name": (TABLE, with_variable(rename="site"), r"ite is taken"),
    "truth values as levels": (
        TABLE,
        SPEC | {"variables": {"Sex": {"kind": "ordinal", "levels": [True, "m"]}}},
        r"put such levels in quotes",
    ),
    "missing event column": (TABLE, SPEC | {"event": CAUSES | {"column": "ev"}}, r"column 'ev' is missing.* mean 'e'"),
    "missing variable": (TABLE, SPEC | {"variables": {"aeg": {"kind": "numeric"}}}, r"column 'aeg' is missing.* 'age'"),
    "missing patient column": (TABLE, SPEC | {"patient_id": "pid"}, r"column 'pid' is missing"),
    "unknown code": (TABLE.replace("3,2", "3,7"), SPEC, r"t\.csv row 4: e = '7'; .* knows the codes 0, 1, 2 "),
    "half a code": (TABLE.replace("3,2", "3,1.5"), SPEC, r"row 4: e = '1\.5'; the specification knows"),
    "no code": (TABLE.replace("3,2", "3,"), SPEC, r"row 4: e = ''; a value is required"),
    "no time": (TABLE.replace("3,2", ",2"), SPEC, r"row 4: t = ''; a value is required"),
    "negative time": (TABLE.replace("2.5,", "-2.5,"), SPEC, r"row 3: t = '-2\.5'; a time is at least 0"),
    "text in a number": (TABLE.replace("61.5", "old"), SPEC, r"row 5: age = 'old'; a number is expected"),
    "out of range": (TABLE.replace("61.5", "615"), SPEC, r"row 5: age = '615'; 0 to 120 is allowed"),
    "unknown level": (TABLE.replace("2.0", "3"), SPEC, r"row 3: stage = '3'; the levels are 1, 2"),
    "no patient": (TABLE, OUTCOME | {"patient_id": "stage"}, r"row 4: stage = ''; a value is required"),
    "twin patients": (
        TABLE.replace("NA", "50"),
        OUTCOME | {"patient_id": "age"},
        r"row 3: age = '50'; .* one row each",
    ),
    "late entry": (
        TABLE,
        OUTCOME | {"entry": {"column": "age"}},
        r"row 2: age = '50'; observation begins before its t",
    ),
    "gap": (INTERVALS.replace("a,2,5", "a,3,5"), INTERVAL_SPEC, r"row 6: from = '3'; .*previous one ends, at its to"),
    "overlap": (INTERVALS.replace("b,4,6", "b,3,6"), INTERVAL_SPEC, r"row 5: from = '3'; .*remove the overlap"),
    "empty interval": (INTERVALS.replace("a,2,5", "a,2,2"), INTERVAL_SPEC, r"row 6: from = '2'; .* before its to"),
    "changing category": (
        INTERVALS,
        INTERVAL_SPEC | {"variables": {"pneu": {"kind": "categorical"}}},
        r"row 5: pneu = '1'; categorical variables are the same in all rows",
    ),
    "visits of two times": (VISITS.replace("x,20,30", "x,20,31"), VISIT_SPEC, r"row 5: t = '31'; every visit"),
    "visits of two events": (VISITS.replace("30,1,,f", "30,0,,f"), VISIT_SPEC, r"row 4: e = '0'; every visit"),
    "event after the end": (
        "id,end,t1\np,20,21\n",
        {"title": "W", "time": {"column": "end", "unit": "days"}, "event_times": {"i": ["t1"]}},
        r"row 2: t1 = '21'; an event happens by the end of follow-up, end",
    ),
}


@pytest.mark.parametrize(("table", "spec", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals_name_the_place_and_write_nothing(
    tmp_path: Path, table: str, spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(SequelaError, match=message):
        run(tmp_path, table, spec)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spec.yaml", "t.csv"]


def test_a_full_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(SequelaError, match="exists and is not empty"):
        run(tmp_path, TABLE, SPEC)
    assert [path.name for path in (tmp_path / "cohort").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AIDS", "aids"),
        ("death without relapse (NRM)", "death_without_relapse_nrm"),
        ("progression to plasma-cell malignancy", "progression_to_plasma_cell_malignancy"),
    ],
    ids=["capitals", "brackets", "hyphen"],
)
def test_slug(name: str, expected: str) -> None:
    assert slug(name) == expected


def test_time_columns_cover_every_time() -> None:
    wide = TableSpec.model_validate(
        {"title": "W", "time": {"column": "end", "unit": "days"}, "event_times": {"i": ["a"], "d": ["b"]}}
    )
    assert wide.time_columns == ("end", "a", "b")
    assert wide.causes == ("i", "d")
