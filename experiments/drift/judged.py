"""What has drifted: index and tests for each variable and window, adjusted for how many there are.

Three questions of each variable: are known values spread as in training (χ² test of two samples over the bins, or
Fisher's exact test over two; beside it the population stability index and the largest difference of distribution
functions), is as much missing (Fisher's exact test), and, of predictions, are the risks spread as those of training
patients not trained on. P-values are adjusted by Holm's method over all questions of a window, and times its days as
long as it is not over: so often it may be looked at until it is. An alert needs both: an adjusted p below `LEVEL`, and
a shift that is worth a look; with many patients the least shift is significant, with few the largest is chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
from scipy.stats import chi2_contingency, fisher_exact

from experiments.drift.counted import Window
from features.drift import Reference, Spread, largest_difference, stability_index
from features.patients import IntArray
from training.evaluation.comparison import holm

LEVEL = 0.01
LARGE_INDEX = 0.2
LARGE_SHARE = 0.1
"""Of missing values: an absolute difference."""
FEWEST = 20
"""Patients of a window that is judged, and known values of a variable whose spread is."""
FEWEST_EXPECTED = 5
"""Values in a bin, where χ² is taken (Cochran, Biometrics 1954;10:417)."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of one variable in one window."""

    model: str
    first: date
    n_rows: int
    what: Literal["input", "risk"]
    name: str
    n_known: int
    stability_index: float
    """NaN where no value is known."""
    largest_difference: float
    """Of the two distribution functions, at the bounds of bins (Kolmogorov–Smirnov)."""
    p: float
    """Of the spread of known values, adjusted; NaN in windows too small to judge."""
    missing_share: float
    missing_share_before: float
    p_missing: float
    """Adjusted."""

    @property
    def shifted(self) -> bool:
        """Whether known values are spread otherwise, by an amount worth a look."""
        return self.p < LEVEL and self.stability_index >= LARGE_INDEX

    @property
    def missing_otherwise(self) -> bool:
        """Whether more or less is missing, by an amount worth a look."""
        return self.p_missing < LEVEL and abs(self.missing_share - self.missing_share_before) >= LARGE_SHARE

    @property
    def alert(self) -> bool:
        """Whether somebody should look."""
        return self.shifted or self.missing_otherwise


def judge(window: Window, reference: Reference) -> list[Judgement]:
    """Compare a window with the training patients of its model."""
    pairs = list(_pairs(window, reference))
    judged = window.n_rows >= FEWEST
    raw = [(_p_spread(e, f), _p_missing(e, f)) if judged else (np.nan, np.nan) for _, _, e, f in pairs]
    p = np.array(raw, dtype=float)
    tested = np.isfinite(p)
    p[tested] = np.minimum(holm(p[tested]) * window.n_looks, 1.0)
    return [
        Judgement(
            window.model,
            window.first,
            window.n_rows,
            what,
            name,
            sum(found.counts),
            stability_index(expected, found),
            largest_difference(expected, found),
            float(p[i, 0]),
            _missing(found),
            _missing(expected),
            float(p[i, 1]),
        )
        for i, (what, name, expected, found) in enumerate(pairs)
    ]


def latest(judged: Sequence[Judgement]) -> list[Judgement]:
    """Those of the last window that was large enough to be judged, or of the last where none was."""
    large = [one.first for one in judged if one.n_rows >= FEWEST]
    last = max(large or [one.first for one in judged], default=None)
    return [one for one in judged if one.first == last]


def _pairs(window: Window, reference: Reference) -> Iterator[tuple[Literal["input", "risk"], str, Spread, Spread]]:
    for name, found in window.inputs.items():
        yield "input", name, reference.inputs[name], found
    for cause, found in window.risks.items():
        yield "risk", cause, reference.risks[cause], found


def _p_spread(expected: Spread, found: Spread) -> float:
    if sum(found.counts) < FEWEST or not sum(expected.counts):
        return float("nan")
    table = np.array([expected.counts, found.counts])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return float("nan")
    table = _joined(table)
    if table.shape[1] == 2:
        return float(fisher_exact(table).pvalue)
    return float(chi2_contingency(table, correction=False).pvalue)


def _joined(table: IntArray) -> IntArray:
    """Bins (2, bins), neighbours joined until χ² holds: `FEWEST_EXPECTED` in each; else the fullest and the others."""
    if table.shape[1] == 2:
        return table
    of_bin = table.sum(axis=0)
    expected = of_bin * table.sum(axis=1).min() / of_bin.sum()
    begins, waiting = [0], 0.0
    for i, value in enumerate(expected):
        if waiting >= FEWEST_EXPECTED and expected[i:].sum() >= FEWEST_EXPECTED:
            begins.append(i)
            waiting = 0.0
        waiting += value
    if len(begins) > 1:
        return np.add.reduceat(table, begins, axis=1)
    fullest = table[:, int(of_bin.argmax())]
    return np.stack([fullest, table.sum(axis=1) - fullest], axis=1)


def _p_missing(expected: Spread, found: Spread) -> float:
    table = [[one.missing, sum(one.counts)] for one in (expected, found)]
    return float(fisher_exact(table).pvalue)


def _missing(spread: Spread) -> float:
    n = spread.missing + sum(spread.counts)
    return spread.missing / n if n else float("nan")
