"""A whole sample as the density of its cells: the mean embedding of a kernel on principal components of cells.

GloScope (Wang, Torous, Gong & Purdom, Genome Biol 2024;25:259) represents each sample by the density of its cells in a
space of few dimensions, and compares samples by the symmetrised Kullback–Leibler divergence of these densities. That
gives distances between given samples and no coordinates for a new one. Here the density is represented by its kernel
mean embedding, whose distance is the maximum mean discrepancy (Gretton et al., J Mach Learn Res 2012;13:723), in
explicit coordinates: random Fourier features (Rahimi & Recht, Random features for large-scale kernel machines, NIPS
2007). A new sample is then the mean of a function of its cells, and principal components over the training samples make
it short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.cells.bag import Bags, CellBag
from features.cells.embedding import CellPca
from features.cells.pseudobulk import PseudobulkComponents, columns_named, principal_axes
from features.errors import SequelaError
from features.patients import FloatArray

PREFIX = "density:pc"
BANDWIDTHS = (1.0, 0.5, 0.25)
"""Bandwidths of the kernel in units of the median distance of cells. That is about the distance between cell types; the
smaller ones see what changes within a type."""
_FORMAT = "sequela-density-embedding/1"
_CELLS_AT_ONCE = 4096
_CELLS_FOR_BANDWIDTH = 1000


@dataclass(frozen=True, slots=True)
class DensityEmbedding:
    """Coordinates of the density of a sample's cells; the order of the cells does not matter beyond rounding."""

    pca: CellPca
    frequencies: FloatArray
    """(frequencies, components of cells): draws from the Fourier transform of the kernel."""
    components: PseudobulkComponents
    """Of the mean features of training samples: centred, not scaled, so that distances stay those of the kernel."""

    @classmethod
    def fit(
        cls,
        bags: Sequence[CellBag] | Bags,
        *,
        genes: Sequence[str],
        counts: bool,
        n_components: int = 8,
        n_frequencies: int = 512,
        seed: int = 0,
        n_cell_components: int = 10,
        max_cells: int = 50_000,
        means: Means | None = None,
    ) -> DensityEmbedding:
        """Fit on cells of training samples: their principal components, bandwidth, and components over samples.

        The kernel is the mean of exp(−|x − y|² / 2σ²) over σ = `BANDWIDTHS` · the median distance of training cells
        (the median heuristic of Gretton et al. 2012). The components over samples are at most a tenth of the samples.

        Args:
            bags: Cells of training samples, read three times; those without cells are left out.
            genes: The genes that enter, usually variable ones.
            counts: Whether values are raw counts, or intensities.
            n_components: Length of the embedding.
            n_frequencies: How many random frequencies, for each bandwidth in turn; each gives a cosine and a sine.
            seed: Of the draws of cells and of frequencies.
            n_cell_components: Dimensions in which the density lives.
            max_cells: How many cells enter the components of cells at most.
            means: Computes the mean features of a sample elsewhere (`features.cells.accelerate`); None: here.

        Raises:
            SequelaError: Too few cells, cells that do not differ, or an impossible value.
        """
        pca = CellPca.fit(
            _filled(bags), genes, counts=counts, n_components=n_cell_components, max_cells=max_cells, seed=seed
        )
        rng = np.random.default_rng([seed, 1])
        bandwidth = median_distance(_some_cells(pca, bags, rng)) * np.resize(BANDWIDTHS, n_frequencies)
        frequencies = rng.standard_normal((n_frequencies, len(pca.components))) / bandwidth[:, None]
        empty = PseudobulkComponents(np.zeros(0), np.zeros(0), np.zeros((0, 0)))
        unfitted, of = cls(pca, frequencies, empty), means or DensityEmbedding.means
        embedded = np.array([of(unfitted, bag) for bag in _filled(bags)])
        center = embedded.mean(axis=0)
        axes = principal_axes(embedded - center, min(n_components, max(1, len(embedded) // 10)))
        return cls(pca, frequencies, PseudobulkComponents(center, np.ones(len(center)), axes))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(f"{PREFIX}{j + 1}" for j in range(len(self.components.components)))

    def means(self, bag: CellBag) -> FloatArray:
        """(2 · frequencies,): the mean features of a sample's cells, NaN without cells; see `squared_discrepancy`."""
        return mean_features(self.pca.transform(bag), self.frequencies)

    def transform(self, bag: CellBag) -> FloatArray:
        """(components,): the embedding of a sample, NaN without cells.

        It is linear in the density: its expectation does not depend on the number of cells, its noise falls with it.

        Raises:
            SequelaError: A value is not finite, or a count is negative.
        """
        embedded: FloatArray = self.components.transform(self.means(bag)[None])[0]
        return embedded

    def columns(self, bags: Sequence[CellBag] | Bags, means: Means | None = None) -> dict[str, FloatArray]:
        """Columns (samples,) by name; `means` as for `fit`."""
        of = means or DensityEmbedding.means
        rows = [self.components.transform(of(self, bags[i])[None])[0] for i in range(len(bags))]
        return columns_named(PREFIX, np.array(rows).reshape(len(rows), len(self.names)))

    def state(self) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        """Plain JSON and named arrays that `from_state` rebuilds the embedding from."""
        sizes, arrays = self.pca.state()
        named = {f"pca.{name}": array for name, array in arrays.items()}
        named |= {f"components.{name}": array for name, array in self.components.state().items()}
        return {"format": _FORMAT, "pca": sizes}, named | {"frequencies": self.frequencies}

    @classmethod
    def from_state(cls, sizes: Mapping[str, Any], arrays: Mapping[str, FloatArray]) -> DensityEmbedding:
        """Rebuild what `state` described.

        Raises:
            SequelaError: It describes no density embedding, or shapes do not agree.
        """
        if sizes.get("format") != _FORMAT:
            msg = f"cells: this is no {_FORMAT}; fit the density embedding again"
            raise SequelaError(msg)
        pca = CellPca.from_state(sizes["pca"], _below("pca.", arrays))
        parts = {name: np.asarray(array, dtype=np.float64) for name, array in _below("components.", arrays).items()}
        frequencies = np.asarray(arrays.get("frequencies", np.zeros((0, 0))), dtype=np.float64)
        width = 2 * len(frequencies)
        shapes = {name: array.shape[-1:] for name, array in parts.items()}
        if frequencies.shape[1:] != (len(pca.components),) or shapes != dict.fromkeys(
            ("center", "scale", "components"), (width,)
        ):
            msg = f"cells: arrays of this {_FORMAT} do not fit together; fit the density embedding again"
            raise SequelaError(msg)
        return cls(pca, frequencies, PseudobulkComponents.from_state(parts))


Means = Callable[[DensityEmbedding, CellBag], FloatArray]
"""Whatever computes `DensityEmbedding.means`."""


def mean_features(cells: NDArray[np.float32], frequencies: FloatArray) -> FloatArray:
    """(2 · frequencies,): mean over cells of [cos(ω·x), sin(ω·x)] / √frequencies; NaN without cells.

    The inner product of the features of x and y is the mean of cos(ω·(x − y)), unbiased for the kernel k (Rahimi &
    Recht 2007); for one Gaussian kernel its standard error is (1 − k²) / √(2 · frequencies).

    Args:
        cells: (cells, dimensions).
        frequencies: (frequencies, dimensions).
    """
    if not len(cells):
        return np.full(2 * len(frequencies), np.nan)
    weights = frequencies.astype(np.float32).T
    total = np.zeros((2, len(frequencies)))
    for start in range(0, len(cells), _CELLS_AT_ONCE):
        angle = cells[start : start + _CELLS_AT_ONCE] @ weights
        total[0] += np.cos(angle).sum(axis=0, dtype=np.float64)
        total[1] += np.sin(angle).sum(axis=0, dtype=np.float64)
    features: FloatArray = total.reshape(-1) / (len(cells) * np.sqrt(len(frequencies)))
    return features


def squared_discrepancy(first: FloatArray, second: FloatArray) -> tuple[float, float]:
    """Squared maximum mean discrepancy of two samples, and its Monte-Carlo standard error over the frequencies.

    It is the biased estimate of Gretton et al. 2012: samples of n and m cells of one distribution are about
    (1 − |μ|²)(1/n + 1/m) apart, and not 0.

    Args:
        first: `mean_features` of one sample.
        second: Of the other, with the same frequencies.
    """
    n = len(first) // 2
    terms = ((first - second) ** 2).reshape(2, n).sum(axis=0) * n
    return float(terms.mean()), float(terms.std(ddof=1) / np.sqrt(n)) if n > 1 else float("inf")


def median_distance(cells: FloatArray) -> float:
    """The median of the distances of different cells (cells, dimensions), over pairs that are not at one place.

    Raises:
        SequelaError: All cells are at one place.
    """
    norms = (cells**2).sum(axis=1)
    squared = (norms[:, None] + norms - 2.0 * cells @ cells.T)[np.triu_indices(len(cells), 1)]
    apart = squared[squared > 1e-9 * max(float(norms.max(initial=0.0)), 1e-300)]
    if not len(apart):
        msg = "cells: all training cells look alike, and a density of them says nothing; check the expression matrix"
        raise SequelaError(msg)
    return float(np.sqrt(np.median(apart)))


def _filled(bags: Sequence[CellBag] | Bags) -> Iterator[CellBag]:
    """The samples that have cells; each is read when it is its turn."""
    return (bag for bag in (bags[i] for i in range(len(bags))) if len(bag))


def _some_cells(pca: CellPca, bags: Sequence[CellBag] | Bags, rng: np.random.Generator) -> FloatArray:
    """(cells, components): an equal number of cells of each sample, or all that it has."""
    parts: list[FloatArray] = []
    for bag in _filled(bags):
        cells = pca.transform(bag).astype(np.float64)
        parts.append(cells[rng.permutation(len(cells))[: _quota(len(parts) + 1)]])
    return np.concatenate([cells[: _quota(len(parts))] for cells in parts])


def _quota(n_samples: int) -> int:
    return max(_CELLS_FOR_BANDWIDTH // n_samples, 2)


def _below(prefix: str, arrays: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
