"""Patients who are unlike those of training, though no single value of theirs is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from features.novelty import Novelty, shrinkage

Matrix = NDArray[np.float64]


def ids(n: int, rows_each: int = 1) -> NDArray[np.object_]:
    return np.array([f"p{i // rows_each}" for i in range(n)], dtype=object)


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
    found = Novelty.fit(x, ids(n))
    inverse = found.axes.T @ np.diag(1 / found.variance - 1 / found.floor) @ found.axes + np.eye(p) / found.floor
    np.testing.assert_allclose(inverse @ expected, np.eye(p), atol=1e-7)
    assert target == pytest.approx(np.trace(expected) / p)


@pytest.mark.parametrize("rows_each", [1, 3], ids=["one row", "three landmarks"])
@pytest.mark.parametrize("p", [4, 150], ids=["few columns", "many columns"])
def test_limit_is_the_quantile_of_distances_to_the_other_patients(p: int, rows_each: int) -> None:
    n = 120
    patient = ids(n, rows_each)
    x = correlated(np.random.default_rng(2), n, p) + 0.001
    expected = np.sort(brute_force(x, patient))
    assert Novelty.fit(x, patient).limit == pytest.approx(expected[int(np.ceil(0.99 * 121)) - 1], rel=1e-8)


@pytest.mark.parametrize(
    ("n", "p", "low", "high"),
    [
        (1000, 20, 0.006, 0.014),
        (300, 60, 0.005, 0.016),
        (99, 10, 0.003, 0.018),
        (30, 6, 0.003, 0.02),
        (50, 200, 0.001, 0.018),
    ],
    ids=["registry", "study", "at the bound", "few patients", "few patients, many columns"],
)
def test_about_one_in_a_hundred_of_the_same_kind_is_flagged(n: int, p: int, low: float, high: float) -> None:
    rates = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found = Novelty.fit(correlated(rng, n, p), ids(n))
        rates.append(found.outside(correlated(rng, 2000, p)).mean())
    assert low < np.mean(rates) < high


def test_training_distances_would_flag_far_too_many() -> None:
    """Why the limit is taken out of sample: the counterpart of the test above."""
    rng = np.random.default_rng(0)
    x = correlated(rng, 100, 60)
    found = Novelty.fit(x, ids(100))
    in_sample = np.quantile(found.distance(x), 0.99)
    assert (found.distance(correlated(rng, 2000, 60)) > in_sample).mean() > 0.05


def test_heavy_tails_and_indicators_do_not_raise_the_rate() -> None:
    rates = []
    for seed in range(30):
        rng = np.random.default_rng(seed)

        def draw(n: int, rng: np.random.Generator = rng) -> Matrix:
            levels = np.eye(4)[rng.choice(4, n, p=[0.5, 0.3, 0.17, 0.03])]
            return np.hstack([np.clip(rng.standard_t(3, (n, 8)), -6, 6), levels])

        rates.append(Novelty.fit(draw(300), ids(300)).outside(draw(2000)).mean())
    assert 0.005 < np.mean(rates) < 0.016


@pytest.mark.parametrize(("n", "p"), [(400, 12), (50, 200)], ids=["usual", "few patients, many columns"])
def test_who_is_usual_in_each_value_but_not_in_all_is_flagged(n: int, p: int) -> None:
    """Values 1.2 standard deviations from the mean, with signs that contradict every correlation."""
    rng = np.random.default_rng(3)
    x = correlated(rng, n, p, rank=2)
    found = Novelty.fit(x, ids(n))
    odd = np.tile(1.2 * x.std(axis=0), (20, 1)) * rng.choice([-1.0, 1.0], (20, p)) + x.mean(axis=0)
    assert ((odd > x.min(axis=0)) & (odd < x.max(axis=0))).all(), "no single value is outside"
    assert found.outside(odd).mean() > 0.9
    assert found.outside(correlated(rng, 200, p, rank=2)).mean() < 0.04


def test_parts_say_where_the_distance_comes_from() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(300, 6))
    x[:, 1] = x[:, 0] + 0.2 * rng.normal(size=300)
    found = Novelty.fit(x, ids(300))
    odd = np.zeros((1, 6))
    odd[0, :2] = [1.5, -1.5]
    parts = found.parts(odd)
    assert parts.sum() == pytest.approx(found.distance(odd)[0] ** 2)
    assert parts[0, :2].sum() > 0.95 * parts.sum()
    assert found.outside(odd).all()


def test_state_is_plain_and_gives_the_same_answers() -> None:
    rng = np.random.default_rng(5)
    x = correlated(rng, 40, 70)
    found = Novelty.fit(x, ids(40))
    sizes, arrays = found.state()
    again = Novelty.from_state(json.loads(json.dumps(sizes, allow_nan=False)), arrays)
    new = correlated(rng, 10, 70)
    np.testing.assert_array_equal(again.distance(new), found.distance(new))
    assert again.limit == found.limit
    assert all(array.dtype == np.float64 for array in arrays.values())


@pytest.mark.parametrize("x", [np.zeros((5, 0)), np.zeros((5, 3)), np.ones((5, 2))], ids=["none", "zeros", "constant"])
def test_without_anything_that_varies_nobody_is_flagged(x: Matrix) -> None:
    found = Novelty.fit(x, ids(5))
    sizes, arrays = found.state()
    again = Novelty.from_state(json.loads(json.dumps(sizes, allow_nan=False)), arrays)
    assert not again.outside(x + 1e3).any()
    assert np.isfinite(again.distance(x)).all()


def test_repeated_columns_and_order_of_rows_do_no_harm() -> None:
    rng = np.random.default_rng(6)
    x = correlated(rng, 80, 5)
    x = np.hstack([x, x])
    order = rng.permutation(80)
    first, second = Novelty.fit(x, ids(80)), Novelty.fit(x[order], ids(80)[order])
    assert np.isfinite(first.distance(rng.normal(size=(5, 10)))).all()
    assert first.limit == pytest.approx(second.limit, rel=1e-9)


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
        Novelty.fit(x, patient)
