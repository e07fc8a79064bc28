"""How columns change the log hazard of each cause: linear, additive, smooth, tree-like, interacting; shared by causes.

Most effects in clinical cohorts are weak, and a sum over variables explains most of what can be explained: models with
interactions seldom gain over regression (Christodoulou et al., J Clin Epidemiol 2019;110:12). So are those here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.prior.covariates import Covariates
from training.prior.draws import Draws, standardised

N_HIDDEN, N_TREES, N_PAIRS = 8, 6, 4
NOTHING = 0.12
"""Share of tables in which nothing is predictive."""
SIMPLE = 0.5
"""Share of the others' causes whose effect is linear, or bent column by column, and no more."""


def effects(draws: Draws, x: Covariates, n_causes: int) -> Tensor:
    """(tables, rows, causes): log hazard ratios against the mean patient."""
    acting = (x.there & x.can_act).to(x.true.dtype)
    own = torch.stack([_effect(draws, x.true, acting) for _ in range(n_causes)], dim=-1)
    b = len(x.true)
    hidden = draws.normal(b, x.true.shape[1], 1) * draws.uniform(b, 1, 1, high=0.8) * draws.chance(0.3, b, 1, 1)
    mixing = draws.uniform(b, n_causes, n_causes, low=-1.0) * draws.chance(0.4, b, 1, 1)
    shared = own + own @ (mixing * (1 - torch.eye(n_causes, device=own.device)))
    anything = ~draws.chance(NOTHING, b, 1, 1)
    return ((shared + hidden) * anything).clamp(-5.0, 5.0)


def _effect(draws: Draws, x: Tensor, acting: Tensor) -> Tensor:
    """(tables, rows): the effect of one cause, a mixture whose strength differs between tables."""
    b = len(x)
    sparse = acting * (draws.uniform(*acting.shape) < draws.uniform(b, 1).square())
    weights = sparse * _weights(draws, acting)
    linear = standardised(torch.einsum("bnp,bp->bn", x, weights))
    parts = [linear, _bent(draws, x, weights), _smooth(draws, x, sparse), _trees(draws, x, sparse)]
    parts.append(_pairs(draws, x, sparse))
    often = torch.tensor([0.85, 0.35, 0.35, 0.3, 0.3], device=x.device)
    by_column = torch.tensor([True, True, False, False, False], device=x.device)
    often = often * (by_column | ~draws.chance(SIMPLE, b, 1))
    some = draws.uniform(b, 5) * (draws.uniform(b, 5) < often)
    mixed = torch.einsum(
        "bnk,bk->bn", torch.stack(parts, dim=-1), some / some.norm(dim=1, keepdim=True).clamp(min=1e-6)
    )
    return mixed * draws.uniform(b, 1).pow(1.5) * 1.8


def _weights(draws: Draws, acting: Tensor) -> Tensor:
    """Of similar size in some tables, a few large ones in others."""
    normal = draws.normal(*acting.shape)
    return torch.where(draws.chance(0.5, len(acting), 1), normal, normal.pow(3))


def _bent(draws: Draws, x: Tensor, weights: Tensor) -> Tensor:
    """Each column along a curve of its own that saturates."""
    steep, middle = draws.uniform(len(x), 1, x.shape[2], low=0.5, high=3.0), draws.normal(len(x), 1, x.shape[2])
    return standardised(torch.einsum("bnp,bp->bn", torch.tanh(steep * (x - middle)), weights))


def _smooth(draws: Draws, x: Tensor, sparse: Tensor) -> Tensor:
    b, p = sparse.shape
    into = draws.normal(b, p, N_HIDDEN) * sparse[..., None] / sparse.sum(dim=1).clamp(min=1)[:, None, None].sqrt()
    hidden = torch.tanh(1.5 * torch.einsum("bnp,bph->bnh", x, into) + draws.normal(b, 1, N_HIDDEN))
    return standardised(torch.einsum("bnh,bh->bn", hidden, draws.normal(b, N_HIDDEN)))


def _trees(draws: Draws, x: Tensor, sparse: Tensor) -> Tensor:
    """Sums over rules: one column above a threshold, and in half of them a second one, too."""
    first, second = (_chosen(draws, sparse, N_TREES) for _ in range(2))
    above = _column(x, first) > draws.normal(len(x), 1, N_TREES)
    both = above & ((_column(x, second) > draws.normal(len(x), 1, N_TREES)) | draws.chance(0.5, len(x), 1, N_TREES))
    return standardised(torch.einsum("bnt,bt->bn", both.to(x.dtype), draws.normal(len(x), N_TREES)))


def _pairs(draws: Draws, x: Tensor, sparse: Tensor) -> Tensor:
    """Products of two columns, and squares."""
    first, second = (_column(x, _chosen(draws, sparse, N_PAIRS)) for _ in range(2))
    return standardised(torch.einsum("bnt,bt->bn", first * second, draws.normal(len(x), N_PAIRS)))


def _chosen(draws: Draws, sparse: Tensor, n: int) -> Tensor:
    """(tables, n): numbers of acting columns; any where none acts."""
    return torch.multinomial(sparse + 1e-6, n, replacement=True, generator=draws.generator)


def _column(x: Tensor, number: Tensor) -> Tensor:
    """(tables, rows, n): the columns of the given numbers."""
    return x.gather(2, number[:, None].expand(-1, x.shape[1], -1))
