"""`sequela import meds` on a small synthetic data set of the MEDS schema, with known answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from features.check import examine, read_cohort, read_endpoint
from features.documents import read_document
from features.errors import SequelaError
from features.importers.meds import MedsSpec, import_meds

CONFIG = Path(__file__).parents[3] / "configs" / "import" / "meds.yaml"
SCHEMA = pa.schema(
    [
        ("subject_id", pa.int64()),
        ("time", pa.timestamp("us")),
        ("code", pa.string()),
        ("numeric_value", pa.float32()),
        ("text_value", pa.large_string()),
    ]
)
ROWS: dict[str, list[tuple[int, str | None, str, float | None]]] = {
    "train/0": [
        (1, None, "GENDER//F", None),
        (1, "1960-03-01T00:00", "MEDS_BIRTH", None),
        (1, "2020-02-28T08:00", "LAB//CRP//mg/dL", 1.5),
        (1, "2020-03-01T12:00", "CART", None),
        (1, "2020-03-03T06:30", "LAB//CRP//mg/L", 0.1),
        (1, "2020-03-11T23:59", "ICD//J18.9", None),
        (1, "2020-03-11T23:59", "ICD//J15", None),
        (1, "2021-03-01T00:00", "VISIT", None),
        (2, None, "GENDER//F", None),
        (2, "2020-01-31T00:00", "GENDER//M", None),
        (2, "2020-02-01T00:00", "CART", None),
        (2, "2020-02-20T00:00", "GENDER//F", None),
        (2, "2020-05-01T00:00", "MEDS_DEATH", None),
        (2, "2020-05-02T00:00", "LAB//CRP//mg/L", 5.0),
    ],
    "held_out/0": [
        (3, "1970-01-01T00:00", "MEDS_BIRTH", None),
        (3, "2020-01-01T00:00", "LAB//CRP//mg/L", 9.0),
    ],
}
SPEC: dict[str, Any] = {
    "title": "Synthetic",
    "provenance": "simulated",
    "patient_ids": "keep",
    "infusion": {"codes": ["CART"]},
    "variables": {
        "crp": {"kind": "numeric", "unit": "mg/L", "codes": {"LAB//CRP//mg/L": "mg/L", "LAB//CRP//mg/dL": "mg/dL"}},
        "sex": {"kind": "categorical", "levels": ["f", "m"], "codes": {"GENDER//F": "f", "GENDER//M": "m"}},
    },
    "events": {"infection": {"codes": ["INFECTION"]}},
    "endpoints": [
        {"name": "infection", "event": {"name": "infection"}, "competing": [{"name": "death"}]}
        | {"horizons_days": [30]}
    ],
}


def write(root: Path) -> Path:
    for shard, rows in ROWS.items():
        columns = list(zip(*rows, strict=True))
        times = pa.array([None if time is None else time + ":00" for time in columns[1]]).cast(pa.timestamp("us"))
        values = [pa.array(columns[0]), times, pa.array(columns[2]), pa.array(columns[3], pa.float32())]
        table = pa.table([*values, pa.nulls(len(rows), pa.large_string())], schema=SCHEMA)
        (root / "data" / shard).parent.mkdir(parents=True)
        pq.write_table(table, root / "data" / f"{shard}.parquet")
    (root / "metadata").mkdir()
    codes = {"code": ["ICD//J18.9", "ICD//J15", "CART"], "description": ["a", "b", None]}
    parents = pa.array([["INFECTION"], ["X", "INFECTION"], None], pa.list_(pa.string()))
    pq.write_table(pa.table(codes | {"parent_codes": parents}), root / "metadata" / "codes.parquet")
    return root


def run(folder: Path, spec: dict[str, Any], source: Path) -> Path:
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    import_meds(folder / "spec.yaml", source, folder / "cohort")
    return folder / "cohort"


def test_known_answers(tmp_path: Path) -> None:
    folder = run(tmp_path, SPEC, write(tmp_path / "meds"))
    assert examine(folder, read_endpoint(folder / "endpoints" / "infection.yaml")).findings == ()
    cohort = read_cohort(folder)
    patients = cohort.patients.set_index("patient_id")
    assert patients["follow_up_days"].to_dict() == {"1": 365, "2": 90}
    assert patients["age"].fillna(-1).to_dict() == {"1": 60.0, "2": -1}
    assert patients["sex"].to_dict() == {"1": "f", "2": "m"}
    assert cohort.events[["patient_id", "day", "event"]].to_numpy().tolist() == [
        ["1", 10, "infection"],
        ["2", 90, "death"],
    ]
    assert cohort.measurements.to_numpy().tolist() == [["1", -2, "crp", 15], ["1", 2, "crp", 0.1]]
    assert "1 measurements after follow-up are left out" in cohort.card.notes


def test_without_metadata_codes_stand_for_themselves(tmp_path: Path) -> None:
    source = write(tmp_path / "meds")
    (source / "metadata" / "codes.parquet").unlink()
    with pytest.raises(SequelaError, match=r"meds: no row has a code of events\.infection \(INFECTION\)"):
        run(tmp_path, SPEC, source)
    spec = SPEC | {"events": {"infection": {"codes": ["ICD//J15"]}}, "patient_ids": "running"}
    cohort = read_cohort(run(tmp_path, spec, source))
    assert cohort.events["event"].tolist().count("infection") == 1
    assert set(cohort.patients["patient_id"]) == {"P1", "P2"}


def _no_value(root: Path) -> None:
    path = root / "data" / "train" / "0.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["numeric_value"]), path)
    (root / "data" / "held_out" / "0.parquet").unlink()


def test_numeric_values_may_be_absent_where_none_is_wanted(tmp_path: Path) -> None:
    source = write(tmp_path / "meds")
    _no_value(source)
    cohort = read_cohort(run(tmp_path, SPEC | {"variables": {"sex": SPEC["variables"]["sex"]}}, source))
    assert cohort.events["event"].tolist() == ["infection", "death"]
    assert cohort.measurements.empty


def _cut(root: Path) -> None:
    path = root / "data" / "train" / "0.parquet"
    path.write_bytes(path.read_bytes()[:-40])


def _no_data(root: Path) -> None:
    for path in (root / "data").rglob("*.parquet"):
        path.unlink()


BROKEN: dict[str, tuple[Callable[[Path], None], dict[str, Any], str]] = {
    "no data": (_no_data, {}, r"table data is missing"),
    "no column": (_no_value, {}, r"data: column numeric_value is missing; it has code, subject_id, text_value, time"),
    "cut short": (_cut, {}, r"data: cannot be used"),
    "no infusion": (
        lambda root: None,
        {"infusion": {"codes": ["' OR 1=1 --"]}},
        r"no row has a code of infusion \(' OR",
    ),
    "no level": (
        lambda root: None,
        {"variables": {"sex": {"kind": "categorical", "codes": ["GENDER//F"]}}},
        r"variables\.sex: Codes of a categorical variable say their levels",
    ),
    "other level": (
        lambda root: None,
        {"variables": {"sex": {"kind": "categorical", "levels": ["m"], "codes": {"GENDER//F": "f"}}}},
        r"variables\.sex: F is not among the levels m",
    ),
    "wrong unit": (
        lambda root: None,
        {"variables": {"crp": {"kind": "numeric", "unit": "mg/L", "codes": {"LAB//CRP//mg/L": "U/L"}}}},
        r"meds: crp has 1 values in 'U/L'",
    ),
}


@pytest.mark.parametrize(("damage", "changes", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_wrong_is_named_and_nothing_is_written(
    tmp_path: Path, damage: Callable[[Path], None], changes: dict[str, Any], message: str
) -> None:
    source = write(tmp_path / "meds")
    damage(source)
    with pytest.raises(SequelaError, match=message):
        run(tmp_path, SPEC | changes, source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["meds", "spec.yaml"]


def test_the_specification_of_the_repository_is_sound() -> None:
    assert read_document(CONFIG, MedsSpec).variables["sex"].meanings == {"GENDER//F": "female", "GENDER//M": "male"}
