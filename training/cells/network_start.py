"""Where networks that look at single cells begin to learn: from axes, prototypes and a penalised linear model."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from features.cells.bag import CellBag
from features.cells.embedding import CellPca
from features.cells.samples import SampleFeatures
from features.cells.variable_genes import variable_genes
from features.outcomes import Outcomes
from features.patients import Patients
from training.cells.drawing import BagConfig, CellSource
from training.config import AttentionConfig, SetTransformerConfig
from training.fitting.binning import BinnedOutcomes, base_logits
from training.models.bag_network import BagHazards, BagSizes
from training.models.cell_input import CellInput
from training.models.cox import CauseSpecificCox
from training.models.network import NetworkSizes
from training.models.predictor import KnownSamples
from training.models.sample_layout import CellBatch, SampleLayout

COUNTED_CELLS = 500
"""Cells of each sample that set the scale of the prototypes' counts."""
SMALLEST_SPREAD = 0.05
"""Log shares that vary less than this between samples are not blown up to unit variance."""
POOLED_CELLS = 50_000
"""Cells of all samples together among which prototypes are placed, samples weighing about alike."""
KMEANS_CELLS = 10_000
"""Of these, so many are drawn for each member."""


def fit_input(
    patients: Patients, samples: KnownSamples, layout: SampleLayout, panel: SampleFeatures, config: BagConfig, seed: int
) -> tuple[CellInput, CellPca]:
    """Variable genes of the training samples and their components, which the model sees, or begins with."""
    if patients.samples is None:
        msg = "patients without samples have no cells"
        raise ValueError(msg)
    summary = patients.samples.summary.take(samples.number[layout.first])
    genes = tuple(summary.genes[i] for i in variable_genes(summary, config.genes, counts=panel.counts))
    bags: Iterator[CellBag] = (samples.bags[int(i)] for i in layout.first)
    pca = CellPca.fit(bags, genes, counts=panel.counts, n_components=config.components, seed=seed)
    frozen = pca if isinstance(config, AttentionConfig) else None
    return CellInput(genes, panel.counts, config.most_cells, frozen), pca


def bag_sizes(cells: CellInput, pca: CellPca, panel: SampleFeatures, config: BagConfig) -> BagSizes:
    """Shapes that follow from cells and configuration."""
    trained = isinstance(config, SetTransformerConfig)
    blocks, points = (config.blocks, config.points) if isinstance(config, SetTransformerConfig) else (0, 0)
    return BagSizes(
        cells.width,
        len(pca.components),
        len(panel.materials),
        config.prototypes,
        config.width,
        config.heads,
        trained,
        blocks,
        points,
    )


def initial_module(
    hazards: NetworkSizes, sizes: BagSizes, source: CellSource, pca: CellPca, binned: BinnedOutcomes, seed: int
) -> BagHazards:
    """Base hazards as observed, axes at the components, prototypes where cells gather; no event decides on cells."""
    module = BagHazards(hazards, sizes, torch.Generator().manual_seed(seed))
    n_samples = len(source.layout.first)
    each = max(POOLED_CELLS // n_samples, 1)
    every = np.concatenate([_on_axes(source.first_cells(i, each), pca, sizes) for i in range(n_samples)])
    rng = np.random.default_rng(seed)
    placed = []
    for _ in range(hazards.n_members):
        drawn = every[rng.choice(len(every), min(len(every), KMEANS_CELLS), replace=False)]
        placed.append(k_means(drawn, sizes.n_prototypes, rng))
    unit = max(float(np.mean([within for _, within in placed])), 1e-6)
    with torch.no_grad():
        module.clinic.base.copy_(base_logits(binned))
        module.prototypes.points.copy_(torch.as_tensor(np.stack([points for points, _ in placed]) / unit))
        module.spread.copy_(torch.as_tensor(np.maximum(every.std(axis=0) / unit, 1e-3)))
        module.unit.fill_(unit)
        if module.axes is not None:
            module.center.copy_(torch.as_tensor(pca.center))
            module.axes.weight.copy_(torch.as_tensor((pca.components / pca.scale).T))
    return module


def _on_axes(cells: NDArray[np.float32], pca: CellPca, sizes: BagSizes) -> NDArray[np.float64]:
    """(cells, axes)."""
    axes: NDArray[np.float64] = cells.astype(np.float64)
    return (axes - pca.center) / pca.scale @ pca.components.T if sizes.trained else axes


@torch.no_grad()
def standardised_counts(module: BagHazards, source: CellSource) -> Tensor:
    """(members, different samples, prototypes): counts, whose scale is set to that of training samples, by material."""
    logs = []
    for number in range(len(source.layout.first)):
        table = torch.as_tensor(source.first_cells(number, COUNTED_CELLS))
        known = torch.ones((1, len(table)), dtype=torch.bool)
        z = module.located(CellBatch(table[None], known, torch.zeros(1, dtype=torch.long)))
        logs.append(module.prototypes.log_shares(module.prototypes.responsibilities(z, known), known)[:, 0])
    counts = torch.stack(logs, dim=1)
    for material in np.unique(source.layout.material).tolist():
        own = torch.as_tensor(source.layout.material == material)
        center = counts[:, own].mean(dim=1)
        spread = counts[:, own].std(dim=1, correction=0).clamp(min=SMALLEST_SPREAD)
        module.prototypes.center[:, material] = center
        module.prototypes.spread[:, material] = spread
        counts[:, own] = (counts[:, own] - center[:, None]) / spread[:, None]
    return counts


@torch.no_grad()
def begin_linear(
    module: BagHazards,
    counts: Tensor,
    x: NDArray[np.float64],
    outcomes: Outcomes,
    patient_id: NDArray[np.object_],
    source: CellSource,
    drawn: NDArray[np.int64],
    seed: int,
) -> None:
    """Set the linear weights of clinic and counts to a ridge cause-specific Cox model of each member's bag.

    Gradient steps with few events would move all weights alike; a penalised fit moves those that matter. An event
    between two days counts in the middle. In short bins a log hazard ratio is also one of discrete hazards (Thompson,
    Biometrics 1977;33:463).

    Args:
        module: Changed in place.
        counts: From `standardised_counts`.
        x: Features (rows, features).
        outcomes: Of the rows.
        patient_id: (rows,).
        source: The cells of the rows.
        drawn: (members, rows): how often each member drew each row's patient.
        seed: Of the folds in which penalties are chosen.
    """
    width, n_members = module.sizes.width, len(drawn)
    attended = torch.zeros(n_members, counts.shape[1], width)
    grid = source.layout.grid(np.arange(len(x)), torch.float32)
    by_row = module.rows(torch.cat([attended, counts], dim=-1), grid)[:, :, width:].double().numpy()
    for member, times in enumerate(drawn):
        bag = np.repeat(np.arange(len(x)), times)
        both = np.concatenate([x, by_row[member]], axis=1)
        of_bag = outcomes.take(bag).in_the_middle()
        cox = CauseSpecificCox.fit(both[bag], of_bag, penalty=None, patient_id=patient_id[bag], seed=seed + member)
        beta = torch.as_tensor(cox.beta, dtype=torch.float32)
        module.clinic.linear[member] = beta[:, : x.shape[1]]
        module.out.weight[member, width : width + module.sizes.n_prototypes, : len(beta)] = beta[:, x.shape[1] :].T
        relative = np.exp(np.clip(both @ cox.beta.T, -20.0, 20.0)).mean(axis=0)
        module.clinic.base[member] -= torch.as_tensor(np.log(relative), dtype=torch.float32)[:, None]


def k_means(
    x: NDArray[np.float64], n_points: int, rng: np.random.Generator, n_rounds: int = 15
) -> tuple[NDArray[np.float64], float]:
    """Points (n_points, axes) among x (cells, axes), and the root mean square distance to the nearest, by axis.

    Lloyd's algorithm from k-means++ (Arthur & Vassilvitskii, SODA 2007). With fewer cells than points, points repeat.
    """
    points = np.empty((n_points, x.shape[1]))
    points[0] = x[rng.integers(len(x))]
    nearest = ((x - points[0]) ** 2).sum(axis=1)
    for i in range(1, n_points):
        share = nearest / nearest.sum() if nearest.sum() > 0 else None
        points[i] = x[rng.choice(len(x), p=share)]
        nearest = np.minimum(nearest, ((x - points[i]) ** 2).sum(axis=1))
    size = (x**2).sum(axis=1)
    for _ in range(n_rounds):
        squared = size[:, None] - 2.0 * x @ points.T + (points**2).sum(axis=1)
        label = squared.argmin(axis=1)
        member = np.zeros((len(x), n_points))
        member[np.arange(len(x)), label] = 1.0
        n = member.sum(axis=0)
        points = np.where(n[:, None] > 0, member.T @ x / np.maximum(n, 1.0)[:, None], points)
    within = np.maximum(squared[np.arange(len(x)), label], 0.0).mean() / x.shape[1]
    return points, float(np.sqrt(within))
