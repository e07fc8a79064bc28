"""Landmark super-models: one fit answers from days between those it was trained at, and a patient counts once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from experiments.data import TrainingRows, load_rows
from experiments.home import CONFIGS
from features.check import read_endpoint
from features.config import FeatureConfig
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.schema import Endpoint
from features.simulator import simulate
from training.config import CoxConfig, ModelConfig, NetworkConfig, TrainerConfig
from training.evaluation.calibration import observed_risk
from training.evaluation.scores import evaluate
from training.fit import fit_risk_model

FEATURES = FeatureConfig(cells=())
CPU = TrainerConfig(accelerator="cpu")
HORIZON = np.array([180.0])
RELAPSE = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("landmarks") / "cohort"
    simulate(where, n_patients=500, cells_per_sample=0, seed=11)
    return where


@pytest.fixture(scope="module")
def endpoint() -> Endpoint:
    return read_endpoint(CONFIGS / "endpoint" / "severe_infection.yaml")


def rows_at(folder: Path, endpoint: Endpoint, *days: float) -> TrainingRows:
    return load_rows(folder, endpoint.model_copy(update={"landmark_days": days}), FEATURES, folder)


@pytest.mark.parametrize(
    "model", [CoxConfig(penalty=30.0), NetworkConfig(members=6, max_epochs=30)], ids=["cox", "network"]
)
def test_it_is_calibrated_from_a_day_that_it_was_not_trained_at(
    folder: Path, endpoint: Endpoint, model: ModelConfig
) -> None:
    rows, between = rows_at(folder, endpoint, 0.0, 60.0, 120.0), rows_at(folder, endpoint, 90.0)
    fitted = fit_risk_model(rows.patients, rows.outcomes, rows.cohort.card, FEATURES, model, CPU, seed=0)
    risk = fitted.predict_incidence(between.patients, HORIZON).values[:, :, 0]
    for cause in range(1, risk.shape[1] + 1):
        observed = observed_risk(between.outcomes, cause, HORIZON[0])
        assert observed.low - 0.02 < risk[:, cause - 1].mean() < observed.high + 0.02
    at_infusion = rows_at(folder, endpoint, 0.0)
    far = observed_risk(at_infusion.outcomes, RELAPSE + 1, HORIZON[0])
    near = observed_risk(between.outcomes, RELAPSE + 1, HORIZON[0])
    assert far.low > near.high, "who is at risk on day 90 has less to fear than everyone had on day 0"


def test_a_day_more_changes_a_risk_a_little(folder: Path, endpoint: Endpoint) -> None:
    rows = rows_at(folder, endpoint, 0.0, 60.0, 120.0)
    clinic = FeatureConfig(cells=(), measurements=())
    model = CoxConfig(penalty=1.0)
    fitted = fit_risk_model(rows.patients, rows.outcomes, rows.cohort.card, clinic, model, CPU, seed=0)
    one = rows.patients.take(np.zeros(121, dtype=np.int64)).at_landmark(np.arange(121.0))
    risk = fitted.predict_incidence(one, HORIZON).values[:, RELAPSE, 0]
    assert np.quantile(np.abs(np.diff(risk)), 0.9) < 0.005, "but on days on which something new is known"
    assert np.ptp(risk) > 0.02, "the day counts"


def test_a_second_landmark_of_the_same_patients_does_not_make_the_interval_narrower() -> None:
    rng = np.random.default_rng(0)
    n = 150
    duration, cause = rng.exponential(100, n), rng.integers(0, 3, n)
    incidence = np.cumsum(rng.uniform(0, 0.04, (n, 2, 10)), axis=2)
    times = np.linspace(20, 200, 10)
    ids = np.array([f"p{i}" for i in range(n)], dtype=object)

    def width(repeats: int) -> float:
        outcomes = Outcomes(np.tile(duration, repeats), np.tile(cause, repeats), ("infection", "death"))
        predicted, patient = np.tile(incidence, (repeats, 1, 1)), np.tile(ids, repeats)
        scores = evaluate(predicted, times, outcomes, (100.0,), patient, n_bootstrap=300, seed=0)
        (brier,) = [row for row in scores.table() if row["metric"] == "brier" and row["cause"] == "infection"]
        return float(brier["high"]) - float(brier["low"])

    assert width(2) == pytest.approx(width(1), rel=1e-6)


@pytest.mark.parametrize(
    ("days", "asked", "answers", "said"),
    [
        ((0.0, 30.0), 7.0, True, "any day from 0 to 30"),
        ((0.0, 30.0), 30.5, False, "any day from 0 to 30"),
        ((0.0, 30.0), float("nan"), False, "any day from 0 to 30"),
        ((28.0,), 28.0, True, "day 28"),
        ((28.0,), 27.0, False, "day 28"),
    ],
)
def test_an_endpoint_says_from_when_it_is_predicted(
    endpoint: Endpoint, days: tuple[float, ...], asked: float, *, answers: bool, said: str
) -> None:
    own = endpoint.model_copy(update={"landmark_days": days})
    assert own.predicts_from(asked) is answers
    assert own.landmark_range == said


def test_a_landmark_after_which_nobody_has_the_event_is_refused_with_what_to_do(
    folder: Path, endpoint: Endpoint
) -> None:
    outcomes = rows_at(folder, endpoint, 0.0).outcomes
    last = float(outcomes.duration_days[outcomes.cause == 1].max())
    said = rf"nobody has the event infection after landmark day {last:g}; choose an earlier one in landmark_days, or "
    with pytest.raises(SequelaError, match=said):
        rows_at(folder, endpoint, 0.0, last)
