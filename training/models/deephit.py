"""DeepHit: the joint distribution of time and cause, by a shared network with a branch for each cause, in plain torch.

With bins j of follow-up, P(cause k in bin j | x) = exp(z_kj) / (1 + Σ exp(z_lm)); the 1 stands for no event by the last
bin, which the original leaves out (Lee, Zame, Yoon & van der Schaar, AAAI 2018, section 3).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.models.layers import Dense
from training.models.predictor import Arrays, Sizes


@dataclass(frozen=True, slots=True)
class DeepHitSizes:
    """All that determines the shape of the network's parameters."""

    n_features: int
    n_causes: int
    n_bins: int
    n_shared: int
    n_own: int


class Dropout(nn.Module):
    """Inverted dropout that draws from a generator of its own."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.generator = torch.Generator()

    def forward(self, x: Tensor) -> Tensor:
        """As given, where nothing is trained."""
        if not self.training or self.share == 0.0:
            return x
        kept = torch.rand(x.shape, generator=self.generator) >= self.share
        return x * kept.to(x.device) / (1.0 - self.share)


class DeepHitModule(nn.Module):
    """A shared layer, and for each cause a layer that sees the shared one and the features."""

    def __init__(self, sizes: DeepHitSizes, dropout: float = 0.0) -> None:
        """Parameters are left empty: see `initialise`."""
        super().__init__()
        self.sizes = sizes
        self.shared = Dense(sizes.n_features, sizes.n_shared)
        self.own = nn.ModuleList(
            nn.Sequential(
                Dense(sizes.n_features + sizes.n_shared, sizes.n_own),
                nn.ReLU(),
                Dropout(dropout),
                Dense(sizes.n_own, sizes.n_bins),
            )
            for _ in range(sizes.n_causes)
        )
        self.dropout = Dropout(dropout)

    def forward(self, x_np: Tensor) -> Tensor:
        """Log probabilities (rows, causes · bins + 1): of each cause in each bin, and last, of none."""
        shared = self.dropout(torch.relu(self.shared(x_np)))
        joined = torch.cat([x_np, shared], dim=1)
        logits = torch.cat([branch(joined) for branch in self.own], dim=1)
        return nn.functional.pad(logits, (0, 1)).log_softmax(dim=1)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator) -> None:
        """Draw the weights (He et al., ICCV 2015), biases 0, and seed dropout."""
        for layer in self.modules():
            if isinstance(layer, Dropout):
                layer.generator.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        for name, value in self.named_parameters():
            if name.endswith("bias"):
                value.zero_()
            else:
                value.copy_(torch.randn(value.shape, generator=generator) * (2 / max(1, value.shape[1])) ** 0.5)


class DeepHit:
    """The fitted network; incidence grows evenly within a bin."""

    kind: ClassVar[str] = "deephit"

    def __init__(self, module: DeepHitModule, edges_days: NDArray[np.float64]) -> None:
        """The module, and the bins' edges (bins + 1,), the first of them 0."""
        self.module = module.eval().requires_grad_(requires_grad=False)
        self.edges_days = edges_days

    def incidence(
        self, x: NDArray[np.float64], landmark_day: NDArray[np.float64], times_days: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Incidences (rows, causes, times); constant after the last bin."""
        del landmark_day  # a feature, where there are several
        parts = [self._part(x[rows], times_days) for rows in np.array_split(np.arange(len(x)), max(1, len(x) // 256))]
        return np.concatenate(parts)

    def _part(self, x: NDArray[np.float64], times_days: NDArray[np.float64]) -> NDArray[np.float64]:
        with torch.inference_mode():
            log_pmf = self.module(torch.as_tensor(x, dtype=torch.float32)).double()
        sizes = self.module.sizes
        pmf = log_pmf.softmax(dim=1)[:, :-1].reshape(len(x), sizes.n_causes, sizes.n_bins).numpy()
        at_edges = np.concatenate([np.zeros((*pmf.shape[:2], 1)), pmf.cumsum(axis=2)], axis=2)
        bin_of = np.clip(np.searchsorted(self.edges_days, times_days, side="right") - 1, 0, sizes.n_bins - 1)
        gone = np.clip((times_days - self.edges_days[bin_of]) / np.diff(self.edges_days)[bin_of], 0.0, 1.0)
        values: NDArray[np.float64] = at_edges[..., bin_of] + gone * pmf[..., bin_of]
        return values

    def state(self) -> tuple[Sizes, dict[str, NDArray[Any]]]:
        """Sizes; parameters and edges."""
        arrays = {name: value.cpu().numpy() for name, value in self.module.state_dict().items()}
        return asdict(self.module.sizes), arrays | {"edges_days": self.edges_days}

    @classmethod
    def from_state(cls, sizes: Sizes, arrays: Arrays) -> Self:
        """Rebuild what `state` described."""
        module = DeepHitModule(DeepHitSizes(**sizes))
        parameters = {name: torch.as_tensor(value) for name, value in arrays.items() if name != "edges_days"}
        module.load_state_dict(parameters, strict=True, assign=True)
        return cls(module, arrays["edges_days"])
