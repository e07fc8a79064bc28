"""Trees as arrays, and the forest for competing risks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor
from sksurv.tree import SurvivalTree

from features.errors import SequelaError
from features.outcomes import Outcomes
from training.config import ForestConfig
from training.fitting import forest as forest_fit
from training.fitting.forest import fit_forest, node_incidence, shrunk
from training.models.cox import CauseSpecificCox
from training.models.forest import WHOLE, Forest
from training.models.nonparametric import aalen_johansen
from training.models.trees import GrownTree, Stump, Trees

FloatArray = NDArray[np.float64]
TIMES = np.array([30.0, 60.0, 120.0, 200.0, 300.0])


def ids(n: int) -> NDArray[np.object_]:
    return np.array([f"p{i:04d}" for i in range(n)], dtype=object)


def xor_rates(x: FloatArray) -> FloatArray:
    """Cause 1 is frequent where the first two features have one sign, cause 2 where they have not."""
    same = x[:, 0] * x[:, 1] > 0
    return np.column_stack([np.where(same, 0.010, 0.001), np.where(same, 0.001, 0.004)])


def xor_truth(x: FloatArray) -> FloatArray:
    rates = xor_rates(x)
    total = rates.sum(axis=1)[:, None, None]
    return rates[:, :, None] / total * -np.expm1(-total * TIMES)


def draw(x: FloatArray, rates: FloatArray, seed: int) -> Outcomes:
    """Constant hazards; censored at a rate of 0.001 and at 400 days."""
    rng = np.random.default_rng(seed)
    latent = np.column_stack([rng.exponential(1 / rates), np.minimum(rng.exponential(1000, len(x)), 400)])
    return Outcomes(latent.min(axis=1), np.array([1, 2, 0])[latent.argmin(axis=1)], ("infection", "death"))


def rmse(model: Any, x: FloatArray) -> float:
    return float(np.sqrt(np.mean((model.incidence(x, np.zeros(len(x)), TIMES) - xor_truth(x)) ** 2)))


def tied(seed: int, n: int, *, late: bool) -> Outcomes:
    """Whole days, so that events and censorings of all causes are tied."""
    rng = np.random.default_rng(seed)
    duration = rng.integers(3, 20, n).astype(float)
    entry = np.floor(rng.uniform(0, 1, n) * duration * 0.6) if late else None
    return Outcomes(duration, rng.integers(0, 3, n), ("infection", "death"), entry)


def close_to_thresholds(trees: list[GrownTree], x: FloatArray, seed: int) -> FloatArray:
    """Rows of which a value stands a hair beside a threshold: nearer than single precision can tell."""
    rng = np.random.default_rng(seed)
    rows = [x]
    for tree in trees:
        inner = np.flatnonzero(tree.children_left >= 0)
        near = x[rng.integers(len(x), size=len(inner))].copy()
        hair = rng.choice([-1e-9, -1e-12, 0.0, 1e-12, 1e-9], len(inner))
        near[np.arange(len(inner)), tree.feature[inner]] = tree.threshold[inner] + hair
        rows.append(near)
    return np.concatenate(rows)


GROWERS = {
    "regression": lambda: DecisionTreeRegressor(min_samples_leaf=2, random_state=0),
    "best first": lambda: DecisionTreeRegressor(max_leaf_nodes=12, random_state=0),
    "random thresholds": lambda: DecisionTreeRegressor(splitter="random", random_state=0),
    "single leaf": lambda: DecisionTreeRegressor(min_samples_leaf=200, random_state=0),
}


@pytest.mark.parametrize("grower", GROWERS)
def test_rows_end_in_the_leaf_the_library_says(grower: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    trees = [GROWERS[grower]().fit(x, rng.normal(size=300)).tree_ for _ in range(3)]
    packed = Trees.pack(trees)
    new = close_to_thresholds(trees, x, 1)
    for number, tree in enumerate(trees):
        before = sum(int((earlier.children_left < 0).sum()) for earlier in trees[:number])
        leaf_of_node = before + np.cumsum(tree.children_left < 0) - 1
        expected = leaf_of_node[tree.apply(new.astype(np.float32))]
        np.testing.assert_array_equal(packed.leaves(new)[:, number], expected)
    assert packed.n_leaves == sum(tree.n_leaves for tree in trees)
    assert packed.depth == max(tree.max_depth for tree in trees)


def test_rows_of_a_survival_tree_too() -> None:
    x = np.random.default_rng(0).normal(size=(300, 4))
    outcomes = draw(x, xor_rates(x), 0)
    y = np.array(list(zip(outcomes.cause > 0, outcomes.duration_days, strict=True)), dtype=[("e", "?"), ("t", "f8")])
    tree = SurvivalTree(min_samples_leaf=5, low_memory=True, random_state=0).fit(x, y).tree_
    new = close_to_thresholds([tree], x, 1)
    leaf_of_node = np.cumsum(tree.children_left < 0) - 1
    found = Trees.pack([tree]).leaves(new)[:, 0]
    np.testing.assert_array_equal(found, leaf_of_node[tree.apply(new.astype(np.float32))])


@pytest.mark.parametrize("library", [RandomForestRegressor, ExtraTreesRegressor])
def test_mean_over_trees_is_the_librarys_prediction(library: type) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5))
    forest = library(20, min_samples_leaf=3, random_state=0).fit(x, x[:, 0] * x[:, 1] + rng.normal(size=400))
    trees = [one.tree_ for one in forest.estimators_]
    value = np.concatenate([tree.value[tree.children_left < 0, 0, 0] for tree in trees])
    new = close_to_thresholds(trees, x, 1)
    np.testing.assert_allclose(value[Trees.pack(trees).leaves(new)].mean(axis=1), forest.predict(new), atol=1e-12)


def test_comparing_in_double_precision_would_send_rows_astray() -> None:
    """Values that single precision rounds across the threshold go where the library sends them."""
    rng = np.random.default_rng(0)
    astray = 0
    for column in rng.normal(size=(30, 300)):
        tree = DecisionTreeRegressor(max_depth=1, random_state=0).fit(column[:, None], column).tree_
        threshold = tree.threshold[0]
        new = threshold + rng.uniform(-1, 1, (50, 1)) * np.spacing(np.float32(threshold))
        goes_right = tree.apply(new.astype(np.float32)) == tree.children_right[0]
        np.testing.assert_array_equal(Trees.pack([tree]).leaves(new)[:, 0] == 1, goes_right)
        astray += int(((new[:, 0] > threshold) != goes_right).sum())
    assert astray > 100


def test_trees_come_back_from_their_arrays() -> None:
    x = np.random.default_rng(0).normal(size=(200, 3))
    trees = Trees.pack([DecisionTreeRegressor(random_state=0).fit(x, x[:, 1]).tree_, Stump()])
    again = Trees.from_state(trees.state())
    np.testing.assert_array_equal(again.leaves(x), trees.leaves(x))
    assert (again.n_leaves, again.depth) == (trees.n_leaves, trees.depth)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        pytest.param([0, 1, 2], [2, 1, 2], id="a leaf with one child"),
        pytest.param([1, 0, 2], [2, 1, 2], id="circle"),
        pytest.param([1, 1, 2], [9, 1, 2], id="beyond the arrays"),
    ],
)
def test_arrays_that_are_no_trees_are_refused(left: list[int], right: list[int]) -> None:
    i32 = np.int32
    state = {"feature": np.zeros(3, i32), "threshold": np.zeros(3), "root": np.zeros(1, i32)}
    with pytest.raises(ValueError, match="children of a node must come after it"):
        Trees.from_state(state | {"left": np.array(left, i32), "right": np.array(right, i32)})


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(12, 80), late=st.booleans())
def test_nodes_hold_the_aalen_johansen_estimate_of_their_rows(seed: int, n: int, late: bool) -> None:
    outcomes = tied(seed, n, late=late)
    x = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    tree = DecisionTreeRegressor(min_samples_leaf=3, random_state=0).fit(x, outcomes.duration_days).tree_
    grid = np.arange(21.0)
    curves, sizes = node_incidence(tree, x, outcomes, grid)
    passes = tree.decision_path(x).toarray().astype(bool)
    np.testing.assert_array_equal(sizes, passes.sum(axis=0))
    for node in range(tree.node_count):
        expected = aalen_johansen(outcomes.take(np.flatnonzero(passes[:, node]))).at(grid)
        np.testing.assert_allclose(curves[node], expected, atol=1e-9)


def test_shrinkage_goes_from_the_leaf_to_the_root() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3)).astype(np.float32)
    outcomes = tied(0, 120, late=False)
    tree = DecisionTreeRegressor(min_samples_leaf=4, random_state=0).fit(x, outcomes.duration_days).tree_
    curves, sizes = node_incidence(tree, x, outcomes, np.arange(21.0))
    none, some, all_of_it = shrunk(tree, curves, sizes, (0.0, 30.0, 1e12))
    np.testing.assert_allclose(none, curves, atol=1e-12)
    np.testing.assert_allclose(all_of_it, np.broadcast_to(curves[0], curves.shape), atol=1e-6)
    child = tree.children_left[0]
    np.testing.assert_allclose(some[child], curves[0] + (curves[child] - curves[0]) / (1 + 30 / 120), atol=1e-12)
    grandchild = tree.children_left[child]
    step = (curves[grandchild] - curves[child]) / (1 + 30 / sizes[child])
    np.testing.assert_allclose(some[grandchild], some[child] + step, atol=1e-12)
    assert (np.diff(some, axis=-1) >= -1e-12).all()
    assert some.sum(axis=1).max() <= 1 + 1e-12


def test_leaves_hold_valid_incidences_after_rounding() -> None:
    x = np.random.default_rng(0).normal(size=(150, 3))
    forest = fit_forest(x, tied(1, 150, late=False), ids(150), ForestConfig(trees=15, min_leaf=2, shrinkage=0), seed=0)
    whole = forest.values.astype(np.int64)
    assert (whole[..., 0] == 0).all()
    assert (np.diff(whole, axis=-1) >= 0).all()
    assert whole.sum(axis=1).max() == WHOLE, "some leaf's patients all had an event"


def test_a_forest_without_features_is_about_the_aalen_johansen_estimate() -> None:
    x = np.random.default_rng(0).normal(size=(400, 2))
    outcomes = draw(x, xor_rates(x), 0)
    forest = fit_forest(x[:, :0], outcomes, ids(400), ForestConfig(trees=100), seed=0)
    found = forest.incidence(x[:1, :0], np.zeros(1), TIMES)[0]
    np.testing.assert_allclose(found, aalen_johansen(outcomes).at(TIMES), atol=0.01)


@pytest.fixture(scope="module")
def xor() -> tuple[FloatArray, Outcomes, FloatArray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1200, 4))
    return x, draw(x, xor_rates(x), 1), rng.normal(size=(500, 4))


def test_the_forest_finds_an_interaction_without_main_effects(xor: tuple[FloatArray, Outcomes, FloatArray]) -> None:
    x, outcomes, new = xor
    forest = fit_forest(x, outcomes, ids(1200), ForestConfig(trees=60, max_features=1.0), seed=0)
    cox = CauseSpecificCox.fit(x, outcomes, penalty=None, patient_id=ids(1200), seed=0)
    assert rmse(forest, new) < 0.10
    assert rmse(forest, new) < 0.5 * rmse(cox, new)


def test_noise_is_shrunk_away_and_signal_is_not(xor: tuple[FloatArray, Outcomes, FloatArray]) -> None:
    x, outcomes, new = xor
    noise = np.random.default_rng(9).normal(size=x.shape)

    def spread(features: FloatArray, shrinkage: float | None) -> float:
        config = ForestConfig(trees=40, shrinkage=shrinkage, max_features=1.0)
        forest = fit_forest(features, outcomes, ids(1200), config, seed=0)
        return float(forest.incidence(new, np.zeros(500), TIMES).std(axis=0).mean())

    assert spread(noise, None) < 0.3 * spread(noise, 0.0)
    assert spread(x, None) > 0.8 * spread(x, 0.0)


def test_late_entry_is_allowed_for() -> None:
    """Who is seen from late on has survived till then; taken as seen from the start, hazards would seem lower."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 2))
    outcomes = draw(x, xor_rates(x), 0)
    entry = np.where(rng.random(2000) < 0.5, rng.uniform(0, 200, 2000), 0.0)
    seen = np.flatnonzero(outcomes.duration_days > entry)
    late = replace(outcomes, entry_days=entry).take(seen)
    truth = xor_truth(x).mean(axis=0)

    def error(rows: Outcomes) -> float:
        config = ForestConfig(trees=20, min_leaf=200)
        forest = fit_forest(x[seen], rows, ids(len(seen)), config, seed=0)
        return float(np.abs(forest.incidence(x, np.zeros(2000), TIMES).mean(axis=0) - truth).max())

    assert error(late) < 0.025
    assert error(replace(late, entry_days=None)) > 0.06


def test_rows_of_a_patient_are_in_or_out_of_bag_together(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    grow = forest_fit._grow

    def spy(*args: Any) -> Any:
        seen.extend(grow(*args))
        return seen

    monkeypatch.setattr(forest_fit, "_grow", spy)
    x = np.random.default_rng(0).normal(size=(120, 3))
    patient = np.repeat(ids(40), 3)
    fit_forest(x, tied(0, 120, late=False), patient, ForestConfig(trees=30), seed=0)
    assert len(seen) == 30
    for one in seen:
        inside = set(patient[one.in_bag])
        assert len(inside) == round(0.632 * 40)
        assert len(one.in_bag) == 3 * len(inside)
    assert len({tuple(one.in_bag) for one in seen}) == 30


def test_state_is_plain_arrays_that_rebuild_the_forest() -> None:
    x = np.random.default_rng(0).normal(size=(150, 3))
    forest = fit_forest(x, tied(1, 150, late=False), ids(150), ForestConfig(trees=10), seed=0)
    sizes, arrays = forest.state()
    assert sizes == {"trees": 10}
    assert all(array.dtype.kind in "iuf" for array in arrays.values())
    again = Forest.from_state(sizes, arrays)
    zero = np.zeros(150)
    np.testing.assert_array_equal(again.incidence(x, zero, TIMES), forest.incidence(x, zero, TIMES))


def test_one_patient_is_enough() -> None:
    outcomes = Outcomes(np.array([50.0]), np.array([1]), ("infection", "death"))
    forest = fit_forest(np.zeros((1, 2)), outcomes, ids(1), ForestConfig(trees=3), seed=0)
    np.testing.assert_allclose(
        forest.incidence(np.ones((1, 2)), np.zeros(1), np.array([25.0, 50.0])), [[[0.5, 1], [0, 0]]]
    )


def test_no_event_is_refused() -> None:
    outcomes = Outcomes(np.full(20, 9.0), np.zeros(20, dtype=np.int64), ("infection", "death"))
    with pytest.raises(SequelaError, match="forest: no event of any cause"):
        fit_forest(np.zeros((20, 2)), outcomes, ids(20), ForestConfig(), seed=0)
