"""Growing the forest for competing risks: trees by scikit-learn, leaves by Aalen–Johansen, shrinkage out of bag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor  # type: ignore[import-untyped]

from features.outcomes import Outcomes
from training.config import ForestConfig
from training.evaluation.pseudo import pseudo_values
from training.fitting.binning import require_events
from training.models.forest import WHOLE, Forest
from training.models.trees import GrownTree, Stump, Trees

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
IN_BAG = 0.632
"""Share of the patients that grow a tree, drawn without replacement: the expected share of a bootstrap sample."""
SHRINKAGES = (0.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Candidates for the strength of the shrinkage, in rows."""
SPLIT_TIMES = 4
"""Times at which splits look for differences in incidence."""
SCORED_TIMES = 10
"""Times at which strengths of shrinkage are scored out of bag."""
SURE = -50.0
"""Stands for the log of 0, in sums from which it is taken away again."""


@dataclass(frozen=True, slots=True)
class _Grown:
    """One tree, and the rows that grew it."""

    tree: GrownTree
    in_bag: IntArray


def fit_forest(
    x: FloatArray, outcomes: Outcomes, patient_id: NDArray[np.object_], config: ForestConfig, *, seed: int
) -> Forest:
    """Fit the forest on encoded patients.

    Every tree grows on 63.2 % of the patients, with all their rows. It splits where the pseudo-values of the incidence
    of all causes differ most (least squares; pseudo-observations as responses: Andersen, Klein & Rosthøj, Biometrika
    2003;90:15–27), at four times, each cause and time counting alike. In its leaves stand the Aalen–Johansen incidences
    of its rows, shrunk towards those of the nodes above (see `shrunk`) as much as is best out of bag.

    Args:
        x: Standardised features (rows, features).
        outcomes: Outcomes of the rows.
        patient_id: (rows,): rows of one patient are in or out of bag together.
        config: The forest.
        seed: Of everything random.

    Raises:
        SequelaError: No event of any cause.
    """
    require_events(outcomes, "forest")
    grid = _grid(outcomes, config.grid_points)
    values = np.ascontiguousarray(x, dtype=np.float32)
    grown = _grow(values, _responses(outcomes, grid), patient_id, config, np.random.default_rng(seed))
    strength = config.shrinkage
    if strength is None:
        strength = _best_shrinkage(values, outcomes, grown, grid)
    leaves = []
    for one in grown:
        curves, sizes = node_incidence(one.tree, values[one.in_bag], outcomes.take(one.in_bag), grid)
        final = shrunk(one.tree, curves, sizes, (strength,))[0]
        leaves.append(_stored(final[one.tree.children_left < 0]))
    return Forest(Trees.pack([one.tree for one in grown]), np.concatenate(leaves), grid)


def _stored(curves: FloatArray) -> NDArray[np.uint16]:
    """In parts of `WHOLE`, rounded down; the small number is rounding's, not a patient's."""
    return np.floor(curves * WHOLE + 1e-6).clip(0, WHOLE).astype(np.uint16)


def _grid(outcomes: Outcomes, points: int) -> FloatArray:
    """0, and quantiles of the event times of any cause."""
    times = outcomes.duration_days[outcomes.cause > 0]
    return np.unique(np.concatenate([[0.0], np.quantile(times, np.linspace(0, 1, points), method="higher")]))


def _responses(outcomes: Outcomes, grid_days: FloatArray) -> FloatArray:
    """(rows, causes × times): pseudo-values of the incidences, each in units of its own spread."""
    at = np.unique(np.linspace(0, len(grid_days) - 1, SPLIT_TIMES + 2).astype(int)[1:-1])
    values = pseudo_values(outcomes, grid_days[np.maximum(at, 1)]).reshape(len(outcomes), -1)
    spread = values.std(axis=0)
    return values / np.where(spread > 0, spread, 1.0)


def _grow(
    values: NDArray[np.float32],
    responses: FloatArray,
    patient_id: NDArray[np.object_],
    config: ForestConfig,
    rng: np.random.Generator,
) -> list[_Grown]:
    ids, patient = np.unique(patient_id.astype(str), return_inverse=True)
    n_in_bag = max(1, round(IN_BAG * len(ids)))
    grown = []
    for _ in range(config.trees):
        drawn = np.zeros(len(ids), dtype=bool)
        drawn[rng.choice(len(ids), n_in_bag, replace=False)] = True
        rows = np.flatnonzero(drawn[patient])
        grower = DecisionTreeRegressor(
            min_samples_leaf=config.min_leaf,
            max_features=config.max_features,
            random_state=int(rng.integers(2**31)),
        )
        tree = grower.fit(values[rows], responses[rows]).tree_ if values.shape[1] else Stump()
        grown.append(_Grown(tree, rows))
    return grown


def node_incidence(
    tree: GrownTree, values: NDArray[np.float32], outcomes: Outcomes, grid_days: FloatArray
) -> tuple[FloatArray, IntArray]:
    """Aalen–Johansen incidences (nodes, causes, grid) of the rows that pass through each node, and their numbers.

    All nodes at once. Tied events may be taken one after the other, the censored after them: S(1 − a/Y) · b/(Y − a)
    = S b/Y, so that the order within a tie changes nothing.
    """
    node, row = _passes(tree, values)
    order = np.lexsort((outcomes.cause[row] == 0, outcomes.duration_days[row], node))
    node, row = node[order], row[order]
    n_nodes = len(tree.feature)
    sizes = np.bincount(node, minlength=n_nodes)
    end = np.cumsum(sizes)
    at_risk = end[node] - np.arange(len(node)) - _not_entered(node, row, outcomes)
    cause = outcomes.cause[row]
    has_event = cause > 0
    hazard = np.where(has_event, 1.0 / at_risk, 0.0)
    log_stay = np.where(has_event & (at_risk == 1), SURE, np.log1p(-np.minimum(hazard, 0.5)))
    before = np.concatenate([[0.0], np.cumsum(log_stay)])
    event_free = np.exp(before[:-1] - before[(end - sizes)[node]])
    n_causes, n_grid = len(outcomes.causes), len(grid_days)
    place = np.searchsorted(grid_days, outcomes.duration_days[row[has_event]])
    cell = (node[has_event] * n_causes + cause[has_event] - 1) * n_grid + place
    steps = np.bincount(cell, weights=(event_free * hazard)[has_event], minlength=n_nodes * n_causes * n_grid)
    return steps.reshape(n_nodes, n_causes, n_grid).cumsum(axis=-1), sizes


def _passes(tree: GrownTree, values: NDArray[np.float32]) -> tuple[IntArray, IntArray]:
    """Every node that every row passes, as pairs of node and row."""
    parent = np.full(len(tree.feature), -1)
    inner = np.flatnonzero(tree.children_left >= 0)
    parent[tree.children_left[inner]] = parent[tree.children_right[inner]] = inner
    row, node = np.arange(len(values)), tree.apply(values).astype(np.int64)
    rows, nodes = [], []
    while len(row):
        rows.append(row)
        nodes.append(node)
        row, node = row[parent[node] >= 0], parent[node[parent[node] >= 0]]
    return np.concatenate(nodes), np.concatenate(rows)


def _not_entered(node: IntArray, row: IntArray, outcomes: Outcomes) -> IntArray:
    """For each pair of node and row: rows of the node that come under observation at the row's time or later."""
    if outcomes.entry_days is None:
        return np.zeros(len(node), dtype=np.int64)
    times = np.unique(outcomes.duration_days)
    entry = np.searchsorted(times, outcomes.entry_days[row], side="right")  # first time at which the row is at risk
    width = len(times) + 1
    key = np.sort(node * width + entry)
    time = np.searchsorted(times, outcomes.duration_days[row])
    late: IntArray = np.searchsorted(key, (node + 1) * width) - np.searchsorted(key, node * width + time, side="right")
    return late


def shrunk(tree: GrownTree, curves: FloatArray, sizes: IntArray, strengths: tuple[float, ...]) -> FloatArray:
    """Node curves (strengths, nodes, causes, grid) shrunk towards those of the nodes above.

    curve(root) + Σ over the path of [curve(child) − curve(parent)] / (1 + λ / N(parent)): hierarchical shrinkage
    (Agarwal et al., ICML 2022, PMLR 162:111–135). N falls along the path, so that the result is a convex combination of
    the curves on it, and with them an incidence.
    """
    result = np.repeat(curves[None], len(strengths), axis=0)
    weight = 1.0 / (1.0 + np.asarray(strengths)[:, None] / sizes)
    level = np.array([0])
    while len(level := level[tree.children_left[level] >= 0]):
        for children in (tree.children_left[level], tree.children_right[level]):
            step = (curves[children] - curves[level]) * weight[:, level, None, None]
            result[:, children] = result[:, level] + step
        level = np.concatenate([tree.children_left[level], tree.children_right[level]])
    return result


def _best_shrinkage(values: NDArray[np.float32], outcomes: Outcomes, grown: list[_Grown], grid: FloatArray) -> float:
    """The strength whose out-of-bag incidences are nearest to the pseudo-values of the rows."""
    at = np.unique(np.linspace(1, len(grid) - 1, SCORED_TIMES).astype(int))
    total = np.zeros((len(SHRINKAGES), len(values), len(outcomes.causes), len(at)))
    times = np.zeros(len(values))
    for one in grown:
        curves, sizes = node_incidence(one.tree, values[one.in_bag], outcomes.take(one.in_bag), grid)
        out = np.setdiff1d(np.arange(len(values)), one.in_bag)
        total[:, out] += shrunk(one.tree, curves[..., at], sizes, SHRINKAGES)[:, one.tree.apply(values[out])]
        times[out] += 1
    seen = times > 0
    if not seen.any():  # a single patient
        return SHRINKAGES[-1]
    mean = total[:, seen] / times[seen, None, None]
    squared = (mean - pseudo_values(outcomes, grid[at])[seen]) ** 2
    return SHRINKAGES[int(squared.mean(axis=(1, 2, 3)).argmin())]
