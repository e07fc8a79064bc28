"""How much each gene, in each state, moves the risk of a network that looks at cells: integrated gradients.

From cells all alike, each gene at the mean of the training cells, to the cells of a patient as they are, along the
straight line in what the network sees (Sundararajan, Taly & Yan, ICML 2017, eq. 1):

    φ_g = Σ_cells (e_cg − ē_g) ∫₀¹ ∂risk/∂e_cg (ē + a (e − ē)) da

The sum over genes is risk(cells as they are) − risk(cells all alike), what all cells carry by what they express and not
by their number. Principal components are linear in expression, so that gradients go through them to the genes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from features.cells.bag import CellBag
from features.patients import FloatArray, IntArray
from training.mechanisms.states import CellState
from training.models.attribution import risk_of_logits
from training.models.bag_network import BagNetwork
from training.models.cell_input import PreparedCells
from training.models.predictor import KnownSamples
from training.models.sample_layout import CellBatch, SampleGrid, SampleLayout

NODES = (16, 64, 256)
"""Of the Gauss–Legendre quadrature; more are taken for rows that the fewer leave outside the tolerance."""
TOLERANCE = 1e-3
"""Of |Σ contributions − difference of risks|: a tenth of a percentage point."""


@dataclass(frozen=True, slots=True)
class GeneContributions:
    """Of some patients, in risk of one cause at one horizon."""

    genes: tuple[str, ...]
    """Those that the network sees."""
    values: FloatArray
    """(rows, states, genes): of the cells of each state; 0 without cells."""
    raises: FloatArray
    """(rows, genes): 1 where the risk rises with the gene, expressed a little more by all cells, along the line, else
    0; NaN without cells."""
    gap: float
    """Largest |Σ contributions − difference of risks| of a row, cells of no state included: error of the integral."""


def gene_contributions(
    network: BagNetwork,
    x: FloatArray,
    samples: KnownSamples,
    states: Sequence[CellState],
    cause: int,
    horizon_days: float,
) -> GeneContributions:
    """Divide what the cells of each row move its risk among genes and states.

    Args:
        network: A fitted network.
        x: (rows, features), encoded.
        samples: Known of the rows.
        states: A cell may be in several, or in none.
        cause: 1, 2, …
        horizon_days: The horizon.
    """
    layout = SampleLayout.of(samples, network.materials)
    path = _Path(network, cause, horizon_days)
    values = np.zeros((len(x), len(states), len(network.cells.genes)))
    raises = np.full((len(x), len(network.cells.genes)), np.nan)
    gap = 0.0
    for i in range(len(x)):
        own = layout.occurrence[i][layout.occurrence[i] >= 0]
        read = [_Sample.of(network, samples, int(j)) for j in own]
        if read:
            slopes, of_row = path.slopes(x[i], read, layout.days[own])
            gap = max(gap, of_row)
            by_gene = [_over_genes(network, slope) for slope in slopes]
            raises[i] = sum(slope.sum(axis=0) for slope in by_gene) > 0
            by_cell = [slope * one.above_mean(network) for one, slope in zip(read, by_gene, strict=True)]
            for number, state in enumerate(states):
                values[i, number] = sum(
                    of[state.of(one.bag)[one.order]].sum(axis=0)
                    for one, of in zip(read, by_cell, strict=True)
                    if one.material == state.material
                )
    return GeneContributions(network.cells.genes, values, raises, gap)


@dataclass(frozen=True, slots=True)
class _Sample:
    """One sample as the network reads it."""

    bag: CellBag
    material: str
    order: IntArray
    """(cells,): number of each cell that is read in the bag."""
    table: FloatArray
    """(cells, width): what the network sees."""
    expression: PreparedCells

    @classmethod
    def of(cls, network: BagNetwork, samples: KnownSamples, number: int) -> _Sample:
        bag = samples.bags[number]
        prepared = network.cells.prepare(bag)
        table = prepared.rows(np.arange(len(prepared)), len(network.cells.genes)).astype(np.float64)
        expression = replace(network.cells, pca=None).prepare(bag)
        return cls(bag, str(samples.material[number]), prepared.order, table, expression)

    def above_mean(self, network: BagNetwork) -> FloatArray:
        """(cells, genes): expression less the training mean."""
        pca = network.cells.pca
        mean = network.module.center.double().numpy() if pca is None else pca.center
        raw = self.expression.rows(np.arange(len(self.expression)), len(network.cells.genes))
        return raw.astype(np.float64) - mean


def _over_genes(network: BagNetwork, slope: FloatArray) -> FloatArray:
    """(cells, genes): slopes in what the network sees (cells, width), by the chain rule through the components."""
    pca = network.cells.pca
    found: FloatArray = slope if pca is None else slope @ (pca.components / pca.scale)
    return found


class _Path:
    """The straight line from cells all alike to those of a row, and the risk along it."""

    def __init__(self, network: BagNetwork, cause: int, horizon_days: float) -> None:
        self.module = copy.deepcopy(network.module).requires_grad_(requires_grad=False)
        self.materials, self.cause = network.materials, cause
        self.edges, self.times = torch.as_tensor(network.edges_days), torch.tensor([horizon_days], dtype=torch.float64)

    def slopes(self, x: FloatArray, read: list[_Sample], days: FloatArray) -> tuple[list[FloatArray], float]:
        """Of each sample the mean of ∂risk/∂(what is seen) along the path (cells, width); and the integral's error."""
        for n_nodes in NODES:
            means, difference = self._integrated(x, read, days, n_nodes)
            moved = zip(means, read, strict=True)
            total = sum(float((slope * (one.table - self.module.center.numpy())).sum()) for slope, one in moved)
            gap = abs(total - difference)
            if gap <= TOLERANCE:
                break
        return means, gap

    def _integrated(
        self, x: FloatArray, read: list[_Sample], days: FloatArray, n_nodes: int
    ) -> tuple[list[FloatArray], float]:
        """Mean slopes of each sample, and the difference of risks between the ends."""
        nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
        means = [np.zeros(one.table.shape) for one in read]
        for some in np.array_split(np.arange(n_nodes), max(1, n_nodes // NODES[0])):
            tables = self._between(read, 0.5 * (nodes[some] + 1))
            risk = self._risk(x, tables, read, days)
            slopes = torch.autograd.grad(risk @ torch.as_tensor(0.5 * weights[some]), tables)
            for mean, slope in zip(means, slopes, strict=True):
                mean += slope.sum(dim=0).double().numpy()
        with torch.no_grad():
            ends = self._risk(x, self._between(read, np.array([0.0, 1.0])), read, days)
        return means, float(ends[1] - ends[0])

    def _between(self, read: list[_Sample], shares: FloatArray) -> list[Tensor]:
        """Of each sample (shares, cells, width): points on the line."""
        center, at = self.module.center, torch.as_tensor(shares, dtype=torch.float32)[:, None, None]
        tables = [torch.as_tensor(one.table, dtype=torch.float32) for one in read]
        return [(center + at * (table - center)).requires_grad_() for table in tables]

    def _risk(self, x: FloatArray, tables: list[Tensor], read: list[_Sample], days: FloatArray) -> Tensor:
        """(points,): at each point of the line, all samples being there together."""
        n = len(tables[0])
        pooled = []
        for table, one in zip(tables, read, strict=True):
            known = torch.ones(table.shape[:2], dtype=torch.bool)
            material = torch.full((n,), self.materials.index(one.material))
            pooled.append(self.module.pool(CellBatch(table, known, material)))
        slots = torch.arange(n * len(read)).reshape(len(read), n).T
        at = torch.as_tensor(days, dtype=torch.float32).expand(n, -1, -1)
        grid = SampleGrid(slots, at, torch.ones((n, len(read)), dtype=torch.bool))
        clinic = torch.as_tensor(x, dtype=torch.float32).expand(n, -1)
        logits = self.module.fuse(clinic, torch.cat(pooled, dim=1), grid)
        return risk_of_logits(logits, self.edges, self.times)[:, self.cause - 1, 0]
