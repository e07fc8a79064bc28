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
from training.mechanisms.occlusion import CellState
from training.models.attribution import risk_of_logits
from training.models.bag_network import BagNetwork
from training.models.cell_input import PreparedCells
from training.models.predictor import KnownSamples
from training.models.sample_layout import CellBatch, SampleGrid, SampleLayout

NODES = 16
"""Of the Gauss–Legendre quadrature."""


@dataclass(frozen=True, slots=True)
class GeneContributions:
    """Of some patients, in risk of one cause at one horizon."""

    genes: tuple[str, ...]
    """Those that the network sees."""
    values: FloatArray
    """(rows, states, genes): of the cells of each state; 0 without cells."""
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
    gap = 0.0
    for i in range(len(x)):
        own = layout.occurrence[i][layout.occurrence[i] >= 0]
        read = [_Sample.of(network, samples, int(j)) for j in own]
        if read:
            slopes, difference = path.slopes(x[i], read, layout, own)
            by_cell = [one.contributions(network, slope) for one, slope in zip(read, slopes, strict=True)]
            gap = max(gap, abs(sum(float(of.sum()) for of in by_cell) - difference))
            for number, state in enumerate(states):
                values[i, number] = sum(
                    of[state.of(one.bag)[one.order]].sum(axis=0)
                    for one, of in zip(read, by_cell, strict=True)
                    if one.material == state.material
                )
    return GeneContributions(network.cells.genes, values, gap)


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

    def contributions(self, network: BagNetwork, slope: FloatArray) -> FloatArray:
        """(cells, genes), from the mean slope along the path in what the network sees (cells, width)."""
        genes, pca = network.cells.genes, network.cells.pca
        raw = self.expression.rows(np.arange(len(self.expression)), len(genes)).astype(np.float64)
        if pca is None:
            return (raw - network.module.center.double().numpy()) * slope
        found: FloatArray = (raw - pca.center) * (slope @ (pca.components / pca.scale))
        return found


class _Path:
    """The straight line from cells all alike to those of a row, and the risk along it."""

    def __init__(self, network: BagNetwork, cause: int, horizon_days: float) -> None:
        self.module = copy.deepcopy(network.module).requires_grad_(requires_grad=False)
        self.materials, self.cause = network.materials, cause
        self.edges, self.times = torch.as_tensor(network.edges_days), torch.tensor([horizon_days], dtype=torch.float64)

    def slopes(
        self, x: FloatArray, read: list[_Sample], layout: SampleLayout, own: IntArray
    ) -> tuple[list[FloatArray], float]:
        """Of each sample the mean of ∂risk/∂(what is seen) along the path (cells, width); and the risk's difference."""
        days = torch.as_tensor(layout.days[own], dtype=torch.float32)[None]
        grid = SampleGrid(torch.arange(len(own))[None], days, torch.ones((1, len(own)), dtype=torch.bool))
        tables = [torch.as_tensor(one.table, dtype=torch.float32) for one in read]
        clinic = torch.as_tensor(x, dtype=torch.float32)[None]
        nodes, weights = np.polynomial.legendre.leggauss(NODES)
        sums = [torch.zeros_like(table) for table in tables]
        for node, weight in zip(nodes, weights, strict=True):
            at = [self._between(table, 0.5 * (node + 1)).requires_grad_() for table in tables]
            slopes = torch.autograd.grad(self._risk(clinic, at, read, grid), at)
            for total, slope in zip(sums, slopes, strict=True):
                total += 0.5 * weight * slope
        with torch.no_grad():
            ends = [self._risk(clinic, [self._between(t, a) for t in tables], read, grid) for a in (0.0, 1.0)]
        return [total.numpy() for total in sums], float(ends[1] - ends[0])

    def _between(self, table: Tensor, share: float) -> Tensor:
        center = self.module.center
        return center + share * (table - center)

    def _risk(self, x: Tensor, tables: list[Tensor], read: list[_Sample], grid: SampleGrid) -> Tensor:
        pooled = []
        for table, one in zip(tables, read, strict=True):
            known = torch.ones((1, len(table)), dtype=torch.bool)
            material = torch.tensor([self.materials.index(one.material)])
            pooled.append(self.module.pool(CellBatch(table[None], known, material)))
        logits = self.module.fuse(x, torch.cat(pooled, dim=1), grid)
        return risk_of_logits(logits, self.edges, self.times)[0, self.cause - 1, 0]
