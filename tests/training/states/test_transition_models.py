"""One patient's states by Cox models of the transitions: R's values, and those of the group if all are alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from state_processes import drawn, histories_of

from training.states.occupation import occupation
from training.states.transition_models import TransitionModels, resampled

TIMES = np.array([0.0, 60.0, 180.0, 365.0])


def test_r_has_the_same_probabilities_of_a_patient(golden: dict[str, Any]) -> None:
    case = golden["smooth"]
    histories = histories_of(case["data"], tuple(golden["states"]))
    x = np.zeros((len(histories), 2))
    x[np.array(case["data"]["id"])] = np.column_stack([case["data"]["x1"], case["data"]["x2"]])
    unpenalised = {(i, j): 0.0 for i in range(4) for j in range(4)}
    models = TransitionModels.fit(x, histories, seed=0, penalties=unpenalised)
    expected = case["cox"]
    for k, move in enumerate(expected["transitions"]):
        origin, target = (int(state) - 1 for state in move.split(":"))
        np.testing.assert_allclose(models.models[origin, target].beta[0], np.array(expected["beta"])[:, k], rtol=1e-6)
    for i, probability in enumerate(expected["pstate"]):
        patient = np.array([expected["patients"][name][i] for name in ("x1", "x2")])
        found = models.occupation(patient, np.array(expected["times"], dtype=float))
        np.testing.assert_allclose(found.probability, probability, rtol=1e-6)


def test_where_nothing_tells_patients_apart_it_is_that_of_the_group() -> None:
    """Up to exp(−dA) in the place of 1 − dA."""
    histories = drawn(4, 3000, whole_days=False)
    found = TransitionModels.fit(np.zeros((len(histories), 1)), histories, seed=0).occupation(np.zeros(1), TIMES)
    group = occupation(histories, TIMES)
    for name, tolerance in (("probability", 1e-3), ("entered", 1e-3), ("days", 0.2)):
        np.testing.assert_allclose(getattr(found, name), getattr(group, name), atol=tolerance)
    np.testing.assert_allclose(found.probability.sum(axis=1), 1.0)
    np.testing.assert_allclose(found.days.sum(axis=1), TIMES, atol=1e-9)


def test_a_covariate_that_matters_moves_its_own_transition() -> None:
    rng = np.random.default_rng(5)
    high = drawn(6, 400, daily=np.array([[0, 0.006, 0.0015, 0.0005], [0, 0, 0.0025, 0.002], [0, 0, 0, 0.004], [0] * 4]))
    low = drawn(7, 400)
    both = type(low)(
        np.concatenate([low.patient, high.patient + len(low)]),
        *(
            np.concatenate([getattr(low, name), getattr(high, name)])
            for name in ("state", "start_days", "stop_days", "next_state", "entered_days")
        ),
        low.states,
        len(low) + len(high),
    )
    x = np.column_stack([np.repeat([-1.0, 1.0], [len(low), len(high)]), rng.normal(size=len(both))])
    models = TransitionModels.fit(x, both, seed=0)
    assert models.models[0, 1].beta[0, 0] == pytest.approx(np.log(3) / 2, abs=0.15)
    risks = [models.occupation(np.array([sign, 0.0]), TIMES).entered[-1, 1] for sign in (-1.0, 1.0)]
    truth = [occupation(group, TIMES).entered[-1, 1] for group in (low, high)]
    np.testing.assert_allclose(risks, truth, atol=0.05)


def test_refits_vary_about_the_fit() -> None:
    histories = drawn(8, 150)
    x = np.random.default_rng(0).normal(size=(len(histories), 2))
    fitted = TransitionModels.fit(x, histories, seed=0)
    patient = np.array([0.5, -0.5])
    draws = [
        one.occupation(patient, TIMES).probability[-1]
        for one in resampled(x, histories, fitted, 50, np.random.default_rng(1))
    ]
    low, high = np.quantile(draws, [0.005, 0.995], axis=0)
    point = fitted.occupation(patient, TIMES).probability[-1]
    assert ((low < point) & (point < high)).all()
