"""Cohort folders: every rule has its finding, anything else never a traceback, and a sound folder is read as it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from broken_cohorts import BROKEN

from features.check import MOST, examine, fingerprint, read_cohort, read_endpoint
from features.check.catalogue import RULES
from features.cohort import TABLES
from features.errors import CohortError, SequelaError
from features.schema import Endpoint

Edit = Callable[[str, Callable[[pd.DataFrame], object]], Path]


def test_a_sound_folder_has_no_findings_and_typed_tables(tiny_cohort: Path) -> None:
    examination = examine(tiny_cohort)
    assert examination.findings == ()
    cohort = examination.cohort
    assert cohort is not None
    assert cohort.cells == tiny_cohort / "cells.h5ad"
    patients = cohort.patients
    assert list(patients) == [
        *("patient_id", "follow_up_days", "entry_day", "site"),
        *("age", "stage", "product", "comment"),
    ]
    assert patients["patient_id"].tolist() == ["P1", "P2", "P3", "P4"]
    assert patients["follow_up_days"].tolist() == [400.0, 200.5, 90.0, 730.0]
    np.testing.assert_array_equal(patients["entry_day"], [0.0, 5.0, np.nan, 30.0])
    np.testing.assert_array_equal(patients["age"], [61.0, 70.5, np.nan, 44.0])
    assert patients["stage"].tolist() == ["1", "3", "2", None]
    assert patients["product"].tolist() == ["axi-cel", "tisa-cel", None, "axi-cel"]
    assert patients["comment"].tolist() == ["first, of all", None, "none", "x"]
    assert list(cohort.events) == ["patient_id", "day", "event", "grade"]
    np.testing.assert_array_equal(cohort.events["grade"], [3.0, np.nan, 4.0, 1.0])
    assert cohort.measurements["value"].tolist() == [410.0, 1.5, 500.0, 2.5], "in the declared units"
    assert list(cohort.measurements) == ["patient_id", "day", "variable", "value"]
    assert list(cohort.samples) == ["sample_id", "patient_id", "day", "material"]
    for table in (patients, cohort.events, cohort.measurements, cohort.samples):
        assert set(table.dtypes) == {np.dtype(object), np.dtype(float)}


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_folder_has_its_finding_and_no_other_error(tiny_cohort: Path, name: str) -> None:
    broken = BROKEN[name]
    broken.apply(tiny_cohort)
    examination = examine(tiny_cohort)
    place = (broken.code, broken.severity, broken.file or str(tiny_cohort), broken.row, broken.field)
    mine = [f for f in examination.findings if (f.code, f.severity, f.file, f.row, f.field) == place]
    assert mine, f"found {[str(finding) for finding in examination.findings]}"
    finding = mine[0]
    assert broken.says in str(finding)
    assert finding.rule
    assert finding.remedy
    assert "{" not in finding.rule.replace("{genes", "").replace("{values", "")
    assert {f.code for f in examination.errors} == ({broken.code} if broken.severity == "error" else set())
    assert (examination.cohort is None) == (broken.severity == "error")


def test_the_corpus_and_the_endpoint_tests_break_every_rule() -> None:
    of_endpoints = {"no-such-cause", "grade-missing", "nobody-at-risk", "horizon-beyond-follow-up"}
    assert {broken.code for broken in BROKEN.values()} | of_endpoints | {"no-cells"} == set(RULES)


def test_all_problems_are_found_at_once(tiny_cohort: Path) -> None:
    names = [
        "patient-twice",
        "grade-six",
        "measured-unit-mismatch",
        "sample-twice",
        "genes-of-a-mouse",
        "age-impossible",
    ]
    for name in names:
        BROKEN[name].apply(tiny_cohort)
    found = [finding.code for finding in examine(tiny_cohort).findings]
    assert found[-1] == "impossible-value", "errors come first"
    assert {BROKEN[name].code for name in names} <= set(found)
    with pytest.raises(
        CohortError, match=r"error \[bad-grade\] events.csv row 6: grade = 6; A grade is a whole"
    ) as error:
        read_cohort(tiny_cohort)
    assert [finding.code for finding in error.value.findings] == found
    assert "impossible-value" not in str(error.value), "a warning is no reason to fail"


def test_a_rule_broken_often_is_listed_twenty_times_and_counted(edit: Edit) -> None:
    rows = [{"patient_id": "P1", "day": "900", "event": "crs", "grade": "9", "detail": ""}] * 332
    folder = edit("events", lambda table: pd.concat([table, pd.DataFrame(rows)]))
    findings = examine(folder).findings
    for code in ("event-after-follow-up", "bad-grade"):
        of_code = [finding for finding in findings if finding.code == code]
        assert [finding.row for finding in of_code] == [*range(6, 6 + MOST), None]
        assert of_code[-1].rule == "And 312 more like these."


def test_only_patients_are_required(tiny_cohort: Path) -> None:
    for name in ("events.csv", "measurements.csv", "samples.csv", "clones.csv", "cells.h5ad"):
        (tiny_cohort / name).unlink()
    examination = examine(tiny_cohort)
    assert {finding.code for finding in examination.findings} == {"absent-variable", "absent-cells"}
    cohort = examination.cohort
    assert cohort is not None
    assert cohort.cells is None
    assert list(cohort.events) == ["patient_id", "day", "event", "grade"]
    assert [len(table) for table in (cohort.events, cohort.measurements, cohort.samples, cohort.clones)] == [0, 0, 0, 0]
    assert list(cohort.measurements) == ["patient_id", "day", "variable", "value"]


def test_spreadsheet_habits_are_tolerated(tiny_cohort: Path) -> None:
    plain = read_cohort(tiny_cohort)
    for name in TABLES:
        path = tiny_cohort / f"{name}.csv"
        header, *lines = path.read_text().splitlines()
        spaced = " , ".join(header.split(","))
        path.write_bytes("\r\n".join(["\ufeff" + spaced + ",,", *(f"{line},," for line in lines), ",,,"]).encode())
    for name in TABLES:  # the blank row above has too few values: make it as wide as the header
        path = tiny_cohort / f"{name}.csv"
        width = path.read_bytes().split(b"\r\n")[0].count(b",")
        path.write_bytes(path.read_bytes().removesuffix(b",,,") + b"," * width + b"\r\n")
    examination = examine(tiny_cohort)
    assert examination.findings == ()
    assert examination.cohort is not None
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(plain, name), getattr(examination.cohort, name))


def test_parquet_tables_are_read_as_csv_ones(tiny_cohort: Path) -> None:
    plain = read_cohort(tiny_cohort)
    for name in TABLES:
        table = pd.read_csv(tiny_cohort / f"{name}.csv")  # numbers, gaps and all: stage is 1.0, 3.0, 2.0, NaN
        table.astype({"clone" if name == "clones" else "patient_id": "category"}).to_parquet(
            tiny_cohort / f"{name}.parquet"
        )
        (tiny_cohort / f"{name}.csv").unlink()
    examination = examine(tiny_cohort)
    assert examination.findings == ()
    assert examination.cohort is not None
    for name in TABLES:
        pd.testing.assert_frame_equal(getattr(plain, name), getattr(examination.cohort, name))


def test_levels_with_gaps_written_as_floats_are_the_declared_ones(edit: Edit) -> None:
    folder = edit("patients", lambda table: table.__setitem__("stage", ["1.0", "3.0", "2.0", ""]))
    assert read_cohort(folder).patients["stage"].tolist() == ["1", "3", "2", None]


def test_measurements_without_a_value_are_left_out(edit: Edit) -> None:
    folder = edit("measurements", lambda table: table.__setitem__("value", ["410", "", "0.5", "NA"]))
    measurements = read_cohort(folder).measurements
    assert measurements["value"].tolist() == [410.0, 500.0]
    assert measurements.index.tolist() == [0, 1]


def test_whole_number_identifiers_match_between_csv_and_parquet(tiny_cohort: Path, edit: Edit) -> None:
    number = {"P1": 1, "P2": 2, "P3": 3, "P4": 4}
    for name in ("patients", "events", "measurements", "samples"):
        edit(name, lambda table: table.__setitem__("patient_id", table["patient_id"].map(number)))
    table = pd.read_csv(tiny_cohort / "events.csv")
    (tiny_cohort / "events.csv").unlink()
    table.astype({"patient_id": float}).to_parquet(tiny_cohort / "events.parquet")
    assert read_cohort(tiny_cohort).events["patient_id"].tolist() == ["1", "2", "3", "4"]


# --- analytes -------------------------------------------------------------------------------------


def declare(folder: Path, variables: str, rows: str) -> Path:
    """Add variables (lines of YAML) and rows of measurements to a cohort folder."""
    card, measurements = folder / "cohort.yaml", folder / "measurements.csv"
    card.write_text(card.read_text().replace("variables:\n", f"variables:\n{variables}", 1))
    measurements.write_text(measurements.read_text() + rows)
    return folder


@pytest.mark.parametrize(
    ("variable", "given", "value", "expected"),
    [
        pytest.param("creatinine: {kind: numeric, unit: mg/dL}", "umol/L", 113.12, 1.2796134, id="name"),
        pytest.param("kidney: {kind: numeric, unit: mg/dL, loinc: 2160-0}", "umol/L", 113.12, 1.2796134, id="LOINC"),
        pytest.param("x: {kind: numeric, unit: mmol/L, analyte: haemoglobin}", "g/dL", 16.1145, 10, id="declared"),
        pytest.param('x: {kind: numeric, unit: "ug/mL{FEU}", loinc: 48065-7}', "ng/mL{DDU}", 400, 0.8, id="D-dimer"),
        pytest.param("temperature: {kind: numeric, unit: Cel}", "[degF]", 98.6, 37, id="Fahrenheit"),
    ],
)
def test_measurements_are_converted_by_their_analyte(
    tiny_cohort: Path, variable: str, given: str, value: float, expected: float
) -> None:
    name = variable.partition(":")[0]
    declare(tiny_cohort, f"  {variable}\n", f"P1,3,{name},{value},{given}\nP2,4,{name},{expected},\n")
    examination = examine(tiny_cohort)
    assert examination.findings == ()
    assert examination.cohort is not None
    measured = examination.cohort.measurements
    found = measured["value"][measured["variable"] == name].tolist()
    assert found == pytest.approx([expected, expected], rel=1e-7)


def test_impossible_values_are_those_in_the_declared_unit(tiny_cohort: Path) -> None:
    rows = "P1,3,creatinine,1200,umol/L\nP1,4,creatinine,12,umol/L\n"
    declare(tiny_cohort, "  creatinine: {kind: numeric, unit: mg/dL, range: [0.1, 10]}\n", rows)
    (finding,) = examine(tiny_cohort).findings
    assert (finding.code, finding.row, finding.value) == ("impossible-value", 6, "13.5744")


@pytest.mark.parametrize(
    ("variable", "given", "rule", "remedy"),
    [
        pytest.param(
            "kidney: {kind: numeric, unit: mg/dL}",
            "umol/L",
            "the declared unit of kidney: mass and amount of substance convert by the molar mass of the analyte",
            "Declare which analyte it is (analyte: …), if it is one known here. Give the values in mg/dL.",
            id="analyte not known",
        ),
        pytest.param(
            "ferritin_late: {kind: numeric, unit: ng/mL, analyte: ferritin}",
            "pmol/L",
            "the declared unit of ferritin_late: no one molar mass is agreed for ferritin.",
            "Give the values in ng/mL.",
            id="no molar mass agreed",
        ),
        pytest.param(
            'd_dimer: {kind: numeric, unit: "mg/L{FEU}"}',
            "mg/L",
            "D-dimer is measured in {FEU} or {DDU}, and the unit has to say in which.",
            "Give the values in mg/L{FEU}.",
            id="D-dimer of neither kind",
        ),
    ],
)
def test_what_does_not_convert_says_why(tiny_cohort: Path, variable: str, given: str, rule: str, remedy: str) -> None:
    declare(tiny_cohort, f"  {variable}\n", f"P1,3,{variable.partition(':')[0]},300,{given}\n")
    (finding,) = examine(tiny_cohort).findings
    assert (finding.code, finding.file, finding.row, finding.field) == ("unit-mismatch", "measurements.csv", 6, "unit")
    assert rule in finding.rule
    assert finding.remedy == remedy


def test_a_wrong_analyte_is_refused_with_the_nearest(tiny_cohort: Path) -> None:
    declare(tiny_cohort, "  x: {kind: numeric, unit: mg/dL, analyte: creatinin}\n", "P1,3,x,1,\n")
    (finding,) = examine(tiny_cohort).findings
    assert (finding.code, finding.file, finding.field) == ("bad-card", "cohort.yaml", "variables.x.analyte")
    assert finding.rule == "No analyte has the name 'creatinin'; the nearest is creatinine."
    with pytest.raises(CohortError, match="the nearest is creatinine"):
        read_cohort(tiny_cohort)


# --- endpoints ------------------------------------------------------------------------------------


def endpoint(**changes: object) -> Endpoint:
    content = {
        "name": "severe_infection",
        "event": {"name": "infection", "min_grade": 3},
        "competing": [{"name": "death"}],
        "landmark_days": [0, 30],
        "horizons_days": [90, 365],
    }
    return Endpoint.model_validate(content | changes)


def test_a_fitting_endpoint_adds_no_finding(tiny_cohort: Path) -> None:
    assert examine(tiny_cohort, endpoint()).findings == ()


def test_an_event_nobody_has_is_an_error_and_a_competing_one_a_warning(tiny_cohort: Path) -> None:
    changed = endpoint(event={"name": "infections"}, competing=[{"name": "death"}, {"name": "relapse"}])
    first, second = examine(tiny_cohort, changed).findings
    assert (first.code, first.severity, first.field, first.value) == (
        "no-such-cause",
        "error",
        "event.name",
        "infections",
    )
    assert first.file == "endpoint severe_infection"
    assert "Did you mean infection?" in first.remedy
    assert (second.severity, second.field, second.value) == ("warning", "competing.1.name", "relapse")
    (finding,) = examine(tiny_cohort, endpoint(event={"name": "infection", "min_grade": 5})).findings
    assert (finding.code, finding.rule) == ("no-such-cause", "Nobody has this event from grade 5 on.")


def test_an_ungraded_event_under_a_minimal_grade_is_an_error(edit: Edit) -> None:
    folder = edit("events", lambda table: table.__setitem__("grade", ["3", "", "", "1"]))
    assert examine(folder).findings == ()
    (finding,) = examine(folder, endpoint()).findings
    assert (finding.code, finding.severity, finding.file, finding.row) == ("grade-missing", "error", "events.csv", 4)
    assert "infection from grade 3 on" in finding.rule


def test_a_landmark_beyond_everyone_is_an_error(tiny_cohort: Path) -> None:
    (finding,) = examine(tiny_cohort, endpoint(landmark_days=[0, 800])).findings
    assert (finding.code, finding.field, finding.value) == ("nobody-at-risk", "landmark_days", "800")


def test_a_horizon_beyond_all_follow_up_is_a_warning(tiny_cohort: Path) -> None:
    (finding,) = examine(tiny_cohort, endpoint(landmark_days=[0], horizons_days=[90, 40_000])).findings
    assert (finding.code, finding.severity, finding.value) == ("horizon-beyond-follow-up", "warning", "40000")


def test_an_endpoint_is_read_and_its_faults_are_named(tmp_path: Path) -> None:
    path = tmp_path / "endpoint.yaml"
    path.write_text("name: a\nevent: {name: infection}\nhorizons_days: [90]\n")
    assert read_endpoint(path) == Endpoint.model_validate(
        {"name": "a", "event": {"name": "infection"}, "horizons_days": [90]}
    )
    path.write_text("name: a\nevent: {nam: infection}\nhorizon_days: [90]\n")
    with pytest.raises(
        SequelaError, match=r"endpoint.yaml: horizon_days: No such key. Did you mean horizons_days\?"
    ) as error:
        read_endpoint(path)
    assert "endpoint.yaml: event.nam: No such key. Did you mean name?" in str(error.value)
    path.write_text("name: a\nevent: {name: infection}\nhorizons_days: [90, 30]\n")
    with pytest.raises(SequelaError, match="horizons_days: Days must ascend without repetition"):
        read_endpoint(path)
    with pytest.raises(SequelaError, match=r"absent.yaml: the file cannot be read \(No such file"):
        read_endpoint(tmp_path / "absent.yaml")


# --- identity -------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["cohort.yaml", "patients.csv", "events.csv", "samples.csv", "cells.h5ad"])
def test_the_fingerprint_depends_on_every_byte_that_matters(tiny_cohort: Path, file: str) -> None:
    before = fingerprint(tiny_cohort)
    assert before == read_cohort(tiny_cohort).fingerprint
    (tiny_cohort / "notes.txt").write_text("no data")
    os.utime(tiny_cohort / file)
    assert fingerprint(tiny_cohort) == before, "neither other files nor dates matter"
    content = bytearray((tiny_cohort / file).read_bytes())
    content[-1] ^= 1
    (tiny_cohort / file).write_bytes(content)
    assert fingerprint(tiny_cohort) != before


def test_the_fingerprint_covers_a_zarr_store(tiny_cohort: Path, write_tiny_cells: Callable[..., None]) -> None:
    (tiny_cohort / "cells.h5ad").unlink()
    write_tiny_cells(tiny_cohort, ".zarr")
    before = fingerprint(tiny_cohort)
    chunk = tiny_cohort / "cells.zarr" / "X" / "data" / "c" / "0"
    moved = chunk.with_name("1")
    chunk.rename(moved)
    assert fingerprint(tiny_cohort) != before, "names count"
    moved.rename(chunk)
    assert fingerprint(tiny_cohort) == before


def test_cells_of_nothing_are_refused(tiny_cohort: Path) -> None:
    from features.cells.anndata_io import write_cells

    (tiny_cohort / "cells.h5ad").unlink()
    write_cells(tiny_cohort / "cells.h5ad", np.zeros((0, 2), dtype=np.float32), ["CD3E", "CD4"], [])
    (finding,) = examine(tiny_cohort).errors
    assert (finding.code, finding.rule) == ("no-cells", "The file holds no cells.")


def test_progress_is_reported_to_the_end(tiny_cohort: Path) -> None:
    steps: list[tuple[int, int]] = []
    examine(tiny_cohort, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (20, 20)


def test_the_last_day_free_of_an_event_is_read(edit: Edit) -> None:
    folder = edit("events", lambda table: table.__setitem__("after_day", ["", "1.5", "NA", "-10"]))
    events = read_cohort(folder).events
    np.testing.assert_array_equal(events["after_day"], [np.nan, 1.5, np.nan, -10.0])
    assert events["after_day"].dtype == float
