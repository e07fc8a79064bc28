"""`sequela monitor`: patients are watched by models that never saw them, and rules are compared as fairly."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from preloaded import SEQUELA

from benchmarks.alerts import true_risk
from experiments.config import RunConfig, load_run
from experiments.crossval import held_out_models
from experiments.data import TrainingRows, all_patients, rows_of_run
from experiments.home import CONFIGS, Home
from experiments.monitoring import monitor
from experiments.monitoring.landmarks import by_day
from experiments.monitoring.markers import MODEL, Marker, markers_of
from experiments.monitoring.rules import cross_fitted_rule
from experiments.monitoring.visits import VisitRows, held_out_risks, rows_on, visit_days, visits_of
from features.importers.table import import_table
from features.schema import Endpoint
from training.evaluation.alerts import alert_sums, threshold_for
from training.evaluation.brier import brier_score, null_brier_score
from training.evaluation.discrimination import auc

SETTINGS = (
    "features={measurements: [], cells: []}",
    "model={kind: cox, penalty: 50}",
    "validation={folds: 3, repeats: 1, bootstrap: 40}",
)
HORIZON = 90.0


@pytest.fixture(scope="module")
def config(cohort: Path) -> RunConfig:
    return load_run(CONFIGS / "run" / "cox.yaml", [f"cohort={cohort}", *SETTINGS])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def trained(config: RunConfig, home: Home) -> TrainingRows:
    return rows_of_run(config, home)


@pytest.fixture(scope="module")
def rows(trained: TrainingRows, home: Home) -> VisitRows:
    wanted = visit_days(trained.cohort, trained.endpoint)
    patients = all_patients(trained.cohort, None, home.features)
    return rows_on(trained.cohort, trained.endpoint, patients, np.unique(wanted["day"]).tolist(), wanted)


def test_visits_are_days_on_which_something_came_to_be_known_while_at_risk(
    trained: TrainingRows, rows: VisitRows
) -> None:
    cohort, endpoint = trained.cohort, trained.endpoint
    first, last = endpoint.landmark_days[0], endpoint.landmark_days[-1]
    known = pd.concat([t[["patient_id", "day"]] for t in (cohort.measurements, cohort.samples, cohort.events)])
    for patient, days in pd.Series(rows.patients.landmark_day).groupby(rows.patients.patient_id):
        own = np.ceil(known.loc[known["patient_id"] == patient, "day"].astype(float))
        allowed = {first, *own[(own > first) & (own <= last)]}
        assert set(days) <= allowed
        assert list(days) == sorted(set(days))
    assert (rows.outcomes.duration_days > 0).all()
    visits = visits_of(rows, endpoint, HORIZON)
    end = visits.end_day[visits.patient]
    np.testing.assert_allclose(rows.patients.landmark_day + rows.outcomes.duration_days, end)


def test_risks_are_of_models_that_never_saw_the_patient(
    trained: TrainingRows, rows: VisitRows, config: RunConfig, tmp_path: Path
) -> None:
    models = held_out_models(trained, config, tmp_path, {})
    tested_rows, risk, fold = held_out_risks(rows, trained, models, HORIZON)
    assert np.isfinite(risk).all()
    np.testing.assert_array_equal(tested_rows.number, rows.number)  # every patient is of a fold
    for number, one in enumerate(models):
        tested = set(trained.patients.patient_id[one.rows])
        seen = set(trained.patients.patient_id) - tested
        assert set(rows.patients.patient_id[fold == number]) <= tested
        assert not seen & set(rows.patients.patient_id[fold == number])
    at = np.flatnonzero(fold == 1)[:5]
    again = models[1].model.predict_incidence(rows.patients.take(at), np.array([HORIZON])).values[:, :, 0]
    np.testing.assert_allclose(risk[at], again, atol=1e-12)


def test_a_rule_is_tried_on_others_than_it_was_fixed_on(trained: TrainingRows, rows: VisitRows) -> None:
    visits = visits_of(rows, trained.endpoint, HORIZON)
    rng = np.random.default_rng(2)
    fold = (rows.number % 3).astype(np.int64)
    noise = Marker("noise", rng.random(len(rows)), either_way=True)
    oracle = Marker("who has the event", visits.catchable[visits.patient].astype(float))
    told = [
        cross_fitted_rule(one, rows, visits, fold, 0.5, rng=np.random.default_rng(0), n_bootstrap=20)
        for one in (noise, oracle)
    ]
    assert told[1].performance.caught.point > 0.7  # all but those whose event is further away than an alert is good
    assert told[0].performance.caught.point < told[1].performance.caught.point / 2
    assert told[0].performance.per_patient_month.point == pytest.approx(0.5, abs=0.15)


def test_a_laboratory_value_may_be_dangerous_when_low(trained: TrainingRows, rows: VisitRows) -> None:
    visits = visits_of(rows, trained.endpoint, HORIZON)
    fold = (rows.number % 3).astype(np.int64)
    low = Marker("low is bad", -visits.catchable[visits.patient].astype(float), either_way=True)
    rule = cross_fitted_rule(low, rows, visits, fold, 0.5, rng=np.random.default_rng(0), n_bootstrap=20)
    assert rule.below
    assert rule.threshold == -1
    assert rule.performance.caught.point > 0.7


def test_markers_are_as_of_the_visit(trained: TrainingRows, rows: VisitRows) -> None:
    markers = {
        one.name: one for one in markers_of(rows.patients, trained.cohort.card.variables, np.full(len(rows), 0.1))
    }
    assert next(iter(markers)) == MODEL
    assert {"CAR-HEMATOTOX", "ICAHT grade", "last ferritin"} <= set(markers)
    measured = trained.cohort.measurements
    ferritin = measured[measured["variable"] == "ferritin"]
    for i in range(0, len(rows), 97):
        own = ferritin[
            (ferritin["patient_id"] == rows.patients.patient_id[i]) & (ferritin["day"] <= rows.patients.landmark_day[i])
        ].sort_values(["day", "value"])
        expected = own["value"].iloc[-1] if len(own) else np.nan
        np.testing.assert_equal(markers["last ferritin"].values[i], expected)


def test_each_day_has_the_auc_of_that_day(trained: TrainingRows, home: Home) -> None:
    patients = all_patients(trained.cohort, None, home.features)
    rows = rows_on(trained.cohort, trained.endpoint, patients, [0.0, 14.0])
    marker = Marker(MODEL, np.random.default_rng(1).random(len(rows)))
    fold = rows.number % 3
    found = by_day([marker], rows, fold, HORIZON, seed=0, n_bootstrap=20)
    of_values = by_day([replace(marker, name="last ferritin")], rows, fold, HORIZON, seed=0, n_bootstrap=1)
    assert [one.day for one in found] == [0, 14]
    for one, of_value in zip(found, of_values, strict=True):
        own = np.flatnonzero(rows.patients.landmark_day == one.day)
        outcomes = rows.outcomes.take(own)
        values = np.repeat(marker.values[own][:, None, None], len(outcomes.causes), axis=1)
        assert one.auc.point == pytest.approx(auc(values, np.array([HORIZON]), outcomes, fold=fold[own])[0, 0])
        assert of_value.auc.point == pytest.approx(auc(values, np.array([HORIZON]), outcomes)[0, 0])
        assert one.n_patients == len(own)
        assert one.accuracy is not None
        assert one.brier is not None
        score = brier_score(values, np.array([HORIZON]), outcomes)
        assert one.brier.point == pytest.approx(score[0, 0])
        assert one.brier.low < one.brier.point < one.brier.high
        null = null_brier_score(np.array([HORIZON]), outcomes)
        assert one.accuracy.point == pytest.approx(1 - score[0, 0] / null[0, 0])


def test_the_oracle_catches_more_at_the_same_cost(trained: TrainingRows, cohort: Path, home: Home) -> None:
    """The true risks of the simulator, at the landmarks at which they are known."""
    endpoint: Endpoint = trained.endpoint
    truth = pd.read_parquet(cohort / "truth.parquet")
    patients = all_patients(trained.cohort, None, home.features)
    rows = rows_on(trained.cohort, endpoint, patients, [0.0, 30.0])
    own = truth[(truth["endpoint"] == endpoint.name) & (truth["cause"] == 1) & (truth["time_days"] == HORIZON)]
    risk = own.set_index(["patient_id", "landmark_day"])["incidence"]
    keys = list(zip(rows.patients.patient_id, rows.patients.landmark_day, strict=True))
    true = risk.reindex(keys).to_numpy(dtype=float)
    visits = visits_of(rows, endpoint, HORIZON)
    shuffled = np.random.default_rng(0).permutation(true)
    caught = {}
    for name, marker in (("true", true), ("shuffled", shuffled)):
        threshold = threshold_for(marker, visits, 0.2)
        caught[name] = alert_sums(marker >= threshold, visits).caught.sum()
    assert caught["true"] > 1.3 * caught["shuffled"]


def test_the_oracle_of_the_benchmark_is_the_truth_of_the_cohort(
    trained: TrainingRows, rows: VisitRows, cohort: Path
) -> None:
    """At the landmarks as the simulator wrote it; at visits between, higher of those who will have the event."""
    risk = true_risk(rows, 150, 3)
    truth = pd.read_parquet(cohort / "truth.parquet")
    own = truth[(truth["endpoint"] == "severe_infection") & (truth["cause"] == 1) & (truth["time_days"] == HORIZON)]
    written = own.set_index(["patient_id", "landmark_day"])["incidence"]
    day = rows.patients.landmark_day
    at = np.flatnonzero(np.isin(day, [0.0, 30.0]))
    keys = list(zip(rows.patients.patient_id[at], day[at], strict=True))
    np.testing.assert_allclose(risk[at], written.reindex(keys).to_numpy(dtype=float), rtol=1e-12)
    between = np.setdiff1d(np.arange(len(rows)), at)
    assert len(np.unique(day[between])) > 3
    followed = (rows.outcomes.duration_days > HORIZON) | (rows.outcomes.cause > 0)
    has = (rows.outcomes.cause == 1) & (rows.outcomes.duration_days <= HORIZON)
    mean = [risk[between][part[between] & followed[between]].mean() for part in (has, ~has)]
    assert mean[0] > 1.3 * mean[1]
    assert abs(risk[followed].mean() - has[followed].mean()) < 0.05  # calibrated


def run(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {"SEQUELA_HOME": str(home)}
    return subprocess.run([SEQUELA, "monitor", *words], capture_output=True, text=True, env=os.environ | environment)


@pytest.fixture(scope="module")
def told(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    folder = tmp_path_factory.mktemp("monitor")
    words = [str(CONFIGS / "run" / "cox.yaml"), "--set", f"cohort={cohort}"]
    words += [word for one in SETTINGS for word in ("--set", one)]
    page = folder / "monitor.html"
    done = run(*words, "--alerts", "0.2", "--alerts", "0.5", "--json", "--out", str(page), home=folder / "home")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), page.read_text("utf-8")


def test_the_command_tells_rules_and_days(told: tuple[dict[str, Any], str]) -> None:
    found, page = told
    assert found["provenance"] == "simulated"
    assert {rule["borne"] for rule in found["rules"]} == {0.2, 0.5}
    ours = [rule for rule in found["rules"] if rule["marker"] == MODEL]
    assert [rule["performance"]["per_patient_month"]["point"] for rule in ours] == pytest.approx([0.2, 0.5], abs=0.12)
    assert ours[0]["performance"]["caught"]["point"] <= ours[1]["performance"]["caught"]["point"] + 0.05
    assert {one["day"] for one in found["days"]} >= {0, 7, 14, 21, 28, 30}
    briers = [one["brier"] for one in found["days"] if one["marker"] == MODEL]
    assert all(0 < one["low"] <= one["point"] <= one["high"] < 0.3 for one in briers)
    assert "Brier score" in page
    assert "Simulated patients" in page
    assert page.count("<svg") == 2
    assert f"{ours[0]['performance']['n_events']} events could be caught" in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--horizon", "9999"], "--horizon 9999: must be above 0 and at most 365 days"),
        (["--alerts", "-1"], "--alerts -1: must be a number above 0"),
        (["--alerts", "0.1", "--alerts", "nan"], "--alerts nan: must be a number above 0"),
        (["--alerts", "inf"], "--alerts inf: must be a number above 0"),
        (["--set", f"endpoint={CONFIGS / 'endpoint' / 'non_relapse_death.yaml'}"], "has one landmark, day 0"),
    ],
)
def test_what_cannot_be_watched_is_said(cohort: Path, tmp_path: Path, words: list[str], said: str) -> None:
    own = [str(CONFIGS / "run" / "cox.yaml"), "--set", f"cohort={cohort}"]
    done = run(*own, *[word for one in SETTINGS for word in ("--set", one)], *words, home=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_a_model_of_several_landmarks_follows_real_patients(shared_data: Path, tmp_path: Path) -> None:
    """pbcseq, death within two years from any day in three: better than bilirubin alone on every day."""
    table = shared_data / "competing_risks" / "extra_survival_pbcseq.csv"
    import_table(CONFIGS / "import" / "extra_survival_pbcseq.yaml", table, tmp_path / "pbc")
    endpoint = CONFIGS / "endpoint" / "pbc_death.yaml"
    settings = [f"cohort={tmp_path / 'pbc'}", f"endpoint={endpoint}", "features={statistics: [last, slope]}"]
    config = load_run(CONFIGS / "run" / "cox.yaml", [*settings, SETTINGS[2]])
    found = monitor(
        config, Home(tmp_path / "home"), tmp_path, lambda _: lambda *_: None, horizon_days=730.0, borne=(0.02,)
    )
    model = {one.day: one for one in found.on_days if one.marker == MODEL}
    bilirubin = {one.day: one for one in found.on_days if one.marker == "last bili"}
    assert 10 <= len(model) <= 17
    assert set(model) == set(bilirubin)
    assert model[0.0].n_events == 33
    assert all(one.auc.point > max(0.85, bilirubin[day].auc.point) for day, one in model.items())
    assert all(one.accuracy is not None and one.accuracy.point > 0.1 for one in model.values())
    assert model[0.0].auc.low > 0.7
