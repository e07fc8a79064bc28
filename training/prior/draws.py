"""Random tensors from a generator that somebody owns, on its device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Draws:
    """Draws of given shapes."""

    generator: torch.Generator

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.generator.device

    def normal(self, *shape: int) -> Tensor:
        """Standard normal."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform between `low` and `high`."""
        return low + (high - low) * torch.rand(shape, generator=self.generator, device=self.device)

    def chance(self, share: float | Tensor, *shape: int) -> Tensor:
        """True with a probability."""
        return self.uniform(*shape) < share

    def whole(self, low: int, high: int, *shape: int) -> Tensor:
        """Whole numbers from `low` to `high`, both among them."""
        return torch.randint(low, high + 1, shape, generator=self.generator, device=self.device)

    def exponential(self, *shape: int) -> Tensor:
        """Exponential of mean 1."""
        return -torch.log(self.uniform(*shape).clamp(min=1e-12))


def standardised(values: Tensor, dim: int = 1) -> Tensor:
    """Mean 0 and standard deviation 1 along a dimension; a constant becomes 0."""
    centred = values - values.mean(dim=dim, keepdim=True)
    return centred / centred.square().mean(dim=dim, keepdim=True).sqrt().clamp(min=1e-6)
