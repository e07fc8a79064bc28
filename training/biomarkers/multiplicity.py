"""The false discovery rate: how many of the markers that are called found are found by chance."""

from __future__ import annotations

import numpy as np

from training.effects.arms import FloatArray


def benjamini_hochberg(p: FloatArray) -> FloatArray:
    """q-values (tests,): the least false discovery rate at which each test would be rejected; NaN stays, uncounted.

    q_(i) = min_{j ≥ i} m p_(j) / j (Benjamini & Hochberg, J R Stat Soc B 1995;57:289). Rejecting q ≤ α keeps the
    expected share of false ones among the rejected at α or below, if tests are independent or positively dependent
    (Benjamini & Yekutieli, Ann Stat 2001;29:1165). As R's `p.adjust(method = "BH")`.
    """
    found = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    found[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return found
