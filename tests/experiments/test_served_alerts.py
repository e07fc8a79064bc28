"""A run with `alerts`: its artifact holds the rule that `sequela monitor` finds, and the service alerts by it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from preloaded import SEQUELA

from experiments.config import load_run
from experiments.home import CONFIGS, Home
from experiments.monitoring.markers import MODEL
from features.records import PatientRecord
from serving.card import model_card
from serving.monitor_messages import MonitorRequest
from serving.monitoring import monitor_request
from training.artifact.blocks import AlertsBlock
from training.artifact.folder import Artifact, read_artifact

SETTINGS = ("features={cells: []}", "model.penalty=50", "validation={folds: 3, repeats: 1, bootstrap: 40}")
ALERTS = CONFIGS / "run" / "alerts.yaml"


def words(cohort: Path, *more: str) -> list[str]:
    return [word for one in (f"cohort={cohort}", *SETTINGS, *more) for word in ("--set", one)]


def trained(cohort: Path, home: Home, *more: str) -> Path:
    """The folder of a run of the shipped configuration."""
    run = [SEQUELA, "train", ALERTS, *words(cohort, *more)]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    (folder,) = home.runs.iterdir()
    return folder


def monitored(cohort: Path, rate: str) -> dict[str, Any]:
    """What the command finds of the model's rule."""
    run = [SEQUELA, "monitor", ALERTS, *words(cohort), "--alerts", rate, "--json"]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    (rule,) = (one for one in found["rules"] if one["marker"] == MODEL)
    return {"patients": found["patients"], "horizon_days": found["horizon_days"], **rule}


def check_same(rule: AlertsBlock, found: dict[str, Any]) -> None:
    told = rule.model_dump()
    for name in ("threshold", "borne", "horizon_days", "after_first_alert", "withheld"):
        assert told[name] == found[name]
    for name in ("per_patient_month", "caught", "lead_days"):
        assert told[name] == found["performance"][name]
    assert (rule.n_patients, rule.n_events) == (found["patients"], found["performance"]["n_events"])


def course_alerts(artifact: Artifact, record: PatientRecord) -> tuple[list[float], list[bool]]:
    """Risks and alerts at the visits of a patient, as the service tells them."""
    answered = monitor_request(artifact, "m:1", MonitorRequest(patients=(record,)))
    assert answered.alert_rule == artifact.manifest.alerts
    visits = answered.trajectories[0].visits
    return [visit.incidence["infection"] for visit in visits], [visit.alert for visit in visits]


def test_the_artifact_holds_the_rule_that_the_command_line_finds(cohort: Path, home: Home) -> None:
    folder = trained(cohort, home)
    artifact = read_artifact(folder / "artifact")
    rule = artifact.manifest.alerts
    assert rule is not None
    assert (rule.provenance, rule.borne, rule.horizon_days) == ("simulated", 0.1, 90.0)
    check_same(rule, monitored(cohort, "0.1"))
    assert rule.threshold is not None
    assert rule.per_patient_month is not None
    assert rule.per_patient_month.point < 0.2  # tried on other patients, it may be more than is borne
    assert model_card(artifact, "m:1").alerts == rule
    days = [-3.0, 0.0, 5.0, 9.0, 14.0, 21.0]
    values = [("crp", [20.0, 40.0, 250.0, 180.0, 60.0, 20.0]), ("anc", [2.0, 0.5, 0.05, 0.1, 0.6, 1.5])]
    measured = [
        {"variable": name, "day": day, "value": value}
        for name, course in values
        for day, value in zip(days, course, strict=True)
    ]
    record = PatientRecord.model_validate({"landmark_day": 28.0, "measurements": measured})
    risks, alerts = course_alerts(artifact, record)
    above = [risk >= rule.threshold for risk in risks]
    assert alerts == [now and not before for now, before in zip(above, [False, *above], strict=False)]
    report = folder / "report"
    assert json.loads((report / "alerts.json").read_text("utf-8")) == rule.model_dump(mode="json")
    card = json.loads((report / "model_card.json").read_text("utf-8"))
    assert card["alerts"] == rule.model_dump(mode="json")
    text = " ".join((report / "model_card.md").read_text("utf-8").split())
    assert f"comes to reach {100 * rule.threshold:g} %" in text
    assert f"on 150 simulated patients with {rule.n_events} events" in text


def test_of_real_patients_few_are_not_told(cohort: Path, home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    shutil.copytree(cohort, folder)
    card = folder / "cohort.yaml"
    card.write_text(card.read_text("utf-8").replace("provenance: simulated", "provenance: real"), "utf-8")
    run = trained(folder, home, "alerts={per_patient_month: 0.1, horizon_days: 30}")
    rule = read_artifact(run / "artifact").manifest.alerts
    assert rule is not None
    assert (rule.provenance, rule.horizon_days, rule.withheld) == ("real", 30.0, True)
    assert {rule.caught, rule.lead_days, rule.after_first_alert} == {None}
    assert "what it caught is withheld" in " ".join((run / "report" / "model_card.md").read_text("utf-8").split())


def test_without_it_nothing_is_as_it_was_not(cohort: Path, home: Home) -> None:
    run = load_run(ALERTS)
    without = load_run(ALERTS, ["alerts=null"])
    assert run.digest() != without.digest()
    assert "alerts" in run.model_dump()
    folder = trained(cohort, home, "alerts=null")
    assert read_artifact(folder / "artifact").manifest.alerts is None
    assert not (folder / "report" / "alerts.json").exists()
    assert json.loads((folder / "report" / "model_card.json").read_text("utf-8"))["alerts"] is None


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (f"endpoint={CONFIGS / 'endpoint' / 'non_relapse_death.yaml'}", "has one landmark, day 0"),
        (
            "alerts={per_patient_month: 0.1, horizon_days: 999}",
            "alerts.horizon_days = 999: must be above 0 and at most",
        ),
        ("alerts.per_patient_month=0", "alerts.per_patient_month"),
    ],
)
def test_what_cannot_be_fixed_is_said_before_anything_is_fitted(
    cohort: Path, home: Home, override: str, said: str
) -> None:
    run = [SEQUELA, "train", ALERTS, *words(cohort, override)]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert said in done.stderr.replace("\n", " ")
    assert not home.runs.exists() or not list(home.runs.iterdir())
