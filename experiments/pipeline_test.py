"""Does a whole run find anything? Its cross-validation, carried out again on outcomes exchanged between patients."""

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
from experiments.out_of_fold import evaluation_times
from features.outcomes import Outcomes
from training.evaluation.brier import brier_score, integrate, null_brier_score
from training.evaluation.ipcw import scorable_times, scoring_weights
from training.evaluation.permutation import PermutationTest, permutation_test

STREAM = 1
"""Permutations are drawn from a stream of their own."""


def pipeline_test(
    rows: TrainingRows, config: RunConfig, folder: Path, progress: Callable[[int, int], None] | None = None
) -> PermutationTest | None:
    """Permutation test of everything a run learns: encoders, settings and models of all folds.

    The statistic is the IPA of the event of interest in one cross-validation, the mean over landmarks. Centres keep
    their own outcomes where centres are held out.

    Args:
        rows: The training rows.
        config: The run; `validation.permutations` says how often outcomes are exchanged.
        folder: Each finished fold of each permutation is kept here, and not fitted again.
        progress: Told how many cross-validations of how many are done.

    Returns:
        None where no permutation is asked for.

    Raises:
        SequelaError: No two patients can exchange outcomes, or nothing can be scored.
    """
    validation = config.validation
    if not validation.permutations:
        return None
    once = config.model_copy(update={"validation": validation.model_copy(update={"repeats": 1})})
    numbers = count()

    def pipeline(outcomes: Outcomes) -> NDArray[np.float64]:
        permuted = replace(rows, outcomes=outcomes)
        first: NDArray[np.float64] = cross_validate(
            permuted, once, folder / f"{next(numbers):04d}", Unheard()
        ).incidence[0]
        return first

    def statistic(incidence: NDArray[np.float64], outcomes: Outcomes) -> float:
        return mean_ipa(incidence, replace(rows, outcomes=outcomes))

    return permutation_test(
        pipeline,
        statistic,
        rows.outcomes,
        rows.patients.patient_id,
        rng=np.random.default_rng([config.seed, STREAM]),
        n_permutations=validation.permutations,
        landmark_days=rows.patients.landmark_day,
        strata=sites_of(rows, validation) if validation.scheme == "site" else None,
        progress=progress,
    )


def mean_ipa(incidence: NDArray[np.float64], rows: TrainingRows) -> float:
    """IPA of cause 1 of (rows, causes, times) on the run's times, the mean over landmarks; without intervals."""
    tested = np.isfinite(incidence).all(axis=(1, 2)) & rows.outcomes.from_landmark
    found = []
    for day in rows.endpoint.landmark_days:
        at = np.flatnonzero(tested & (rows.patients.landmark_day == day))
        outcomes = rows.outcomes.take(at)
        times = scorable_times(outcomes, evaluation_times(rows.endpoint))
        weights = scoring_weights(outcomes, times)
        loss = integrate(brier_score(incidence[at][..., : len(times)], times, outcomes, weights), times)[0]
        found.append(1 - float(loss / integrate(null_brier_score(times, outcomes, weights), times)[0]))
    return float(np.mean(found))
