"""Strategies and time-dependent exposures against R (tests/golden/strategies.R)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from features.outcomes import Outcomes
from training.states.occupation import occupation
from training.strategies.exposure import Stays, hazard_ratios, histories
from training.strategies.followed import FloatArray, Followed
from training.strategies.incidence import incidence_at, time_lost_to, weighted_incidence
from training.strategies.plans import never, start_by, start_when
from training.strategies.starting import days_of_starts, log_probability_of_what_was_done
from training.strategies.weights import clone_weights

TOLERANCE = 1e-9


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    path = Path(__file__).resolve().parents[2] / "golden" / "strategies.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def test_weighted_incidences_equal_r(golden: dict[str, Any]) -> None:
    patients, n_days, times = pd.DataFrame(golden["patients"]), golden["n_days"], np.array(golden["times"], dtype=float)
    own = {name: patients[name].to_numpy() for name in patients}
    followed = Followed(own["end"], own["cause"], ("a", "b"), own["start"], n_days)
    value = np.where(np.arange(n_days) < 25, own["early"][:, None], own["late"][:, None])
    days = days_of_starts(followed, own["x"][:, None], value[:, :, None])
    probability = expit(-3.2 + days.design[:, -2:] @ [0.6, 0.5])
    done = log_probability_of_what_was_done(days, followed, probability)
    is_low = value < 0
    since = np.where(is_low.any(axis=1), is_low.argmax(axis=1), n_days)
    strategies = (
        never(n_days),
        start_by(golden["grace"], n_days),
        start_when("start once value < 0", since, golden["grace"], n_days),
    )
    for strategy, expected in zip(strategies, golden["strategies"], strict=True):
        assert strategy.name == expected["name"]
        weights = clone_weights(strategy.follows(followed), done, followed.observed, 100.0)
        found = weighted_incidence(weights.values, followed.end_day, followed.cause, 2)
        np.testing.assert_allclose(incidence_at(found, times), expected["incidence"], rtol=TOLERANCE, atol=1e-14)
        np.testing.assert_allclose(time_lost_to(found, times), expected["lost"], rtol=TOLERANCE, atol=1e-12)
        assert weights.n_followed(29) == expected["n_followed"]
        assert weights.effective(29) == pytest.approx(expected["effective"], rel=TOLERANCE)


@pytest.fixture(scope="module")
def intensive_care(shared_data: Path) -> tuple[Outcomes, FloatArray, FloatArray]:
    """Outcomes, day of pneumonia, age and sex."""
    table = pd.read_csv(shared_data / "competing_risks" / "icu_pneumonia_tdc.csv").sort_values(["id", "start"])
    last = table.groupby("id").last()
    begins = table[table["pneu"] == 1].groupby("id")["start"].min().reindex(last.index).to_numpy()
    outcomes = Outcomes(last["stop"].to_numpy(float), last["event"].to_numpy(np.int64), ("death", "discharge"))
    x = np.column_stack([last["age"] / 10 - 6, last["sex"] == "M"]).astype(float)
    return outcomes, np.where(np.isnan(begins), np.inf, begins), x


def test_hazard_ratios_of_a_time_dependent_exposure_equal_r(
    golden: dict[str, Any], intensive_care: tuple[Outcomes, FloatArray, FloatArray]
) -> None:
    outcomes, begins, x = intensive_care
    stays = Stays.of(outcomes, begins)
    for which, found in (("plain", hazard_ratios(stays)), ("adjusted", hazard_ratios(stays, x))):
        for one, expected in zip(found, golden["intensive_care"][which], strict=True):
            assert np.log(one.point) == pytest.approx(expected["beta"], rel=TOLERANCE)
            assert one.standard_error == pytest.approx(expected["se"], rel=TOLERANCE)


def test_pneumonia_prolongs_the_stay_and_does_not_raise_the_rate_of_death(
    intensive_care: tuple[Outcomes, FloatArray, FloatArray],
) -> None:
    """As data, not as a claim about pneumonia: those who get it are not those who do not."""
    outcomes, begins, _ = intensive_care
    death, discharge = hazard_ratios(Stays.of(outcomes, begins))
    assert discharge.high < 1
    assert death.low < 1 < death.high


def test_states_of_the_illness_death_process_equal_r(
    golden: dict[str, Any], intensive_care: tuple[Outcomes, FloatArray, FloatArray]
) -> None:
    outcomes, begins, _ = intensive_care
    expected = golden["intensive_care"]
    rows, states = histories(outcomes, begins)
    assert len(rows) == 1313
    assert list(states.states) == expected["states"]
    found = occupation(states, np.array(expected["times"], dtype=float))
    np.testing.assert_allclose(found.probability, expected["probability"], rtol=TOLERANCE)
    errors, *_ = found.errors()
    np.testing.assert_allclose(errors, expected["se"], rtol=1e-8)


def test_everyone_is_unexposed_first(intensive_care: tuple[Outcomes, FloatArray, FloatArray]) -> None:
    outcomes, begins, _ = intensive_care
    stays = Stays.of(outcomes, begins)
    np.testing.assert_allclose(np.bincount(stays.patient, stays.days), outcomes.duration_days)
    # With the time before pneumonia given to it, which they had to survive, it seems to save lives.
    immortal, *_ = hazard_ratios(Stays.of(outcomes, np.where(np.isfinite(begins), 0.0, np.inf)))
    assert immortal.point < 0.75 < 0.9 < hazard_ratios(stays)[0].point
