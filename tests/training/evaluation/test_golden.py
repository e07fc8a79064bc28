"""Agreement with riskRegression, pec, survival, geepack and rms: values and versions in tests/golden/*.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.evaluation.brier import brier_score, integrate, null_brier_score, prediction_accuracy
from training.evaluation.calibration import aj_calibration
from training.evaluation.calibration_curve import calibration_distances
from training.evaluation.calibration_line import calibration_line
from training.evaluation.discrimination import auc, concordance
from training.evaluation.net_benefit import decision_curve
from training.evaluation.pseudo import influence, pseudo_values

Study = tuple[Outcomes, NDArray[np.float64], NDArray[np.float64], list[dict[str, Any]]]


def assert_agrees(study: Study) -> None:
    outcomes, times, incidence, stored = study
    brier, null = brier_score(incidence, times, outcomes), null_brier_score(times, outcomes)
    found = {
        "brier": brier,
        "null": null,
        "ipa": prediction_accuracy(brier, null),
        "auc": auc(incidence, times, outcomes),
        "ibs": integrate(brier, times),
        "concordance": concordance(incidence[..., -1], outcomes, times[-1]),
    }
    for metric, values in found.items():
        for cause, expected in enumerate(stored):
            np.testing.assert_allclose(values[cause], expected[metric], atol=1e-9, err_msg=f"{metric}, cause {cause}")


@pytest.fixture(scope="module")
def simulated(golden: dict[str, Any]) -> Study:
    data = golden["simulated"]
    outcomes = Outcomes(np.array(data["time"], dtype=np.float64), np.array(data["event"]), ("one", "two"))
    incidence = np.stack([np.array(risk) for risk in data["risks"]], axis=1)
    return outcomes, np.array(data["times"], dtype=np.float64), incidence, data["scores"]


def test_simulated_study_with_ties(simulated: Study) -> None:
    outcomes, times, _, _ = simulated
    assert len(np.unique(outcomes.duration_days)) < len(outcomes) / 2, "the study must have ties"
    tied = outcomes.cause[np.isin(outcomes.duration_days, times)]
    assert set(tied) == {0, 1, 2}, "times of scoring must tie with censorings and with both causes"
    assert_agrees(simulated)


def test_melanoma(golden: dict[str, Any], shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "competing_risks" / "melanoma_cr.csv")
    stored = golden["melanoma"]
    times = np.array(stored["times"], dtype=np.float64)

    def risk(shift: float, slope: float, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1 - np.exp(-times * np.exp(shift + slope * x)[:, None] / 1000)

    age = table["age"].to_numpy(np.float64)
    incidence = np.stack(
        [risk(-2.5, 0.7, table["logthick"].to_numpy(np.float64)), 0.5 * risk(-4.5, 0.05, age - 50)], axis=1
    )
    outcomes = Outcomes(table["time"].to_numpy(np.float64), table["event"].to_numpy(np.int64), ("melanoma", "other"))
    assert_agrees((outcomes, times, incidence, stored["scores"]))


def test_pseudo_values_of_survival(golden: dict[str, Any], simulated: Study) -> None:
    outcomes, times, _, _ = simulated
    found = pseudo_values(outcomes, times)
    for cause, expected in enumerate(golden["simulated"]["pseudo"]):
        np.testing.assert_allclose(found[:, cause], expected, atol=1e-9)


def test_standard_errors_of_survfit(golden: dict[str, Any], simulated: Study) -> None:
    outcomes, times, _, _ = simulated
    errors = np.sqrt((influence(outcomes, times) ** 2).sum(axis=0))
    np.testing.assert_allclose(errors, golden["simulated"]["std_err"], atol=1e-9)


@pytest.fixture(scope="module")
def calibration() -> dict[str, Any]:
    path = Path(__file__).resolve().parents[2] / "golden" / "evaluation_calibration.json"
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_calibration_of_survfit_rms_and_geepack(calibration: dict[str, Any], simulated: Study) -> None:
    outcomes, times, incidence, _ = simulated
    pseudo = pseudo_values(outcomes, times)
    found_aj = aj_calibration(incidence, times, outcomes)
    for cause, stored in enumerate(calibration["causes"]):
        assert found_aj[cause] == pytest.approx(stored["aj_calibration"], abs=1e-12)
        for j in range(len(times)):
            risk, own = incidence[:, cause, j], pseudo[:, cause, j]
            distances, line = calibration_distances(risk, own), calibration_line(risk, own)
            for name, expected in stored["distances"][j].items():
                assert getattr(distances, name) == pytest.approx(expected, abs=1e-9), (cause, j, name)
            for name, expected in stored["lines"][j].items():
                assert getattr(line, name) == pytest.approx(expected, abs=1e-6), (cause, j, name)


def test_net_benefit_of_survfit(calibration: dict[str, Any], simulated: Study) -> None:
    outcomes, times, incidence, _ = simulated
    for cause, stored in enumerate(calibration["causes"]):
        for j, (benefit, of_all) in enumerate(zip(stored["benefit"], stored["benefit_of_all"], strict=True)):
            curve = decision_curve(
                incidence[:, cause, j],
                outcomes,
                cause + 1,
                times[j],
                calibration["thresholds"],
                np.arange(len(outcomes)),
                rng=np.random.default_rng(0),
                n_bootstrap=0,
            )
            np.testing.assert_allclose([at.model.point for at in curve], benefit, atol=1e-12)
            np.testing.assert_allclose([at.treat_all.point for at in curve], of_all, atol=1e-12)
