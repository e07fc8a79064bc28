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
        start, end = self.piece_start.to(x_np.dtype), self.piece_end.to(x_np.dtype)
        gone = (x_np[:, self.piece_feature] - start) / (end - start)
        return torch.cat([x_np, gone.clamp(0.0, 1.0) - 0.5], dim=1)


def _unknown_pieces(number: int) -> Pieces:
    """To be filled in from an artifact."""
    return Pieces(torch.zeros(number, dtype=torch.long), torch.zeros(number), torch.ones(number))


def log_hazards(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Log probabilities of each cause (…, causes, bins), and of none (…, bins), in a bin."""
    none = -torch.logsumexp(nn.functional.pad(logits, (0, 0, 1, 0)), dim=-2)
    return logits + none.unsqueeze(-2), none


def first_layers(module: PackedHazards) -> Tensor:
    """(features, …): what takes features, side by side: hidden layers, levels and trends of all members and causes."""
    (members, causes, n_features), width = module.linear.shape, module.hidden.shape[3]
    hidden = module.hidden.detach().expand(members, causes, n_features, width)  # causes may share theirs
    hidden = hidden.permute(2, 0, 1, 3).reshape(n_features, members * causes * width)
    linear = [
        layer.detach().permute(2, 0, 1).reshape(n_features, members * causes)
        for layer in (module.linear, module.linear_by_time)
    ]
    return torch.cat([hidden, *linear], dim=1).contiguous()


ROWS_AT_ONCE = 32
"""Whose hazards are put together at a time: with all members and bins they fit into a processor's cache."""


class HazardNetwork:
    """The fitted network; its prediction is the mean incidence over members."""

    kind: ClassVar[str] = "network"

    def __init__(self, module: PackedHazards, edges_days: NDArray[np.float64]) -> None:
        """The module, and the bins' edges (bins + 1,), the first of them 0."""
        self.module = module.eval().requires_grad_(requires_grad=False)
        self.edges_days = edges_days
        self._first = first_layers(self.module)

    def incidence(
        self, x: NDArray[np.float64], landmark_day: NDArray[np.float64], times_days: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Incidences (rows, causes, times), in double precision; constant after the last bin."""
        del landmark_day  # a feature, where there are several
        mean: NDArray[np.float64] = self.member_incidence(x, times_days).mean(axis=0)
        return mean

    def member_incidence(self, x: NDArray[np.float64], times_days: NDArray[np.float64]) -> NDArray[np.float64]:
        """Incidences (members, rows, causes, times)."""
        parts = [self._part(x[rows], times_days) for rows in np.array_split(np.arange(len(x)), max(1, len(x) // 256))]
        return np.concatenate(parts, axis=1)

    def _part(self, x: NDArray[np.float64], times_days: NDArray[np.float64]) -> NDArray[np.float64]:
        with torch.inference_mode():
            level, trend = self._level_and_trend(torch.as_tensor(x, dtype=torch.float32))
            blocks = [slice(start, start + ROWS_AT_ONCE) for start in range(0, max(1, len(x)), ROWS_AT_ONCE)]
            parts = [self._incidence(level[rows], trend[rows], times_days) for rows in blocks]
            values: NDArray[np.float64] = torch.cat(parts).transpose(0, 1).numpy()
            return values

    def _incidence(self, level: Tensor, trend: Tensor, times_days: NDArray[np.float64]) -> Tensor:
        """Incidences (rows, members, causes, times): as `interpolate`, of the bins alone that the times reach.

        Args:
            level: (rows, members, causes), of the logits.
            trend: (rows, members, causes), likewise.
            times_days: (times,).
        """
        bin_of, gone = bins_of(self.edges_days, times_days)
        n_bins = int(bin_of.max(initial=0)) + 1
        logits = self._logits(level, trend, n_bins)
        largest = logits.amax(dim=-2).clamp(min=0.0).double()  # no exponential overflows
        odds, odds_none = (logits.double() - largest.unsqueeze(-2)).exp_(), (-largest).exp_()
        total = odds_none + odds.sum(dim=-2)
        none = odds_none / total
        start = nn.functional.pad(none.cumprod(dim=-1)[..., :-1], (1, 0), value=1.0)
        hazard = odds.div_(total.unsqueeze(-2))
        at = torch.as_tensor(bin_of)
        within = start.index_select(-1, at) * (1 - none.index_select(-1, at) ** torch.as_tensor(gone))
        share = hazard.index_select(-1, at)
        share = share / share.sum(dim=-2, keepdim=True).clamp(min=1e-300)
        earlier = (torch.arange(n_bins)[:, None] < at).double()
        return hazard.mul_(start.unsqueeze(-2)) @ earlier + within.unsqueeze(-2) * share

    def _level_and_trend(self, x_np: Tensor) -> tuple[Tensor, Tensor]:
        """(rows, members, causes) each: of the module's logits, with all that takes features in one product."""
        module = self.module
        (members, causes, _), width = module.linear.shape, module.hidden.shape[3]
        product = module.with_pieces(x_np) @ self._first
        n = len(product)
        wide, level, trend = torch.split(product, [members * causes * width, members * causes, members * causes], dim=1)
        active = nn.functional.silu(wide.view(n, members, causes, width) + module.hidden_bias)
        level = level.view(n, members, causes) + (active * module.out).sum(dim=-1)
        trend = trend.view(n, members, causes) + (active * module.out_by_time).sum(dim=-1)
        return level, trend

    def _logits(self, level: Tensor, trend: Tensor, n_bins: int) -> Tensor:
        """(rows, members, causes, bins) of the first bins."""
        place = torch.linspace(-1.0, 1.0, self.module.sizes.n_bins, dtype=level.dtype)[:n_bins]
        return self.module.base[..., :n_bins] + level[..., None] + trend[..., None] * place

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


def bins_of(
    edges_days: NDArray[np.float64], times_days: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """For each time its bin, and the share of the bin that is gone by then."""
    bin_of = np.clip(np.searchsorted(edges_days, times_days, side="right") - 1, 0, len(edges_days) - 2)
    return bin_of, np.clip((times_days - edges_days[bin_of]) / np.diff(edges_days)[bin_of], 0.0, 1.0)


def interpolate(
    hazard: NDArray[np.float64],
    log_none: NDArray[np.float64],
    edges_days: NDArray[np.float64],
    times_days: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Cumulative incidence at any time, with the hazard constant within each bin.

    Args:
        hazard: (…, causes, bins): probability of each cause in a bin, given event-free at its start.
        log_none: (…, bins): log probability of no event in a bin.
        edges_days: (bins + 1,).
        times_days: (times,).

    Returns:
        (…, causes, times): smooth between edges, since S(t) = S(start) · P(none)^(share of the bin gone).
    """
    bin_of, gone = bins_of(edges_days, times_days)
    zero = np.zeros((*log_none.shape[:-1], 1))
    log_start = np.concatenate([zero, np.cumsum(log_none, axis=-1)[..., :-1]], axis=-1)
    start = np.exp(log_start)
    any_cause = np.maximum(hazard.sum(axis=-2), 1e-300)
    share = hazard / any_cause[..., None, :]
    lost = start * -np.expm1(log_none)
    before = np.cumsum(lost[..., None, :] * share, axis=-1)
    before = np.concatenate([np.zeros((*before.shape[:-1], 1)), before[..., :-1]], axis=-1)
    within = start[..., bin_of] * -np.expm1(log_none[..., bin_of] * gone)
    values: NDArray[np.float64] = before[..., bin_of] + within[..., None, :] * share[..., bin_of]
    return values
