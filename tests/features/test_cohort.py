"""A cohort becomes patients; a cohort folder is written whole or not at all."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from summaries import dense_summary

from features.cells.bag import Bags
from features.cells.summary import CellSummary, MeasuredCells
from features.cohort import Cohort, new_folder, to_patients, write_cohort
from features.errors import SequelaError
from features.schema import CohortCard, Endpoint, EventRule, Variable

CARD = CohortCard(
    title="Zwölf Kranke",
    citation="none",
    licence="CC0-1.0",
    provenance="simulated",
    variables={
        "age": Variable(kind="numeric", unit="a", range=(0, 120)),
        "stage": Variable(kind="ordinal", levels=("I", "II")),
        "product": Variable(kind="categorical"),
        "ferritin": Variable(kind="numeric", unit="ug/L"),
    },
)
PATIENTS = pd.DataFrame(
    {
        "patient_id": ["B", "A", "C"],
        "follow_up_days": [100.0, 200.0, 300.0],
        "site": ["Bern", "Jena", "Bern"],
        "age": [50.0, None, 70.0],
        "stage": ["I", None, "II"],
        "product": [None, "axi-cel", "tisa-cel"],
    }
)
EVENTS = pd.DataFrame({"patient_id": ["A"], "day": [3.0], "event": ["infection"], "grade": [3.0]})
MEASUREMENTS = pd.DataFrame(
    {
        "patient_id": ["A", "B", "A", "A", "B"],
        "day": [7.0, 1.0, -2.0, 7.0, 0.0],
        "variable": ["ferritin", "crp", "ferritin", "crp", "ferritin"],
        "value": [700.0, 8.0, 200.0, 9.0, math.nan],
    }
)
SAMPLES = pd.DataFrame(
    {
        "sample_id": ["s4", "s1", "s3", "s2", "s0"],
        "patient_id": ["C", "C", "B", "C", "A"],
        "day": [14.0, -5.0, -5.0, 14.0, 0.0],
        "material": ["blood", "product", "product", "blood", "blood"],
    }
)


CLONES = pd.DataFrame(
    {
        "sample_id": ["s2", "s0", "s0"],
        "locus": ["integration", "tcr", "tcr"],
        "clone": ["chr1+5", "CAS", "CAT"],
        "abundance": [3.0, 1.0, 2.0],
        "near_oncogene": [1.0, math.nan, math.nan],
    }
)


def cohort(
    measurements: pd.DataFrame = MEASUREMENTS, samples: pd.DataFrame = SAMPLES, clones: pd.DataFrame = CLONES[:0]
) -> Cohort:
    return Cohort(Path("nowhere"), CARD, PATIENTS, EVENTS, measurements, samples, clones, None, "0" * 64)


def summary(n_cells: float, *types: str) -> CellSummary:
    shape = (1, len(types), 1)
    return dense_summary(types, ("CD3E",), np.full(shape[:2], n_cells), np.zeros(shape), np.zeros(shape))


def measured(summaries: dict[str, CellSummary]) -> MeasuredCells:
    return MeasuredCells(tuple(summaries), CellSummary.concatenate(list(summaries.values())), Bags.of([None] * 5))


def test_baseline_columns_by_kind() -> None:
    patients = to_patients(cohort())
    assert patients.patient_id.tolist() == ["B", "A", "C"]
    assert patients.landmark_day.tolist() == [0.0, 0.0, 0.0]
    assert list(patients.baseline) == ["age", "stage", "product"], "site and follow-up are no features"
    np.testing.assert_array_equal(patients.baseline["age"], [50.0, math.nan, 70.0])
    assert patients.baseline["stage"].tolist() == ["I", None, "II"]
    assert patients.baseline["product"].tolist() == [None, "axi-cel", "tisa-cel"]
    assert patients.samples is None


def test_measurements_follow_their_patient_by_day() -> None:
    values = to_patients(cohort()).measurements
    assert values.names == ("crp", "ferritin")
    assert values.row.tolist() == [0, 0, 1, 1, 1]
    assert values.day.tolist() == [0.0, 1.0, -2.0, 7.0, 7.0]
    rows = [(values.names[v], value) for v, value in zip(values.variable, values.value, strict=True)]
    assert rows[1:] == [("crp", 8.0), ("ferritin", 200.0), ("crp", 9.0), ("ferritin", 700.0)]
    assert math.isnan(rows[0][1])


def test_order_of_tables_does_not_matter() -> None:
    summaries = {f"s{i}": summary(i + 1.0, "T") for i in range(5)}
    first = to_patients(cohort(), measured(summaries))
    second = to_patients(cohort(MEASUREMENTS[::-1], SAMPLES[::-1]), measured(summaries))
    assert first.samples is not None
    assert second.samples is not None
    assert first.samples.sample_id.tolist() == second.samples.sample_id.tolist()
    np.testing.assert_array_equal(first.measurements.value, second.measurements.value)


def test_samples_follow_their_patient_by_day_with_their_summary() -> None:
    """Those without a summary are left out; two of one day follow their identifiers."""
    summaries = {"s4": summary(4, "T"), "s1": summary(1, "B", "T"), "s2": summary(2, "T"), "s3": summary(3, "B")}
    samples = to_patients(cohort(), measured(summaries)).samples
    assert samples is not None
    assert samples.sample_id.tolist() == ["s3", "s1", "s2", "s4"]
    assert samples.row.tolist() == [0, 2, 2, 2]
    assert samples.day.tolist() == [-5.0, -5.0, 14.0, 14.0]
    assert samples.material.tolist() == ["product", "product", "blood", "blood"]
    assert samples.summary.cell_types == ("B", "T")
    assert samples.summary.cells_by_type.tolist() == [[3, 0], [1, 1], [0, 2], [0, 4]]


def test_samples_with_clones_alone_are_kept() -> None:
    samples = to_patients(cohort(clones=CLONES), measured({"s3": summary(3, "B")})).samples
    assert samples is not None
    assert samples.sample_id.tolist() == ["s3", "s0", "s2"]
    assert samples.summary.cells_by_type.tolist() == [[3], [0], [0]]
    assert samples.clones is not None
    assert samples.clones.offsets.tolist() == [0, 0, 2, 3]
    assert samples.clones.clone.tolist() == ["CAS", "CAT", "chr1+5"]
    taken = samples.take(np.array([2, 1]))
    assert taken.clones is not None
    assert taken.clones.clone.tolist() == ["chr1+5", "CAS", "CAT"][: len(taken.clones.clone)]


def test_events_follow_their_patient_by_day() -> None:
    events = to_patients(cohort()).events
    assert events.names == ("infection",)
    assert (events.row.tolist(), events.day.tolist(), events.grade.tolist()) == ([1], [3.0], [3.0])


def test_a_clinic_without_measurements_or_samples() -> None:
    patients = to_patients(cohort(MEASUREMENTS[:0], SAMPLES[:0]))
    assert len(patients.measurements.value) == 0
    assert patients.measurements.offsets.tolist() == [0, 0, 0, 0]
    assert patients.samples is None


def test_folder_is_written_whole(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "study"
    endpoint = Endpoint(name="infection", event=EventRule(name="infection", min_grade=3), horizons_days=(90.0,))
    write_cohort(
        folder,
        CARD,
        {"patients": PATIENTS, "events": EVENTS},
        write_cells=lambda beside: (beside / "cells.h5ad").write_bytes(b"cells") and None,
        endpoints={"infection": endpoint},
    )
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == ["cells.h5ad", "cohort.yaml", "endpoints/infection.yaml", "events.csv", "patients.csv"]
    card = yaml.safe_load((folder / "cohort.yaml").read_text(encoding="utf-8"))
    assert CohortCard.model_validate(card) == CARD
    assert card["format"] == "sequela-cohort/1"
    text = (folder / "endpoints" / "infection.yaml").read_text(encoding="utf-8")
    assert Endpoint.model_validate(yaml.safe_load(text)) == endpoint
    pd.testing.assert_frame_equal(pd.read_csv(folder / "patients.csv"), PATIENTS.where(PATIENTS.notna(), np.nan))
    assert [path.name for path in folder.parent.iterdir()] == ["study"]
    assert folder.stat().st_mode & 0o777 == 0o755


def test_an_empty_folder_is_filled_and_a_full_one_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    write_cohort(folder, CARD, {"patients": PATIENTS})
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(SequelaError, match=r"study: exists and is not empty; choose another folder"):
        write_cohort(folder, CARD, {"patients": PATIENTS[:1]})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study").write_text("notes", encoding="utf-8")
    with pytest.raises(SequelaError, match="exists and is not empty"), new_folder(tmp_path / "study"):
        pytest.fail("the block must not run")
    assert (tmp_path / "study").read_text(encoding="utf-8") == "notes"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt], ids=["a fault", "Ctrl-C"])
@pytest.mark.parametrize("existed", [False, True], ids=["absent before", "empty before"])
def test_nothing_half_written_stays(error: type[BaseException], existed: bool, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    if existed:
        folder.mkdir()

    def fail(beside: Path) -> None:
        assert (beside / "patients.csv").exists(), "it was under way"
        msg = "out of luck"
        raise error(msg)

    with pytest.raises(error, match="out of luck"):
        write_cohort(folder, CARD, {"patients": PATIENTS}, write_cells=fail)
    assert folder.exists() == existed
    assert [path.name for path in tmp_path.rglob("*")] == (["study"] if existed else [])


def test_the_folder_appears_only_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    with new_folder(folder) as beside:
        (beside / "a").write_text("a", encoding="utf-8")
        assert beside.parent == tmp_path, "on the same disk, so that it can be renamed"
        assert not folder.exists()
    assert (folder / "a").read_text(encoding="utf-8") == "a"
    assert not beside.exists()
