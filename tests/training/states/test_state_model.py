"""Transition models as arrays: R's values, the models they were made of, and what is true of any process."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from state_processes import drawn, histories_of

from training.models import states as module
from training.models.states import StateModel
from training.states.transition_models import TransitionModels, resampled, state_model

TIMES = np.array([0.0, 30.0, 90.0, 365.0])
N_REFITS = 6


@pytest.fixture(scope="module")
def models() -> list[TransitionModels]:
    """A fit, and refits in which some days and moves are not met."""
    histories = drawn(3, 60)
    x = np.random.default_rng(0).normal(size=(len(histories), 3))
    fitted = TransitionModels.fit(x, histories, seed=0)
    return [fitted, *resampled(x, histories, fitted, N_REFITS, np.random.default_rng(1))]


@pytest.fixture(scope="module")
def stored(models: list[TransitionModels]) -> StateModel:
    return state_model(models[0], models[1:])


def test_r_has_the_same_probabilities_of_a_patient(golden: dict[str, Any]) -> None:
    case = golden["smooth"]
    histories = histories_of(case["data"], tuple(golden["states"]))
    x = np.zeros((len(histories), 2))
    x[np.array(case["data"]["id"])] = np.column_stack([case["data"]["x1"], case["data"]["x2"]])
    unpenalised = {(i, j): 0.0 for i in range(4) for j in range(4)}
    found = state_model(TransitionModels.fit(x, histories, seed=0, penalties=unpenalised), [])
    expected = case["cox"]
    for i, probability in enumerate(expected["pstate"]):
        patient = np.array([expected["patients"][name][i] for name in ("x1", "x2")])
        course = found.course(patient, np.array(expected["times"], dtype=float))
        np.testing.assert_allclose(course.point[0], probability, rtol=1e-6)
        assert course.draws.shape == (0, *course.point.shape)


@pytest.mark.parametrize("at_once", [1, 2_000_000])
def test_the_arrays_say_what_each_model_says(
    models: list[TransitionModels], stored: StateModel, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether all refits are followed together or one by one."""
    monkeypatch.setattr(module, "VALUES_AT_ONCE", at_once)
    patient = np.array([0.4, -1.0, 0.2])
    course = stored.course(patient, TIMES)
    assert len({len(model.models) for model in models} | {len(one.times_days) for one in models[1].models.values()}) > 1
    for values, model in zip([course.point, *course.draws], models, strict=True):
        own = model.occupation(patient, TIMES)
        np.testing.assert_allclose(values, [own.probability, own.entered, own.days], rtol=0, atol=1e-11)


@settings(max_examples=40, deadline=None)
@given(x=st.lists(st.floats(-5, 5), min_size=3, max_size=3))
def test_any_patient_is_in_one_state_and_goes_forward(stored: StateModel, x: list[float]) -> None:
    course = stored.course(np.array(x), TIMES)
    for probability, entered, days in [course.point, *course.draws]:
        np.testing.assert_allclose(probability.sum(axis=1), 1.0, atol=1e-12)
        np.testing.assert_allclose(days.sum(axis=1), TIMES, atol=1e-9)
        assert (np.diff(entered, axis=0) >= 0).all()
        assert (entered[:, 1:] >= probability[:, 1:] - 1e-12).all()
        assert (entered <= 1 + 1e-12).all()
        np.testing.assert_allclose(entered[:, -1], probability[:, -1], atol=1e-12)  # nobody leaves the last one


def test_what_is_rebuilt_is_the_same(stored: StateModel) -> None:
    again = StateModel.from_state(stored.states, stored.moves, stored.state())
    assert (again.states, again.moves, again.n_refits) == (stored.states, stored.moves, N_REFITS)
    for name, array in stored.state().items():
        np.testing.assert_array_equal(again.state()[name], array)


@pytest.mark.parametrize(
    "change",
    [
        {"beta": np.zeros((1, 2, 3))},
        {"increments": np.zeros((7, 1, 1))},
        {"beta": np.zeros(3)},
        {"times_days": np.zeros(2)},
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(stored: StateModel, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="those of every model and move"):
        StateModel.from_state(stored.states, stored.moves, stored.state() | change)
    with pytest.raises(ValueError, match="from one state to another"):
        StateModel.from_state(stored.states, ((0, 9), *stored.moves[1:]), stored.state())
