"""From log hazard ratios to what is observed: hazards over time, events, censoring, late entry, rounded days."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.prior.draws import Draws, standardised

N_STEPS = 48
"""Steps of the time from 0 to 1 in which hazards are constant."""


@dataclass(frozen=True, slots=True)
class Course:
    """What is observed of each row; times from 0 to about 1."""

    time: Tensor
    """(tables, rows): end of observation."""
    cause: Tensor
    """(tables, rows): 0 = censored."""
    entry: Tensor
    """(tables, rows): start of observation; 0 unless it began late."""
    incidence: Tensor
    """(tables, rows, causes, steps): the true cumulative incidence at the end of each step."""
    seen: Tensor
    """(tables, rows): whether a row lived free of events to its late entry; who did not is not in a cohort."""


def follow(draws: Draws, log_ratio: Tensor, x: Tensor) -> Course:
    """Draw courses from log hazard ratios (tables, rows, causes); x (tables, rows, columns) may censor."""
    expected = _expected(draws, log_ratio)
    entry = _entry(draws, *log_ratio.shape[:2])
    time, cause, seen = events(draws, expected, entry)
    end = torch.maximum(_censoring(draws, x), entry + 1e-3)
    cause = torch.where(time <= end, cause, 0)
    time = torch.minimum(time, end)
    time, entry = _rounded(draws, time, entry)
    return Course(time, cause, entry, true_incidence(expected), seen)


def _expected(draws: Draws, log_ratio: Tensor) -> Tensor:
    """(tables, rows, causes, steps): expected events of each cause in each step."""
    b, _, k = log_ratio.shape
    step = (torch.arange(N_STEPS, device=log_ratio.device) + 0.5) / N_STEPS
    power = torch.exp(0.5 * draws.normal(b, k, 1))
    base = power * step.pow(power - 1)
    bump = torch.exp(-0.5 * ((step - draws.uniform(b, k, 1)) / draws.uniform(b, k, 1, low=0.05, high=0.3)).square())
    base = base + 3.0 * draws.uniform(b, k, 1) * draws.chance(0.3, b, k, 1) * bump
    delayed = step > draws.uniform(b, k, 1, high=0.4) * draws.chance(0.15, b, k, 1)
    cured = step < 1.0 - draws.uniform(b, k, 1, high=0.6) * draws.chance(0.2, b, k, 1)
    base = base * (delayed & cured) + 1e-4
    total = torch.exp(-0.9 + 1.5 * draws.normal(b, k, 1)).clamp(max=6.0)
    base = base / base.sum(dim=-1, keepdim=True) * total
    return base[:, None] * torch.exp(log_ratio[..., None] * _over_time(draws, b, k, step)[:, None])


def _over_time(draws: Draws, b: int, k: int, step: Tensor) -> Tensor:
    """(tables, causes, steps): by what the effect is multiplied: 1, or fading, growing, crossing."""
    rate = draws.uniform(b, k, 1, low=0.5, high=6.0)
    fading, growing = torch.exp(-rate * step), 1.0 - torch.exp(-rate * step)
    crossing = 1.0 - step / draws.uniform(b, k, 1, low=0.3, high=0.9)
    kind = draws.uniform(b, k, 1)
    shape = torch.where(kind < 0.12, fading, torch.ones_like(fading))
    shape = torch.where((kind > 0.12) & (kind < 0.2), growing, shape)
    return torch.where((kind > 0.2) & (kind < 0.26), crossing, shape)


def events(draws: Draws, expected: Tensor, entry: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Times (tables, rows) by inverting the cumulative hazard, and causes; after the last step, time 2 and cause 0.

    Third, who has no event by his `entry` (tables, rows). Of the others the times are of a second life, beyond it.
    """
    total = expected.sum(dim=2)
    cumulative = total.cumsum(dim=-1)
    passed = (entry[..., None] * N_STEPS - torch.arange(N_STEPS, device=entry.device)).clamp(0.0, 1.0)
    by_entry = (total * passed).sum(dim=-1, keepdim=True)
    level = draws.exponential(*total.shape[:2], 1)
    seen = level > by_entry
    level = torch.where(seen, level, by_entry + draws.exponential(*total.shape[:2], 1))
    at = torch.searchsorted(cumulative, level).squeeze(-1)
    inside = at.clamp(max=N_STEPS - 1)[..., None]
    before = (cumulative - total).gather(2, inside)
    share = ((level - before) / total.gather(2, inside)).squeeze(-1).clamp(0.0, 1.0)
    time = torch.maximum((inside.squeeze(-1) + share) / N_STEPS, entry + 1e-6)
    of_cause = expected.gather(3, inside[:, :, None].expand(-1, -1, expected.shape[2], -1)).squeeze(-1)
    cause = 1 + torch.multinomial(of_cause.flatten(0, 1) + 1e-12, 1, generator=draws.generator).view(time.shape)
    ended = at < N_STEPS
    time, cause = torch.where(ended, time, torch.full_like(time, 2.0)), torch.where(ended, cause, 0)
    return time, cause, seen.squeeze(-1) | (entry == 0)


def _entry(draws: Draws, b: int, n: int) -> Tensor:
    """(tables, rows): in some tables observation begins late, for some of the rows or for all."""
    late = draws.uniform(b, n) * draws.uniform(b, 1, high=0.5) * (draws.uniform(b, n) < draws.uniform(b, 1, high=2.0))
    return late * draws.chance(0.15, b, 1)


def _censoring(draws: Draws, x: Tensor) -> Tensor:
    """(tables, rows): the end of follow-up: of the study, whenever patients came; by chance; by what they are like."""
    b, n, p = x.shape
    study = draws.uniform(b, 1, low=0.4, high=1.0) * (1.0 - draws.uniform(b, 1) * draws.uniform(b, n))
    leaning = standardised(torch.einsum("bnp,bp->bn", x, draws.normal(b, p))) * draws.uniform(b, 1)
    leaning = leaning * draws.chance(0.3, b, 1)
    dropped = draws.exponential(b, n) * torch.exp(0.5 + 1.2 * draws.normal(b, 1) - leaning)
    return torch.minimum(study, dropped).clamp(min=1e-3, max=1.0)


def _rounded(draws: Draws, time: Tensor, entry: Tensor) -> tuple[Tensor, Tensor]:
    """In some tables time is counted in days, weeks or months of few hundred steps; nobody ends before he enters."""
    b = len(time)
    grid = torch.exp(draws.uniform(b, 1, low=4.0, high=8.0))
    coarse = draws.chance(0.5, b, 1)
    ended, entered = torch.ceil(time * grid) / grid, torch.floor(entry * grid) / grid
    return torch.where(coarse, ended, time), torch.where(coarse, entered, entry)


def true_incidence(expected: Tensor) -> Tensor:
    """(tables, rows, causes, steps): cumulative incidence at the end of each step, of expected events in each."""
    total = expected.sum(dim=2, keepdim=True)
    cumulative = total.cumsum(dim=-1)
    ending = torch.exp(-(cumulative - total)) * -torch.expm1(-total)
    return (expected / total * ending).cumsum(dim=-1)
