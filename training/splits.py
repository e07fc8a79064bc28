"""Patient-grouped folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import SequelaError


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold of one repeat; `number` is unique over all repeats."""

    number: int
    repeat: int
    train: NDArray[np.int64]
    """Row numbers."""
    test: NDArray[np.int64]


def patient_folds(
    patient_id: NDArray[np.object_], cause: NDArray[np.int64], *, n_folds: int, n_repeats: int, seed: int
) -> list[Fold]:
    """Folds that keep all rows of a patient together, stratified by the patient's cause.

    Where a patient's rows have several causes, the one with the lowest number counts, and censoring last. The order of
    rows does not matter.

    Raises:
        SequelaError: There are fewer patients than folds.
    """
    ids, patient = np.unique(patient_id.astype(str), return_inverse=True)
    if len(ids) < n_folds:
        msg = f"validation.folds = {n_folds}: only {len(ids)} patients are at risk; use at most as many folds"
        raise SequelaError(msg)
    censored = np.iinfo(np.int64).max
    stratum = np.full(len(ids), censored)
    np.minimum.at(stratum, patient, np.where(cause > 0, cause, censored))
    folds = []
    for repeat in range(n_repeats):
        rng = np.random.default_rng([seed, repeat])
        shuffled = rng.permutation(len(ids))
        by_stratum = shuffled[np.argsort(stratum[shuffled], kind="stable")]
        fold_of = np.empty(len(ids), dtype=np.int64)
        fold_of[by_stratum] = np.arange(len(ids)) % n_folds
        for fold in range(n_folds):
            held_out = fold_of[patient] == fold
            number = repeat * n_folds + fold
            folds.append(Fold(number, repeat, np.flatnonzero(~held_out), np.flatnonzero(held_out)))
    return folds
