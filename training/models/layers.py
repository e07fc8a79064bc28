"""Weights that nothing global is drawn for: from a generator of their own, or to be filled in from an artifact.

Building a module on torch's meta device instead, and drawing there, imports torch's compiler: two seconds of every
service's start.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def drawn(*shape: int, scale: float, generator: torch.Generator | None) -> nn.Parameter:
    """Normal weights of a standard deviation; without a generator 0, to be filled in."""
    return nn.Parameter(torch.zeros(shape) if generator is None else torch.randn(shape, generator=generator) * scale)


class Dense(nn.Module):
    """A linear layer that is left empty; no feature at all will do."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_out, n_in))
        self.bias = nn.Parameter(torch.empty(n_out))

    def forward(self, x: Tensor) -> Tensor:
        """(rows, n_out) of (rows, n_in)."""
        return nn.functional.linear(x, self.weight, self.bias)
