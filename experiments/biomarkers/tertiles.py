"""Patients in thirds of a marker, so that its course can be looked at."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from experiments.page.privacy import SMALLEST
from experiments.page.tables import number
from features.drift import rounded
from features.outcomes import Outcomes
from features.patients import FloatArray
from training.effects.arms import Arms


def thirds(raw: FloatArray, outcomes: Outcomes) -> Arms | None:
    """Patients by thirds of a marker, or by halves or values where thirds cannot be had.

    Args:
        raw: (patients,), as it was measured, NaN where it was not; these patients are left out.
        outcomes: Of the patients.

    Returns:
        None if there are no two groups of at least `SMALLEST` patients. Bounds of thirds and halves are rounded to two
        digits before patients are dealt to groups, so that names are exact and tell no patient's value further.
    """
    rows = np.flatnonzero(np.isfinite(raw))
    known = raw[rows]
    values = np.unique(known)
    for parts in (3, 2):
        if len(values) <= parts:
            group, names = np.searchsorted(values, known), [number(value) for value in values]
        else:
            cuts = np.array(rounded(np.quantile(known, np.arange(1, parts) / parts)))
            group, names = np.searchsorted(cuts, known, side="left"), _names(cuts)
        counts = np.bincount(group, minlength=len(names))
        if len(names) > 1 and counts.min() >= SMALLEST:
            return Arms(outcomes.take(rows), group.astype(np.int64), tuple(names))
    return None


def _names(cuts: FloatArray) -> list[str]:
    shown = [number(cut) for cut in cuts]
    between = [f"{low} to {high}" for low, high in pairwise(shown)]
    return [f"up to {shown[0]}", *between, f"above {shown[-1]}"]
