"""How far refits shrink tells how far the truth is to be stretched, and the mean risk stays."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.models.stretch import Stretch, log_cumulative_hazard, risk_of
from training.out_of_fold.stack_weights import FEWEST_EVENTS
from training.out_of_fold.stretch import MOST, learn_stretch

TIMES = np.array([30.0, 90.0, 365.0])
WHERE = np.array([1, 2])
DAYS = np.tile([0.0, 30.0], 100)
MANY = (50, 50)


def answers(spread: tuple[float, float], noise: float = 0.0, seed: int = 0) -> NDArray[np.float64]:
    """(200, 2, 3): incidences whose θ lie so far apart."""
    patient = np.random.default_rng(0).normal(size=(200, 2, 1))
    other = noise * np.random.default_rng(seed).normal(size=(200, 2, 1))
    return risk_of(np.log(TIMES / 4000) + np.array(spread)[:, None] * patient + other)


def learnt(model: NDArray[np.float64], refits: list[NDArray[np.float64]], n_events: tuple[int, int] = MANY) -> Stretch:
    return learn_stretch(model, refits, n_events, DAYS, TIMES, WHERE)


def test_the_factor_is_one_over_the_slope_of_each_cause() -> None:
    refits = [answers((0.4, 0.9), 0.1, seed) for seed in range(1, 30)]
    found = learnt(answers((0.8, 0.9)), refits)
    assert found.factor[0] == pytest.approx(2.0, rel=0.05)
    assert found.factor[1] == pytest.approx(1.0, abs=0.05)


def test_of_refits_that_disagree_little_is_believed() -> None:
    sure = learnt(answers((0.8, 0.8)), [answers((one, 0.8)) for one in (0.55, 0.6, 0.65)]).factor[0]
    unsure = learnt(answers((0.8, 0.8)), [answers((one, 0.8)) for one in (-0.4, 0.6, 1.6)]).factor[0]
    assert sure > 1.25
    assert 1.0 < unsure < 1.1


def test_refits_that_lie_further_apart_do_not_squeeze() -> None:
    refits = [answers((0.8, 0.5), 0.05, seed) for seed in (1, 2, 3)]
    assert learnt(answers((0.4, 0.4)), refits).factor.tolist() == [1.0, 1.0]


def test_where_refits_find_nothing_again_it_ends() -> None:
    refits = [answers((0.0, -0.2), 0.05, seed) for seed in (1, 2, 3)]
    np.testing.assert_allclose(learnt(answers((0.8, 0.8)), refits).factor, MOST, rtol=0.05)


def test_of_few_events_nothing_is_told() -> None:
    refits = [answers((0.4, 0.4), 0.05, seed) for seed in (1, 2, 3)]
    factor = learnt(answers((0.8, 0.8)), refits, (FEWEST_EVENTS - 1, FEWEST_EVENTS)).factor
    assert factor[0] == 1.0
    assert factor[1] > 1.5


def test_where_risks_differ_by_landmark_alone_nothing_is_stretched() -> None:
    """As of Aalen–Johansen; and at one landmark nobody has any risk at first."""
    same = risk_of(np.log(TIMES / 4000) + np.where(DAYS == 0, 0.5, -0.5)[:, None, None]) * np.ones((200, 2, 3))
    same[DAYS == 0, :, 0] = 0.0
    refits = [np.clip(same * one, 0, 1) for one in (0.8, 1.0, 1.3)]
    found = learnt(same, refits)
    assert found.factor.tolist() == [1.0, 1.0]
    assert found.incidence(same, DAYS, TIMES) is same


@pytest.mark.parametrize("early", [None, 0.0, 1e-7], ids=["all at risk", "half at none", "half at nearly none"])
def test_the_mean_risk_of_every_landmark_and_time_stays(early: float | None) -> None:
    model = answers((0.5, 0.4))
    if early is not None:
        model[::4, :, 0] = early
    refits = [answers((0.25, 0.2), 0.03, seed) for seed in (1, 2, 3)]
    found = learnt(model, refits)
    assert (found.factor > 1.5).all()
    apart = found.incidence(model, DAYS, TIMES)
    for day in (0.0, 30.0):
        rows = day == DAYS
        np.testing.assert_allclose(apart[rows].mean(axis=0), model[rows].mean(axis=0), rtol=0.02)
    late = log_cumulative_hazard(apart)[:, :, 2].std(axis=0) / log_cumulative_hazard(model)[:, :, 2].std(axis=0)
    assert (late > 1.3).all()
