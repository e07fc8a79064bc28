"""How long values stay alike: recovered from simulated processes, and what it makes likely."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.drift import DECILES, Spread
from features.patients import Measurements
from features.persistence import Persistence, likely_values
from training.persistence_fit import persistence, persistences


def process(share: float, days: float, n_patients: int, seed: int) -> Measurements:
    """Skewed values of an exponential process with measurement error, at irregular days."""
    rng = np.random.default_rng(seed)
    taken = np.sort(rng.uniform(0, 120, (n_patients, 8)), axis=1)
    values = np.empty_like(taken)
    for i, at in enumerate(taken):
        covariance = share * np.exp(-np.abs(at[:, None] - at) / days) + (1 - share) * np.eye(len(at))
        values[i] = np.exp(rng.multivariate_normal(np.zeros(len(at)), covariance))
    row = np.repeat(np.arange(n_patients), taken.shape[1])
    return Measurements.from_columns(
        n_patients, row, ("crp",), np.zeros(len(row), dtype=np.int64), taken.ravel(), values.ravel()
    )


@pytest.mark.parametrize(("share", "days"), [(0.9, 60.0), (0.6, 20.0), (0.95, 5.0)])
def test_both_numbers_are_recovered(share: float, days: float) -> None:
    found = persistences(process(share, days, 800, 1))["crp"]
    for lag in (1.0, 7.0, 14.0, 30.0):
        assert found.correlation(lag) == pytest.approx(share * np.exp(-lag / days), abs=0.06)


def test_values_that_tell_nothing_of_one_another_stay_so() -> None:
    found = persistences(process(0.0, 10.0, 400, 2))["crp"]
    assert found.correlation(7.0) < 0.05


def test_too_few_patients_say_nothing() -> None:
    few = process(0.9, 60.0, 9, 3)
    assert persistences(few) == {}
    alike = np.ones(80)
    assert persistence(np.repeat(np.arange(20), 4), np.tile(np.arange(4.0), 20), alike) is None


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    last=st.floats(-5, 5),
    correlation=st.floats(0, 0.999),
)
def test_likely_values_lie_within_and_rise_with_the_last_one(seed: int, last: float, correlation: float) -> None:
    spread = Spread.of(np.random.default_rng(seed).normal(size=300))
    found = likely_values(spread, last, correlation)
    assert len(found) == len(DECILES)
    assert list(found) == sorted(found)
    assert spread.edges[0] <= found[0] <= found[-1] <= spread.edges[-1]
    assert (np.array(likely_values(spread, last + 0.5, correlation)) >= np.array(found) - 1e-12).all()
    assert likely_values(spread, last, 0.0) == likely_values(spread, None, 0.0)


def test_likely_values_are_deciles_of_the_conditional_distribution() -> None:
    fine = Spread(edges=tuple(np.linspace(-3, 3, 601)), counts=_normal_counts(), missing=0)
    found = likely_values(fine, 1.5, 0.8)
    expected = 0.8 * 1.5 + 0.6 * np.array([NormalDist().inv_cdf(share) for share in DECILES])
    np.testing.assert_allclose(found, expected, atol=0.01)
    assert likely_values(fine, 1.5, Persistence(share=0.9, days=10.0).correlation(1e6)) == likely_values(fine, None, 0)


def _normal_counts() -> tuple[int, ...]:
    edges = np.linspace(-3, 3, 601)
    below = np.array([NormalDist().cdf(edge) for edge in edges])
    return tuple(np.round(1e9 * np.diff(np.concatenate([[0.0], below, [1.0]]))).astype(int).tolist())
