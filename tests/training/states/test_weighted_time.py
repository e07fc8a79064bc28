"""Weighted time, thresholds and the plane: identities of what they are made of."""

from __future__ import annotations

import numpy as np
import pytest
from state_processes import DAILY, drawn

from training.effects.estimates import difference_of
from training.states.occupation import Occupation, occupation
from training.states.weighted_time import expected_days, threshold, trade

TIMES = np.array([90.0, 365.0])


@pytest.fixture(scope="module")
def groups() -> tuple[Occupation, Occupation]:
    """A group, and one with more infections and fewer relapses."""
    other = DAILY.copy()
    other[0, 1], other[0, 2] = 2 * other[0, 1], 0.1 * other[0, 2]
    return occupation(drawn(1, 200), TIMES), occupation(drawn(2, 200, daily=other), TIMES)


def test_worth_of_one_state_is_its_days_and_of_all_is_the_time(groups: tuple[Occupation, Occupation]) -> None:
    one = groups[0]
    for state in range(4):
        found = expected_days(one, 1, np.eye(4)[state])
        assert found.point == pytest.approx(one.days[1, state])
        assert found.standard_error == pytest.approx(one.errors()[2][1, state])
    assert expected_days(one, 1, [0.5] * 4).point == pytest.approx(0.5 * 365)


def test_at_the_threshold_both_groups_are_equal(groups: tuple[Occupation, Occupation]) -> None:
    one, other = groups
    found = threshold(one, other, 1, [1, 0.3, 0, 0], 1)
    assert 0 < found.equal_at < 1
    at = [1, found.equal_at, 0, 0]
    assert difference_of(expected_days(one, 1, at), expected_days(other, 1, at)).point == pytest.approx(0, abs=1e-9)
    assert found.at_none.point * found.at_full.point < 0
    never = threshold(one, one, 1, [1, 0.3, 0, 0], 1)
    assert np.isnan(never.equal_at)


def test_the_region_is_at_one_distance_from_the_estimate(groups: tuple[Occupation, Occupation]) -> None:
    one = groups[0]
    found = trade(one, 1, 1, (0, 1))
    assert found.harm == pytest.approx(one.entered[1, 1])
    assert found.benefit_days == pytest.approx(one.days[1, :2].sum())
    assert found.covariance[1, 1] ** 0.5 == pytest.approx(expected_days(one, 1, [1, 1, 0, 0]).standard_error)
    harm, benefit = found.region()
    off = np.stack([harm - found.harm, benefit - found.benefit_days])
    distance = np.einsum("ip,ij,jp->p", off, np.linalg.inv(found.covariance), off)
    np.testing.assert_allclose(distance, 5.991464547)  # the 95 % quantile of χ² with two degrees of freedom
