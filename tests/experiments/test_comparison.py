"""Comparing runs in pairs: the better one is found, a tie is called a tie, and what cannot be compared is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from numpy.typing import NDArray
from preloaded import SEQUELA
from recorded_runs import everyone_alike, noisy, record, telling

from experiments.comparing.compared_runs import Place, load_compared
from experiments.comparing.comparison import METRICS, Comparison, compare, verdicts
from experiments.config import RunConfig
from experiments.crossval import untested
from experiments.data import TrainingRows, load_rows
from experiments.home import Home
from experiments.log_items import endpoint_digest
from experiments.out_of_fold import evaluation_times, even_grid
from experiments.store import open_store
from features.check import read_endpoint
from features.cohort import write_yaml
from features.config import FeatureConfig
from features.errors import SequelaError
from features.simulator import simulate
from training.evaluation.comparison import PairedDifference, holm, paired_difference

FEW = 200
"""Resamples."""


@pytest.fixture
def client(home: Home) -> MlflowClient:
    return open_store(home)


@pytest.fixture(scope="module")
def rows(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRows:
    from experiments.home import CONFIGS

    endpoint = read_endpoint(CONFIGS / "endpoint" / "severe_infection.yaml")
    return load_rows(cohort, endpoint, FeatureConfig(cells=()), tmp_path_factory.mktemp("stores"))


def named(config: RunConfig, name: str, seed: int = 0, **validation: int) -> RunConfig:
    kept = config.validation.model_copy(update=validation)
    return config.model_copy(update={"name": name, "seed": seed, "validation": kept})


def compared(client: MlflowClient, home: Home, *names: str, place: Place | None = None, **asked: int) -> Comparison:
    found = load_compared(client, home, names, place or Place())
    return compare(found, n_bootstrap=FEW, **asked)


def test_a_planted_better_run_is_found_and_a_tie_is_called_a_tie(
    client: MlflowClient, home: Home, rows: TrainingRows, run_config: RunConfig
) -> None:
    alike = noisy(everyone_alike(rows), 0)
    for name, incidence in (("plain", alike), ("better", telling(rows, alike, 0.3)), ("other", noisy(alike, 1, 0.01))):
        record(home, named(run_config, name), rows, incidence)
    found = compared(client, home, "plain", "better", "other")
    said = verdicts(found)
    assert [line.split(":")[0] for line in said] == [
        "better is better than plain from day 0",
        "better is better than plain from day 30",
        "other and plain are tied from day 0",
        "other and plain are tied from day 30",
    ]
    assert all("includes 0" in line for line in said[2:])
    assert all("corrected for 4 comparisons" in line for line in said[:2])
    ipa = found.table[(found.table["metric"] == "ipa") & found.table["horizon_days"].isna()]
    assert (ipa[ipa["run"] == "better"]["low"] > 0).all()
    turned = compared(client, home, "better", "plain")
    assert verdicts(turned)[0].startswith("better is better than plain from day 0: IBS of infection")
    assert set(turned.table[turned.table["metric"] == "ibs"]["better"]) == {"baseline"}


def test_equal_predictions_differ_by_exactly_nothing(
    client: MlflowClient, home: Home, rows: TrainingRows, run_config: RunConfig
) -> None:
    alike = noisy(everyone_alike(rows), 0)
    for name in ("one", "two"):
        record(home, named(run_config, name), rows, alike)
    table = compared(client, home, "one", "two", all_causes=True).table
    assert set(table["cause"]) == set(rows.outcomes.causes)
    known = table[table["difference"].notna()]
    assert len(known) > 30
    for column in ("difference", "low", "high", "simultaneous_low", "simultaneous_high"):
        assert (known[column] == 0).all(), column
    assert (known[["p", "p_adjusted"]] == 1).all(axis=None)


def test_numbers_are_those_of_the_two_predictions_alone(
    client: MlflowClient, home: Home, rows: TrainingRows, run_config: RunConfig
) -> None:
    """Against `paired_difference` on the predictions before they were written; and Holm over each metric's family."""
    alike = noisy(everyone_alike(rows), 0)
    other = noisy(alike, 2)
    record(home, named(run_config, "one"), rows, alike)
    record(home, named(run_config, "two"), rows, other)
    found = compared(client, home, "one", "two")
    table = found.table
    by_hand = of_repeat(rows, untested(rows, run_config).fold, other, alike)
    first = table[table["landmark_day"] == 0].set_index(["metric", "horizon_days"])
    assert first.loc[("ibs", np.nan), "difference"] == pytest.approx(by_hand.ibs[0].point)
    assert first.loc[("c", np.nan), "difference"] == pytest.approx(by_hand.c[0].point)
    assert first.loc[("auc", 180.0), "difference"] == pytest.approx(by_hand.auc[0][1].point)
    width = by_hand.ipa[0].high - by_hand.ipa[0].low
    ipa = first.loc[("ipa", np.nan)]
    assert ipa["high"] - ipa["low"] == pytest.approx(width, rel=0.3), "other resamples, the same spread"
    for _, family in table.groupby([table["metric"], table["horizon_days"].notna()]):
        np.testing.assert_allclose(family["p_adjusted"], holm(family["p"]))
        assert set(family["comparisons"]) == {len(family)}
    assert len(table.groupby([table["metric"], table["horizon_days"].notna()])) == len(METRICS)


def test_repeats_are_averaged_score_by_score(
    client: MlflowClient, home: Home, rows: TrainingRows, run_config: RunConfig
) -> None:
    alike = everyone_alike(rows, repeats=2)
    other = np.stack([noisy(alike, 0)[0], noisy(alike, 1)[1]])
    record(home, named(run_config, "twice", repeats=2), rows, other)
    record(home, named(run_config, "plain", repeats=2), rows, alike)
    table = compared(client, home, "plain", "twice").table
    first = table[table["landmark_day"] == 0].set_index(["metric", "horizon_days"])
    folds = untested(rows, named(run_config, "twice", repeats=2)).fold
    parts = [of_repeat(rows, folds, other, alike, number) for number in (0, 1)]
    for name, horizon, found in (
        ("ibs", np.nan, [one.ibs[0] for one in parts]),
        ("c", np.nan, [one.c[0] for one in parts]),
        ("auc", 180.0, [one.auc[0][1] for one in parts]),
    ):
        assert first.loc[(name, horizon), "difference"] == pytest.approx(np.mean([one.point for one in found]))


def of_repeat(
    rows: TrainingRows,
    folds: NDArray[np.int64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    number: int = 0,
) -> PairedDifference:
    """By `paired_difference`, at the first landmark, in the folds that were written."""
    at = np.flatnonzero((rows.patients.landmark_day == 0) & rows.outcomes.from_landmark)
    grid = even_grid(rows.endpoint)
    steps = np.searchsorted(evaluation_times(rows.endpoint), grid)
    return paired_difference(
        *(incidence[number, at][..., steps] for incidence in (first, second)),
        grid,
        rows.outcomes.take(at),
        rows.patients.patient_id[at],
        rng=np.random.default_rng(1),
        horizons_days=rows.endpoint.horizons_days,
        n_bootstrap=FEW,
        fold=folds[number, at],
    )


def test_runs_of_another_machine_are_read_from_the_store_and_a_moved_cohort_is_found(
    client: MlflowClient, home: Home, rows: TrainingRows, run_config: RunConfig, cohort: Path, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    for number, name in enumerate(("one", "two")):
        config = named(run_config, name).model_copy(update={"cohort": gone})
        record(home, config, rows, noisy(everyone_alike(rows), number), keep_folder=False)
    with pytest.raises(SequelaError, match=r"its cohort is no longer at .*gone; say where it is with --cohort DIR"):
        load_compared(client, home, ["one", "two"], Place())
    found = load_compared(client, home, ["one", "two"], Place(cohort=cohort))
    assert [run.name for run in found.runs] == ["one", "two"]
    other = tmp_path / "other"
    simulate(other, n_patients=100, cells_per_sample=0, seed=9)
    with pytest.raises(SequelaError, match="is not the cohort that run one was trained on"):
        load_compared(client, home, ["one", "two"], Place(cohort=other))


def test_a_changed_endpoint_is_noticed(
    client: MlflowClient, home: Home, rows: TrainingRows, run_config: RunConfig, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        record(home, named(run_config, name), rows, everyone_alike(rows))
    changed = tmp_path / "changed.yaml"
    write_yaml(changed, rows.endpoint.model_copy(update={"horizons_days": (90.0,)}).model_dump(mode="json"))
    with pytest.raises(SequelaError, match="severe_infection: is not the definition that run"):
        load_compared(client, home, ["one", "two"], Place(endpoint=changed))


def test_other_tiers_are_no_other_endpoint(rows: TrainingRows) -> None:
    assert rows.endpoint.decision is not None
    without = rows.endpoint.model_copy(update={"decision": None})
    assert endpoint_digest(without) == endpoint_digest(rows.endpoint)
    before = '{"name":"severe_infection","event":{"name":"infection","min_grade":3},"competing":[{"name":"death",'
    assert without.model_dump_json(exclude={"decision"}).startswith(before)  # as runs of before have it


@pytest.fixture
def odd_runs(client: MlflowClient, home: Home, rows: TrainingRows, run_config: RunConfig) -> None:
    """A run, and others that differ from it in one thing each."""
    alike = everyone_alike(rows)
    record(home, named(run_config, "plain"), rows, alike)
    record(home, named(run_config, "seed", seed=1), rows, alike)
    record(home, named(run_config, "folds", folds=4), rows, alike)
    for key, name in (("sequela.endpoint", "endpoint"), ("sequela.endpoint_digest", "digest"), ("sequela.cohort", "c")):
        client.set_tag(record(home, named(run_config, name), rows, alike), key, "another")
    client.set_terminated(record(home, named(run_config, "failed"), rows, alike), "FAILED")
    lost = record(home, named(run_config, "lost"), rows, alike, keep_folder=False)
    shutil.rmtree(home.mlflow_artifacts / run_config.experiment / lost)
    partial = record(home, named(run_config, "partial"), rows, alike)
    file = home.runs / partial / "report" / "oof_predictions.parquet"
    pd.read_parquet(file).iloc[1:].to_parquet(file, index=False)
    fewer = home.runs / record(home, named(run_config, "fewer"), rows, alike) / "report"
    out = json.loads((fewer / "splits.json").read_text())[0]["test_patients"][0]
    table = pd.read_parquet(fewer / "oof_predictions.parquet")
    table[table["patient_id"] != out].to_parquet(fewer / "oof_predictions.parquet", index=False)


def test_what_cannot_be_compared_is_refused_and_told_how_to_mend(
    odd_runs: None, client: MlflowClient, home: Home, rows: TrainingRows
) -> None:
    del odd_runs
    refusals = {
        "plain": "is named twice",
        "seed": r"different splits \(.*3 folds × 1, seed 0; .*3 folds × 1, seed 1\).*--set seed",
        "folds": r"different splits \(.*3 folds.*4 folds",
        "endpoint": "study different endpoints .*compare runs of one endpoint",
        "digest": "different definitions of one endpoint.*--set endpoint=FILE",
        "c": "were trained on different patients.*--set cohort=DIR",
        "failed": "is FAILED; only finished runs",
        "lost": "is neither in .* nor among its artifacts",
        "partial": "some of its predictions are missing",
        "fewer": "rows were predicted by one and not by the other",
        "nothing": "no run has this id or name",
    }
    for name, message in refusals.items():
        with pytest.raises(SequelaError, match=message) as refused:
            load_compared(client, home, ["plain", name], Place())
        assert not any(patient in str(refused.value) for patient in rows.patients.patient_id)


def test_the_command_writes_table_figure_and_verdict(
    client: MlflowClient, home: Home, rows: TrainingRows, run_config: RunConfig, tmp_path: Path
) -> None:
    alike = noisy(everyone_alike(rows), 0)
    record(home, named(run_config, "plain"), rows, alike)
    record(home, named(run_config, "better"), rows, telling(rows, alike, 0.3))
    csv, figure = tmp_path / "d.csv", tmp_path / "d.png"
    words = ["better", "plain", "--baseline", "plain", "--bootstrap", 100, "--csv", csv, "--figure", figure]
    done = subprocess.run([SEQUELA, "compare", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "better is better than plain from day 0: IBS of infection" in done.stdout
    assert "simulated patients" in done.stdout
    table = pd.read_csv(csv)
    assert set(table["run"]) == {"better"}
    assert set(table["baseline"]) == {"plain"}
    assert set(table["provenance"]) == {"simulated"}
    assert figure.read_bytes().startswith(b"\x89PNG")
    alone = subprocess.run([SEQUELA, "compare", "plain"], capture_output=True, text=True, check=False)
    assert alone.returncode == 1
    assert "name two or more runs" in alone.stderr
