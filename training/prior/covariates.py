"""Columns as clinics and cells give them: correlated, skewed, counted, graded, one of many levels, and missing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from features.scaling import CLIP
from training.prior.draws import Draws, standardised

N_KINDS = 8
NORMAL, SKEWED, HEAVY, BINARY, GRADED, COUNTED, ROUNDED, SHARED = range(N_KINDS)
WEIGHTS = (0.28, 0.12, 0.06, 0.22, 0.10, 0.08, 0.07, 0.07)
"""How often a column is each of them; a shared one is the logarithm of a share of a whole."""
MOST_LEVELS = 20
"""Of a categorical variable."""


@dataclass(frozen=True, slots=True)
class Covariates:
    """Columns of a batch of tables."""

    known: Tensor
    """(tables, rows, columns): what is in the table, standardised; 0 in columns that are not there."""
    true: Tensor
    """(tables, rows, columns): standardised, with nothing missing: what the hazards depend on."""
    there: Tensor
    """(tables, columns): whether a column is in the table."""
    can_act: Tensor
    """(tables, columns): whether a column may change a hazard; an indicator of missing values does so by its column."""


def covariates(draws: Draws, n_tables: int, n_rows: int, n_columns: int) -> Covariates:
    """Columns of simulated tables; each table has 1 to `n_columns`, more often few than many."""
    width = torch.exp(draws.uniform(n_tables, 1).pow(0.7) * math.log(n_columns + 0.999))
    there = torch.arange(n_columns, device=draws.device)[None] < width.floor()
    latent = _correlated(draws, n_tables, n_rows, n_columns)
    values = _marginals(draws, latent)
    values = _levels(draws, values, latent)
    true = standardised(values)
    known, indicators = _with_missing(draws, true, there)
    shown = standardised(known).clamp(-CLIP, CLIP) * there[:, None]
    return Covariates(shown, true.clamp(-CLIP, CLIP), there, ~indicators)


def _correlated(draws: Draws, b: int, n: int, p: int) -> Tensor:
    """(tables, rows, columns): normal, some tables with blocks that a few factors move together, others independent."""
    n_factors = 5
    loading = draws.normal(b, n_factors, p) * (draws.uniform(b, n_factors, p) < draws.uniform(b, n_factors, 1))
    strength = draws.uniform(b, 1, 1, high=1.5) * draws.chance(0.7, b, 1, 1)
    return standardised(draws.normal(b, n, n_factors) @ (loading * strength) + draws.normal(b, n, p))


def _marginals(draws: Draws, z: Tensor) -> Tensor:
    """Each column by its kind, a monotone function of its normal values."""
    b, n, p = z.shape
    weights = torch.tensor(WEIGHTS, device=z.device).expand(b, -1)
    kind = torch.multinomial(weights, p, replacement=True, generator=draws.generator)[:, None]
    at, spread = draws.normal(b, 1, p), draws.uniform(b, 1, p, low=0.3, high=1.5)
    share = torch.softmax(z * spread * 2.0, dim=-1)
    grades = draws.whole(2, 6, b, 1, p)
    uniform = torch.special.ndtr(z)
    steps = torch.floor(uniform.pow(spread) * grades)
    choices = (
        (SKEWED, torch.exp(z * spread)),
        (HEAVY, z * torch.exp(0.5 * draws.normal(b, n, p).abs())),
        (BINARY, (z > at * 1.2).to(z.dtype)),
        (GRADED, steps),
        (COUNTED, torch.floor(torch.exp(z * spread + at))),
        (ROUNDED, torch.round(z * grades / 2)),
        (SHARED, torch.log(share + 0.02 / p)),
    )
    for which, values in choices:
        z = torch.where(kind == which, values, z)
    return z


def _levels(draws: Draws, values: Tensor, latent: Tensor) -> Tensor:
    """In some tables, neighbouring columns are one variable of many levels: which of their latent values is largest."""
    b, _, p = values.shape
    if p < 3:
        return values
    n_levels = int(draws.whole(3, min(p, MOST_LEVELS), 1))
    first = int(draws.whole(0, p - n_levels, 1))
    block = latent[:, :, first : first + n_levels] + draws.normal(b, 1, n_levels) * 0.8
    chosen = torch.nn.functional.one_hot(block.argmax(dim=-1), n_levels).to(values.dtype)
    taken = draws.chance(0.3, b, 1, 1)
    replaced = values.clone()
    replaced[:, :, first : first + n_levels] = torch.where(taken, chosen, values[:, :, first : first + n_levels])
    return replaced


def _with_missing(draws: Draws, true: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Values missing at random, by another column, or by themselves: the mean instead, and for some an indicator.

    Returns:
        Known values, and which columns (tables, columns) have become the indicator of the column before them.
    """
    b, n, p = true.shape
    incomplete = draws.chance(0.15, b, 1, p) & draws.chance(0.6, b, 1, 1)
    by_itself, by_other = draws.normal(b, 1, p), draws.normal(b, 1, p)
    rate = draws.uniform(b, 1, p, low=-3.5, high=0.5)
    chance = torch.sigmoid(rate + 0.7 * by_itself * true + 0.7 * by_other * true.roll(1, dims=2))
    missing = incomplete & (draws.uniform(b, n, p) < chance)
    known = torch.where(missing, torch.zeros_like(true), true)
    indicator = (missing.any(dim=1) & draws.chance(0.6, b, p)).roll(1, dims=1)
    indicator[:, 0] = False
    known = torch.where(indicator[:, None], missing.roll(1, dims=2).to(true.dtype), known)
    return known, indicator & there
