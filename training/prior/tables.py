"""A batch of simulated tables of one size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.prior.course import follow
from training.prior.covariates import covariates
from training.prior.draws import Draws
from training.prior.effects import effects

VERSION = 3
"""Of the prior; weights say which one they were trained on."""
SURPLUS = 3
"""One row in so many is simulated beyond those wanted, for late entry to hide."""


@dataclass(frozen=True, slots=True)
class TableBatch:
    """Tables with the same number of rows."""

    x: Tensor
    """(tables, rows, columns): standardised; 0 in columns that are not there."""
    there: Tensor
    """(tables, columns): whether a column is there."""
    time: Tensor
    """(tables, rows): end of observation, from 0 to about 1."""
    cause: Tensor
    """(tables, rows): 0 = censored, 1 to the number of causes."""
    entry: Tensor
    """(tables, rows): start of observation."""
    incidence: Tensor
    """(tables, rows, causes, steps): the truth, at `training.prior.course.N_STEPS` even times up to 1."""


def simulate_tables(
    generator: torch.Generator, *, n_tables: int, n_rows: int, n_columns: int, n_causes: int
) -> TableBatch:
    """Simulate tables on the generator's device.

    Args:
        generator: Source of chance.
        n_tables: Tables.
        n_rows: Patients of each.
        n_columns: Columns of each, at most.
        n_causes: Causes, which compete.
    """
    draws = Draws(generator)
    x = covariates(draws, n_tables, n_rows + n_rows // SURPLUS, n_columns)
    course = follow(draws, effects(draws, x, n_causes), x.true)
    # Those whom late entry hides make room for others; where too many are hidden, some stay with a second life.
    rows = course.seen.logical_not().byte().argsort(dim=1, stable=True)[:, :n_rows]
    time, cause, entry = (one.gather(1, rows) for one in (course.time, course.cause, course.entry))
    known, incidence = (
        one.gather(1, rows.view(n_tables, n_rows, *[1] * (one.ndim - 2)).expand(-1, -1, *one.shape[2:]))
        for one in (x.known, course.incidence)
    )
    return TableBatch(known, x.there, time, cause, entry, incidence)
