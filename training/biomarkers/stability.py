"""Stability selection: how often a marker is among the best when only half of the patients are looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import floor, sqrt

import numpy as np

from features.outcomes import Outcomes
from training.biomarkers.score_test import cause_specific_scores
from training.effects.arms import FloatArray, IntArray

PAIRS = 50
THRESHOLD = 0.75
EXPECTED_FALSE = 1.0


@dataclass(frozen=True, slots=True)
class Stability:
    """How stable the choice of markers is."""

    frequency: FloatArray
    """(markers,): share of half samples with the marker among the `n_chosen` of greatest absolute z."""
    n_chosen: int
    threshold: float
    """Markers chosen in at least this share are stable."""

    @property
    def most_false(self) -> float:
        """Upper bound of the expected number of stable markers that are chosen no more often than by chance.

        q² / ((2π − 1) m), with q chosen of m markers in each half and the threshold π (Shah & Samworth, J R Stat Soc B
        2013;75:55, theorem 1 with θ = q / m, which assumes nothing of the selection; in the form of Meinshausen &
        Bühlmann, J R Stat Soc B 2010;72:417, theorem 1).
        """
        return min(self.n_chosen**2 / ((2 * self.threshold - 1) * len(self.frequency)), len(self.frequency))

    @property
    def stable(self) -> IntArray:
        """Positions of the stable markers."""
        return np.flatnonzero(self.frequency >= self.threshold)


def stability(
    values: FloatArray,
    outcomes: Outcomes,
    cause: int,
    *,
    stratum: IntArray | None = None,
    n_pairs: int = PAIRS,
    threshold: float = THRESHOLD,
    expected_false: float = EXPECTED_FALSE,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Stability:
    """Choose the markers of greatest absolute z of the cause-specific score test in complementary halves.

    So many are chosen in each half that `Stability.most_false` is at most `expected_false`, but at least one. The pairs
    of halves that share no patient are Shah and Samworth's.

    Args:
        values: (rows, markers), NaN where not measured.
        outcomes: One row a patient.
        cause: 1, 2, …
        stratum: (rows,): as in `cause_specific_scores`.
        n_pairs: Of halves.
        threshold: Above 0.5, at most 1.
        expected_false: See above.
        rng: Of the halves.
        progress: Told how many pairs of how many are done.
    """
    n_rows, n_markers = values.shape
    n_chosen = min(max(floor(sqrt((2 * threshold - 1) * n_markers * expected_false)), 1), n_markers)
    times = np.zeros(n_markers)
    for pair in range(n_pairs):
        dealt = rng.permutation(n_rows)
        for half in (dealt[: n_rows // 2], dealt[n_rows // 2 : 2 * (n_rows // 2)]):
            own = None if stratum is None else stratum[half]
            z = np.abs(cause_specific_scores(values[half], outcomes.take(half), cause, stratum=own).z)
            best = np.argsort(-np.nan_to_num(z, nan=-1.0), kind="stable")[:n_chosen]
            times[best[np.isfinite(z[best])]] += 1
        progress(pair + 1, n_pairs)
    return Stability(times / (2 * n_pairs), n_chosen, threshold)
