"""Cohort folders damaged at random never give a traceback; large ones are examined in seconds, and lightly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.check import examine
from features.cohort import TABLES

QUIET = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUIET
@given(data=st.data(), name=st.sampled_from([*(f"{name}.csv" for name in TABLES), "cohort.yaml"]))
def test_corrupted_bytes_give_findings_and_nothing_else(clinical: Path, data: st.DataObject, name: str) -> None:
    path = clinical / name
    whole = path.read_bytes()
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.integers(0, len(content)))
        stop = data.draw(st.integers(start, min(len(content), start + 8)))
        piece = st.binary(max_size=4) | st.sampled_from([b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"'", b": ", b"- "])
        content[start:stop] = data.draw(piece)
    try:
        path.write_bytes(content)
        examination = examine(clinical)
        assert (examination.cohort is None) == bool(examination.errors)
    finally:
        path.write_bytes(whole)


CELL = st.sampled_from(
    ["", "P1", "P2", "0", "-1", "3", "1e309", "nan", "inf", "infection", "ferritin", "mg/L", "NA", "x,y"]
)


@QUIET
@given(name=st.sampled_from(list(TABLES)), data=st.data())
def test_any_table_gives_findings_and_nothing_else(clinical: Path, name: str, data: st.DataObject) -> None:
    path = clinical / f"{name}.csv"
    whole = path.read_bytes()
    header = whole.decode().splitlines()[0].split(",")
    row = st.fixed_dictionaries(dict.fromkeys(header, CELL | st.text(max_size=5)))
    table = pd.DataFrame(data.draw(st.lists(row, max_size=6)), columns=header)
    try:
        table.to_csv(path, index=False)
        csv = examine(clinical)
        path.unlink()
        table.to_parquet(path.with_suffix(".parquet"))
        parquet = examine(clinical)
    except UnicodeEncodeError:
        return  # lone surrogates are no text that a file can hold
    finally:
        path.with_suffix(".parquet").unlink(missing_ok=True)
        path.write_bytes(whole)
    assert (csv.cohort is None) == bool(csv.errors)
    assert (parquet.cohort is None) == bool(parquet.errors)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_corrupted_parquet_gives_findings_and_nothing_else(clinical: Path, data: st.DataObject) -> None:
    path = clinical / "events.parquet"
    pd.read_csv(clinical / "events.csv").to_parquet(path) if (clinical / "events.csv").exists() else None
    (clinical / "events.csv").unlink(missing_ok=True)
    whole = path.read_bytes()
    content = bytearray(whole)
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
        content[place] ^= data.draw(st.integers(1, 255))
    try:
        path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        examination = examine(clinical)
        assert (examination.cohort is None) == bool(examination.errors)
    finally:
        path.write_bytes(whole)


def test_a_registry_of_a_million_measurements_is_examined(clinical: Path) -> None:
    n, per_patient = 10_000, 100
    rng = np.random.default_rng(0)
    ids = np.array([f"P{i:05d}" for i in range(n)])
    patients = pd.DataFrame(
        {"patient_id": ids, "follow_up_days": rng.integers(200, 900, n), "age": rng.integers(20, 80, n)}
    )
    patients.to_csv(clinical / "patients.csv", index=False)
    rows = n * per_patient
    measurements = pd.DataFrame(
        {
            "patient_id": np.repeat(ids, per_patient),
            "day": np.tile(np.arange(per_patient), n),
            "variable": np.where(np.arange(rows) % 2 == 0, "ferritin", "neutrophils"),
            "value": rng.uniform(1, 90, rows).round(4),
            "unit": np.where(np.arange(rows) % 2 == 0, "ug/L", "10*9/L"),
        }
    )
    measurements.loc[rows - 1, "value"] = -5
    measurements.to_csv(clinical / "measurements.csv", index=False)
    for name in ("events.csv", "samples.csv", "clones.csv"):
        (clinical / name).unlink()
    examination = examine(clinical)
    assert [(f.code, f.row) for f in examination.findings if f.file == "measurements.csv"] == [
        ("impossible-value", rows + 1)
    ]
    assert examination.cohort is not None
    assert len(examination.cohort.measurements) == rows


def test_checking_a_clinical_cohort_imports_no_heavy_library(clinical: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from features.check import examine\n"
        "assert examine(Path(sys.argv[1])).cohort is not None\n"
        "print([m for m in ('anndata', 'h5py', 'zarr', 'scipy', 'torch', 'lightning', 'mlflow') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, clinical], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == "[]"
