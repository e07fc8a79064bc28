"""What of a cohort the in-context model holds."""

from __future__ import annotations

import numpy as np

from features.outcomes import Outcomes
from training.config import InContextConfig, TrainerConfig
from training.fitting.in_context import fit_in_context
from training.models.in_context_predictor import InContext

CPU = TrainerConfig(accelerator="cpu")


def fitted(order: np.ndarray, most: int = 3000) -> InContext:
    rng = np.random.default_rng(0)
    x, days = rng.normal(size=(90, 3)), np.ceil(rng.exponential(200, 90))
    outcomes = Outcomes(days, rng.integers(0, 3, 90), ("infection", "death"))
    names = np.array([f"p{i // 2}" for i in range(90)], dtype=object)
    config = InContextConfig(kind="in_context", context_rows=most)
    return fit_in_context(x[order], outcomes.take(order), names[order], config, CPU, seed=0)


def test_rows_stand_in_an_order_of_their_own() -> None:
    """Nobody who has the list of patients can tell by its place whose a row is."""
    given = np.arange(90)
    cohort, again = fitted(given).cohort, fitted(np.random.default_rng(1).permutation(90)).cohort
    for name in ("x", "duration_days", "cause", "entry_days"):
        np.testing.assert_array_equal(getattr(again, name), getattr(cohort, name))
    assert (np.diff(cohort.duration_days) >= 0).all()
    assert len(cohort.x) == 90


def test_of_too_many_rows_whole_patients_are_drawn() -> None:
    cohort = fitted(np.arange(90), most=31).cohort
    assert len(cohort.x) == 30
    rng = np.random.default_rng(0)
    first = rng.normal(size=(90, 3))[:, 0].astype(np.float32)
    held = np.flatnonzero(np.isin(first, cohort.x[:, 0]))
    assert (np.bincount(held // 2, minlength=45) != 1).all(), "both rows of a patient, or none"
