"""Do predictions need a patient's own cells? Cross-validation carried out again with cells of other patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from features.patients import Patients
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

    The test is exact if cells depend neither on the outcome nor on the clinic. Where they go with the clinic, it is the
    usual approximation for one group of variables among others (permutation of raw data: Anderson & Legendre, J Stat
    Comput Simul 1999;62:271–303).

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
    patient, first_row, groups = _groups(rows.patients, rows.endpoint.landmark_days, sites)
    numbers = count()

    def ipa(source: NDArray[np.int64]) -> float:
        exchanged = replace(rows, patients=rows.patients.with_samples_of(first_row[source][patient]))
        found = cross_validate(exchanged, once, folder / f"{next(numbers):04d}", Unheard())
        return mean_ipa(found.incidence[0], rows)

    rng = np.random.default_rng([config.seed, STREAM])
    return exchange_test(ipa, groups, rng=rng, n_permutations=n_permutations, progress=progress)


def _require_exchangeable(rows: TrainingRows, config: RunConfig) -> None:
    if config.also:
        msg = f"run {config.name}: learns from other endpoints (`also`), whose patients would keep their cells"
        raise SequelaError(msg + "; ask with --permutations 0, or compare runs without `also`")
    if rows.patients.samples is None:
        msg = f"{rows.cohort.folder}: the cohort has no samples, so no cells can be exchanged; use --permutations 0"
        raise SequelaError(msg)


def _groups(
    patients: Patients, landmark_days: Sequence[float], sites: NDArray[np.object_] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[NDArray[np.int64]]]:
    """Each row's patient, each patient's first row, and the groups of patients that may exchange cells."""
    _, first_row, patient = np.unique(patients.patient_id.astype(str), return_index=True, return_inverse=True)
    samples = patients.samples
    assert samples is not None  # noqa: S101 - for the type checker
    members: dict[tuple[frozenset[tuple[str, float]], object], list[int]] = {}
    for number, row in enumerate(first_row):
        own = slice(samples.offsets[row], samples.offsets[row + 1])
        known = {
            (material, day)
            for material, taken in zip(samples.material[own], samples.day[own], strict=True)
            for day in landmark_days
            if taken <= day
        }
        members.setdefault((frozenset(known), None if sites is None else sites[row]), []).append(number)
    if all(len(group) < 2 for (sampled, _), group in members.items() if sampled):
        msg = (
            "permutation of cells: no two patients have samples of the same materials at the same landmarks (within a "
            "centre), so no cells can be exchanged; use --permutations 0, or an endpoint with one landmark"
        )
        raise SequelaError(msg)
    return patient, first_row, [np.array(group) for group in members.values()]
