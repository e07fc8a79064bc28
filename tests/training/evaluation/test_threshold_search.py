"""Gains at many thresholds at once: by hand, seldom above 0 where nothing is predicted, found where something is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from features.outcomes import Outcomes
from training.evaluation.net_benefit import decision_curve
from training.evaluation.threshold_search import Predicted, searched_gains

HORIZON = 90.0
GRID = tuple(k / 100 for k in (*range(5, 16), *range(20, 41)))
CAUSES = ("infection", "death")


def cohort(
    rng: np.random.Generator,
    n: int = 160,
    *,
    signal: float = 0.0,
    spread: float = 1.0,
    base: tuple[float, ...] = (0.15,),
) -> Predicted:
    """Simulated: a predicted risk about that of each landmark, with `signal` or else by chance."""
    true = rng.normal(0, 1, n)
    parts = []
    for landmark, mean in enumerate(base):
        infected = rng.exponential(HORIZON / (mean * np.exp(signal * true - signal**2 / 2)))
        died, censored = rng.exponential(HORIZON / 0.05, n), rng.uniform(30, 600, n)
        ended = np.minimum(np.minimum(infected, died), censored)
        cause = np.where(ended == infected, 1, np.where(ended == died, 2, 0))
        logit = np.log(mean / (1 - mean)) + (signal * true if signal else spread * rng.normal(0, 1, n))
        parts.append((1 / (1 + np.exp(-logit)), ended, cause, np.arange(n), np.full(n, float(landmark))))
    risk, ended, cause, patient, landmark_day = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Predicted(risk, Outcomes(ended, cause, CAUSES), 1, HORIZON, patient, landmark_day)


def shown(seed: int, **world: Any) -> list[float]:
    """Thresholds at which the gain is shown in one simulated cohort."""
    rng = np.random.default_rng(seed)
    found = searched_gains(cohort(rng, **world), GRID, rng=rng, n_bootstrap=100)
    return [threshold for threshold, gain in zip(GRID, found, strict=True) if gain.low > 0]


def test_of_one_landmark_it_is_the_gain_of_the_decision_curve_with_wider_intervals() -> None:
    of = cohort(np.random.default_rng(0), 400, signal=1.0)
    found = searched_gains(of, GRID, rng=np.random.default_rng(1), n_bootstrap=200)
    args = of.risk, of.outcomes, 1, HORIZON, GRID, of.patient_id
    curve = decision_curve(*args, rng=np.random.default_rng(1), n_bootstrap=200)
    np.testing.assert_allclose([one.point for one in found], [one.gain.point for one in curve], atol=1e-12)
    assert np.mean([one.low < at.gain.low for one, at in zip(found, curve, strict=True)]) > 0.9
    assert np.mean([one.high > at.gain.high for one, at in zip(found, curve, strict=True)]) > 0.9


def test_of_two_landmarks_it_is_the_mean_of_their_gains() -> None:
    """All is better on the one and nobody on the other, so that knowing the day alone is worth nothing."""
    of = cohort(np.random.default_rng(3), 300, signal=0.7, base=(0.3, 0.05))
    found = searched_gains(of, (0.15,), rng=np.random.default_rng(1), n_bootstrap=50)[0]
    parts = []
    for day in (0.0, 1.0):
        rows = np.flatnonzero(of.landmark == day)
        args = of.risk[rows], of.outcomes.take(rows), 1, HORIZON, (0.15,), of.patient_id[rows]
        parts.append(decision_curve(*args, rng=np.random.default_rng(1), n_bootstrap=0)[0])
    assert parts[0].treat_all.point > 0 > parts[1].treat_all.point
    assert found.point == pytest.approx(np.mean([one.gain.point for one in parts]))


WORLDS: tuple[dict[str, Any], ...] = (
    {"spread": 0.3},
    {"spread": 1.0, "base": (0.3, 0.1)},
    {"spread": 2.0, "base": (0.06,)},
    {"spread": 0.2, "base": (0.35, 0.05)},  # knows the day alone
    {"spread": 2.0, "base": (0.2,), "n": 60},
)


def test_where_nothing_is_predicted_a_threshold_is_seldom_shown_at_all() -> None:
    """Of all thresholds that are searched together: in at most 5 % of cohorts, here at most 4 of 80."""
    false = sum(bool(shown(seed, **WORLDS[seed % len(WORLDS)])) for seed in range(80))
    assert false <= 4


def test_where_something_is_predicted_the_lowest_that_is_shown_lies_where_it_is_of_use() -> None:
    found = [shown(seed, signal=1.2, n=500, base=(0.25, 0.2)) for seed in range(10)]
    assert sum(bool(one) for one in found) >= 9
    truth = cohort(np.random.default_rng(99), 60_000, signal=1.2, base=(0.25, 0.2))
    true = searched_gains(truth, GRID, rng=np.random.default_rng(0), n_bootstrap=0)
    of_use = {threshold for threshold, gain in zip(GRID, true, strict=True) if gain.point > 0}
    assert all(one[0] in of_use for one in found if one)


def test_intervals_cover_the_gains_at_all_thresholds_at_once() -> None:
    world: dict[str, Any] = {"signal": 1.0, "base": (0.2, 0.15)}
    truth = cohort(np.random.default_rng(99), 60_000, **world)
    true = searched_gains(truth, GRID, rng=np.random.default_rng(0), n_bootstrap=0)
    held = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found = searched_gains(cohort(rng, 250, **world), GRID, rng=rng, n_bootstrap=100)
        held += all(one.low <= gain.point <= one.high for one, gain in zip(found, true, strict=True))
    assert held >= 36  # of 38 expected at 95 %


def test_a_few_who_were_spared_without_an_event_show_nothing() -> None:
    """Every resample of ten without an event has none, so that percentiles call chance certain."""
    risk = np.where(np.arange(200) < 10, 0.01, 0.5)
    cause = np.where((np.arange(200) >= 10) & (np.arange(200) % 8 == 0), 1, 2)
    of = Predicted(risk, Outcomes(np.full(200, 50.0), cause, CAUSES), 1, HORIZON, np.arange(200), np.zeros(200))
    args = risk, of.outcomes, 1, HORIZON, (0.05,), of.patient_id
    (plain,) = decision_curve(*args, rng=np.random.default_rng(0), n_bootstrap=200)
    (found,) = searched_gains(of, (0.05,), rng=np.random.default_rng(0), n_bootstrap=200)
    assert plain.gain.low > 0
    assert found.low < 0 < found.point


def test_a_few_who_were_flagged_and_had_it_show_little() -> None:
    """Three flagged, all of whom had the event: at a threshold of 40 % that happens by chance in 6 %."""
    risk = np.where(np.arange(200) < 3, 0.5, 0.01)
    cause = np.where(np.arange(200) < 3, 1, 2)
    of = Predicted(risk, Outcomes(np.full(200, 50.0), cause, CAUSES), 1, HORIZON, np.arange(200), np.zeros(200))
    (found,) = searched_gains(of, (0.4,), rng=np.random.default_rng(0), n_bootstrap=200)
    assert found.low < 0 < found.point


def test_the_unit_is_the_patient() -> None:
    """The same rows thrice, of the same patients, tell no more than once."""
    of = cohort(np.random.default_rng(5), 200, signal=1.0)
    rows = np.tile(np.arange(200), 3)
    thrice = Predicted(of.risk[rows], of.outcomes.take(rows), 1, HORIZON, of.patient_id[rows], of.landmark[rows])
    once, again = (searched_gains(one, GRID, rng=np.random.default_rng(1), n_bootstrap=100) for one in (of, thrice))
    for one, other in zip(once, again, strict=True):
        np.testing.assert_allclose([one.point, one.low, one.high], [other.point, other.low, other.high], atol=1e-9)
