"""Effects in groups of patients: what is planted is found, what is not is seldom claimed, and groups add up."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from benchmarks.effects_cohorts import EFFECTS, HORIZON_DAYS, confounded
from features.outcomes import Outcomes
from training.effects.adjusted import doubly_robust
from training.effects.arms import Arms
from training.effects.estimates import Estimate, difference
from training.effects.risks import RISK, by_arm, differences
from training.effects.subgroups import heterogeneity, subgroups

AT = np.array([150.0])


def trial(seed: int, n: int, effects: tuple[float, float]) -> tuple[Arms, np.ndarray]:
    """A randomised trial in two groups, in each of which the arm multiplies the hazard by its own factor."""
    rng = np.random.default_rng(seed)
    arm, group = rng.integers(2, size=n), rng.integers(2, size=n)
    hazard = np.column_stack([0.004 * np.array(effects)[group] ** arm, np.full(n, 0.002)])
    latent = np.column_stack([rng.uniform(60, 400, n), rng.exponential(1 / hazard)])
    outcomes = Outcomes(latent.min(axis=1), latent.argmin(axis=1), ("infection", "death"))
    return Arms(outcomes, arm, ("a", "b")), group


def p_of(seed: int, n: int, effects: tuple[float, float]) -> float:
    arms, group = trial(seed, n, effects)
    found = subgroups(arms, group, ("first", "second"), RISK, AT)
    return heterogeneity([one.differences[0][0][0] for one in found if one.differences is not None]).p


def test_planted_heterogeneity_is_found_and_p_is_even_without() -> None:
    assert sum(p_of(seed, 600, (0.3, 2.0)) < 0.05 for seed in range(40)) >= 36
    assert kstest([p_of(seed, 300, (0.6, 0.6)) for seed in range(200)], "uniform").pvalue > 0.001


def test_one_group_of_everyone_is_everyone() -> None:
    cohort = confounded(np.random.default_rng(0), 400, EFFECTS["effect"])
    everyone = np.zeros(400, dtype=np.int64)
    robust = doubly_robust(cohort.arms, cohort.x, RISK, HORIZON_DAYS, rng=np.random.default_rng(1))
    plain = differences(by_arm(cohort.arms, RISK, HORIZON_DAYS))
    for adjusted, whole in ((None, plain), (robust, robust.differences())):
        (one,) = subgroups(cohort.arms, everyone, ("all",), RISK, HORIZON_DAYS, adjusted)
        assert one.n_rows == 400
        assert one.differences is not None
        for found, expected in zip(one.differences[0], whole[0], strict=True):
            assert found[0].point == pytest.approx(expected[0].point)
            assert found[0].standard_error == pytest.approx(expected[0].standard_error)


def test_adjusted_groups_average_to_the_whole() -> None:
    cohort = confounded(np.random.default_rng(2), 500, EFFECTS["effect"])
    group = (cohort.x[:, 1] > 0).astype(np.int64)
    robust = doubly_robust(cohort.arms, cohort.x, RISK, HORIZON_DAYS, rng=np.random.default_rng(1))
    found = subgroups(cohort.arms, group, ("no", "yes"), RISK, HORIZON_DAYS, robust)
    points = [one.differences[0][0][0].point for one in found if one.differences is not None]
    mean = np.average(points, weights=[one.n_rows for one in found])
    assert mean == pytest.approx(robust.differences()[0][0][0].point)


def test_small_groups_and_patients_of_no_group() -> None:
    arms, group = trial(3, 200, (1.0, 1.0))
    group = np.where(np.arange(200) < 6, 2, group)
    group[-50:] = -1
    found = subgroups(arms, group, ("first", "second", "few"), RISK, AT)
    assert sum(one.n_rows for one in found) == 150
    assert found[2].differences is None
    assert all(one.differences is not None for one in found[:2])


def test_nothing_is_said_of_a_group_beyond_the_follow_up_of_an_arm() -> None:
    """Hazards are equal; arm b of the second group is censored by day 60, so that its curve ends there."""
    arms, group = trial(4, 400, (1.0, 1.0))
    outcomes = arms.outcomes
    cut = (arms.arm == 1) & (group == 1) & (outcomes.duration_days > 60)
    early = Outcomes(np.where(cut, 60.0, outcomes.duration_days), np.where(cut, 0, outcomes.cause), outcomes.causes)
    arms = Arms(early, arms.arm, arms.names)
    robust = doubly_robust(arms, group[:, None] - 0.5, RISK, np.array([60.0, 150.0]), rng=np.random.default_rng(0))
    for adjusted in (None, robust):
        found = subgroups(arms, group, ("first", "second"), RISK, np.array([60.0, 150.0]), adjusted)
        points = [[one.point for one in part.differences[0][0]] for part in found if part.differences is not None]
        np.testing.assert_array_equal(np.isnan(points), [[False, False], [False, True]])


def test_heterogeneity_is_cochrans_q() -> None:
    """Two groups: Q is the squared z of their difference."""
    q = heterogeneity([difference(0.3, 0.1), difference(0.1, 0.2)])
    assert q.statistic == pytest.approx(0.2**2 / (0.1**2 + 0.2**2))
    assert q.degrees == 1
    unknown = Estimate(0.1, np.nan, np.nan, np.nan, np.nan)
    assert np.isnan(heterogeneity([difference(0.3, 0.1), unknown]).p)
