"""Simulated tables: what they claim of themselves is so."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from features.outcomes import Outcomes
from training.models.nonparametric import aalen_johansen
from training.prior import TableBatch, simulate_tables
from training.prior.course import N_STEPS, events, follow, true_incidence
from training.prior.covariates import covariates
from training.prior.draws import Draws
from training.prior.effects import _bent, _smooth, effects
from training.prior.tables import SURPLUS


def tables(seed: int, n_tables: int = 40, n_rows: int = 150, n_columns: int = 12, n_causes: int = 3) -> TableBatch:
    generator = torch.Generator().manual_seed(seed)
    return simulate_tables(generator, n_tables=n_tables, n_rows=n_rows, n_columns=n_columns, n_causes=n_causes)


@pytest.mark.parametrize(("n_columns", "n_causes"), [(1, 1), (2, 6), (40, 2)])
def test_tables_are_finite_and_standardised(n_columns: int, n_causes: int) -> None:
    batch = tables(0, n_columns=n_columns, n_causes=n_causes)
    assert batch.x.shape == (40, 150, n_columns)
    assert torch.isfinite(batch.x).all()
    assert batch.x.abs().max() <= 6
    assert (batch.x[~batch.there[:, None].expand_as(batch.x)] == 0).all()
    assert batch.there.any(dim=1).all()
    assert (batch.time > batch.entry).all()
    assert (batch.entry >= 0).all()
    assert set(batch.cause.unique().tolist()) <= set(range(n_causes + 1))


def test_incidences_of_the_truth_are_valid() -> None:
    incidence = tables(1).incidence
    assert incidence.shape == (40, 150, 3, N_STEPS)
    assert (incidence >= 0).all()
    assert (incidence.diff(dim=-1) >= -1e-6).all()
    assert incidence.sum(dim=2).max() <= 1 + 1e-5


def test_the_same_seed_gives_the_same_tables() -> None:
    first, again, other = tables(2), tables(2), tables(3)
    for name in ("x", "there", "time", "cause", "entry", "incidence"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert not torch.equal(first.time, other.time)


def test_events_happen_as_often_as_the_hazards_say() -> None:
    """Martingales: events minus what was expected of those under observation have mean 0 (Aalen 1978)."""
    draws = Draws(torch.Generator().manual_seed(4))
    expected = torch.exp(draws.normal(200, 1, 3, N_STEPS) + draws.normal(200, 150, 3, 1)) * 0.01
    time, cause, seen = events(draws, expected, torch.zeros(200, 150))
    assert seen.all()
    passed = (time[..., None] * N_STEPS - torch.arange(N_STEPS)).clamp(0, 1)
    for k in range(3):
        residual = (cause == k + 1).float() - (expected[:, :, k] * passed).sum(dim=-1)
        assert float((cause == k + 1).float().mean()) > 0.1
        assert abs(float(residual.mean() / (residual.std() / residual.numel() ** 0.5))) < 4


def test_in_some_tables_nothing_is_predictive_and_in_most_something_is() -> None:
    draws = Draws(torch.Generator().manual_seed(5))
    log_ratio = effects(draws, covariates(draws, 400, 60, 8), n_causes=2)
    nothing = (log_ratio == 0).all(dim=1).all(dim=1).float().mean()
    assert 0.05 < float(nothing) < 0.2
    assert float((log_ratio.std(dim=1) > 0.3).any(dim=1).float().mean()) > 0.5


def test_what_is_bent_is_a_sum_over_columns_and_what_is_smooth_is_not() -> None:
    """Four rows at the corners of a rectangle in two columns: a sum has no interaction there."""
    draws = Draws(torch.Generator().manual_seed(6))
    x = draws.normal(50, 30, 3)
    x[:, 1:4] = x[:, :1]
    x[:, 1, 0] = x[:, 3, 0] = x[:, 4, 0]
    x[:, 2, 1] = x[:, 3, 1] = x[:, 4, 1]
    for bent, found in ((True, _bent(draws, x, draws.normal(50, 3))), (False, _smooth(draws, x, torch.ones(50, 3)))):
        interaction = (found[:, 0] - found[:, 1] - found[:, 2] + found[:, 3]).abs()
        assert bool((interaction < 1e-4).all()) == bent


def test_some_causes_are_rare() -> None:
    last = tables(7, n_tables=200, n_rows=100).incidence[..., -1].mean(dim=1)
    assert 0.07 < float((last < 0.02).float().mean()) < 0.15


def test_true_incidence_of_constant_hazards_is_the_closed_form() -> None:
    """CIF_k(t) = λ_k / λ · (1 − exp(−λ t)) (Kalbfleisch & Prentice 2002, section 8.2)."""
    rate = torch.tensor([0.7, 1.3])
    expected = (rate / N_STEPS)[None, None, :, None].expand(1, 1, 2, N_STEPS)
    time = torch.arange(1, N_STEPS + 1) / N_STEPS
    closed = rate[:, None] / rate.sum() * (1 - torch.exp(-rate.sum() * time))
    torch.testing.assert_close(true_incidence(expected)[0, 0], closed, rtol=1e-5, atol=1e-6)


def test_late_entry_hides_who_had_the_event_before_and_nobody_else() -> None:
    """Occurrences over exposure from entry on are the hazards (Andersen et al. 1993, III.3), of those who are seen."""
    draws = Draws(torch.Generator().manual_seed(6))
    frailty = torch.exp(draws.normal(1, 400_000, 1, 1))
    expected = (1.5 / N_STEPS) * frailty.expand(1, -1, 2, N_STEPS).contiguous()
    entry = draws.uniform(1, 400_000, high=0.6) * draws.chance(0.8, 1, 400_000)
    time, cause, seen = events(draws, expected, entry)
    assert 0.2 < float(seen.float().mean()) < 0.8
    assert (time > entry).all()
    step = torch.arange(N_STEPS + 1) / N_STEPS
    hazard = []
    for who, begin in ((seen, entry), (torch.ones_like(seen), torch.zeros_like(entry))):
        own = time if begin is entry else events(draws, expected, begin)[0]
        at_risk = torch.stack([((begin <= at) & (own > at) & who).sum() for at in step[:-1]])
        ended = torch.stack([((begin <= at) & (own > at) & (own <= at + 1 / N_STEPS) & who).sum() for at in step[:-1]])
        hazard.append(ended / at_risk)
    torch.testing.assert_close(hazard[0][:40], hazard[1][:40], rtol=0.06, atol=0.0)
    assert set(cause.unique().tolist()) == {0, 1, 2}


def test_tables_hold_nobody_whom_late_entry_hides() -> None:
    """Aalen–Johansen on the simulated tables with late entry, in the mean, is the truth."""
    off = []
    for seed in range(30):
        batch = tables(seed, n_tables=20, n_rows=400, n_columns=4, n_causes=2)
        for i in torch.flatten(((batch.entry > 0).float().mean(dim=1) > 0.5).nonzero()).tolist():
            entry, time = batch.entry[i].double().numpy(), batch.time[i].double().numpy()
            outcomes = Outcomes(time, batch.cause[i].numpy(), ("a", "b"), entry)
            at = np.quantile(time[batch.cause[i].numpy() > 0], 0.5) if (batch.cause[i] > 0).sum() > 100 else None
            if at is None or at <= np.quantile(entry, 0.2) or at > 1:
                continue
            true = float(batch.incidence[i].sum(dim=1).mean(dim=0)[int(at * N_STEPS) - 1])
            off.append(float(aalen_johansen(outcomes).at(np.array([at])).sum()) - true)
    assert len(off) > 15
    assert abs(float(np.mean(off))) < 0.05


def test_rows_that_late_entry_hides_give_way_to_others() -> None:
    """The same draws as those of the tables: where enough rows are seen, only these are in them."""
    draws = Draws(torch.Generator().manual_seed(7))
    x = covariates(draws, 60, 150 + 150 // SURPLUS, 12)
    course = follow(draws, effects(draws, x, 3), x.true)
    batch = tables(7, n_tables=60)
    enough = course.seen.sum(dim=1) >= 150
    assert (enough & ~course.seen.all(dim=1)).sum() >= 3, "tables in which somebody is hidden"
    for i in torch.flatten(enough.nonzero()).tolist():
        assert torch.equal(batch.time[i], course.time[i][course.seen[i]][:150])
