"""Patients who are unlike those of training, though no single value of theirs is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from features.novelty import Novelty, shrinkage

Matrix = NDArray[np.float64]


def ids(n: int, rows_each: int = 1) -> NDArray[np.object_]:
    return np.array([f"p{i // rows_each}" for i in range(n)], dtype=object)


def learnt(x: Matrix) -> Novelty:
    """From one row a patient, all of one landmark."""
    return Novelty.fit(x, ids(len(x)), np.zeros(len(x)))


def share(found: Novelty, x: Matrix) -> Matrix:
    return found.share(x, np.zeros(len(x)))


def correlated(rng: np.random.Generator, n: int, p: int, rank: int = 5) -> Matrix:
    """A few directions that move many columns, as laboratory values do, and noise of each column's own."""
    loading = np.random.default_rng(p).normal(size=(rank, p))
    return rng.normal(size=(n, rank)) @ loading + 0.5 * rng.normal(size=(n, p))


def brute_force(x: Matrix, patient: NDArray[np.object_]) -> Matrix:
    """Leave-one-patient-out distances, each from a covariance computed anew with the shrinkage of all rows."""
    delta, target = shrinkage(x - x.mean(axis=0))
    distances = np.empty(len(x))
    for row in range(len(x)):
        rest = x[patient != patient[row]]
        covariance = (1 - delta) * np.cov(rest.T, bias=True) + delta * target * np.eye(x.shape[1])
        off = x[row] - rest.mean(axis=0)
        distances[row] = np.sqrt(off @ np.linalg.solve(covariance, off))
    return distances


@pytest.mark.parametrize(("n", "p"), [(200, 10), (50, 200), (30, 30)], ids=["tall", "wide", "square"])
def test_shrinkage_is_that_of_scikit_learn(n: int, p: int) -> None:
    x = correlated(np.random.default_rng(1), n, p)
    expected, expected_delta = ledoit_wolf(x)
    delta, target = shrinkage(x - x.mean(axis=0))
    assert delta == pytest.approx(expected_delta, abs=1e-12)
    found = learnt(x)
    inverse = found.axes.T @ np.diag(1 / found.variance - 1 / found.floor) @ found.axes + np.eye(p) / found.floor
    np.testing.assert_allclose(inverse @ expected, np.eye(p), atol=1e-7)
    assert target == pytest.approx(np.trace(expected) / p)
    new = correlated(np.random.default_rng(2), 20, p)
    off = new - x.mean(axis=0)
    slow = np.sqrt(np.einsum("ij,ij->i", off, np.linalg.solve(expected, off.T).T))
    np.testing.assert_allclose(found.distance(new), slow, rtol=1e-8)


@pytest.mark.parametrize("rows_each", [1, 3], ids=["one row", "three landmarks"])
@pytest.mark.parametrize("p", [4, 150], ids=["few columns", "many columns"])
def test_distances_are_those_to_the_other_patients(p: int, rows_each: int) -> None:
    """And are kept rounded up to three digits, by landmark."""
    n = 120
    patient, day = ids(n, rows_each), np.arange(n) % rows_each * 30.0
    x = correlated(np.random.default_rng(2), n, p) + 0.001
    expected = brute_force(x, patient)
    found = Novelty.fit(x, patient, day)
    assert found.landmark_days == tuple(30.0 * k for k in range(rows_each))
    for landmark, kept in zip(found.landmark_days, found.left_out, strict=True):
        exact = np.sort(expected[day == landmark])
        assert (kept >= exact - 1e-9).all()
        assert (kept <= exact * 1.01 + 1e-9).all()
        assert all(float(f"{one:.3g}") == pytest.approx(one, rel=1e-12) for one in kept)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(4, 40), p=st.integers(1, 30), day=st.sampled_from([0.0, 30.0]))
def test_a_share_counts_the_patients_of_the_landmark(seed: int, n: int, p: int, day: float) -> None:
    """One by one, from the distances; never 0, and no larger farther away; of no landmark, no share."""
    rng = np.random.default_rng(seed)
    days = np.where(np.arange(n) < 2, 0.0, rng.choice([0.0, 30.0], n))
    x = rng.normal(size=(n, p))
    found = Novelty.fit(x, ids(n), days)
    new = found.mean + np.outer([0.0, 1.0, 3.0, 100.0], rng.normal(size=p))
    given_shares = found.share(new, np.full(4, day))
    if day not in found.landmark_days:
        assert np.isnan(given_shares).all()
        return
    kept = found.left_out[found.landmark_days.index(day)]
    expected = [(1 + sum(one >= d for one in kept)) / (1 + len(kept)) for d in found.distance(new)]
    np.testing.assert_allclose(given_shares, expected)
    assert np.isnan(found.share(new, np.full(4, 15.0))).all()
    assert (np.diff(given_shares) <= 0).all()
    assert given_shares[-1] > 0


@pytest.mark.parametrize(
    ("n", "p", "slack"),
    [(1000, 20, 1.1), (300, 60, 1.15), (99, 10, 1.15), (30, 6, 1.2), (50, 200, 1.2)],
    ids=["registry", "study", "at the bound", "few patients", "few patients, many columns"],
)
def test_of_the_same_kind_no_more_are_unlike_than_the_share_says(n: int, p: int, slack: float) -> None:
    """P(share ≤ a) ≤ a, and not far below it where a is a multiple of 1/(n + 1)."""
    shares = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        shares.append(share(learnt(correlated(rng, n, p)), correlated(rng, 2000, p)))
    for least in (0.01, 0.05, 0.2, 0.5):
        attained = np.floor(least * (n + 1)) / (n + 1)
        found = (np.array(shares) <= least).mean()
        assert 0.7 * attained <= found <= slack * attained + 0.002


def test_training_distances_would_flag_far_too_many() -> None:
    """Why they are taken out of sample: the counterpart of the test above."""
    rng = np.random.default_rng(0)
    x = correlated(rng, 100, 60)
    found = learnt(x)
    in_sample = np.quantile(found.distance(x), 0.99)
    assert (found.distance(correlated(rng, 2000, 60)) > in_sample).mean() > 0.05


def test_heavy_tails_and_indicators_do_not_raise_the_rate() -> None:
    rates = []
    for seed in range(30):
        rng = np.random.default_rng(seed)

        def draw(n: int, rng: np.random.Generator = rng) -> Matrix:
            levels = np.eye(4)[rng.choice(4, n, p=[0.5, 0.3, 0.17, 0.03])]
            return np.hstack([np.clip(rng.standard_t(3, (n, 8)), -6, 6), levels])

        rates.append((share(learnt(draw(300)), draw(2000)) <= 0.01).mean())
    assert 0.005 < np.mean(rates) < 0.015


@pytest.mark.parametrize(("n", "p"), [(400, 12), (150, 200)], ids=["usual", "fewer patients than columns"])
def test_who_is_usual_in_each_value_but_not_in_all_is_told(n: int, p: int) -> None:
    """Values 1.2 standard deviations from the mean, with signs that contradict every correlation."""
    rng = np.random.default_rng(3)
    x = correlated(rng, n, p, rank=2)
    found = learnt(x)
    odd = np.tile(1.2 * x.std(axis=0), (20, 1)) * rng.choice([-1.0, 1.0], (20, p)) + x.mean(axis=0)
    assert ((odd > x.min(axis=0)) & (odd < x.max(axis=0))).all(), "no single value is outside"
    assert (share(found, odd) <= 0.01).mean() > 0.9
    assert (share(found, correlated(rng, 200, p, rank=2)) <= 0.01).mean() < 0.04


def test_state_is_arrays_and_gives_the_same_answers() -> None:
    rng = np.random.default_rng(5)
    x = correlated(rng, 40, 70)
    found = Novelty.fit(x, ids(40, 2), np.tile([0.0, 30.0], 20))
    arrays = found.state()
    again = Novelty.from_state(found.floor, found.landmark_days, [len(one) for one in found.left_out], arrays)
    new, day = correlated(rng, 10, 70), rng.uniform(0, 30, 10)
    np.testing.assert_array_equal(again.distance(new), found.distance(new))
    np.testing.assert_array_equal(again.share(new, day), found.share(new, day))
    assert all(array.dtype == np.float64 for array in arrays.values())


@pytest.mark.parametrize("spoilt", ["axes", "variance", "left_out", "mean"])
def test_arrays_that_do_not_fit_are_refused(spoilt: str) -> None:
    found = learnt(correlated(np.random.default_rng(7), 30, 5))
    arrays = found.state()
    arrays[spoilt] = arrays[spoilt][1:]
    with pytest.raises(ValueError, match="novelty: "):
        Novelty.from_state(found.floor, found.landmark_days, [30], arrays)


@pytest.mark.parametrize("x", [np.zeros((5, 0)), np.zeros((5, 3)), np.ones((5, 2))], ids=["none", "zeros", "constant"])
def test_without_anything_that_varies_nobody_is_unlike(x: Matrix) -> None:
    found = learnt(x)
    again = Novelty.from_state(found.floor, found.landmark_days, [5], found.state())
    assert (share(again, x + 1e3) == 1).all()
    assert np.isfinite(again.distance(x)).all()


def test_repeated_columns_and_order_of_rows_do_no_harm() -> None:
    rng = np.random.default_rng(6)
    x = correlated(rng, 80, 5)
    x = np.hstack([x, x])
    order = rng.permutation(80)
    first, second = (Novelty.fit(x[o], ids(80)[o], np.zeros(80)) for o in (np.arange(80), order))
    assert np.isfinite(first.distance(rng.normal(size=(5, 10)))).all()
    np.testing.assert_allclose(first.left_out[0], second.left_out[0], rtol=1e-9)


@pytest.mark.parametrize(
    ("x", "patient"),
    [
        pytest.param(np.full((5, 2), np.nan), ids(5), id="NaN"),
        pytest.param(np.zeros((4, 2)), ids(4, 2), id="two patients"),
        pytest.param(np.zeros((4, 2)), ids(5), id="ids of other rows"),
        pytest.param(np.zeros((0, 2)), ids(0), id="nobody"),
    ],
)
def test_what_it_cannot_learn_from_is_refused(x: Matrix, patient: NDArray[np.object_]) -> None:
    with pytest.raises(ValueError, match="at least 3 patients"):
        Novelty.fit(x, patient, np.zeros(len(x)))
