"""No leak through the pipeline: where outcomes have nothing to do with patients, nothing is predicted."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from preloaded import SEQUELA

from experiments.config import RunConfig, load_run
from experiments.crossval import cross_validate
from experiments.data import TrainingRows, load_rows
from experiments.home import CONFIGS, Home
from features.check import read_endpoint
from features.cohort import Cohort
from features.outcomes import Outcomes
from features.schema import Variable
from training.evaluation.discrimination import concordance
from training.fit import fit_risk_model
from training.splits import Fold

PERMUTATIONS = 5
RELAPSE = 2
"""Position among the causes; it is the commonest."""


class Silent:
    """Listens to a cross-validation and says nothing."""

    def fold_started(self, fold: Fold) -> None:
        """Nothing."""

    def epoch_ended(self, fold: Fold, epoch: int, loss: float, out_of_bag_loss: float) -> None:
        """Nothing."""

    def fold_ended(self, fold: Fold, incidence: NDArray[np.float64]) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def config(cohort: Path) -> RunConfig:
    overrides = [f"cohort={cohort}", "model={kind: cox, penalty: 50}", "validation={folds: 3, bootstrap: 20}"]
    return load_run(CONFIGS / "run" / "cox.yaml", overrides)


@pytest.fixture(scope="module")
def rows(cohort: Path, config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> TrainingRows:
    """The patients at infusion, with cells."""
    endpoint = read_endpoint(CONFIGS / "endpoint" / "severe_infection.yaml")
    first = endpoint.model_copy(update={"landmark_days": (0.0,)})
    return load_rows(cohort, first, config.features, tmp_path_factory.mktemp("stores"))


def permuted(rows: TrainingRows, seed: int) -> TrainingRows:
    """The same patients and the same outcomes, and who had which is left to chance."""
    order = np.random.default_rng(seed).permutation(len(rows.patients))
    return replace(rows, outcomes=rows.outcomes.take(order))


def relapse(risk: NDArray[np.float64], outcomes: Outcomes, tau_days: float) -> float:
    """Concordance of the risk of relapse (rows,)."""
    return float(concordance(np.tile(risk[:, None], (1, 3)), outcomes, tau_days)[RELAPSE])


def of_folds(rows: TrainingRows, config: RunConfig, folder: Path) -> tuple[list[float], list[float]]:
    """For each fold, the concordance out of fold, and its variance if the order of risks were left to chance.

    Given the training fold, and hence the risks of the test fold, every order of the test patients is as likely as
    every other when outcomes are permuted. The expectation of the concordance is then exactly one half, and its
    variance is found by permuting risks.
    """
    tau = rows.endpoint.horizons_days[-1]
    found = cross_validate(rows, config, folder, Silent())
    rng = np.random.default_rng(0)
    values, variances = [], []
    for fold in found.folds:
        risk, outcomes = found.incidence[0, fold.test, RELAPSE, -1], rows.outcomes.take(fold.test)
        values.append(relapse(risk, outcomes, tau))
        by_chance = [relapse(rng.permutation(risk), outcomes, tau) for _ in range(60)]
        variances.append(float(np.mean((np.array(by_chance) - 0.5) ** 2)))
    return values, variances


def test_outcomes_left_to_chance_are_predicted_no_better_than_by_chance(
    rows: TrainingRows, config: RunConfig, tmp_path: Path
) -> None:
    """Mean concordance out of fold within four standard errors of one half, whichever way folds are correlated.

    The mean over the folds of one permutation has at most their largest standard deviation; permutations are
    independent. Fitted and scored on the same patients, the same model is far beyond: a leak would be seen.
    """
    shuffled = [permuted(rows, seed) for seed in range(PERMUTATIONS)]
    results = [of_folds(some, config, tmp_path / f"{i}") for i, some in enumerate(shuffled)]
    mean = float(np.mean([values for values, _ in results]))
    error = float(np.sqrt(np.sum([max(variances) for _, variances in results])) / PERMUTATIONS)
    assert abs(mean - 0.5) < 4 * error
    assert error < 0.04, "the test could not see anything"

    leaky = []
    for some in shuffled[:2]:
        parts = (some.patients, some.outcomes, some.cohort.card, config.features, config.model, config.trainer)
        model = fit_risk_model(*parts, seed=0)
        tau = some.endpoint.horizons_days[-1]
        risk = model.predict_incidence(some.patients, np.array([tau])).values[:, RELAPSE, 0]
        leaky.append(relapse(risk, some.outcomes, tau))
    assert min(leaky) > 0.5 + 4 * error


def test_a_feature_that_knows_the_outcome_is_found(rows: TrainingRows, config: RunConfig, tmp_path: Path) -> None:
    """So that one half, above, is not the silence of a pipeline that predicts nothing."""
    some = permuted(rows, 0)
    day = np.where(some.outcomes.cause == RELAPSE + 1, some.outcomes.duration_days, 1000.0)
    card = some.cohort.card
    variables = card.variables | {"leak": Variable(kind="numeric", unit="d")}
    cohort: Cohort = replace(some.cohort, card=card.model_copy(update={"variables": variables}))
    patients = replace(some.patients, baseline={**some.patients.baseline, "leak": day})
    planted = replace(some, cohort=cohort, patients=patients)
    values, _ = of_folds(planted, config, tmp_path)
    assert min(values) > 0.8


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("features.scores=[car_hematotx]", "no score is named 'car_hematotx'. Did you mean car_hematotox?"),
        ("features.statistics=[lst]", "features.statistics.0: No statistic is called 'lst'; the nearest is last."),
    ],
    ids=["found when the encoder is fitted", "found when the configuration is read"],
)
def test_a_misspelt_feature_is_named_on_the_command_line(override: str, message: str, cohort: Path, home: Home) -> None:
    words = [SEQUELA, "train", CONFIGS / "run" / "cox.yaml", "--set", f"cohort={cohort}", "--set", override]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not list(home.folder.rglob("artifact"))
