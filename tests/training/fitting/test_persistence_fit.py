"""How long values stay alike: recovered from simulated processes around a course, and what it makes likely."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.drift import DECILES, Spread, rounded
from features.patients import FloatArray, Measurements
from features.persistence import Persistence, usual_values
from training.fitting.persistence import mean_course, persistence, persistences

LANDMARKS = (0.0, 90.0)
NORMAL = np.array([NormalDist().inv_cdf(share) for share in DECILES])


def flat(day: FloatArray) -> FloatArray:
    return np.zeros_like(day)


def decline(day: FloatArray) -> FloatArray:
    return -day / 15


def nadir(day: FloatArray) -> FloatArray:
    """Falls within two weeks, and comes back within the next six."""
    return np.interp(day, [0, 14, 56], [0.0, -3.0, 0.0])


def process(
    share: float, days: float, n_patients: int, seed: int, course: Callable[[FloatArray], FloatArray] = flat
) -> Measurements:
    """Skewed values of an exponential process with measurement error around a course, at irregular days."""
    rng = np.random.default_rng(seed)
    taken = np.sort(rng.uniform(0, 120, (n_patients, 8)), axis=1)
    logs = np.empty_like(taken)
    for i, at in enumerate(taken):
        covariance = share * np.exp(-np.abs(at[:, None] - at) / days) + (1 - share) * np.eye(len(at))
        logs[i] = course(at) + rng.multivariate_normal(np.zeros(len(at)), covariance)
    return crp(taken, np.exp(logs))


def crp(taken: FloatArray, value: FloatArray) -> Measurements:
    """Of days and values (patients, times)."""
    row = np.repeat(np.arange(len(taken)), taken.shape[1])
    variable = np.zeros(len(row), dtype=np.int64)
    return Measurements.from_columns(len(taken), row, ("crp",), variable, taken.ravel(), value.ravel())


@pytest.mark.parametrize("course", [flat, nadir])
@pytest.mark.parametrize(("share", "days"), [(0.9, 60.0), (0.6, 20.0), (0.95, 5.0)])
def test_both_numbers_are_recovered(share: float, days: float, course: Callable[[FloatArray], FloatArray]) -> None:
    found = persistences(process(share, days, 800, 1, course), LANDMARKS)["crp"]
    for lag in (1.0, 7.0, 14.0, 30.0):
        assert found.correlation(lag) == pytest.approx(share * np.exp(-lag / days), abs=0.06)


@pytest.mark.parametrize("course", [flat, decline, nadir])
def test_a_course_that_all_share_is_no_persistence(course: Callable[[FloatArray], FloatArray]) -> None:
    found = persistences(process(0.0, 10.0, 400, 2, course), LANDMARKS)["crp"]
    assert found.correlation(1.0) < 0.08
    assert found.correlation(7.0) < 0.05


def test_a_straight_course_is_recovered_and_of_few_values_their_mean() -> None:
    rng = np.random.default_rng(4)
    day = rng.uniform(0, 60, 20_000)
    knots, means = mean_course(day, decline(day) + rng.normal(size=len(day)))
    np.testing.assert_allclose(means, decline(knots), atol=0.15)
    assert (knots == np.round(knots)).all()
    one, other = mean_course(day[:25], np.full(25, 0.3))
    assert (len(one), other.tolist()) == (1, pytest.approx([0.3]))


def test_only_values_around_the_landmarks_count() -> None:
    rng = np.random.default_rng(5)
    taken = np.column_stack([np.tile(np.arange(-25.0, 125, 25), (60, 1)), np.tile([-200.0, 400.0, 430.0], (60, 1))])
    value = np.exp(rng.normal(size=(60, 1)) + 0.3 * rng.normal(size=taken.shape))
    value[:, -3:] = rng.uniform(1e3, 1e4, (60, 3))
    near = (taken[0] >= -30) & (taken[0] <= 120)
    assert persistences(crp(taken, value), LANDMARKS) == persistences(crp(taken[:, near], value[:, near]), LANDMARKS)
    assert persistences(crp(taken, value), LANDMARKS)["crp"].values[-1][0] < 1e3
    assert persistences(crp(taken, value), (500.0,)) == {}


def test_too_few_patients_say_nothing() -> None:
    few = process(0.9, 60.0, 9, 3)
    assert persistences(few, LANDMARKS) == {}
    row, day = np.repeat(np.arange(20), 4), np.tile(np.arange(4.0), 20)
    assert persistence(row, day, np.ones(80)) is None
    assert persistence(row, day, day) is None  # the day alone tells the value


def test_no_bound_is_a_value_of_a_patient_and_shares_are_those_below() -> None:
    measured = process(0.9, 60.0, 500, 6)
    found = persistences(measured, LANDMARKS)["crp"]
    bounds, below = map(np.array, zip(*found.values, strict=True))
    assert not set(bounds) & set(measured.value.tolist())
    assert (bounds == rounded(bounds)).all()
    np.testing.assert_allclose(below, (measured.value[:, None] < bounds).mean(axis=0), atol=1e-3)
    assert (below[0], below[-1]) == (pytest.approx(0.025, abs=0.01), pytest.approx(0.975, abs=0.01))
    assert Persistence.model_validate_json(found.model_dump_json()) == found


def test_values_below_a_limit_of_detection_are_covered() -> None:
    measured = process(0.9, 60.0, 200, 7)
    found = persistence(measured.row, measured.day, np.maximum(measured.value, 1.149))
    assert found is not None
    assert found.values[0][0] == pytest.approx(1.1)
    assert found.covers(1.149)
    assert not found.covers(0.9)


def test_what_comes_is_as_likely_as_said() -> None:
    """Of other patients of the same process around a nadir, tenths lie between likely deciles, high or low before."""
    found = persistences(process(0.9, 40.0, 1_000, 8, nadir), LANDMARKS)["crp"]
    others = process(0.9, 40.0, 800, 9, nadir)
    one = np.flatnonzero((others.row[1:] == others.row[:-1]) & [found.covers(value) for value in others.value[:-1]])
    day, value = others.day, others.value
    likely = np.array([found.likely_values(day[i + 1], (day[i], value[i])) for i in one])
    below = value[one + 1, None] <= likely
    high = np.log(value[one]) > nadir(day[one])
    np.testing.assert_allclose(below.mean(axis=0), DECILES, atol=0.03)
    np.testing.assert_allclose(below[high].mean(axis=0), DECILES, atol=0.05)
    np.testing.assert_allclose(below[~high].mean(axis=0), DECILES, atol=0.05)
    course = np.array([found.likely_values(one, None) for one in day])
    np.testing.assert_allclose((value[:, None] <= course).mean(axis=0), DECILES, atol=0.04)


def test_high_values_stay_high() -> None:
    """The highest that are covered, of ferritin after an infusion, are followed by such."""
    measured = process(0.95, 200.0, 500, 9)
    value = 1_500 * measured.value
    found = persistence(measured.row, measured.day, value)
    assert found is not None
    high = float(np.quantile(value, 0.96))
    likely = found.likely_values(57.0, (50.0, high))
    assert likely[0] > np.quantile(value, 0.85)
    assert likely[0] < high <= likely[-1]
    assert not found.covers(50_000.0)


def test_likely_values_are_deciles_of_the_conditional_distribution() -> None:
    grid = np.linspace(-4, 4, 801)
    even = tuple((float(value), NormalDist().cdf(value)) for value in grid)
    one = Persistence(share=0.9, days=20.0, course=((0.0, 0.5), (10.0, -0.5)), spread=0.8, values=even)
    correlation = 0.9 * np.exp(-5 / 20)
    expected = -0.1 + correlation * (1.5 - 0.4) + 0.8 * np.sqrt(1 - correlation**2) * NORMAL
    np.testing.assert_allclose(one.likely_values(6.0, (1.0, 1.5)), expected, atol=1e-6)
    np.testing.assert_allclose(one.likely_values(50.0, None), -0.5 + 0.8 * NORMAL, atol=1e-6)
    np.testing.assert_allclose(one.likely_values(1e6, (1.0, 1.5)), one.likely_values(1e6, None), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    mean=st.floats(-2, 2),
    spread=st.floats(0.05, 1.5),
    share=st.floats(0, 0.99),
    days=st.tuples(st.floats(-30, 60), st.floats(0, 30)),
    last=st.floats(-5, 5),
)
def test_likely_values_lie_within_and_rise_with_the_last_one(
    mean: float, spread: float, share: float, days: tuple[float, float], last: float
) -> None:
    values = ((-2.0, 0.03), (-1.0, 0.2), (0.0, 0.4), (3.0, 0.97))
    one = Persistence(share=share, days=15.0, course=((0.0, mean), (20.0, 0.0)), spread=spread, values=values)
    taken, then = days[0], sum(days)
    found = one.likely_values(then, (taken, last))
    assert len(found) == len(DECILES)
    assert list(found) == sorted(found)
    assert -2 <= found[0] <= found[-1] <= 3
    assert (np.array(one.likely_values(then, (taken, last + 0.5))) >= np.array(found) - 1e-12).all()


def test_without_persistence_all_deciles_are_as_likely() -> None:
    values = np.random.default_rng(10).normal(size=3_000)
    np.testing.assert_allclose(usual_values(Spread.of(values)), np.quantile(values, DECILES), atol=0.06)
