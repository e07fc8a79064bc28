"""How a `ReferenceMapper` is fitted. Not needed to apply one; the only part that needs scipy."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from features.cells.bag import UNLABELLED, CellBag
from features.cells.quality import select_cells
from features.cells.reference_mapping import expression, softmax
from features.errors import SequelaError
from features.patients import FloatArray, IntArray

_FOLDS = 3
_TEMPERATURES = np.geomspace(0.25, 8.0, 61)


@dataclass(frozen=True, slots=True)
class LabelledCells:
    """The labelled cells of a reference, sample after sample."""

    bags: tuple[CellBag, ...]
    """Only labelled cells."""
    labels: tuple[str, ...]
    label: IntArray
    """(cells,): index into `labels`."""
    fold: IntArray | None
    """(cells,): part to hold out; cells of one group are in one part. None without groups."""
    genes: tuple[str, ...]
    """Genes that all samples have."""
    counts: bool

    @classmethod
    def of(
        cls,
        bags: Sequence[CellBag],
        labels: Sequence[ArrayLike] | None,
        groups: Sequence[str] | None,
        exclude: Collection[str],
        *,
        counts: bool,
    ) -> LabelledCells:
        """The labelled cells of samples; see `ReferenceMapper.fit`."""
        given = [np.asarray(part).astype(str) for part in (labels or [bag.cell_type for bag in bags])]
        if [len(part) for part in given] != [len(bag) for bag in bags] or len(groups or bags) != len(bags):
            msg = "reference: labels are one for each cell of each sample, and groups one for each sample; check them"
            raise SequelaError(msg)
        known = [part != UNLABELLED for part in given]
        kept = tuple(select_cells(bag, rows) for bag, rows in zip(bags, known, strict=True))
        every = np.concatenate([np.zeros(0, str), *(part[rows] for part, rows in zip(given, known, strict=True))])
        names, label = np.unique(every, return_inverse=True)
        if len(names) < 2:
            msg = f"reference: its cells have {len(names)} labels, and at least 2 are needed; label them, then fit"
            raise SequelaError(msg)
        common = set(kept[0].genes).intersection(*(bag.genes for bag in kept)) - set(exclude)
        if not common:
            msg = "reference: no gene is on the panels of all its samples; name genes alike in all of them"
            raise SequelaError(msg)
        fold = None
        if groups is not None and len(set(groups)) > 1:
            fold = np.repeat(np.unique(groups, return_inverse=True)[1] % _FOLDS, [len(bag) for bag in kept])
        genes = tuple(gene for gene in dict.fromkeys(kept[0].genes) if gene in common)
        return cls(kept, tuple(map(str, names)), label.astype(np.int64), fold, genes, counts)

    def expression(self, genes: Sequence[str]) -> NDArray[np.float32]:
        """(cells, genes): what the mapper sees of them."""
        return np.concatenate([x for bag in self.bags for x in expression(bag, genes, counts=self.counts)])


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums of expression by part and label, from which genes are ranked without looking at a part held out."""

    n: FloatArray
    """(parts, labels)."""
    total: FloatArray
    """(parts, labels, genes)."""
    square: FloatArray
    """(parts, genes)."""

    @classmethod
    def of(cls, cells: LabelledCells) -> Moments:
        """Read all cells over all genes, block by block."""
        fold = cells.fold if cells.fold is not None else np.zeros_like(cells.label)
        shape = (int(fold.max()) + 1, len(cells.labels))
        group = fold * shape[1] + cells.label
        total = np.zeros((shape[0] * shape[1], len(cells.genes)))
        square = np.zeros((shape[0], len(cells.genes)))
        start = 0
        for bag in cells.bags:
            for x in expression(bag, cells.genes, counts=cells.counts):
                of_block = slice(start, start + len(x))
                total += (group[of_block] == np.arange(len(total))[:, None]).astype(np.float32) @ x
                square += (fold[of_block] == np.arange(shape[0])[:, None]).astype(np.float32) @ x**2
                start += len(x)
        n = np.bincount(group, minlength=len(total)).astype(np.float64)
        return cls(n.reshape(shape), total.reshape(*shape, -1), square)

    def ranked(self, held_out: int | None) -> IntArray:
        """Genes by the ratio of variance between labels to variance within, largest first."""
        parts = np.arange(len(self.n)) != held_out
        n, total, square = self.n[parts].sum(axis=0), self.total[parts].sum(axis=0), self.square[parts].sum(axis=0)
        of_means = (total**2 / np.maximum(n, 1.0)[:, None]).sum(axis=0)
        between = of_means - total.sum(axis=0) ** 2 / n.sum()
        within = np.maximum(square - of_means, 1e-6 * square)
        return np.argsort(-np.divide(between, within, out=np.zeros_like(within), where=within > 0), kind="stable")


def fit_softmax(
    cells: LabelledCells, n_genes: Sequence[int], penalties: Sequence[float], balance: float
) -> tuple[tuple[str, ...], FloatArray, FloatArray]:
    """Genes, coefficients (labels, genes) and intercepts (labels,); see `ReferenceMapper.fit`."""
    moments = Moments.of(cells)
    weight = np.bincount(cells.label).astype(np.float64)[cells.label] ** -balance
    size, penalty, temperature = n_genes[0], penalties[0], 1.0
    if cells.fold is not None:
        size, penalty, temperature = _held_out(cells, cells.fold, moments, n_genes, penalties, weight)
    genes = tuple(cells.genes[i] for i in np.sort(moments.ranked(None)[:size]))
    slopes, intercept = ridge_softmax(cells.expression(genes), cells.label, weight, penalty)
    return genes, slopes / temperature, intercept / temperature


def _held_out(
    cells: LabelledCells,
    fold: IntArray,
    moments: Moments,
    n_genes: Sequence[int],
    penalties: Sequence[float],
    weight: FloatArray,
) -> tuple[int, float, float]:
    """Number of genes, penalty and temperature under which the labels of parts held out are most likely."""
    logits = {choice: np.zeros((len(fold), len(cells.labels))) for choice in product(n_genes, penalties)}
    for part in range(int(fold.max()) + 1):
        test, order = fold == part, moments.ranked(part)
        seen, of_rest = np.unique(cells.label[~test], return_inverse=True)
        for size in n_genes:
            x = cells.expression([cells.genes[i] for i in np.sort(order[:size])])
            for penalty in penalties:
                slopes, intercept = ridge_softmax(x[~test], of_rest, weight[~test], penalty)
                # A label seen in this part alone is as improbable as the least probable one that was known.
                known = x[test] @ slopes.T + intercept
                held = np.repeat(known.min(axis=1, keepdims=True), len(cells.labels), axis=1)
                held[:, seen] = known
                logits[size, penalty][test] = held
    best = (-np.inf, n_genes[0], penalties[0], 1.0)
    for (size, penalty), of_choice in logits.items():
        for temperature in _TEMPERATURES:
            right = softmax(of_choice / temperature)[np.arange(len(fold)), cells.label]
            likelihood = float(np.mean(np.log(np.maximum(right, 1e-300))))
            best = max(best, (likelihood, size, penalty, float(temperature)))
    return best[1:]


def ridge_softmax(
    x: NDArray[np.float32], label: IntArray, weight: FloatArray, penalty: float
) -> tuple[FloatArray, FloatArray]:
    """Coefficients (labels, columns) and intercepts (labels,) that maximise the weighted mean log-likelihood.

    The penalty is ``penalty / 2`` times the sum of the squared coefficients of standardised columns (Hastie et al., The
    Elements of Statistical Learning, section 4.4.4, with squares); the intercept has none. What is returned applies to
    `x` as it is. Constant columns get 0.

    Args:
        x: (cells, columns).
        label: (cells,), from 0 without gaps.
        weight: (cells,), positive, on any scale.
        penalty: Not negative.
    """
    center, spread = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
    scale = np.where(spread > 1e-6, spread, np.inf)
    z = ((x - center) / scale).astype(np.float32)
    share = weight / weight.sum()
    n_labels, row = int(label.max()) + 1, np.arange(len(label))

    def objective(flat: FloatArray) -> tuple[float, FloatArray]:
        table = flat.reshape(n_labels, -1)
        slopes = table[:, :-1]
        residual = softmax((z @ slopes.T.astype(np.float32)).astype(np.float64) + table[:, -1])
        loss = -float(share @ np.log(np.maximum(residual[row, label], 1e-300)))
        residual[row, label] -= 1.0
        residual *= share[:, None]
        gradient = (residual.T.astype(np.float32) @ z).astype(np.float64) + penalty * slopes
        with_intercept = np.concatenate([gradient, residual.sum(axis=0)[:, None]], axis=1)
        return loss + penalty / 2 * float((slopes**2).sum()), with_intercept.ravel()

    start = np.zeros(n_labels * (x.shape[1] + 1))
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 300, "ftol": 1e-8})
    table = found.x.reshape(n_labels, -1)
    slopes = table[:, :-1] / scale
    return slopes, table[:, -1] - slopes @ center
