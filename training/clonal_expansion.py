"""Which clones of a patient expand from one sample to a later one, and when one of them calls for a closer look.

Two samples hold a_1 of N_1 and a_2 of N_2 counted cells (or fragments) of a clone. If its share had stayed the same,
a_2 given a_1 + a_2 would be hypergeometric (Fisher's exact test, one-sided: Fisher, J R Stat Soc 1935;98:39); small
shares are as good as Poisson, so that the ratio of shares r has the exact interval of Przyborowski & Wilenski
(Biometrika 1940;31:313): a_2 is binomial with chance N_2 r / (N_1 + N_2 r). Both speak of the counting alone: two
samples of one day differ by more, so that a small p is a reason to look again, not proof that a clone grows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, hypergeom

from training.biomarkers.multiplicity import benjamini_hochberg

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Expansion:
    """Clones of one patient in two samples, those of the later one that are as large as asked."""

    clone: NDArray[np.int64]
    """(clones,): positions in what was compared."""
    share_before: NDArray[np.float64]
    share_after: NDArray[np.float64]
    ratio: NDArray[np.float64]
    """Of the shares; infinite for a clone that was not seen before."""
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    """Ends of its 95 % interval."""
    p: NDArray[np.float64]
    """One-sided, of no increase."""
    q: NDArray[np.float64]
    """The same, with the false discovery rate controlled over all clones seen in either sample."""


def expansion(before: NDArray[np.int64], after: NDArray[np.int64], least_share: float = 0.0) -> Expansion:
    """Compare two samples of one patient.

    Args:
        before: (clones,), counted in the earlier sample; 0 for a clone that was not seen.
        after: (clones,), in the later one.
        least_share: Only clones of at least this share of the later sample are told; all are tested.

    Raises:
        ValueError: Abundances that are no counts, or a sample in which nothing was counted.
    """
    if not before.sum() or not after.sum() or (before < 0).any() or (after < 0).any():
        msg = "abundances must be counts, and each sample must hold a clone"
        raise ValueError(msg)
    n_before, n_after = int(before.sum()), int(after.sum())
    both = before + after
    p = hypergeom.sf(after - 1, n_before + n_after, n_after, both)
    q = benjamini_hochberg(np.where(both > 0, p, 1.0))
    told = np.flatnonzero((after > 0) & (after >= least_share * n_after))
    low, high = _ratio_interval(before[told], after[told], n_before, n_after)
    share_before, share_after = before[told] / n_before, after[told] / n_after
    with np.errstate(divide="ignore"):
        ratio = np.where(share_before > 0, share_after / share_before, np.inf)
    return Expansion(told, share_before, share_after, ratio, low, high, p[told], q[told])


def _ratio_interval(
    before: NDArray[np.int64], after: NDArray[np.int64], n_before: int, n_after: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Clopper–Pearson ends of a_2's chance, as ratios of shares."""
    tail = (1 - LEVEL) / 2
    low = np.where(after > 0, beta.ppf(tail, after, before + 1), 0.0)
    high = np.where(before > 0, beta.ppf(1 - tail, after + 1, np.maximum(before, 1)), 1.0)
    with np.errstate(divide="ignore"):
        ends = [np.where(end < 1, end / (1 - end), np.inf) * n_before / n_after for end in (low, high)]
    return ends[0], ends[1]
