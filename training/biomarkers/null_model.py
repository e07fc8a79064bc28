"""What is known without a marker: baseline hazards of strata, covariates, and the residuals that they leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from features.outcomes import Outcomes
from training.biomarkers.markers import measured_together, strata_of
from training.effects.arms import FloatArray, IntArray
from training.effects.hazards import TOLERANCE, Stratified
from training.models.penalised_fit import newton

SINGULAR = 1e-8
"""Of the greatest information about a direction of the covariates; directions with less are left out."""


@dataclass(frozen=True, slots=True)
class NullModel:
    """A proportional hazards model of covariates in strata, fitted; without covariates, the strata alone."""

    likelihood: Stratified
    beta: FloatArray
    """(directions,): of the covariates' space."""
    inverse: FloatArray
    """(directions, directions): inverse of the information."""
    n_rows: int

    @classmethod
    def fit(
        cls, outcomes: Outcomes, cause: int, strata: Sequence[IntArray], covariates: FloatArray | None, *, kept: bool
    ) -> NullModel | None:
        """Fit by maximum partial likelihood; None where nobody has the event, or where there is no maximum.

        Args:
            outcomes: One row a patient.
            cause: 1, 2, …
            strata: Positions of the rows of each.
            covariates: (rows, columns), or none. What they do not tell within strata is left out.
            kept: Whether rows with another cause stay at risk with Fine and Gray's weights.

        Raises:
            SequelaError: Fine and Gray's weights cannot be estimated, as after late entry with a gap in the follow-up.
        """
        x = np.zeros((len(outcomes), 0)) if covariates is None else covariates
        likelihood = Stratified.of(x, outcomes, cause, strata, kept=kept)
        if not likelihood.parts:
            return None
        if x.shape[1]:
            values, vectors = np.linalg.eigh(likelihood.likelihood(np.zeros(x.shape[1]))[2])
            told = vectors[:, values > SINGULAR * max(float(values.max()), 1.0)]
            likelihood = Stratified.of(x @ told, outcomes, cause, strata, kept=kept)
        beta = np.zeros(likelihood.parts[0].x.shape[1])
        if not len(beta):
            return cls(likelihood, beta, np.zeros((0, 0)), len(outcomes))
        try:
            beta = newton(likelihood, 0.0, 0.0, beta, TOLERANCE)
        except np.linalg.LinAlgError:  # covariates tell who has the event: the likelihood rises for ever
            return None
        inverse: FloatArray = np.linalg.pinv(likelihood.likelihood(beta)[2], hermitian=True).astype(np.float64)
        return cls(likelihood, beta, inverse, len(outcomes))

    def martingale_residuals(self) -> FloatArray:
        """(rows,): events less those expected."""
        return self.likelihood.martingale_residuals(self.beta, self.n_rows)


def null_models(
    values: FloatArray,
    outcomes: Outcomes,
    cause: int,
    stratum: IntArray | None,
    covariates: FloatArray | None,
    *,
    kept: bool,
) -> Iterator[tuple[IntArray, IntArray, NullModel | None]]:
    """Null models of the patients in whom markers were measured.

    Args:
        values: (rows, markers), NaN where a marker was not measured.
        outcomes: One row a patient.
        cause: 1, 2, …
        stratum: (rows,), or none.
        covariates: (rows, columns), or none.
        kept: As in `NullModel.fit`.

    Yields:
        Positions of markers and rows as `measured_together` does, and their model; None where there is none.

    Raises:
        SequelaError: Fine and Gray's weights cannot be estimated.
    """
    fitted: dict[bytes, NullModel | None] = {}
    for columns, rows in measured_together(values):
        key = rows.tobytes()
        if key not in fitted:
            own = None if covariates is None else covariates[rows]
            strata = strata_of(stratum, rows)
            fitted[key] = NullModel.fit(outcomes.take(rows), cause, strata, own, kept=kept) if len(rows) else None
        yield columns, rows, fitted[key]
