"""Order is judged between patients of one fold: what differs between the models of folds says nothing of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.config import RunConfig, load_run
from experiments.crossval import untested
from experiments.data import TrainingRows, load_rows
from experiments.home import CONFIGS
from experiments.out_of_fold import OutOfFold
from experiments.promotion.champion_check import _no_worse
from experiments.promotion.gate import ChampionRule, Subgroups
from experiments.promotion.paired import Paired
from experiments.promotion.subgroup_checks import _scores
from experiments.scoring import score
from experiments.sweeps.config import Objective
from experiments.sweeps.objective import objective_values
from features.check import read_endpoint
from features.config import FeatureConfig

SCHEMES = {
    "random": "{folds: 3, repeats: 2, bootstrap: 20}",
    "site": "{scheme: site, bootstrap: 20}",
    "temporal": "{scheme: temporal, column: age, folds: 3, bootstrap: 20}",  # by whatever number patients have
}


@pytest.fixture(scope="module")
def rows(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRows:
    endpoint = read_endpoint(CONFIGS / "endpoint" / "severe_infection.yaml")
    return load_rows(cohort, endpoint, FeatureConfig(measurements=(), cells=()), tmp_path_factory.mktemp("stores"))


@pytest.fixture(scope="module", params=SCHEMES)
def config(cohort: Path, request: pytest.FixtureRequest) -> RunConfig:
    validation = f"validation={SCHEMES[request.param]}"
    return load_run(CONFIGS / "run" / "cox.yaml", [f"cohort={cohort}", validation])


def predicted(rows: TrainingRows, config: RunConfig) -> tuple[OutOfFold, OutOfFold]:
    """Random risks, and the same, each fold's raised or lowered by a factor of its own."""
    none = untested(rows, config)
    rng = np.random.default_rng(0)
    slope = 0.3 * none.times_days / none.times_days[-1]
    risk = rng.uniform(0.2, 1, (*none.incidence.shape[:3], 1)) * slope
    for repeat, tested in enumerate(none.fold >= 0):
        risk[repeat, ~tested] = np.nan
    factor = rng.uniform(0.05, 1, len(none.folds))[none.fold]
    return replace(none, incidence=risk), replace(none, incidence=risk * factor[..., None, None])


def test_scores_of_a_run(rows: TrainingRows, config: RunConfig) -> None:
    one, other = (score(rows, of, config) for of in predicted(rows, config))
    for day, scores in one.items():
        for own, theirs in zip(scores.causes, other[day].causes, strict=True):
            assert own.ibs.point != pytest.approx(theirs.ibs.point)
            np.testing.assert_allclose(own.c.point, theirs.c.point)
            np.testing.assert_allclose(
                [at.auc.point for at in own.horizons], [at.auc.point for at in theirs.horizons], equal_nan=True
            )


def test_the_objective_of_a_sweep(rows: TrainingRows, config: RunConfig) -> None:
    one, other = (float(objective_values(rows, of, Objective(metric="c"))) for of in predicted(rows, config))
    assert one == pytest.approx(other)


def test_gates(rows: TrainingRows, config: RunConfig) -> None:
    one, other = predicted(rows, config)
    both = Paired(rows, one.times_days, (one.incidence, other.incidence), one.fold)
    check = _no_worse(ChampionRule(metric="c"), both, 0.0, 20, "c", "no worse")
    assert check.value is not None
    assert check.value.point == pytest.approx(0)
    rule = Subgroups(by={"sex": ()}, thresholds=({"metric": "c", "at_least": 0.5},))
    points = [
        [row["point"] for row in _scores(rule, replace(both, incidence=(of.incidence,)), both.tested_from(0.0), 20)]
        for of in (one, other)
    ]
    metrics = [row["metric"] for row in _scores(rule, both, both.tested_from(0.0), 20)]
    of_order = np.isin(metrics, ("c", "auc"))
    assert of_order.sum() == 1 + len(rows.endpoint.horizons_days)
    np.testing.assert_allclose(*(np.array(of)[of_order] for of in points))
    assert points[0] != points[1]
