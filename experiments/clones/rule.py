"""Which clones of a sample call for a closer look: those that expand since an earlier sample, and those that dominate.

A sample is compared with every earlier one, so that steady growth is seen however often somebody looked. Each further
comparison is one more chance to be wrong; samples of one day differ by more than counting explains, so that controlling
the false discovery rate of counts alone does not keep that chance down. The days between the first and the last one
before therefore count only where even the low end of the ratio reaches what is asked of the ratio itself. And a clone
that has fallen since the day before does not expand, however small it once was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.cells.clonal_expansion import Expansion, expansions

BoolArray = NDArray[np.bool_]
LEVEL = 0.05
"""False discovery rate at which a clone is said to expand."""
FEWEST = 20
"""Counted in a sample, for it to be looked at."""


@dataclass(frozen=True, slots=True)
class Rule:
    """When a clone calls for a closer look. Conventions, not thresholds that anyone has shown to predict malignancy."""

    least_share: float = 0.05
    """Of the later sample."""
    least_ratio: float = 2.0
    """Of the shares: the low end of its interval must be above 1, and the ratio itself at least this."""
    dominant_share: float = 0.2
    """From which on a clone is told whether it expands or not, in the first sample, too."""


@dataclass(frozen=True, slots=True)
class Told:
    """A clone of a sample that calls for a closer look; numbers are NaN where there is no earlier sample."""

    clone: str
    since: int
    """Position of the earlier sample it is compared with, −1 for none: that with the highest low end of the ratio among
    those since which it expands; the last one if it expands since none."""
    share_before: float
    share: float
    ratio: float
    ratio_low: float
    ratio_high: float
    q: float
    why: str
    """``expands``, ``dominant``, or ``expands and dominant``."""


def told(earlier: Sequence[pd.Series], later: pd.Series, rule: Rule) -> list[Told]:
    """Clones of a sample that call for a closer look.

    Args:
        earlier: Abundances by clone of the samples it is compared with, ordered by day; there may be none.
        later: Abundances by clone of the sample itself.
        rule: What calls for a look.
    """
    table = pd.concat([later, *earlier], axis=1).fillna(0)
    after, *before = table.to_numpy().astype(np.int64).T
    names = table.index.tolist()
    share = after / after.sum()
    if not before:
        dominant = np.flatnonzero(share >= rule.dominant_share)
        return [
            Told(names[i], -1, np.nan, float(share[i]), np.nan, np.nan, np.nan, np.nan, "dominant") for i in dominant
        ]
    pairs = expansions(before, after, min(rule.least_share, rule.dominant_share))
    last = len(pairs) - 1
    expands = np.stack([_expands(pair, rule, between=0 < i < last) for i, pair in enumerate(pairs)])
    expands &= pairs[last].high >= 1
    surest = np.where(expands, [pair.low for pair in pairs], -np.inf).argmax(axis=0)
    since = np.where(expands.any(axis=0), surest, last)
    found = []
    for i, clone in enumerate(pairs[0].clone):
        reasons = {"expands": expands[:, i].any(), "dominant": share[clone] >= rule.dominant_share}
        if any(reasons.values()):
            one = pairs[since[i]]
            values = (one.share_before, one.share_after, one.ratio, one.low, one.high, one.q)
            before_it, now, ratio, low, high, q = (float(value[i]) for value in values)
            why = " and ".join(name for name, holds in reasons.items() if holds)
            found.append(Told(names[clone], int(since[i]), before_it, now, ratio, low, high, q, why))
    return found


def _expands(pair: Expansion, rule: Rule, *, between: bool) -> BoolArray:
    """Of each clone (clones,), whether it expands since the earlier sample of a pair."""
    sure = (pair.q <= LEVEL) & (pair.low > 1) & (pair.low >= (rule.least_ratio if between else 0.0))
    expands: BoolArray = sure & (pair.ratio >= rule.least_ratio) & (pair.share_after >= rule.least_share)
    return expands
