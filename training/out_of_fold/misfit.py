"""Misfit: the variance of a model's errors that refits of it do not show, from its out-of-fold predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from features.patients import FloatArray
from training.evaluation.ipcw import identified_days
from training.evaluation.pseudo import pseudo_values
from training.models.repeated_rows import sums_by_patient

GROUPS = 10
"""Groups of similar predicted risk."""
FEWEST_IN_GROUP = 20
"""Patients a group, at least."""


def misfit_variance(
    risk: NDArray[np.float64],
    refit_error: NDArray[np.float64],
    outcomes: Outcomes,
    patient_id: NDArray[Any],
    landmark_day: FloatArray,
    cause: int,
    horizons_days: FloatArray,
) -> float:
    """Variance, on the scale of log(−log(1 − F)), of errors that refits do not show.

    The observed risk of a group is the mean of its rows' pseudo-values of the Aalen–Johansen estimate of their
    landmark. Of observed − predicted, divided by the slope of F in θ, the variance is that of the pseudo-values' mean,
    plus that of the refits' mean error in the group, plus v. As the between-study variance of Paule & Mandel (J Res
    Natl Bur Stand 1982;87:377), v makes the mean of the squared standardised differences over groups and horizons 1,
    and is 0 where it is less without.

    Args:
        risk: (rows, horizons), out of fold, of the cause.
        refit_error: (refits, rows, horizons): refit − the truth that it came from.
        outcomes: Of the rows, all observed from their landmark on.
        patient_id: (rows,): patients are independent, their rows are not.
        landmark_day: (rows,): the estimate is that of the rows of one landmark, and says nothing past their follow-up.
        cause: 1, 2, …
        horizons_days: (horizons,).
    """
    pseudo = _pseudo_values(outcomes, landmark_day, horizons_days)[:, cause - 1]
    n_groups = int(np.clip(len(np.unique(patient_id.astype(str))) // FEWEST_IN_GROUP, 1, GROUPS))
    squared, known = [], []
    for h in range(len(horizons_days)):
        seen = np.flatnonzero(np.isfinite(pseudo[:, h]))
        if not len(seen) or risk[seen, h].max() <= 0:
            continue
        for rows in np.array_split(seen[np.argsort(risk[seen, h], kind="stable")], n_groups):
            if len(np.unique(patient_id[rows].astype(str))) < 2:
                continue
            mean = float(np.clip(risk[rows, h].mean(), 1e-6, 1 - 1e-6))
            slope = -(1 - mean) * np.log1p(-mean)
            fitting = (refit_error[:, rows, h].mean(axis=1) ** 2).mean() if len(refit_error) else 0.0
            expected = _variance_of_mean(pseudo[rows, h], patient_id[rows], mean) + float(fitting)
            squared.append(((pseudo[rows, h] - risk[rows, h]).mean() / slope) ** 2)
            known.append(expected / slope**2)
    return _paule_mandel(np.array(squared), np.array(known))


def _pseudo_values(outcomes: Outcomes, landmark_day: FloatArray, horizons_days: FloatArray) -> NDArray[np.float64]:
    """(rows, causes, horizons), among the rows of one landmark; NaN where they were not followed as far."""
    found = np.empty((len(outcomes), len(outcomes.causes), len(horizons_days)))
    for day in np.unique(landmark_day):
        rows = np.flatnonzero(landmark_day == day)
        own = outcomes.take(rows)
        found[rows] = np.where(horizons_days <= identified_days(own), pseudo_values(own, horizons_days), np.nan)
    return found


def _variance_of_mean(pseudo: NDArray[np.float64], patient_id: NDArray[Any], risk: float) -> float:
    """Of a group's pseudo-values (rows,): that of sums by patient, and no less than were every row of a patient alike.

    Where nobody has had the event, the values do not scatter, and `risk` says how they could have.
    """
    by_patient = sums_by_patient(np.column_stack([pseudo - pseudo.mean(), np.ones(len(pseudo))]), patient_id)
    n_patients = len(by_patient)
    squares = (by_patient**2).sum(axis=0) / len(pseudo) ** 2
    return max(float(squares[0]) * n_patients / (n_patients - 1), risk * (1 - risk) * float(squares[1]))


def _paule_mandel(squared: NDArray[np.float64], known: NDArray[np.float64]) -> float:
    """The v ≥ 0 with mean(squared / (known + v)) = 1, by bisection; 0 where there is none."""
    if not len(squared) or (squared / known).mean() <= 1:
        return 0.0
    low, high = 0.0, float(squared.sum())
    for _ in range(100):
        middle = (low + high) / 2
        if (squared / (known + middle)).mean() > 1:
            low = middle
        else:
            high = middle
    return high
