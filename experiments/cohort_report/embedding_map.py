"""Cells on a plane: UMAP where it is installed, else the first two principal axes; and what explains where they lie."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import scipy.spatial

from experiments.cohort_report.cell_sample import SampledCells
from features.patients import FloatArray, IntArray

NEIGHBOURS = 90
"""Three times the perplexity, as in the reference implementation of LISI."""
PERPLEXITY = 30.0
UMAP_NEIGHBOURS = 15
CELLS_AT_ONCE = 250
_BISECTIONS = 50


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest cells of each cell on the principal axes, itself first."""

    index: IntArray
    """(cells, neighbours + 1)."""
    distance: FloatArray


@dataclass(frozen=True, slots=True)
class Explained:
    """How far a grouping of cells goes with where they lie."""

    grouping: str
    n_levels: int
    by_axis: FloatArray
    """(components,): adjusted R² of each axis."""
    overall: float
    """Mean of these, weighted by the variance of the axes."""
    within_types: float
    """The same once the mean of each cell type is taken off."""
    lisi: float
    """Median over cells: the number of groups in a cell's neighbourhood."""
    lisi_by_chance: float
    """The same with groups dealt to cells at random."""


def nearest(components: FloatArray) -> Neighbours:
    """The nearest cells of each; at most `NEIGHBOURS` beside itself."""
    k = min(NEIGHBOURS + 1, len(components))
    distance, index = scipy.spatial.cKDTree(components).query(components, k=k)
    return Neighbours(index.astype(np.int64), distance)


def plane(cells: SampledCells, near: Neighbours, seed: int) -> tuple[FloatArray, str]:
    """(cells, 2) and the name of the method.

    UMAP (McInnes, Healy & Melville, arXiv:1802.03426) begins at the first two principal axes, which keeps the large
    distances meaningful and repeats (Kobak & Linderman, Nat Biotechnol 2021;39:156–157).
    """
    first_two = cells.components[:, :2]
    if first_two.shape[1] < 2:
        first_two = np.column_stack([first_two[:, 0], np.zeros(len(first_two))])
    if importlib.util.find_spec("umap") is None or len(first_two) <= 2 * UMAP_NEIGHBOURS:
        return first_two, "principal axes"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorFlow, which we do not need, and of later transforms
        umap = importlib.import_module("umap")
        knn = (
            near.index[:, :UMAP_NEIGHBOURS].astype(np.int32),
            near.distance[:, :UMAP_NEIGHBOURS].astype(np.float32),
        )
        start = 10.0 * (first_two - first_two.mean(axis=0)) / max(float(np.abs(first_two).max()), 1e-12)
        fit = umap.UMAP(
            n_neighbors=UMAP_NEIGHBOURS, precomputed_knn=knn, init=start, min_dist=0.3, random_state=seed, n_jobs=1
        )
        return np.asarray(fit.fit_transform(cells.components), dtype=np.float64), "UMAP"


def explained(
    cells: SampledCells, near: Neighbours, groupings: Mapping[str, IntArray], rng: np.random.Generator
) -> list[Explained]:
    """Adjusted R² and LISI of each grouping that has at least two groups; groups are (cells,) codes from 0."""
    types = np.unique(cells.cell_type.astype(str), return_inverse=True)[1]
    within = cells.components - _means(cells.components, types)[types]
    rows = []
    for name, group in groupings.items():
        levels, code = np.unique(group, return_inverse=True)
        if len(levels) < 2:
            continue
        by_axis = adjusted_r2(cells.components, code)
        inside = _weighted(adjusted_r2(within, code), within) if name != "cell type" else float("nan")
        chance = lisi(near, rng.permutation(code))
        rows.append(
            Explained(
                name,
                len(levels),
                by_axis,
                _weighted(by_axis, cells.components),
                inside,
                float(np.median(lisi(near, code))),
                float(np.median(chance)),
            )
        )
    return rows


def _means(values: FloatArray, group: IntArray) -> FloatArray:
    sums = np.zeros((int(group.max()) + 1, values.shape[1]))
    np.add.at(sums, group, values)
    means: FloatArray = sums / np.maximum(np.bincount(group), 1)[:, None]
    return means


def adjusted_r2(values: FloatArray, group: IntArray) -> FloatArray:
    """(columns,): share of each column's variance between groups, 1 − (1 − R²)(n − 1)/(n − k), at least 0.

    The adjustment (Ezekiel 1930) takes off what k groups of n values explain by chance.
    """
    n, k = len(values), int(group.max()) + 1
    total = ((values - values.mean(axis=0)) ** 2).sum(axis=0)
    inside = ((values - _means(values, group)[group]) ** 2).sum(axis=0)
    if n <= k:
        return np.zeros(values.shape[1])
    ratio = np.divide(inside, total, out=np.ones_like(total), where=total > 0)
    adjusted: FloatArray = np.maximum(1.0 - ratio * (n - 1) / (n - k), 0.0)
    return adjusted


def _weighted(by_axis: FloatArray, values: FloatArray) -> float:
    """Mean over axes by their variance: principal component regression (Büttner et al., Nat Methods 2019;16:43–49)."""
    variance = values.var(axis=0)
    return float((by_axis * variance).sum() / max(float(variance.sum()), 1e-300))


def lisi(near: Neighbours, group: IntArray) -> FloatArray:
    """(cells,): local inverse Simpson's index, the effective number of groups around each cell.

    Neighbours weigh exp(−β d) with β such that their perplexity is `PERPLEXITY` (or a third of their number, where
    there are few): Korsunsky et al., Nat Methods 2019;16:1289–1296, and its reference implementation.
    """
    distance, index = near.distance[:, 1:], near.index[:, 1:]
    weights = _weights(distance, min(PERPLEXITY, distance.shape[1] / 3))
    simpson = np.empty(len(distance))
    for start in range(0, len(distance), CELLS_AT_ONCE):
        part = slice(start, start + CELLS_AT_ONCE)
        of, p = group[index[part]], weights[part]
        simpson[part] = np.einsum("ci,cij,cj->c", p, of[:, :, None] == of[:, None, :], p)
    return 1.0 / simpson


def _weights(distance: FloatArray, perplexity: float) -> FloatArray:
    """Weights (cells, neighbours) of the given perplexity, found by bisection; each row sums to 1."""
    distance = distance - distance[:, :1]
    low, high = np.full((len(distance), 1), -30.0), np.full((len(distance), 1), 30.0)  # of log β
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        p = _softmax(-np.exp(middle) * distance)
        entropy = -np.sum(p * np.log(np.maximum(p, 1e-300)), axis=1, keepdims=True)
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    return _softmax(-np.exp((low + high) / 2) * distance)


def _softmax(values: FloatArray) -> FloatArray:
    weights = np.exp(values)
    scaled: FloatArray = weights / weights.sum(axis=1, keepdims=True)
    return scaled
