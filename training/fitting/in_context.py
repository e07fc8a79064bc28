"""The in-context model on a cohort: nothing is fitted; the pre-trained network is given the patients to read."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.config import InContextConfig, TrainerConfig
from training.fitting.binning import require_events
from training.fitting.in_context_tuning import fine_tune
from training.models.in_context import InContextModule
from training.models.in_context_predictor import Cohort, InContext
from training.pretrained import SHIPPED, read_weights


def fit_in_context(
    x: NDArray[np.float64],
    outcomes: Outcomes,
    patient_id: NDArray[np.object_],
    config: InContextConfig,
    trainer: TrainerConfig,
    *,
    seed: int,
) -> InContext:
    """Let the network read encoded patients.

    Args:
        x: Standardised features (rows, features).
        outcomes: Outcomes of the rows.
        patient_id: (rows,): where there are too many rows, patients are drawn, with all their rows.
        config: Which weights, and how many rows at most.
        trainer: Where it is fine-tuned, if at all.
        seed: Of the draw, and of fine-tuning.

    Raises:
        SequelaError: No event of any cause; or the weights cannot be read.
    """
    require_events(outcomes, "in_context")
    rows = _drawn(patient_id, config.context_rows, np.random.default_rng(seed))
    rows = rows[_by_content(x[rows], outcomes.take(rows))]
    module, cohort = _network(config.weights or SHIPPED), Cohort.of(x[rows], outcomes.take(rows))
    if config.tuning_steps:
        module = fine_tune(module, cohort, patient_id[rows], config, trainer, seed=seed)
    return InContext(module, cohort)


def _drawn(patient_id: NDArray[np.object_], most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows of patients drawn at random, as many as there is room for, in the order of the cohort."""
    number = np.unique(patient_id.astype(str), return_inverse=True)[1]
    order = rng.permutation(number.max() + 1)
    taken = np.cumsum(np.bincount(number)[order]) <= most
    return np.flatnonzero(np.isin(number, order[taken]))


def _by_content(x: NDArray[np.float64], outcomes: Outcomes) -> NDArray[np.int64]:
    """(rows,): an order that tells nothing of the cohort's own, by which a row could be found in a list of patients."""
    return np.lexsort((*x.T[::-1], outcomes.cause, outcomes.duration_days))


@cache
def _network(path: Path) -> InContextModule:
    """Read once for all folds; nothing changes its weights."""
    return read_weights(path)[0]
