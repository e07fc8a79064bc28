"""What comparisons of arms must do whatever the data: relabelling, order, time, and patients who tell nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.outcomes import Outcomes
from training.effects.arms import Arms
from training.effects.estimates import QUANTILE, ratio
from training.effects.gray import gray_test
from training.effects.hazards import cause_specific_ratios, subdistribution_ratios
from training.effects.logrank import log_rank_test
from training.effects.risks import RISK, by_arm, differences, ratios, risk
from training.effects.time_lost import TIME_LOST, time_lost

Draw = Callable[..., Arms]
SEEDS = st.integers(0, 2**31)
AT = np.array([20.0, 60.0])


def everything(arms: Arms, at: np.ndarray) -> dict[str, np.ndarray]:
    """All numbers of a comparison, by name."""
    found = {}
    for cause in (1, 2):
        for name, test in (("gray", gray_test), ("log rank", log_rank_test)):
            one = test(arms, cause)
            found[f"{name} {cause}"] = np.array([one.statistic, one.p])
        for name, ratios_of in (("cox", cause_specific_ratios), ("fine gray", subdistribution_ratios)):
            found[f"{name} {cause}"] = np.array([(one.point, one.standard_error) for one in ratios_of(arms, cause)])
    risks, lost = by_arm(arms, RISK, at), by_arm(arms, TIME_LOST, at)
    for name, tables in (("risk", risks), ("difference", differences(risks)), ("ratio", ratios(risks))):
        found[name] = np.array([[[(o.point, o.low, o.high) for o in row] for row in table] for table in tables])
    found["lost"] = np.array([[[(o.point, o.low, o.high) for o in row] for row in table] for table in lost])
    return found


def assert_same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    for name, values in first.items():
        np.testing.assert_allclose(values, second[name], rtol=1e-7, atol=1e-9, err_msg=name)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_the_order_of_patients_does_not_matter(draw: Draw, seed: int) -> None:
    arms = draw(seed)
    order = np.random.default_rng(seed).permutation(len(arms))
    assert arms.stratum is not None
    again = Arms(arms.outcomes.take(order), arms.arm[order], arms.names, arms.stratum[order])
    assert_same(everything(arms, AT), everything(again, AT))


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_the_names_of_arms_do_not_matter(draw: Draw, seed: int) -> None:
    """The tests stay; ratios to another reference are quotients of those to the first."""
    arms = draw(seed)
    turned = replace(arms, arm=2 - arms.arm, names=arms.names[::-1])
    first, second = everything(arms, AT), everything(turned, AT)
    for cause in (1, 2):
        for name in ("gray", "log rank"):
            np.testing.assert_allclose(first[f"{name} {cause}"], second[f"{name} {cause}"], rtol=1e-7, atol=1e-10)
        for name in ("cox", "fine gray"):
            to_last = second[f"{name} {cause}"][:, 0]  # of the arms 1 and 0 to arm 2
            to_first = first[f"{name} {cause}"][:, 0]  # of the arms 1 and 2 to arm 0
            np.testing.assert_allclose(to_last, [to_first[0] / to_first[1], 1 / to_first[1]], rtol=1e-6)
    np.testing.assert_allclose(first["risk"], second["risk"][::-1])


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, factor=st.sampled_from([0.5, 7.0, 365.25]))
def test_the_unit_of_time_does_not_matter(draw: Draw, seed: int, factor: float) -> None:
    arms = draw(seed)
    outcomes = replace(arms.outcomes, duration_days=arms.outcomes.duration_days * factor)
    first, second = everything(arms, AT), everything(replace(arms, outcomes=outcomes), AT * factor)
    first["lost"] = first["lost"] * factor
    assert_same(first, second)


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_who_leaves_before_the_first_event_does_not_matter(draw: Draw, seed: int) -> None:
    arms = draw(seed, n_strata=1)
    n = len(arms)
    gone = Outcomes(np.full(n, 0.5), np.zeros(n, dtype=np.int64), arms.outcomes.causes)
    both = Outcomes.concatenate([arms.outcomes, gone])
    twice = Arms(both, np.tile(arms.arm, 2), arms.names, np.zeros(2 * n, dtype=np.int64))
    assert_same(everything(arms, AT), everything(twice, AT))


@settings(max_examples=15, deadline=None)
@given(seed=SEEDS)
def test_times_lost_and_time_without_event_add_up(draw: Draw, seed: int) -> None:
    outcomes = draw(seed).outcomes
    horizon = float(outcomes.duration_days.max())
    steps = np.unique(np.concatenate([[0.0], outcomes.duration_days]))
    free = [np.mean(outcomes.duration_days > t) for t in steps[:-1]]
    everyone = replace(outcomes, cause=np.maximum(outcomes.cause, 1))  # nobody censored: S is the plain share
    lost = time_lost(everyone, np.array([horizon])).sum()
    assert lost == pytest.approx(horizon - float(np.sum(np.diff(steps) * free)))


def test_equal_arms_are_rarely_told_apart_and_planted_differences_are_found(draw: Draw) -> None:
    wrong, found = np.zeros(2), np.zeros(2)
    for seed in range(200):
        arms = draw(seed, n=200, n_arms=2)
        shuffled = replace(arms, arm=np.random.default_rng(seed).permutation(arms.arm))
        wrong += [gray_test(shuffled, 1).p < 0.05, log_rank_test(shuffled, 1).p < 0.05]
        strong = replace(arms, outcomes=draw(seed, n=200, n_arms=2).outcomes)
        found += [gray_test(strong, 1).p < 0.05, log_rank_test(strong, 1).p < 0.05]
    assert (wrong <= 20).all()  # 200 draws of 0.05: mean 10, standard deviation 3.1
    assert (found > 2 * wrong).all()


def test_late_entry(draw: Draw) -> None:
    arms = draw(3)
    late = replace(arms, outcomes=replace(arms.outcomes, entry_days=arms.outcomes.duration_days / 3))
    with pytest.raises(ValueError, match="late"):
        gray_test(late, 1)
    zero = replace(arms, outcomes=replace(arms.outcomes, entry_days=np.zeros(len(arms))))
    assert log_rank_test(zero, 1) == log_rank_test(arms, 1)
    assert log_rank_test(late, 1).statistic != log_rank_test(arms, 1).statistic


def test_arms_without_events_have_no_ratio_and_the_others_keep_theirs(draw: Draw) -> None:
    arms = draw(5, n_strata=1)
    cause = np.where((arms.arm == 1) & (arms.outcomes.cause == 1), 0, arms.outcomes.cause)
    silent = replace(arms, outcomes=replace(arms.outcomes, cause=cause))
    found = cause_specific_ratios(silent, 1)
    assert np.isnan(found[0].point)
    two = np.flatnonzero(arms.arm != 1)
    without = Arms(arms.outcomes.take(two), arms.arm[two] // 2, ("a", "c"))
    assert found[1].point == pytest.approx(cause_specific_ratios(without, 1)[0].point)
    turned = replace(silent, arm=np.array([1, 0, 2])[silent.arm])
    assert all(np.isnan(one.point) for one in cause_specific_ratios(turned, 1))
    nobody = replace(arms, outcomes=replace(arms.outcomes, cause=np.zeros(len(arms), dtype=np.int64)))
    assert np.isnan(gray_test(nobody, 1).p)
    assert np.isnan(log_rank_test(nobody, 1).p)


def test_strata_with_one_arm_each_tell_nothing(draw: Draw) -> None:
    arms = draw(6, n_arms=2)
    apart = replace(arms, stratum=arms.arm)
    assert np.isnan(gray_test(apart, 1).p)
    assert np.isnan(cause_specific_ratios(apart, 1)[0].point)


@pytest.mark.parametrize("change", [{"names": ("a",)}, {"names": ("a", "b", "c", "d")}, {"stratum": np.zeros(4)}])
def test_arms_must_fit(draw: Draw, change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="at least two arms"):
        replace(draw(1), **change)


def test_bounds_beyond_what_a_double_holds_are_none() -> None:
    for found in (ratio(0.0, 400.0), risk(0.5, 1e4), risk(1e-17, 1.0)):
        assert np.isnan([found.low, found.high]).all()
    assert ratio(0.0, 400.0).point == 1.0
    assert ratio(0.0, 300.0).high == pytest.approx(np.exp(300 * QUANTILE))


def test_an_arm_without_event_is_not_free_of_error() -> None:
    """The point stays; by day 8 arm a has an event, too."""
    outcomes = Outcomes(np.array([7.0, 9, 9, 9, 2, 3, 9, 9]), np.array([1, 0, 0, 0, 1, 1, 0, 0]), ("infection",))
    arms = Arms(outcomes, np.repeat([0, 1], 4), ("a", "b"))
    for measure, point in ((RISK, 0.5), (TIME_LOST, 5.0 / 4)):
        (((early, late),),) = differences(by_arm(arms, measure, np.array([5.0, 8.0])))
        assert early.point == pytest.approx(point)
        assert np.isnan([early.low, early.high, early.p]).all()
        assert late.low < late.point < late.high
