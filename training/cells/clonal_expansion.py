"""Which clones of a patient expand from earlier samples to a later one, and when one of them calls for a closer look.

Two samples hold a_1 of N_1 and a_2 of N_2 counted cells (or fragments) of a clone. If its share had stayed the same,
a_2 given a_1 + a_2 would be hypergeometric (Fisher's exact test, one-sided: Fisher, J R Stat Soc 1935;98:39); small
shares are as good as Poisson, so that the ratio of shares r has the exact interval of Przyborowski & Wilenski
(Biometrika 1940;31:313): a_2 is binomial with chance N_2 r / (N_1 + N_2 r). Both speak of the counting alone: two
samples of one day differ by more, so that a small p is a reason to look again, not proof that a clone grows.

A later sample is compared with several earlier ones at once: the false discovery rate (Benjamini & Hochberg, J R Stat
Soc B 1995;57:289) runs over the clones of all these pairs, and the intervals of a clone hold together (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """Ends of its interval: 95 % over all earlier samples that were compared."""
    p: NDArray[np.float64]
    """One-sided, of no increase."""
    q: NDArray[np.float64]
    """The same, with the false discovery rate controlled over all clones seen in either sample, and over all pairs."""


def expansion(before: NDArray[np.int64], after: NDArray[np.int64], least_share: float = 0.0) -> Expansion:
    """Compare two samples of one patient: `expansions` with a single earlier one."""
    return expansions([before], after, least_share)[0]


def expansions(
    before: Sequence[NDArray[np.int64]], after: NDArray[np.int64], least_share: float = 0.0
) -> list[Expansion]:
    """Compare a sample with each of several earlier ones of the same patient.

    Args:
        before: Of each earlier sample: (clones,), counted in it; 0 for a clone that was not seen.
        after: (clones,), in the later one.
        least_share: Only clones of at least this share of the later sample are told; all are tested.

    Returns:
        One for each earlier sample, with the same clones.

    Raises:
        ValueError: Abundances that are no counts, or a sample in which nothing was counted.
    """
    if any(not sample.sum() or (sample < 0).any() for sample in (*before, after)):
        msg = "abundances must be counts, and each sample must hold a clone"
        raise ValueError(msg)
    n_after = int(after.sum())
    p = np.ones((len(before), len(after)))
    seen = np.stack([sample + after > 0 for sample in before])
    for own, sample, there in zip(p, before, seen, strict=True):
        own[there] = _no_increase(sample[there], after[there], int(sample.sum()), n_after)
    q = np.ones_like(p)
    q[seen] = benjamini_hochberg(p[seen])
    told = np.flatnonzero((after > 0) & (after >= least_share * n_after))
    found = []
    for own_p, own_q, sample in zip(p, q, before, strict=True):
        n_before = int(sample.sum())
        low, high = _ratio_interval(sample[told], after[told], n_before, n_after, (1 - LEVEL) / len(before))
        share_before, share_after = sample[told] / n_before, after[told] / n_after
        with np.errstate(divide="ignore"):
            ratio = np.where(share_before > 0, share_after / share_before, np.inf)
        found.append(Expansion(told, share_before, share_after, ratio, low, high, own_p[told], own_q[told]))
    return found


def _no_increase(
    before: NDArray[np.int64], after: NDArray[np.int64], n_before: int, n_after: int
) -> NDArray[np.float64]:
    """One p for each clone (clones,); most clones have one of few pairs of counts, each of which is worked out once."""
    pairs, of_clone = np.unique(before * (n_after + 1) + after, return_inverse=True)
    earlier, later = np.divmod(pairs, n_after + 1)
    p: NDArray[np.float64] = hypergeom.sf(later - 1, n_before + n_after, n_after, earlier + later)
    return p[of_clone]


def _ratio_interval(
    before: NDArray[np.int64], after: NDArray[np.int64], n_before: int, n_after: int, outside: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Clopper–Pearson ends of a_2's chance, as ratios of shares; `outside` of the interval is a chance of that."""
    low = np.where(after > 0, beta.ppf(outside / 2, after, before + 1), 0.0)
    high = np.where(before > 0, beta.ppf(1 - outside / 2, after + 1, np.maximum(before, 1)), 1.0)
    with np.errstate(divide="ignore"):
        ends = [np.where(end < 1, end / (1 - end), np.inf) * n_before / n_after for end in (low, high)]
    return ends[0], ends[1]
