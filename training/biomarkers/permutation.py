"""p-values from permuted outcomes: of each marker, and of the largest statistic of all markers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.outcomes import Outcomes
from training.biomarkers.markers import strata_of
from training.biomarkers.null_model import NullModel
from training.effects.arms import FloatArray, IntArray

PERMUTATIONS = 10_000
_AT_ONCE = 250
_ROUNDING = 1e-9
"""Statistics that differ by less are the same."""


@dataclass(frozen=True, slots=True)
class PermutationTests:
    """Of each marker; NaN where nothing can be tested."""

    p: FloatArray
    """(markers,): share of permutations, the data as they are among them, with a statistic at least as far from 0."""
    p_of_largest: FloatArray
    """(markers,): share in which that of *any* marker is: at 0.05, one false finding in twenty searches."""
    n_permutations: int

    def calibrated(self, p: FloatArray) -> FloatArray:
        """(markers,): p-values of permutations; where none reached the marker, those given, which go further down.

        p-values of score tests hold in large samples only: with few events and skewed markers the small ones are too
        small, while those of permutations end at 1 / (1 + their number), too early for many markers.

        Args:
            p: (markers,): of a test of the same hypotheses.
        """
        least = 1 / (1 + self.n_permutations)
        return np.where(self.p > least * (1 + _ROUNDING), self.p, np.minimum(p, self.p))


def permutation_tests(
    values: FloatArray,
    outcomes: Outcomes,
    cause: int,
    *,
    stratum: IntArray | None = None,
    kept: bool = False,
    n_permutations: int = PERMUTATIONS,
    rng: np.random.Generator,
) -> PermutationTests:
    """Deal the outcomes anew to the patients of each stratum, and see how large the statistics become by chance.

    The statistic is T_j = Σ_i (g_ij − ḡ_j) M_i over its permutation standard deviation √(Σ (g_ij − ḡ_j)² var(M)), with
    M the martingale residuals of the strata alone, within each stratum and over the patients in whom the marker was
    measured: the score of the marker's coefficient (Strasser & Weber, Math Methods Stat 1999;8:220). The p-value of the
    largest absolute T over markers is Westfall and Young's single step (Resampling-Based Multiple Testing, 1993,
    section 2.3), which takes the markers' correlation into account. Exact if no marker goes with outcome or censoring.

    Args:
        values: (rows, markers), NaN where not measured.
        outcomes: One row a patient.
        cause: 1, 2, …
        stratum: (rows,): outcomes are dealt within these.
        kept: Of the subdistribution hazard, with Fine and Gray's weights; if not, of the cause-specific one.
        n_permutations: How many.
        rng: Of the permutations.

    Raises:
        SequelaError: Fine and Gray's weights cannot be estimated.
    """
    strata = strata_of(stratum, np.arange(len(outcomes)))
    null = NullModel.fit(outcomes, cause, strata, None, kept=kept)
    nothing = np.full(values.shape[1], np.nan)
    if null is None:
        return PermutationTests(nothing, nothing, n_permutations)
    residuals = null.martingale_residuals()
    centred, variance = _centred(values, residuals, strata)
    testable = np.flatnonzero(variance > _ROUNDING)
    scaled = centred[:, testable] / np.sqrt(variance[testable])
    found = np.abs(residuals @ scaled) - _ROUNDING
    beyond, largest_beyond = np.zeros(len(testable)), np.zeros(len(testable))
    for start in range(0, n_permutations, _AT_ONCE):
        dealt = np.zeros((min(_AT_ONCE, n_permutations - start), len(outcomes)))
        for rows in strata:
            dealt[:, rows] = rng.permuted(np.tile(residuals[rows], (len(dealt), 1)), axis=1)
        by_chance = np.abs(dealt @ scaled)
        beyond += (by_chance >= found).sum(axis=0)
        largest = by_chance.max(axis=1, initial=0.0)
        largest_beyond += (largest[:, None] >= found).sum(axis=0)
    p, p_of_largest = nothing.copy(), nothing.copy()
    p[testable] = (1 + beyond) / (1 + n_permutations)
    p_of_largest[testable] = (1 + largest_beyond) / (1 + n_permutations)
    return PermutationTests(p, p_of_largest, n_permutations)


def _centred(values: FloatArray, residuals: FloatArray, strata: list[IntArray]) -> tuple[FloatArray, FloatArray]:
    """Markers less their mean in each stratum, 0 where not measured; and the permutation variance of their scores."""
    centred, variance = np.zeros(values.shape), np.zeros(values.shape[1])
    for rows in strata:
        own = values[rows]
        known = np.isfinite(own)
        mean = np.where(known, own, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        centred[rows] = np.where(known, own - mean, 0.0)
        if len(rows) > 1:
            variance += (centred[rows] ** 2).sum(axis=0) * residuals[rows].var(ddof=1)
    return centred, variance
