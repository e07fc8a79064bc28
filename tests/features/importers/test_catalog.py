"""The published tables through the specifications in configs/import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from features.check import examine, read_endpoint
from features.importers.spec import DAYS_PER_UNIT, TableSpec, load_spec, slug
from features.importers.table import import_table

CONFIGS = Path(__file__).parents[3] / "configs" / "import"
SPECS = sorted(path for path in CONFIGS.glob("*.yaml") if "time" in yaml.safe_load(path.read_text()))
BY_NAME = pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
EXTRA_EVENTS = {
    "extra_survival_cgd0": {"serious_infection": 76},
    "extra_survival_pbcseq": {"transplant": 29, "death": 140},
}
"""Events of the two tables that the catalog does not list: etime1 to etime7; status by patient."""

EXPECTED_WARNINGS = {"liver_transplant_waitlist": {"zero-follow-up"}}


@pytest.fixture(scope="module")
def tables(shared_data: Path) -> Path:
    return shared_data / "competing_risks"


@pytest.fixture(scope="module")
def catalog(tables: Path) -> dict[str, Any]:
    return {entry["name"]: entry for entry in json.loads((tables / "catalog.json").read_text(encoding="utf-8"))}


def test_there_is_a_specification_for_every_table(tables: Path, catalog: dict[str, Any]) -> None:
    names = {path.stem for path in SPECS}
    assert names == {path.stem for path in tables.glob("*.csv")}
    assert names == {*catalog, *EXTRA_EVENTS}
    assert len(names) == 17


@pytest.mark.parametrize("spec", [path for path in SPECS if path.stem not in EXTRA_EVENTS], ids=lambda path: path.stem)
def test_specification_says_what_the_catalog_says(spec: Path, catalog: dict[str, Any]) -> None:
    rules: TableSpec = load_spec(spec)
    entry = catalog[spec.stem]
    assert set(rules.variables) == set(entry["covariates"])
    assert entry["time_unit"].startswith(rules.time.unit)
    assert list(rules.causes) == [slug(name) for name in list(entry["events"])[1:]]


@BY_NAME
def test_table_becomes_a_sound_cohort_with_the_published_events(
    spec: Path, tables: Path, catalog: dict[str, Any], tmp_path: Path
) -> None:
    rules = load_spec(spec)
    import_table(spec, tables / f"{spec.stem}.csv", tmp_path / "cohort")
    assert {finding.code for finding in examine(tmp_path / "cohort").findings} == EXPECTED_WARNINGS.get(
        spec.stem, set()
    )
    events = pd.read_csv(tmp_path / "cohort" / "events.csv", dtype={"patient_id": str})
    entry = catalog.get(spec.stem)
    published = EXTRA_EVENTS.get(spec.stem) or {slug(name): n for name, n in list(entry["events"].items())[1:]}
    assert events["event"].value_counts().to_dict() == published
    endpoints = sorted((tmp_path / "cohort" / "endpoints").iterdir())
    assert [path.stem for path in endpoints] == sorted(published)
    for path in endpoints:
        endpoint = read_endpoint(path)
        assert set(endpoint.causes) == set(published)
        assert examine(tmp_path / "cohort", endpoint).errors == ()
    _check_patients(rules, tmp_path / "cohort", tables / f"{spec.stem}.csv", events)


def _check_patients(rules: TableSpec, cohort: Path, source: Path, events: pd.DataFrame) -> None:
    """Follow-up, censored patients and variables against the source read by pandas alone."""
    raw = pd.read_csv(source)
    patients = pd.read_csv(cohort / "patients.csv", dtype={"patient_id": str})
    ids = raw[rules.patient_id].astype(str) if rules.patient_id else pd.Series(range(1, len(raw) + 1)).astype(str)
    follow_up = raw.groupby(ids)[rules.time.column].max() * DAYS_PER_UNIT[rules.time.unit]
    pd.testing.assert_series_equal(
        patients.set_index("patient_id")["follow_up_days"].sort_index(), follow_up.sort_index(), check_names=False
    )
    if rules.event:
        censored = set(ids) - set(ids[raw[rules.event.column] > 0])
        assert set(patients["patient_id"]) - set(events["patient_id"]) == censored
    names = {variable.rename or column for column, variable in rules.variables.items()}
    measurements = cohort / "measurements.csv"
    changing = set(pd.read_csv(measurements)["variable"]) if measurements.exists() else set()
    assert set(patients.columns) - {"patient_id", "follow_up_days"} == names - changing


def test_pneumonia_and_repeated_laboratory_become_measurements(tables: Path, tmp_path: Path) -> None:
    configs = {path.stem: path for path in SPECS}
    import_table(configs["icu_pneumonia_tdc"], tables / "icu_pneumonia_tdc.csv", tmp_path / "icu")
    pneu = pd.read_csv(tmp_path / "icu" / "measurements.csv")
    assert set(pneu["variable"]) == {"pneu"}
    assert len(pneu) == 1421
    assert (pneu.loc[pneu["value"] == 1, "day"] > 0).sum() == 108  # patients with pneumonia after admission
    import_table(configs["extra_survival_pbcseq"], tables / "extra_survival_pbcseq.csv", tmp_path / "pbc")
    laboratory = pd.read_csv(tmp_path / "pbc" / "measurements.csv")
    assert laboratory["variable"].value_counts()["bili"] == 1945
    assert laboratory["variable"].value_counts()["chol"] == 1124
    assert "alk_phos" in set(laboratory["variable"])
