"""p-values from permuted outcomes: of each marker, and of the largest statistic of all markers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.biomarkers.markers import strata_of
from training.biomarkers.null_model import null_models
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
    adjusted: bool = False
    """Whether for covariates."""

    def calibrated(self, p: FloatArray) -> FloatArray:
        """(markers,): p-values of permutations; where none reached the marker, those given, which go further down.

        p-values of score tests hold in large samples only: with few events and skewed markers the small ones are too
        small, while those of permutations end at 1 / (1 + their number), too early for many markers. Adjusted for
        covariates, neither is exact, and where one is too small the other need not be: the larger counts.

        Args:
            p: (markers,): of a test of the same hypotheses; NaN where it tests nothing, as are these then.
        """
        least = 1 / (1 + self.n_permutations)
        found = np.where((self.p > least * (1 + _ROUNDING)) & np.isfinite(p), self.p, np.minimum(p, self.p))
        return np.maximum(found, p) if self.adjusted else found


def permutation_tests(
    values: FloatArray,
    outcomes: Outcomes,
    cause: int,
    *,
    stratum: IntArray | None = None,
    covariates: FloatArray | None = None,
    kept: bool = False,
    n_permutations: int = PERMUTATIONS,
    rng: np.random.Generator,
) -> PermutationTests:
    """Deal the outcomes anew to the patients of each stratum, and see how large the statistics become by chance.

    The statistic is T_j = Σ_i e_ij M_i over its permutation standard deviation √(Σ e_ij² var(M)), with M the martingale
    residuals of the strata alone and e_j marker j less its mean, within strata: the score of the marker's coefficient
    (Strasser & Weber, Math Methods Stat 1999;8:220). Model, residuals and their dealing are of the patients in whom the
    marker was measured, so that it may go with the outcome who these are. Exact if no marker goes with outcome or
    censoring.

    With covariates, M are the residuals of their model too, and e_j what a least squares line in them leaves of the
    marker. M is orthogonal to the covariates, so that dealing it is Freedman and Lane's permutation of e (J Bus Econ
    Stat 1983;1:292); e is divided by √(1 − leverage) as it is dealt (Winkler et al., Neuroimage 2014;92:381). T is then
    over √(Σ e_ij² M_i²), of the residuals as dealt: M varies more where covariates raise the hazard, and e may, too;
    the studentised T keeps its level (DiCiccio & Romano, JASA 2017;112:1211), at the price of power in skewed markers.

    The p-value of the largest absolute T over markers is Westfall and Young's single step (Resampling-Based Multiple
    Testing, 1993, section 2.3), which takes the markers' correlation into account: one random order of all patients
    deals the residuals of every group of markers, sorted, so that a patient is dealt about the same quantile in each.

    Args:
        values: (rows, markers), NaN where not measured.
        outcomes: One row a patient.
        cause: 1, 2, …
        stratum: (rows,): outcomes are dealt within these.
        covariates: (rows, columns): tested is what a marker tells beyond these.
        kept: Of the subdistribution hazard, with Fine and Gray's weights; if not, of the cause-specific one.
        n_permutations: How many.
        rng: Of the permutations.

    Raises:
        SequelaError: Fine and Gray's weights cannot be estimated.
    """
    strata = strata_of(stratum, np.arange(len(outcomes)))
    p, p_of_largest = np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    groups = []
    for columns, rows, null in null_models(values, outcomes, cause, stratum, covariates, kept=kept):
        if null is not None:
            own = None if covariates is None else covariates[rows]
            residuals = np.zeros(len(outcomes))
            residuals[rows] = null.martingale_residuals()
            groups.append(_Group.of(values[np.ix_(rows, columns)], own, columns, rows, residuals, strata))
    beyond, largest_beyond = ([np.zeros(len(one.columns)) for one in groups] for _ in range(2))
    for start in range(0, n_permutations, _AT_ONCE):
        orders = list(_orders(strata, min(_AT_ONCE, n_permutations - start), rng))
        largest = np.zeros(len(orders[0]))
        for k, one in enumerate(groups):
            by_chance = np.abs(one.statistic(one.dealt(orders), one.even))
            beyond[k] += (by_chance >= one.found).sum(axis=0)
            largest = np.maximum(largest, by_chance.max(axis=1, initial=0.0))
        for k, one in enumerate(groups):
            largest_beyond[k] += (largest[:, None] >= one.found).sum(axis=0)
    for k, one in enumerate(groups):
        p[one.columns] = (1 + beyond[k]) / (1 + n_permutations)
        p_of_largest[one.columns] = (1 + largest_beyond[k]) / (1 + n_permutations)
    return PermutationTests(p, p_of_largest, n_permutations, adjusted=covariates is not None)


@dataclass(frozen=True, slots=True)
class _Group:
    """Markers measured in the same patients, and the residuals that are dealt to these."""

    columns: IntArray
    """(own,): positions of the markers, those that can be tested."""
    rows: IntArray
    """(measured,)"""
    measured: NDArray[np.bool_]
    """(all rows,)"""
    residuals: tuple[FloatArray, ...]
    """Of the measured rows of each stratum, ascending."""
    even: FloatArray
    """(measured, own): what strata and covariates leave of the markers, with equal variances."""
    deviation: FloatArray | None
    """(own,): of the sums of dealt residuals; None: taken from the residuals as dealt."""
    found: FloatArray
    """(own,): absolute statistic of the data, less what may be rounding."""

    @classmethod
    def of(
        cls,
        own: FloatArray,
        covariates: FloatArray | None,
        columns: IntArray,
        rows: IntArray,
        residuals: FloatArray,
        strata: Sequence[IntArray],
    ) -> _Group:
        """Of markers (measured, columns), covariates (measured, columns) and martingale residuals (all rows,)."""
        measured = np.zeros(len(residuals), dtype=bool)
        measured[rows] = True
        parts = [one[measured[one]] for one in strata]
        within = [np.searchsorted(rows, one) for one in parts]
        left, even = _beyond(own, covariates, within)
        variance = np.zeros(len(columns))
        for part, places in zip(parts, within, strict=True):
            if len(part) > 1:
                variance += (even[places] ** 2).sum(axis=0) * residuals[part].var(ddof=1)
        testable = np.flatnonzero(variance > _ROUNDING)
        one = cls(
            columns[testable],
            rows,
            measured,
            tuple(np.sort(residuals[part]) for part in parts),
            even[:, testable],
            np.sqrt(variance[testable]) if covariates is None else None,
            np.zeros(len(testable)),
        )
        return replace(one, found=np.abs(one.statistic(residuals[None, rows], left[:, testable])[0]) - _ROUNDING)

    def statistic(self, residuals: FloatArray, left: FloatArray) -> FloatArray:
        """(permutations, own): of residuals (permutations, measured), and what is left of the markers."""
        if self.deviation is not None:
            found: FloatArray = residuals @ (left / self.deviation)
            return found
        return residuals @ left / np.sqrt(np.maximum(residuals**2 @ self.even**2, _ROUNDING))

    def dealt(self, orders: Sequence[IntArray]) -> FloatArray:
        """(permutations, measured): residuals, the least to whom a random order of a stratum has first, and so on."""
        found = np.zeros((len(orders[0]), len(self.measured)))
        for order, residuals in zip(orders, self.residuals, strict=True):
            to = order[self.measured[order]].reshape(len(order), len(residuals))
            np.put_along_axis(found, to, residuals[None, :], axis=1)
        return found[:, self.rows]


def _orders(strata: Sequence[IntArray], n: int, rng: np.random.Generator) -> Iterator[IntArray]:
    """For each stratum n random orders of its rows (n, rows)."""
    for rows in strata:
        yield rows[np.argsort(rng.random((n, len(rows))), axis=1)]


def _beyond(
    own: FloatArray, covariates: FloatArray | None, strata: Sequence[IntArray]
) -> tuple[FloatArray, FloatArray]:
    """What least squares lines in covariates and strata leave of markers; and that again with equal variances."""
    left = _centred(own, strata)
    if covariates is None:
        return left, left
    directions, size, _ = np.linalg.svd(_centred(covariates, strata), full_matrices=False)
    directions = directions[:, size > _ROUNDING * max(float(size.max(initial=0.0)), 1.0)]
    left = left - directions @ (directions.T @ left)
    free = 1 - (directions**2).sum(axis=1)
    even = left / np.sqrt(np.where(free > _ROUNDING, free, np.inf))[:, None]
    return left, _centred(even, strata)


def _centred(values: FloatArray, strata: Sequence[IntArray]) -> FloatArray:
    """Values (rows, columns) less their mean in each stratum."""
    found = np.zeros(values.shape)
    for rows in strata:
        if len(rows):
            found[rows] = values[rows] - values[rows].mean(axis=0)
    return found
