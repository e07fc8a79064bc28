"""Events known to lie between two days, through the command line: checked, trained on, and said where they are not."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from experiments.cli.app import app
from experiments.config import RunConfig
from experiments.data import TrainingRows, load_rows
from experiments.day_seen import day_seen_sentence
from experiments.home import CONFIGS, Home
from experiments.temporal import before_test
from features.check import read_endpoint
from features.config import FeatureConfig
from features.simulator import simulate
from training.config import CoxConfig, NetworkConfig
from training.splits import Fold

ENDPOINT = CONFIGS / "endpoint" / "severe_infection.yaml"
VISITS = np.array([-np.inf, 0.0, 30.0, 90.0, 180.0, 270.0, 360.0, np.inf])


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated cohort without cells whose infections are seen at visits, or when follow-up ends."""
    folder = tmp_path_factory.mktemp("visited") / "cohort"
    simulate(folder, n_patients=200, cells_per_sample=0, seed=5)
    events, patients = pd.read_csv(folder / "events.csv"), pd.read_csv(folder / "patients.csv")
    last = patients.set_index("patient_id")["follow_up_days"][events["patient_id"]].to_numpy()
    day, infection = events["day"].to_numpy(dtype=float), (events["event"] == "infection").to_numpy()
    place = np.searchsorted(VISITS, day)
    events["after_day"] = np.where(infection & (place > 1), VISITS[place - 1], np.nan)
    events["day"] = np.where(infection, np.minimum(VISITS[place], last), day)
    events.loc[events["after_day"] >= events["day"], "after_day"] = np.nan
    events.to_csv(folder / "events.csv", index=False)
    return folder


def rows_of(folder: Path, tmp_path: Path) -> TrainingRows:
    return load_rows(folder, read_endpoint(ENDPOINT), FeatureConfig(cells=()), tmp_path)


def test_check_reads_the_column_and_names_what_is_wrong_in_it(visited: Path, tmp_path: Path) -> None:
    fine = CliRunner().invoke(app, ["check", str(visited), "--endpoint", str(ENDPOINT)])
    assert fine.exit_code == 0, fine.output
    assert "after_day" not in fine.output
    folder = tmp_path / "wrong"
    shutil.copytree(visited, folder)
    events = pd.read_csv(folder / "events.csv")
    events.loc[0, "after_day"] = events.loc[0, "day"] + 5
    events.to_csv(folder / "events.csv", index=False)
    done = CliRunner().invoke(app, ["check", str(folder)])
    assert done.exit_code == 1
    assert "[free-after-event] events.csv row 2: after_day" in " ".join(done.output.split())


@pytest.mark.parametrize(
    "model", ["{kind: cox, penalty: 50}", "{kind: network, members: 4, hidden: 4, max_epochs: 10}"]
)
def test_a_run_says_whether_its_model_takes_the_day_seen(visited: Path, home: Home, model: str) -> None:
    words = [f"cohort={visited}", f"endpoint={ENDPOINT}", f"model={model}", "validation={folds: 2, bootstrap: 20}"]
    words += ["features={cells: []}", "trainer.accelerator=cpu"]
    given = [word for value in words for word in ("--set", value)]
    done = CliRunner().invoke(app, ["train", str(CONFIGS / "run" / "cox.yaml"), *given])
    assert done.exit_code == 0, done.output
    assert (
        "rows with an event it is only known to lie between two days (after_day); cox takes the day" in done.stderr
    ) == ("cox" in model)
    assert len(list(home.runs.glob("*/artifact/manifest.json"))) == 1


def test_nothing_is_said_where_all_is_known_to_the_day(visited: Path, tmp_path: Path) -> None:
    outcomes = rows_of(visited, tmp_path).outcomes
    assert 0 < outcomes.in_interval.sum() < (outcomes.cause > 0).sum(), "deaths and relapses are known to the day"
    said = day_seen_sentence(outcomes, CoxConfig())
    assert said.startswith(f"in {outcomes.in_interval.sum()} of {(outcomes.cause > 0).sum()} rows with an event")
    assert day_seen_sentence(outcomes, NetworkConfig()) == ""
    assert day_seen_sentence(replace(outcomes, after_days=None), CoxConfig()) == ""


def test_intervals_seen_after_a_test_span_began_are_not_trained_on(
    visited: Path, tmp_path: Path, run_config: RunConfig
) -> None:
    """Earlier patients who have their infection seen after the later ones came count as free, to that day."""
    rows = rows_of(visited, tmp_path)
    order = {name: place for place, name in enumerate(rows.cohort.patients["patient_id"])}
    year = 2015.0 + np.array([order[name] for name in rows.cohort.patients["patient_id"]]) / 100
    cohort = replace(rows.cohort, patients=rows.cohort.patients.assign(year=year))
    rows = replace(rows, cohort=cohort)
    late = np.array([order[name] >= 100 for name in rows.patients.patient_id])
    fold = Fold(0, 0, np.flatnonzero(~late), np.flatnonzero(late))
    validation = run_config.validation.model_copy(update={"scheme": "temporal", "column": "year", "folds": 2})
    then, kept = before_test(rows, run_config.model_copy(update={"validation": validation}), fold)
    before, after = rows.outcomes.take(kept.train), then.outcomes.take(kept.train)
    cut = after.duration_days < before.duration_days
    assert (before.in_interval & cut).any()
    assert not (after.in_interval & cut).any()
    np.testing.assert_array_equal(after.in_interval[~cut], before.in_interval[~cut])
    np.testing.assert_array_equal(then.outcomes.in_interval[fold.test], rows.outcomes.in_interval[fold.test])
