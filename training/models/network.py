"""The discrete-hazard network: a packed, bagged ensemble of multinomial hazard models, in plain torch.

In bin j of follow-up, a patient still event-free has the event of cause k with probability
h_k(j | x) = exp(z_k) / (1 + Σ exp(z_l)), z_k(j, x) = a_k(j) + u·w_k + τ(j) u·v_k + g_k(u, τ(j)),
with τ the bin's place in [−1, 1], g a small network, and u = x followed by the pieces of numeric features. Multinomial
logistic hazards: Allison, Sociol Methodol 1982;13:61; Tutz & Schmid, Modeling Discrete Time-to-Event Data, 2016, ch. 8.
All members are one batched program (packed ensembles: Gorishniy et al., TabM, ICLR 2025), and each cause has weights of
its own, so that each can be stopped at its own best epoch: a rare cause overfits long before a common one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.models.layers import drawn
from training.models.packed_incidence import PackedIncidence
from training.models.predictor import Arrays, Sizes


@dataclass(frozen=True, slots=True)
class NetworkSizes:
    """All that determines the shape of the network's parameters."""

    n_members: int
    n_features: int
    n_causes: int
    n_bins: int
    n_hidden: int
    n_pieces: int = 0
    """Of all numeric features together; none in the first artifacts."""


class Pieces(NamedTuple):
    """Intervals of numeric features; each becomes a column that says how far a value has come through it.

    Piecewise-linear encoding: Gorishniy et al., On Embeddings for Numerical Features in Tabular Deep Learning,
    NeurIPS 2022, eq. 1; centred.
    """

    feature: Tensor
    """(pieces,): column of the feature."""
    start: Tensor
    """(pieces,)."""
    end: Tensor
    """(pieces,)."""


class PackedHazards(nn.Module):
    """Logits of cause-specific hazards of all members at once."""

    piece_feature: Tensor
    piece_start: Tensor
    piece_end: Tensor

    def __init__(self, sizes: NetworkSizes, generator: torch.Generator | None, pieces: Pieces | None = None) -> None:
        """Initialise from the generator; linear paths begin at 0, so that training starts from the base hazards.

        Without a generator, all weights are to be filled in.
        """
        super().__init__()
        self.sizes = sizes
        m, p, k, h = sizes.n_members, sizes.n_features + sizes.n_pieces, sizes.n_causes, sizes.n_hidden
        if sizes.n_pieces:
            for name, value in (pieces or _unknown_pieces(sizes.n_pieces))._asdict().items():
                self.register_buffer(f"piece_{name}", value)
        self.base = nn.Parameter(torch.zeros(m, k, sizes.n_bins))
        self.linear = nn.Parameter(torch.zeros(m, k, p))
        self.linear_by_time = nn.Parameter(torch.zeros(m, k, p))
        scale = max(p, 1) ** -0.5
        self.hidden = drawn(m, k, p, h, scale=scale, generator=generator)
        self.hidden_bias = drawn(m, k, h, scale=0.5, generator=generator)
        self.out = nn.Parameter(torch.zeros(m, k, h))
        self.out_by_time = nn.Parameter(torch.zeros(m, k, h))

    def forward(self, x_np: Tensor) -> Tensor:
        """Logits (members, rows, causes, bins) against remaining event-free, for features (rows, features)."""
        u = self.with_pieces(x_np)
        hidden = torch.einsum("np,mkph->mnkh", u, self.hidden) + self.hidden_bias[:, None]
        active = nn.functional.silu(hidden)
        level = torch.einsum("np,mkp->mnk", u, self.linear) + torch.einsum("mnkh,mkh->mnk", active, self.out)
        trend = torch.einsum("np,mkp->mnk", u, self.linear_by_time)
        trend = trend + torch.einsum("mnkh,mkh->mnk", active, self.out_by_time)
        place = torch.linspace(-1.0, 1.0, self.sizes.n_bins, dtype=x_np.dtype, device=x_np.device)
        return self.base[:, None] + level[..., None] + trend[..., None] * place

    def share_hidden(self, other: PackedHazards) -> None:
        """Let all causes, and those of another network of the same features, have one hidden layer: that of the other.

        Its weights are then (members, 1, …) and the same parameters in both, until each is given its own again.
        """
        if other.hidden.shape[1] != 1:
            other.hidden = nn.Parameter(other.hidden.detach()[:, :1].clone())
            other.hidden_bias = nn.Parameter(other.hidden_bias.detach()[:, :1].clone())
        self.hidden, self.hidden_bias = other.hidden, other.hidden_bias

    def with_pieces(self, x_np: Tensor) -> Tensor:
        """Features (rows, features + pieces)."""
        if not self.sizes.n_pieces:
            return x_np
        return torch.cat([x_np, self.pieces(x_np, slice(None))], dim=1)

    def pieces(self, x_np: Tensor, which: Tensor | slice) -> Tensor:
        """How far features (rows, features) are through some of the pieces (n,): (rows, n), from −½ to ½."""
        if not self.sizes.n_pieces:
            return x_np[:, :0]
        start, end = self.piece_start[which].to(x_np.dtype), self.piece_end[which].to(x_np.dtype)
        gone = (x_np[:, self.piece_feature[which]] - start) / (end - start)
        return gone.clamp(0.0, 1.0) - 0.5


def _unknown_pieces(number: int) -> Pieces:
    """To be filled in from an artifact."""
    return Pieces(torch.zeros(number, dtype=torch.long), torch.zeros(number), torch.ones(number))


class HazardNetwork:
    """The fitted network; its prediction is the mean incidence over members."""

    kind: ClassVar[str] = "network"

    def __init__(self, module: PackedHazards, edges_days: NDArray[np.float64]) -> None:
        """The module, and the bins' edges (bins + 1,), the first of them 0."""
        self.module = module.eval().requires_grad_(requires_grad=False)
        self.edges_days = edges_days
        self._packed = PackedIncidence(self.module, edges_days)

    def incidence(
        self, x: NDArray[np.float64], landmark_day: NDArray[np.float64], times_days: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Incidences (rows, causes, times), in double precision; constant after the last bin."""
        del landmark_day  # a feature, where there are several
        return self._packed.mean(x, times_days)

    def member_incidence(self, x: NDArray[np.float64], times_days: NDArray[np.float64]) -> NDArray[np.float64]:
        """Incidences (members, rows, causes, times)."""
        return self._packed.of_members(x, times_days)

    def state(self) -> tuple[Sizes, dict[str, NDArray[Any]]]:
        """Sizes; parameters and edges."""
        arrays = {name: value.cpu().numpy() for name, value in self.module.state_dict().items()}
        return asdict(self.module.sizes), arrays | {"edges_days": self.edges_days}

    @classmethod
    def from_state(cls, sizes: Sizes, arrays: Arrays) -> Self:
        """Rebuild what `state` described."""
        module = PackedHazards(NetworkSizes(**sizes), None)
        parameters = {name: torch.as_tensor(value) for name, value in arrays.items() if name != "edges_days"}
        module.load_state_dict(parameters, strict=True, assign=True)
        return cls(module, arrays["edges_days"])
