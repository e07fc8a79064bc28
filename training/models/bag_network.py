"""Discrete-hazard networks that look at single cells: attention over bags, fused with the clinic.

    cell    = principal components, frozen                                   kind attention
              genes → linear → set-attention blocks, trained end to end      kind set_transformer
    sample  = gated attention over its cells, and soft counts of prototypes  `training.models.set_layers`
    patient = gated attention over the samples known by the landmark, each with its material and day
    logits  = clinic(x) + cells(patient, x)                                  `training.models.network`

The clinical part is the whole network of clinic-only patients; cells add to its logits, and add exactly 0 for who has
none. All members of the ensemble are one batched program.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.models.bins import interpolate, log_hazards
from training.models.cell_input import CellInput, PreparedCells
from training.models.network import NetworkSizes, PackedHazards
from training.models.predictor import Arrays, CellAttention, KnownSamples, Sizes
from training.models.sample_layout import N_DAY_FEATURES, CellBatch, SampleGrid, SampleLayout
from training.models.set_layers import SMALLEST_SHARE, GatedScores, InducedAttention, PackedLinear, Prototypes

QUIET = 0.3
"""Scale of what is not linear in counts: it learns more slowly, and so overfits later."""
ROWS_AT_ONCE = 256
_INPUT = "input/"
_MODULE = "module/"


@dataclass(frozen=True, slots=True)
class BagSizes:
    """All that determines the shape of the parameters beyond `NetworkSizes`."""

    n_inputs: int
    """Numbers a cell."""
    n_components: int
    """Axes on which cells are compared."""
    n_materials: int
    n_prototypes: int
    width: int
    n_heads: int
    trained: bool
    """Whether the axes are trained; else the inputs are the axes."""
    n_blocks: int
    """Set-attention blocks; without any, each cell is looked at by itself."""
    n_points: int
    """Inducing points of each block."""


class BagHazards(nn.Module):
    """Logits of cause-specific hazards of all members at once, from clinic and cells."""

    center: Tensor
    unit: Tensor
    spread: Tensor

    def __init__(self, hazards: NetworkSizes, sizes: BagSizes, generator: torch.Generator | None) -> None:
        """Initialise from the generator; what cells add begins at 0."""
        super().__init__()
        self.hazards, self.sizes = hazards, sizes
        m, d, n_axes, n_materials = hazards.n_members, sizes.width, sizes.n_components, sizes.n_materials
        token = d + sizes.n_prototypes
        self.register_buffer("center", torch.zeros(sizes.n_inputs))
        self.register_buffer("unit", torch.ones(1))
        self.register_buffer("spread", torch.ones(n_axes))
        self.clinic = PackedHazards(hazards, generator)
        self.axes = PackedLinear(m, sizes.n_inputs, n_axes, generator) if sizes.trained else None
        self.embed = PackedLinear(m, n_axes, d, generator)
        self.blocks = nn.ModuleList(
            InducedAttention(m, d, sizes.n_heads, sizes.n_points, generator) for _ in range(sizes.n_blocks)
        )
        self.over_cells = GatedScores(m, d, d, sizes.n_heads, generator)
        self.value = PackedLinear(m, d, d, generator)
        self.prototypes = Prototypes(m, sizes.n_prototypes, n_axes, n_materials)
        self.material_gain = nn.Parameter(torch.zeros(m, n_materials, token))
        self.material_shift = nn.Parameter(torch.zeros(m, n_materials, token))
        self.day = PackedLinear(m, N_DAY_FEATURES, token, generator).zeroed()
        self.over_samples = GatedScores(m, token, d, 1, generator)
        self.fusion = PackedLinear(m, token + hazards.n_features, d, generator)
        self.out = PackedLinear(m, token + d, 2 * hazards.n_causes, generator).zeroed()

    def forward(self, x: Tensor, batch: CellBatch, grid: SampleGrid) -> Tensor:
        """Logits (members, rows, causes, bins) against remaining event-free, for features (rows, features)."""
        return self.fuse(x, self.pool(batch), grid)

    def located(self, batch: CellBatch) -> Tensor:
        """(members or 1, samples, cells, axes): where each cell lies, in units of the spread within a population."""
        centred = (batch.cells - self.center)[None] / self.unit
        return centred if self.axes is None else torch.as_tensor(self.axes(centred))

    def embedded(self, z: Tensor, known: Tensor) -> Tensor:
        """(members, samples, cells, width): each cell, in blocks knowing of the others."""
        h: Tensor = self.embed(z / self.spread)
        for block in self.blocks:
            h = block(h, known)
        return nn.functional.silu(h)

    def pool(self, batch: CellBatch) -> Tensor:
        """(members, samples, token)."""
        z = self.located(batch)
        h = self.embedded(z, batch.known)
        value: Tensor = self.value(h)
        by_head = value.reshape(*value.shape[:-1], self.sizes.n_heads, -1)
        attended = (self.over_cells(h, batch.known)[..., None] * by_head).sum(dim=2).flatten(-2)
        token = torch.cat([QUIET * attended, self.prototypes(z, batch.known, batch.material)], dim=-1)
        return token * (1.0 + self.material_gain[:, batch.material]) + self.material_shift[:, batch.material]

    def cell_attention(self, batch: CellBatch) -> Tensor:
        """(members, samples, cells), sums to 1: see `BagNetwork.attention`."""
        z = self.located(batch)
        attended = self.over_cells(self.embedded(z, batch.known), batch.known)
        near = self.prototypes.responsibilities(z, batch.known)
        near = near / (near.sum(dim=2, keepdim=True) + SMALLEST_SHARE * batch.known.sum(dim=1)[:, None, None])
        near = near / self.prototypes.spread[:, batch.material][:, :, None]
        width, n_tokens = self.sizes.width, self.sizes.width + self.sizes.n_prototypes
        heads = QUIET * self.out.weight[:, :width].abs().sum(dim=-1).reshape(len(near), self.sizes.n_heads, -1).sum(-1)
        change = torch.einsum("mscp,mpo->msco", near, self.out.weight[:, width:n_tokens]).abs().sum(dim=-1)
        total = torch.einsum("msch,mh->msc", attended, heads) + change + 1e-12 * batch.known
        return total / total.sum(dim=2, keepdim=True)

    def tokens(self, pooled: Tensor, grid: SampleGrid) -> Tensor:
        """(members, rows, slots, token): the samples of each row, with their days."""
        of_day: Tensor = self.day(grid.days[None])
        return pooled[:, grid.slot] + of_day

    def rows(self, pooled: Tensor, grid: SampleGrid) -> Tensor:
        """(members, rows, token): what the samples of each row say together; 0 for rows without any."""
        tokens = self.tokens(pooled, grid)
        together: Tensor = (self.over_samples(tokens, grid.known) * tokens).sum(dim=2)
        return together

    def fuse(self, x: Tensor, pooled: Tensor, grid: SampleGrid) -> Tensor:
        """As `forward`, from pooled samples (members, samples, token).

        In training cells take part in every step, though they add 0: processes that train together wait for one
        another's gradients of every parameter.
        """
        logits: Tensor = self.clinic(x)
        if not self.training and not grid.known.any():
            return logits
        own = self.rows(pooled, grid)
        both = torch.cat([own, x[None].expand(len(own), -1, -1)], dim=-1)
        out: Tensor = self.out(torch.cat([own, QUIET * nn.functional.silu(self.fusion(both))], dim=-1))
        level, trend = out[..., : self.hazards.n_causes, None], out[..., self.hazards.n_causes :, None]
        place = torch.linspace(-1.0, 1.0, self.hazards.n_bins, dtype=x.dtype, device=x.device)
        has_cells = grid.known.any(dim=1)[:, None, None]
        return logits + (level + trend * place) * has_cells


def first_member(module: BagHazards) -> BagHazards:
    """The first member of the ensemble, alone."""
    alone = BagHazards(replace(module.hazards, n_members=1), module.sizes, None)
    own = {name: value[:1] if value.ndim > 1 else value for name, value in module.state_dict().items()}
    alone.load_state_dict(own, strict=True, assign=True)
    return alone.eval().requires_grad_(requires_grad=False)


class BagNetwork:
    """A fitted network of cells and clinic; its prediction is the mean incidence over members.

    Each sample is pooled by itself and in double precision, its cells in the order of their content: no answer depends
    on who else is asked about, nor on how cells and genes were sorted.
    """

    kind: ClassVar[str]

    def __init__(
        self, module: BagHazards, cells: CellInput, materials: tuple[str, ...], edges_days: NDArray[np.float64]
    ) -> None:
        """The module, what it sees of cells, the materials it knows, and the bins' edges (bins + 1,)."""
        self.module = module.eval().requires_grad_(requires_grad=False)
        self.cells, self.materials, self.edges_days = cells, materials, edges_days
        self._double = copy.deepcopy(module).double()
        self._first = first_member(self._double)

    def incidence(
        self, x: NDArray[np.float64], landmark_day: NDArray[np.float64], times_days: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Incidences (rows, causes, times) of patients of whom no cell is known."""
        return self.incidence_of_cells(x, landmark_day, times_days, KnownSamples.none(len(x)))

    def incidence_of_cells(
        self,
        x: NDArray[np.float64],
        landmark_day: NDArray[np.float64],
        times_days: NDArray[np.float64],
        samples: KnownSamples,
    ) -> NDArray[np.float64]:
        """Incidences (rows, causes, times), in double precision; constant after the last bin."""
        del landmark_day  # a feature, where there are several
        mean: NDArray[np.float64] = self.member_incidence(x, times_days, samples).mean(axis=0)
        return mean

    def member_incidence(
        self, x: NDArray[np.float64], times_days: NDArray[np.float64], samples: KnownSamples
    ) -> NDArray[np.float64]:
        """Incidences (members, rows, causes, times)."""
        layout = SampleLayout.of(samples, self.materials)
        parts = []
        with torch.inference_mode():
            pooled = self._pooled(self._double, samples, layout)
            for rows in np.array_split(np.arange(len(x)), max(1, -(-len(x) // ROWS_AT_ONCE))):
                matrix = torch.as_tensor(x[rows], dtype=torch.float64)
                cause, none = log_hazards(self._double.fuse(matrix, pooled, layout.grid(rows, torch.float64)))
                parts.append(interpolate(cause.exp().numpy(), none.numpy(), self.edges_days, times_days))
        return np.concatenate(parts, axis=1)

    def attention(self, samples: KnownSamples) -> CellAttention:
        """How much each cell counted in its sample, and each sample in its row.

        A cell counts by its gated attention, weighed by the size of the linear weights that follow, and by how much the
        logits would change through the logarithms of the prototypes' counts if it were not there.
        """
        layout = SampleLayout.of(samples, self.materials)
        of_cells = [np.zeros(len(samples.bags[i])) for i in range(len(samples))]
        with torch.inference_mode():
            for number, first in enumerate(layout.first):
                prepared = self.cells.prepare(samples.bags[int(first)])
                batch = self._batch(prepared, int(layout.material[number]))
                spread = np.zeros(prepared.n_in_bag)
                spread[prepared.order] = self._double.cell_attention(batch).mean(dim=0)[0].numpy()
                for i in np.flatnonzero(layout.unique == number):
                    of_cells[i] = spread
            grid = layout.grid(np.arange(samples.n_rows), torch.float64)
            tokens = self._double.tokens(self._pooled(self._double, samples, layout), grid)
            share = self._double.over_samples(tokens, grid.known).mean(dim=(0, 3)).numpy()
        own = np.zeros(len(samples))
        own[layout.occurrence[layout.occurrence >= 0]] = share[layout.occurrence >= 0]
        return CellAttention(samples.row, own, tuple(of_cells))

    def embedding(self, samples: KnownSamples) -> NDArray[np.float64]:
        """(rows, token): what the first member makes of the samples of each row; NaN of rows without any it knows.

        One member, for the axes of others mean something else.
        """
        layout = SampleLayout.of(samples, self.materials)
        with torch.inference_mode():
            grid = layout.grid(np.arange(samples.n_rows), torch.float64)
            together = self._first.rows(self._pooled(self._first, samples, layout), grid)[0]
        embedding: NDArray[np.float64] = together.masked_fill(~grid.known.any(dim=1)[:, None], torch.nan).numpy()
        return embedding

    def _pooled(self, module: BagHazards, samples: KnownSamples, layout: SampleLayout) -> Tensor:
        """(members, samples, token) of the samples that differ, one after the other."""
        own = module.sizes
        shape = module.hazards.n_members, max(len(layout.first), 1), own.width + own.n_prototypes
        pooled = torch.zeros(shape, dtype=torch.float64)
        for number, first in enumerate(layout.first):
            prepared = self.cells.prepare(samples.bags[int(first)])
            pooled[:, number] = module.pool(self._batch(prepared, int(layout.material[number])))[:, 0]
        return pooled

    def _batch(self, prepared: PreparedCells, material: int) -> CellBatch:
        """One sample."""
        table = prepared.rows(np.arange(len(prepared)), len(self.cells.genes)).astype(np.float64)
        known = torch.ones((1, len(table)), dtype=torch.bool)
        return CellBatch(torch.as_tensor(table)[None], known, torch.tensor([material]))

    def state(self) -> tuple[Sizes, dict[str, NDArray[Any]]]:
        """Sizes, genes and materials; parameters, components and edges."""
        arrays = {f"{_MODULE}{name}": value.cpu().numpy() for name, value in self.module.state_dict().items()}
        cells, of_cells = self.cells.state()
        sizes: Sizes = {
            "hazards": asdict(self.module.hazards),
            "bags": asdict(self.module.sizes),
            "materials": list(self.materials),
            "cells": cells,
        }
        arrays |= {f"{_INPUT}{name}": value for name, value in of_cells.items()}
        return sizes, arrays | {"edges_days": self.edges_days}

    @classmethod
    def from_state(cls, sizes: Sizes, arrays: Arrays) -> Self:
        """Rebuild what `state` described."""
        module = BagHazards(NetworkSizes(**sizes["hazards"]), BagSizes(**sizes["bags"]), None)
        own = {n.removeprefix(_MODULE): torch.as_tensor(a) for n, a in arrays.items() if n.startswith(_MODULE)}
        module.load_state_dict(own, strict=True, assign=True)
        of_cells = {n.removeprefix(_INPUT): a for n, a in arrays.items() if n.startswith(_INPUT)}
        cells = CellInput.from_state(sizes["cells"], of_cells)
        return cls(module, cells, tuple(sizes["materials"]), arrays["edges_days"])


class AttentionNetwork(BagNetwork):
    """Attention over bags of frozen principal components of cells."""

    kind: ClassVar[str] = "attention"


class SetTransformer(BagNetwork):
    """Cells as sets, from their genes to the risk in one network (Lee et al., Set Transformer, ICML 2019)."""

    kind: ClassVar[str] = "set_transformer"
