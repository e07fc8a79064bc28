"""The bootstrap draws patients, is reproducible, covers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from features.outcomes import Outcomes
from training.evaluation import intervals
from training.evaluation.brier import integrate
from training.evaluation.comparison import paired_difference
from training.evaluation.intervals import percentile_interval, resample_patients
from training.evaluation.scores import evaluate

Draw = Callable[..., Any]


def test_rows_of_a_patient_are_drawn_together() -> None:
    patient_id = np.array(["b", "a", "b", "c"])
    (block,) = resample_patients(patient_id, 500, np.random.default_rng(0))
    assert block.shape == (500, 4)
    np.testing.assert_array_equal(block[:, 0], block[:, 2])
    np.testing.assert_array_equal(block[:, :2].sum(axis=1) + block[:, 3], 3)
    np.testing.assert_allclose(block.mean(axis=0), 1, atol=0.15)


def test_blocks_bound_memory_and_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = resample_patients(list("abcde"), 7, np.random.default_rng(0))
    monkeypatch.setattr(intervals, "VALUES_AT_ONCE", 10)
    blocks = list(resample_patients(list("abcde"), 7, np.random.default_rng(0)))
    assert [len(block) for block in blocks] == [2, 2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_percentiles() -> None:
    found = percentile_interval(0.5, np.append(np.arange(101.0), np.nan))
    assert found.point == 0.5
    assert (found.low, found.high) == pytest.approx((2.5, 97.5))


@pytest.mark.parametrize(
    ("point", "draws"),
    [
        pytest.param(0.5, [1.0, np.nan], id="half without a value"),
        pytest.param(np.nan, [1.0, 2.0], id="no point"),
        pytest.param(0.5, [], id="no resamples"),
    ],
)
def test_no_bounds(point: float, draws: list[float]) -> None:
    found = percentile_interval(point, np.array(draws))
    assert np.isnan([found.low, found.high]).all()


def test_intervals_cover_the_expected_score(draw: Draw) -> None:
    _, times, truth = draw(9, 100_000, tied=False)
    known = integrate((truth * (1 - truth)).mean(axis=0), times)[0]
    first_larger = truth * (1 - truth) - (
        0.7 * truth * (0.7 * truth - 2 * truth) + truth
    )  # E of score of truth − 0.7 truth
    difference = integrate(first_larger.mean(axis=0), times)[0]
    covered = np.zeros(2)
    for seed in range(120):
        outcomes, _, incidence = draw(seed, 200, tied=False)
        patients, rng = np.arange(200), np.random.default_rng(seed)
        ibs = evaluate(incidence, times, outcomes, times[-1:], patients, n_bootstrap=100, seed=seed).causes[0].ibs
        pair = paired_difference(incidence, 0.7 * incidence, times, outcomes, patients, rng=rng, n_bootstrap=100)
        covered += [ibs.low <= known <= ibs.high, pair.ibs[0].low <= difference <= pair.ibs[0].high]
    # 95 % of 120 is 114; percentile intervals of 100 resamples cover a little less.
    assert (covered >= 103).all(), covered


def test_repeated_rows_widen_the_interval(draw: Draw) -> None:
    outcomes, times, incidence = draw(1, 100)
    rows = np.tile(np.arange(100), 4)
    copies, repeated = outcomes.take(rows), incidence[rows]
    grouped = evaluate(repeated, times, copies, [20.0], rows, n_bootstrap=200).causes[0].ibs
    ignored = evaluate(repeated, times, copies, [20.0], np.arange(400), n_bootstrap=200).causes[0].ibs
    assert grouped.high - grouped.low > 1.6 * (ignored.high - ignored.low)  # 2 in expectation


def test_resampled_metrics_handle_a_lost_cause() -> None:
    # One event of the second cause: about a third of the resamples have none.
    outcomes = Outcomes(np.array([1.0, 2.0, 3.0, 9.0, 9.0, 9.0]), np.array([1, 2, 1, 0, 0, 0]), ("infection", "death"))
    incidence = np.linspace(0.4, 0.1, 6)[:, None, None] * np.ones((1, 2, 1))
    found = evaluate(incidence, np.array([5.0]), outcomes, [5.0], np.arange(6), n_bootstrap=100)
    death = found.causes[1].horizons[0]
    assert death.auc.point == pytest.approx(0.8)  # above four of five
    assert np.isfinite([death.auc.low, death.auc.high, death.brier.low]).all()
