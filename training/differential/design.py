"""Two groups of patients, and what the comparison of them is adjusted for, as columns of a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from training.effects.arms import FloatArray, IntArray

FEWEST_FREE = 3
"""Residual degrees of freedom, below which nothing is tested."""
GROUP, INTERCEPT = "group", "intercept"
_SINGULAR = 1e-8


@dataclass(frozen=True, slots=True)
class Design:
    """The model's columns."""

    group: IntArray
    """(patients,): 0 of the reference group, 1 of the other."""
    covariates: FloatArray
    """(patients, columns): what is adjusted for."""

    def __len__(self) -> int:
        return len(self.group)

    @property
    def sizes(self) -> tuple[int, int]:
        """Patients in the reference group, and in the other."""
        return int((self.group == 0).sum()), int((self.group == 1).sum())

    @property
    def n_free(self) -> int:
        """Residual degrees of freedom."""
        return int(len(self) - 2 - self.covariates.shape[1])

    def take(self, rows: IntArray) -> Design | None:
        """Some patients; None where the groups cannot be compared in them.

        Covariates that these patients tell nothing of, beyond those before them, are left out.
        """
        group, covariates = self.group[rows], self.covariates[rows]
        kept = np.ones((len(rows), 1))
        told: list[int] = []
        for j in range(covariates.shape[1]):
            if _adds(covariates[:, j], kept):
                kept = np.column_stack([kept, covariates[:, j]])
                told.append(j)
        found = Design(group, covariates[:, told])
        return found if found.n_free >= FEWEST_FREE and _adds(group.astype(np.float64), kept) else None

    def columns(self) -> pd.DataFrame:
        """(patients, columns): intercept, group, covariates."""
        named = {INTERCEPT: np.ones(len(self)), GROUP: self.group.astype(np.float64)}
        named |= {f"covariate{j}": self.covariates[:, j] for j in range(self.covariates.shape[1])}
        return pd.DataFrame(named, index=[str(i) for i in range(len(self))])


def _adds(column: FloatArray, to: FloatArray) -> bool:
    """Whether a column is no combination of others."""
    scale = float(np.linalg.norm(column))
    rest = column - to @ np.linalg.lstsq(to, column, rcond=None)[0]
    return float(np.linalg.norm(rest)) > _SINGULAR * max(scale, 1.0)
