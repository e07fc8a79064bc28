"""The score of the best of many configurations, corrected for its having been chosen on the data that score it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.intervals import Interval, percentile_interval, resample_patients

Score = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From how often each patient is drawn (resamples, patients) to the score (resamples,); NaN where nothing is known."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which configuration is the best, and how good the best is."""

    best: int
    """Of the configurations, in their order."""
    scores: tuple[Interval, ...]
    """Of each configuration on all patients; that of the best is optimistic."""
    corrected: Interval
    """Of the best, where those who choose do not score (BBC-CV)."""


def select(
    scores: Sequence[Score],
    n_patients: int,
    *,
    higher_is_better: bool,
    rng: np.random.Generator,
    n_bootstrap: int = 200,
) -> Selection:
    """Choose the best configuration by out-of-fold predictions, and correct its score for the choice.

    Bootstrap bias corrected cross-validation (Tsamardinos, Greasidou & Borboudakis, Mach Learn 2018;107:1895, algorithm
    5): patients are drawn with replacement; the configuration that is best among those drawn is scored among those who
    were not; the estimate is the mean over resamples, its interval their central 95 %. Nothing is fitted again. The
    estimate leans to the pessimistic side, since 63 % of the patients choose, and its interval is wide, since 37 %
    score.

    Args:
        scores: One a configuration, each from predictions for patients that its models had not seen.
        n_patients: The unit that is drawn.
        higher_is_better: As for IPA; not as for the Brier score.
        rng: Source of the resamples.
        n_bootstrap: Number of resamples; 0: no intervals and no correction.

    Raises:
        ValueError: No configuration has a score.
    """
    sign = 1.0 if higher_is_better else -1.0
    points = np.array([float(score(np.ones((1, n_patients)))[0]) for score in scores])
    if not np.isfinite(points).any():
        msg = "no configuration has a score"
        raise ValueError(msg)
    drawn = [np.empty((len(scores), 0))]
    left_out = [np.empty((len(scores), 0))]
    for counts in resample_patients(np.arange(n_patients), n_bootstrap, rng):
        others = (counts == 0).astype(np.float64)
        drawn.append(np.stack([score(counts) for score in scores]))
        left_out.append(np.stack([score(others) for score in scores]))
    choosing, scoring = np.concatenate(drawn, axis=1), np.concatenate(left_out, axis=1)
    chosen = np.where(np.isfinite(choosing), sign * choosing, -np.inf).argmax(axis=0)
    corrected = scoring[chosen, np.arange(len(chosen))]
    known = corrected[np.isfinite(corrected)]
    return Selection(
        best=int(np.where(np.isfinite(points), sign * points, -np.inf).argmax()),
        scores=tuple(percentile_interval(point, draws) for point, draws in zip(points, choosing, strict=True)),
        corrected=percentile_interval(float(known.mean()) if len(known) else np.nan, corrected),
    )
