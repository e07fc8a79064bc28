"""Do predictions need a patient's own cells? Cross-validation carried out again with cells of other patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.config import RunConfig
from experiments.crossval import Unheard, cross_validate, sites_of
from experiments.data import TrainingRows
from experiments.pipeline_test import mean_ipa
from features.errors import SequelaError
from training.evaluation.cell_exchange import CellExchange
from training.evaluation.permutation import PermutationTest, exchange_test

STREAM = 2
"""Exchanges are drawn from a stream of their own."""


def cell_test(
    rows: TrainingRows,
    config: RunConfig,
    n_permutations: int,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> PermutationTest:
    """Permutation test of what the cells say, beside everything else that a run sees.

    All samples of a patient (cells and clones) go as one to another patient; clinic and outcomes stay where they are,
    and every fold of one cross-validation is fitted anew. The statistic is the IPA of the event of interest, the mean
    over landmarks. Cells go only to a patient who has samples of the same materials at the same landmarks, so that who
    was sampled, and when, is not what is tested; with centres held out, only within a centre.

    What it tests exactly, and what by approximation, is said by `CellExchange`.

    Args:
        rows: The training rows, with their cells.
        config: The run that sees cells.
        n_permutations: How often cells are exchanged.
        folder: Each finished fold is kept here, and not fitted again.
        progress: Told how many cross-validations of how many are done.

    Raises:
        SequelaError: No two patients can exchange cells, or nothing can be scored.
    """
    _require_exchangeable(rows, config)
    validation = config.validation.model_copy(update={"repeats": 1})
    once = config.model_copy(update={"validation": validation})
    sites = sites_of(rows, validation) if validation.scheme == "site" else None
    exchange = CellExchange.of(rows.patients, rows.endpoint.landmark_days, sites)
    numbers = count()

    def ipa(source: NDArray[np.int64]) -> float:
        exchanged = replace(rows, patients=exchange.exchanged(rows.patients, source))
        found = cross_validate(exchanged, once, folder / f"{next(numbers):04d}", Unheard())
        return mean_ipa(found.incidence[0], rows)

    rng = np.random.default_rng([config.seed, STREAM])
    return exchange_test(ipa, exchange.groups, rng=rng, n_permutations=n_permutations, progress=progress)


def _require_exchangeable(rows: TrainingRows, config: RunConfig) -> None:
    if config.also:
        msg = f"run {config.name}: learns from other endpoints (`also`), whose patients would keep their cells"
        raise SequelaError(msg + "; ask with --permutations 0, or compare runs without `also`")
    if rows.patients.samples is None:
        msg = f"{rows.cohort.folder}: the cohort has no samples, so no cells can be exchanged; use --permutations 0"
        raise SequelaError(msg)
