"""How far refits shrink tells how far the truth is to be stretched."""

from __future__ import annotations

import numpy as np
import pytest

from training.models.stretch import log_cumulative_hazard, risk_of
from training.out_of_fold.stretch import MOST, learn_stretch

TIMES = np.array([30.0, 90.0, 365.0])
WHERE = np.array([1, 2])


def answers(spread: tuple[float, float], noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """(200, 2, 3): incidences whose θ lie so far apart."""
    patient = np.random.default_rng(0).normal(size=(200, 2, 1))
    other = noise * np.random.default_rng(seed).normal(size=(200, 2, 1))
    return risk_of(np.log(TIMES / 4000) + np.array(spread)[:, None] * patient + other)


def test_the_factor_is_one_over_the_slope_of_each_cause() -> None:
    refits = [answers((0.4, 0.9), 0.3, seed) for seed in range(1, 60)]
    found = learn_stretch(answers((0.8, 0.9)), refits, TIMES, WHERE)
    assert found.factor[0] == pytest.approx(2.0, rel=0.05)
    assert found.factor[1] == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(found.centre, log_cumulative_hazard(answers((0.8, 0.9))).mean(axis=0))


def test_refits_that_lie_further_apart_do_not_squeeze() -> None:
    assert learn_stretch(answers((0.4, 0.4)), [answers((0.8, 0.5))], TIMES, WHERE).factor.tolist() == [1.0, 1.0]


def test_where_refits_find_nothing_again_it_ends() -> None:
    found = learn_stretch(answers((0.8, 0.8)), [answers((0.0, -0.2))], TIMES, WHERE)
    assert found.factor.tolist() == [MOST, MOST]


def test_where_all_risks_are_alike_nothing_is_stretched() -> None:
    found = learn_stretch(answers((0.0, 0.8)), [answers((0.3, 0.8), 0.5)], TIMES, WHERE)
    assert found.factor[0] == 1.0
