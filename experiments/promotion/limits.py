"""Limits of a gate on scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

import pandas as pd

from experiments.promotion.gate import Threshold
from experiments.promotion.verdict import Check, Part
from training.evaluation.intervals import Interval


def threshold_checks(
    part: Part, thresholds: Sequence[Threshold], scores: pd.DataFrame, prefix: str = ""
) -> Iterator[Check]:
    """Each limit on each of the scores it speaks of.

    Args:
        part: Of the gate.
        thresholds: The limits.
        scores: landmark_day, horizon_days (NaN: over all times), metric, point, low, high.
        prefix: Of the checks' names.
    """
    for threshold in thresholds:
        of_metric = scores[scores["metric"] == threshold.metric]
        for day in threshold.landmark_days or sorted(scores["landmark_day"].unique()):
            here = of_metric[of_metric["landmark_day"] == day]
            for horizon in _horizons(threshold, here):
                found = here[here["horizon_days"].isna() if horizon is None else here["horizon_days"] == horizon]
                at = "" if horizon is None else f" at {horizon:g} d"
                yield _check(part, f"{prefix}{threshold.metric}{at} from day {day:g}", threshold, found)


def _horizons(threshold: Threshold, here: pd.DataFrame) -> Sequence[float | None]:
    """Those a limit speaks of; None: over all times."""
    if threshold.is_overall:
        return [None]
    if isinstance(threshold.horizons_days, tuple):
        return threshold.horizons_days
    return sorted(here["horizon_days"].dropna())


def _check(part: Part, name: str, threshold: Threshold, found: pd.DataFrame) -> Check:
    rule = threshold.text
    if found.empty:
        remark = "the run has no such score; train it with this landmark and horizon, or correct the gate"
        return Check(part, name, "failed", rule, remark=remark)
    point, low, high = found.iloc[0][["point", "low", "high"]].astype(float)
    value = Interval(float(point), float(low), float(high))
    if not isfinite(value.point):
        remark = "undefined: no event by then, nobody followed so long, or no fold of two patients who can be compared"
        return Check(part, name, "failed" if threshold.is_overall else "not applicable", rule, value, remark)
    keeps = threshold.keeps(value)
    if keeps is None:
        remark = "there is no interval; train with validation.bootstrap of 200 or more"
        return Check(part, name, "failed", rule, value, remark)
    return Check(part, name, "passed" if keeps else "failed", rule, value)
