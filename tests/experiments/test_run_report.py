"""What a run tells beside its scores: decision curves, numbers of events, importances, and its permutation test."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from preloaded import SEQUELA

from experiments.config import RunConfig, load_run
from experiments.crossval import Unheard, cross_validate, held_out_models
from experiments.data import TrainingRows, load_rows
from experiments.home import CONFIGS, Home
from experiments.out_of_fold import OutOfFold
from experiments.pipeline_test import mean_ipa, pipeline_test
from experiments.scoring import score, scored_rows
from experiments.store import open_store
from experiments.usefulness import THIRDS, counts_table, net_benefit_table
from features.check import read_endpoint
from features.cohort_recurrence import recurrences_at
from features.config import FeatureConfig
from features.errors import SequelaError
from training.models.mean_count import marginal_mean
from training.models.nonparametric import aalen_johansen
from training.models.risk_model import FittedRiskModel

CLINIC = FeatureConfig(measurements=(), cells=())


@pytest.fixture(scope="module")
def rows(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRows:
    endpoint = read_endpoint(CONFIGS / "endpoint" / "severe_infection.yaml")
    return load_rows(cohort, endpoint, CLINIC, tmp_path_factory.mktemp("stores"))


@pytest.fixture(scope="module")
def config(cohort: Path) -> RunConfig:
    overrides = ["model={kind: cox, penalty: 50}", "validation={folds: 3, repeats: 2, bootstrap: 40}"]
    clinic = "features={measurements: [], cells: []}"
    return load_run(CONFIGS / "run" / "cox.yaml", [f"cohort={cohort}", clinic, *overrides])


def validated(config: RunConfig, **values: int) -> RunConfig:
    return config.model_copy(update={"validation": config.validation.model_copy(update=values)})


@pytest.fixture(scope="module")
def out_of_fold(rows: TrainingRows, config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> OutOfFold:
    return cross_validate(rows, config, tmp_path_factory.mktemp("folds"), Unheard())


def test_treating_everyone_is_the_aalen_johansen_risk_weighed(
    rows: TrainingRows, out_of_fold: OutOfFold, config: RunConfig
) -> None:
    table = net_benefit_table(rows, out_of_fold, config)
    endpoint = rows.endpoint
    assert set(table["landmark_day"]) == set(endpoint.landmark_days)
    at = scored_rows(rows, out_of_fold, endpoint.landmark_days[0])
    horizon = endpoint.horizons_days[-1]
    risk = aalen_johansen(rows.outcomes.take(at)).at(np.array([horizon]))[0, 0]
    one = table[(table["landmark_day"] == endpoint.landmark_days[0]) & (table["horizon_days"] == horizon)]
    odds = one["threshold"] / (1 - one["threshold"])
    np.testing.assert_allclose(one["treat_all"], risk - (1 - risk) * odds, atol=1e-12)
    np.testing.assert_allclose(one["gain"], one["model"] - np.maximum(one["treat_all"], 0), atol=1e-12)
    assert (one["treated"].diff().dropna() <= 0).all()


def test_a_risk_of_nobody_treats_nobody(rows: TrainingRows, out_of_fold: OutOfFold, config: RunConfig) -> None:
    nothing = replace(out_of_fold, incidence=np.zeros_like(out_of_fold.incidence))
    table = net_benefit_table(rows, nothing, config)
    assert (table[["treated", "model"]] == 0).all(axis=None)


def test_counts_are_those_of_ghosh_and_lin_and_rise_with_the_risk(
    rows: TrainingRows, out_of_fold: OutOfFold, config: RunConfig
) -> None:
    table = counts_table(rows, out_of_fold, config)
    assert table is not None
    _, events = recurrences_at(rows.cohort, rows.endpoint, rows.endpoint.landmark_days[0])
    everyone = table[table["group"] == "everyone"]
    at = scored_rows(rows, out_of_fold, rows.endpoint.landmark_days[0])
    if len(at) == len(events):
        np.testing.assert_allclose(everyone["mean"], marginal_mean(events).at(everyone["day"].to_numpy()), atol=1e-12)
    assert set(table["group"]) == {"everyone", *THIRDS}
    last = table.groupby("group").last()
    assert last.loc[THIRDS[0], "mean"] < last.loc[THIRDS[2], "mean"]
    assert (table["low"] <= table["mean"] + 1e-12).all()
    assert last.loc[list(THIRDS), "events"].sum() == last.loc["everyone", "events"]
    assert last.loc["everyone", "events"] > (everyone["patients"].iloc[0] * 0.05)


def test_the_same_risk_for_everyone_makes_no_groups(
    rows: TrainingRows, out_of_fold: OutOfFold, config: RunConfig
) -> None:
    table = counts_table(rows, replace(out_of_fold, incidence=np.full_like(out_of_fold.incidence, 0.1)), config)
    assert table is not None
    assert set(table["group"]) == {"everyone"}


def test_the_statistic_is_the_ipa_that_is_reported(
    rows: TrainingRows, out_of_fold: OutOfFold, config: RunConfig
) -> None:
    first = replace(out_of_fold, incidence=out_of_fold.incidence[:1], fold=out_of_fold.fold[:1])
    scores = score(rows, first, config)
    reported = np.mean([of_day.causes[0].ipa.point for of_day in scores.values()])
    assert abs(mean_ipa(out_of_fold.incidence[0], rows) - reported) < 1e-9


def test_models_of_an_earlier_process_are_fitted_again_alike(
    rows: TrainingRows, config: RunConfig, tmp_path: Path
) -> None:
    kept: dict[int, FittedRiskModel] = {}
    cross_validate(rows, config, tmp_path, Unheard(), kept=kept)
    assert sorted(kept) == [0, 1, 2]
    few = {1: kept[1]}
    times = np.array([90.0])
    tested = held_out_models(rows, config, tmp_path, few)
    assert tested[1].model is kept[1]
    for number, one in enumerate(tested):
        patients = rows.patients.take(one.rows)
        np.testing.assert_array_equal(
            one.model.predict_incidence(patients, times).values,
            kept[number].predict_incidence(patients, times).values,
        )
    assert sorted(np.concatenate([one.rows for one in tested])) == list(range(len(rows.patients)))


def with_age(rows: TrainingRows, harm: float, seed: int) -> TrainingRows:
    """Ages of patients by chance; those who have the event at any landmark are older by `harm` years."""
    ids, patient = np.unique(rows.patients.patient_id.astype(str), return_inverse=True)
    has = np.zeros(len(ids))
    has[patient[rows.outcomes.cause == 1]] = 1.0
    age = 60 + np.random.default_rng(seed).normal(0, 8, len(ids)) + harm * has
    return replace(rows, patients=replace(rows.patients, baseline={"age": age[patient]}))


def test_a_signal_is_found_and_none_is_not_invented(rows: TrainingRows, config: RunConfig, tmp_path: Path) -> None:
    asked = validated(config, permutations=19)
    told = with_age(rows, 8.0, seed=0)
    test = pipeline_test(told, asked, tmp_path / "signal")
    assert test is not None
    assert test.p == 0.05, "better than all 19"
    np.testing.assert_array_less(test.permuted, test.observed)
    kept = sorted((tmp_path / "signal").iterdir())
    assert len(kept) == 20
    fitted = [np.concatenate([np.load(fold) for fold in sorted(one.glob("*.npy"))]) for one in kept[:3]]
    assert all(np.abs(one - fitted[0]).max() > 1e-3 for one in fitted[1:]), "fitted anew to exchanged outcomes"
    (kept[7] / "fold-001.npy").unlink()
    again = pipeline_test(told, asked, tmp_path / "signal")
    assert again is not None
    np.testing.assert_array_equal(again.permuted, test.permuted)
    nothing = pipeline_test(with_age(rows, 0.0, seed=0), asked, tmp_path / "nothing")
    assert nothing is not None
    assert nothing.p > 0.05


def test_no_permutation_is_no_test(rows: TrainingRows, config: RunConfig, tmp_path: Path) -> None:
    assert pipeline_test(rows, config, tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_outcomes_of_companions_cannot_stay(cohort: Path) -> None:
    others = f"also=[{CONFIGS / 'endpoint' / 'second_malignancy.yaml'}]"
    words = [f"cohort={cohort}", others, "model={kind: network}", "validation.permutations=9"]
    with pytest.raises(SequelaError, match="leave those of `also` in place"):
        load_run(CONFIGS / "run" / "cox.yaml", words)


def test_a_run_writes_logs_and_prints_what_was_asked(cohort: Path, home: Home) -> None:
    settings = (
        f"cohort={cohort}",
        "features={measurements: [], cells: []}",
        "validation={folds: 3, bootstrap: 20, permutations: 3, importance: 2}",
    )
    words = [word for setting in settings for word in ("--set", setting)]
    run = [SEQUELA, "train", CONFIGS / "run" / "questioned.yaml", *words]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    (folder,) = home.runs.iterdir()
    report = folder / "report"
    written = {path.name for path in report.iterdir()}
    asked_for = {"importance.csv", "importance.png", "permutation_test.json"}
    assert asked_for | {"net_benefit.csv", "net_benefit.png", "counts.csv", "counts.png", "scores.csv"} <= written
    client = open_store(home)
    assert written <= {file.path for file in client.list_artifacts(folder.name)}
    test = json.loads((report / "permutation_test.json").read_text())
    assert client.get_run(folder.name).data.metrics["permutation_p/infection"] == test["p"]
    assert test["p"] == (1 + sum(value >= test["observed"] for value in test["permuted"])) / 4
    table = pd.read_csv(report / "importance.csv")
    assert table.groupby("cause")["ibs_increase"].apply(lambda values: values.is_monotonic_decreasing).all()
    assert f"Permutation test of the whole run: p = {test['p']:.3g}" in done.stdout
    assert table[table["cause"] == "infection"]["source"].iloc[0] in done.stdout
