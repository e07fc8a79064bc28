"""Layers over sets of cells, for all members of an ensemble at once: no cell's place in its set matters.

Every tensor begins with the member: (members or 1, sets, elements, width). Padding is masked out of every sum.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.models.layers import drawn

SMALLEST_SHARE = 0.002
"""Added to the share of cells near a point before the logarithm: half a cell of 250."""


class PackedLinear(nn.Module):
    """A linear layer for each member."""

    def __init__(self, n_members: int, n_in: int, n_out: int, generator: torch.Generator | None) -> None:
        """Weights of variance 1/n_in from the generator, biases 0."""
        super().__init__()
        scale = max(n_in, 1) ** -0.5
        self.weight = drawn(n_members, n_in, n_out, scale=scale, generator=generator)
        self.bias = nn.Parameter(torch.zeros(n_members, 1, n_out))

    def zeroed(self) -> PackedLinear:
        """The same layer, beginning at 0."""
        nn.init.zeros_(self.weight)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """(members, …, n_out) from x (members or 1, …, n_in)."""
        flat = x.reshape(x.shape[0], -1, x.shape[-1])
        out = torch.matmul(flat, self.weight) + self.bias
        return out.reshape(len(self.weight), *x.shape[1:-1], out.shape[-1])


class PackedNorm(nn.Module):
    """Layer normalisation (Ba, Kiros & Hinton, arXiv 1607.06450) with a scale and a shift for each member."""

    def __init__(self, n_members: int, width: int) -> None:
        """Scale 1, shift 0."""
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n_members, width))
        self.shift = nn.Parameter(torch.zeros(n_members, width))

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as x (members, …, width)."""
        shape = (len(self.scale), *[1] * (x.ndim - 2), x.shape[-1])
        normal = nn.functional.layer_norm(x, x.shape[-1:])
        return normal * self.scale.reshape(shape) + self.shift.reshape(shape)


class GatedScores(nn.Module):
    """Gated attention (Ilse, Tomczak & Welling, ICML 2018, eq. 9): a_c = softmax_c(w · (tanh(V h_c) ⊙ σ(U h_c))).

    Since w begins at 0, attention begins even over the set.
    """

    def __init__(self, n_members: int, n_in: int, width: int, n_heads: int, generator: torch.Generator | None) -> None:
        """Elements of length `n_in`, and `n_heads` attentions."""
        super().__init__()
        self.tanh = PackedLinear(n_members, n_in, width, generator)
        self.gate = PackedLinear(n_members, n_in, width, generator)
        self.score = PackedLinear(n_members, width, n_heads, generator).zeroed()

    def forward(self, h: Tensor, known: Tensor) -> Tensor:
        """Attention (members, sets, elements, heads) that sums to 1 over the known elements of a set.

        Args:
            h: (members, sets, elements, n_in).
            known: (sets, elements): False for padding. A set without any known element has attention 0.
        """
        score = self.score(torch.tanh(self.tanh(h)) * torch.sigmoid(self.gate(h)))
        return masked_softmax(score, known[..., None], dim=2)


class Prototypes(nn.Module):
    """Soft counts of the cells near learnt points: a mixture of Gaussians with one variance, read as a histogram.

    A population of one cell in a hundred moves the logarithm of its count as much as a common one does, where a mean
    over cells would bury it. Filters whose responses are pooled over cells find rare disease-associated cells, as in
    CellCnn (Arvaniti & Claassen, Nat Commun 2017;8:14825); these begin where cells gather.
    """

    center: Tensor
    spread: Tensor

    def __init__(self, n_members: int, n_points: int, n_in: int, n_materials: int) -> None:
        """Points at 0: `training.cells.network_fit` places them."""
        super().__init__()
        self.points = nn.Parameter(torch.zeros(n_members, n_points, n_in))
        self.sharpness = nn.Parameter(torch.zeros(n_members, 1, 1))
        self.register_buffer("center", torch.zeros(n_members, n_materials, n_points))
        self.register_buffer("spread", torch.ones(n_members, n_materials, n_points))

    def responsibilities(self, z: Tensor, known: Tensor) -> Tensor:
        """(members, sets, cells, points) from z (members or 1, sets, cells, n_in); sums to 1 over points, padding is 0.

        Args:
            z: Cells, in units of the standard deviation within a population.
            known: (sets, cells).
        """
        flat = z.reshape(z.shape[0], -1, z.shape[-1])
        across = torch.matmul(flat, self.points.transpose(1, 2))
        score = (across - 0.5 * self.points.square().sum(dim=-1)[:, None]) * self.sharpness.exp()
        share = score.softmax(dim=-1).reshape(len(self.points), *z.shape[1:-1], -1)
        return share * known[..., None]

    def forward(self, z: Tensor, known: Tensor, material: Tensor) -> Tensor:
        """(members, sets, points): log shares, standardised as those of training samples of the material were."""
        logs = self.log_shares(self.responsibilities(z, known), known)
        return (logs - self.center[:, material]) / self.spread[:, material]

    @staticmethod
    def log_shares(responsibilities: Tensor, known: Tensor) -> Tensor:
        """(members, sets, points)."""
        share: Tensor = responsibilities.sum(dim=2) / known.sum(dim=1).clamp(min=1)[:, None]
        return (share + SMALLEST_SHARE).log()


class InducedAttention(nn.Module):
    """A set-attention block with inducing points (ISAB; Lee et al., Set Transformer, ICML 2019, section 3.2).

    A few learnt points attend to the cells, and each cell attends to what the points found: every cell learns of all
    others, in time linear in their number. Normalised before each step, so that a cell's own value passes unchanged.
    """

    def __init__(
        self, n_members: int, width: int, n_heads: int, n_points: int, generator: torch.Generator | None
    ) -> None:
        """`n_heads` divides `width`."""
        super().__init__()
        self.n_heads = n_heads
        self.points = drawn(n_members, 1, n_points, width, scale=1.0, generator=generator)
        self.norm_cells, self.norm_points, self.norm_out = (PackedNorm(n_members, width) for _ in range(3))
        self.query_points, self.key_cells, self.value_cells, self.query_cells, self.key_points, self.value_points = (
            PackedLinear(n_members, width, width, generator) for _ in range(6)
        )
        self.inner = PackedLinear(n_members, width, 2 * width, generator)
        self.outer = PackedLinear(n_members, 2 * width, width, generator).zeroed()

    def forward(self, h: Tensor, known: Tensor) -> Tensor:
        """(members, sets, elements, width), the same shape as h; `known` (sets, elements) is False for padding."""
        cells = self.norm_cells(h)
        points = self.points.expand(-1, h.shape[1], -1, -1)
        found = points + self._attend(
            self.query_points(points), self.key_cells(cells), self.value_cells(cells), known[:, None, None, :]
        )
        found = self.norm_points(found)
        every = known.new_ones(1, 1, 1, 1)
        h = h + self._attend(self.query_cells(cells), self.key_points(found), self.value_points(found), every)
        step: Tensor = self.outer(nn.functional.silu(self.inner(self.norm_out(h))))
        return h + step

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, known: Tensor) -> Tensor:
        """Multi-head attention (Vaswani et al., NeurIPS 2017), written out: its gradient has one fixed order."""
        q, k, v = (t.reshape(*t.shape[:-1], self.n_heads, -1).transpose(2, 3) for t in (query, key, value))
        score = torch.matmul(q, k.transpose(-1, -2)) * q.shape[-1] ** -0.5
        weights = masked_softmax(score, known, dim=-1)
        return torch.matmul(weights, v).transpose(2, 3).flatten(-2)


def masked_softmax(score: Tensor, known: Tensor, dim: int) -> Tensor:
    """Softmax over the known places, in at least single precision; 0 elsewhere, also where none is known."""
    score = score.float() if score.dtype in {torch.bfloat16, torch.float16} else score
    weights = score.masked_fill(~known, -1e30).softmax(dim=dim)
    return weights * known
