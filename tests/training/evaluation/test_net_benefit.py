"""Decision curves: by hand, against the plain count without censoring, with intervals that cover."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from features.outcomes import Outcomes
from training.evaluation.net_benefit import NetBenefit, decision_curve

Draw = Callable[..., Any]
HORIZON = 20.0


def curve(
    risk: Any, outcomes: Outcomes, thresholds: list[float], n_bootstrap: int = 0, **given: Any
) -> list[NetBenefit]:
    rng = np.random.default_rng(given.get("seed", 0))
    patients = given.get("patients", np.arange(len(outcomes)))
    return decision_curve(risk, outcomes, 1, HORIZON, thresholds, patients, rng=rng, n_bootstrap=n_bootstrap)


def test_without_censoring_it_is_the_plain_count(draw: Draw) -> None:
    outcomes, _, truth = draw(1, 500)
    outcomes = Outcomes(outcomes.duration_days, np.where(outcomes.cause == 0, 2, outcomes.cause), outcomes.causes)
    risk, had = truth[:, 0, 2], (outcomes.cause == 1) & (outcomes.duration_days <= HORIZON)
    for found, level in zip(curve(risk, outcomes, [0.1, 0.4, 0.7]), [0.1, 0.4, 0.7], strict=True):
        true, false = (had & (risk >= level)).sum(), (~had & (risk >= level)).sum()
        assert found.threshold == level
        assert found.treated == (true + false) / 500
        assert found.model.point == pytest.approx((true - false * level / (1 - level)) / 500)
        assert found.treat_all.point == pytest.approx((had.sum() - (~had).sum() * level / (1 - level)) / 500)
        assert found.gain.point == pytest.approx(found.model.point - max(found.treat_all.point, 0))


def test_a_competing_event_is_no_censoring() -> None:
    # Four treated: one event, two competing before it, one followed. As censorings they would make the event certain.
    outcomes = Outcomes(np.array([1.0, 2.0, 3.0, 30.0]), np.array([2, 2, 1, 0]), ("infection", "death"))
    (found,) = curve(np.full(4, 0.5), outcomes, [0.5])
    assert found.model.point == pytest.approx(0.25 - 0.75)


def test_the_threshold_itself_is_treated_and_nobody_above_the_highest_risk(draw: Draw) -> None:
    outcomes, *_ = draw(1, 50)
    at, above = curve(np.full(50, 0.3), outcomes, [0.3, 0.30001], n_bootstrap=20)
    assert (at.treated, above.treated) == (1.0, 0.0)
    assert at.model == at.treat_all
    assert (above.model.point, above.model.low, above.model.high) == (0.0, 0.0, 0.0)


def test_truth_beats_distortion_and_the_defaults(draw: Draw) -> None:
    outcomes, _, truth = draw(3, 20_000, tied=False)
    risk = truth[:, 0, 2]
    thresholds = [0.3, 0.5, 0.6, 0.7]
    for right, high, low in zip(
        *(curve(x, outcomes, thresholds) for x in (risk, 1 - (1 - risk) ** 2, 0.6 * risk)), strict=True
    ):
        assert right.gain.point > 0
        assert right.model.point > max(high.model.point, low.model.point)


def test_intervals_cover_the_expected_benefit(draw: Draw) -> None:
    truth = draw(9, 200_000, tied=False)[2][:, 0, 2]
    level = 0.6
    known = np.where(truth >= level, truth - (1 - truth) * level / (1 - level), 0.0).mean()
    covered = 0
    for seed in range(120):
        outcomes, _, incidence = draw(seed, 200, tied=False)
        (found,) = curve(incidence[:, 0, 2], outcomes, [level], n_bootstrap=100, seed=seed)
        covered += found.model.low <= known <= found.model.high
    assert covered >= 103  # 95 % of 120 is 114


def test_rows_of_a_patient_are_drawn_together(draw: Draw) -> None:
    outcomes, _, incidence = draw(1, 100)
    rows = np.tile(np.arange(100), 4)
    copies, risk = outcomes.take(rows), incidence[rows, 0, 2]
    grouped, ignored = (
        curve(risk, copies, [0.5], n_bootstrap=200, patients=ids)[0].model for ids in (rows, np.arange(400))
    )
    assert grouped.high - grouped.low > 1.6 * (ignored.high - ignored.low)  # 2 in expectation


def test_those_treated_but_lost_before_the_horizon_tell_nothing() -> None:
    outcomes = Outcomes(np.array([5.0, 6.0, 30.0, 30.0]), np.array([1, 0, 0, 0]), ("infection",))
    treated, both = curve(np.array([0.9, 0.9, 0.2, 0.2]), outcomes, [0.5, 0.1])
    assert np.isnan(treated.model.point)
    assert np.isfinite(both.model.point)
    died = Outcomes(np.array([5.0, 6.0, 30.0, 30.0]), np.array([1, 2, 0, 0]), ("infection", "death"))
    (found,) = curve(np.array([0.9, 0.9, 0.2, 0.2]), died, [0.5])
    assert found.model.point == pytest.approx(0.25 - 0.25)


@pytest.mark.parametrize(
    ("risk", "level"),
    [pytest.param(np.ones(3), 0.5, id="rows"), (np.ones(4), 0.0), (np.ones(4), 1.0), (np.ones(4), np.nan)],
)
def test_refuses(risk: Any, level: float) -> None:
    outcomes = Outcomes(np.arange(1.0, 5.0), np.ones(4, dtype=np.int64), ("infection",))
    with pytest.raises(ValueError, match="for 4 rows, or a threshold that is not between 0 and 1"):
        curve(risk, outcomes, [level])
