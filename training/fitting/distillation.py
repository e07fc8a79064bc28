"""Distillation: a model learns to answer as another one does, from outcomes simulated from that one's answers.

The student sees the training patients with outcomes that the teacher holds possible, followed to the end of its time,
and as many of each patient as are asked for; it sees no outcome that anybody had (Hinton, Vinyals & Dean 2015,
arXiv 1503.02531; from simulated outcomes: Breiman & Shang, Born again trees, 1996). What is left behind is what the
teacher had to carry: the rows of the cohort, in the case of `in_context`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from features.errors import SequelaError
from features.outcomes import Outcomes
from features.patients import Patients
from training.fitting.binning import require_events
from training.models.predictor import Predictor
from training.out_of_fold.simulated_outcomes import outcome_grid, simulate_outcomes

Fit = Callable[[NDArray[np.float64], Patients, Outcomes], Predictor]
"""Fits the student to features (rows, features), rows and their outcomes."""


def distil(
    teacher: Predictor,
    x: NDArray[np.float64],
    patients: Patients,
    outcomes: Outcomes,
    draws: int,
    fit: Fit,
    *,
    seed: int,
) -> Predictor:
    """The student of a predictor.

    Args:
        teacher: Fitted to these rows; it looks at no single cells.
        x: Encoded features (rows, features).
        patients: Training rows; those of one patient share their random numbers in each draw.
        outcomes: Their outcomes, which only tell where time ends.
        draws: Outcomes simulated of each row.
        fit: Fits the student to all of them; its folds keep all draws of a patient together.
        seed: Of the draws.

    Raises:
        SequelaError: No event of any cause, or none was drawn.
    """
    require_events(outcomes, "distilled")
    times = outcome_grid(outcomes)
    incidence = teacher.incidence(x, patients.landmark_day, times)
    nobody = np.zeros(len(outcomes), dtype=np.int64)
    followed = Outcomes(np.full(len(outcomes), times[-1]), nobody, outcomes.causes)
    rng = np.random.default_rng([seed, draws])
    drawn = [simulate_outcomes(incidence, times, followed, patients, rng) for _ in range(draws)]
    row, together = np.tile(np.arange(len(outcomes)), draws), Outcomes.concatenate(drawn)
    if not (together.cause > 0).any():
        msg = (
            f"distilled: no event in {draws} draws from the teacher; set model.draws higher, or use the teacher itself"
        )
        raise SequelaError(msg)
    return fit(x[row], patients.take(row), together)
