"""Calibration that travels with a model: observed against predicted risk in groups of patients not trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from experiments.data import TrainingRows
from experiments.out_of_fold import OutOfFold
from experiments.page.privacy import Disclosure
from experiments.scoring import scored_rows
from features.outcomes import Outcomes
from features.patients import FloatArray
from training.artifact.manifest import RiskGroup, RiskGroups
from training.evaluation.calibration import observed_risk

MOST_GROUPS = 5
FEWEST_PATIENTS = 10
"""Of a group: smaller ones join a neighbour, since whoever has the artifact reads them."""
DIGITS = 3
"""To which bounds of groups are rounded, so that none is the risk of a patient."""


def risk_groups(rows: TrainingRows, out_of_fold: OutOfFold) -> tuple[RiskGroups, ...]:
    """For each landmark and horizon, groups by the out-of-fold risk of the event of interest, averaged over repeats."""
    shown = Disclosure.of(rows.cohort)
    found = []
    for day in rows.endpoint.landmark_days:
        of_day = scored_rows(rows, out_of_fold, day)
        outcomes = rows.outcomes.take(of_day)
        for horizon in rows.endpoint.horizons_days:
            at = np.searchsorted(out_of_fold.times_days, horizon)
            risk = out_of_fold.incidence[:, of_day, 0, at].mean(axis=0)
            groups = tuple(groups_of(risk, outcomes, horizon, shown))
            if groups:
                found.append(RiskGroups(landmark_day=day, horizon_days=horizon, groups=groups))
    return tuple(found)


def groups_of(risk: FloatArray, outcomes: Outcomes, horizon_days: float, shown: Disclosure) -> Iterator[RiskGroup]:
    """Groups of ascending risk (rows,) of the first cause, between rounded fifths.

    None is of fewer than ten patients or, where small counts are withheld, of fewer than five events but 0.
    """
    happened = (outcomes.cause == 1) & (outcomes.duration_days <= horizon_days)

    def enough(above: float, up_to: float) -> bool:
        own = (risk > above) & (risk <= up_to)
        return own.sum() >= FEWEST_PATIENTS and not shown.small(int(happened[own].sum()))

    if not enough(-np.inf, np.inf):
        return
    bounds = [0.0, *_inner_bounds(risk, enough), 1.0]
    number = np.searchsorted(bounds[1:-1], risk, side="left")
    for i, (above, up_to) in enumerate(pairwise(bounds)):
        rows = np.flatnonzero(number == i)
        observed = observed_risk(outcomes.take(rows), 1, horizon_days)
        low, high = (None if np.isnan(end) else float(end) for end in (observed.low, observed.high))
        yield RiskGroup(
            above=above,
            up_to=up_to,
            n_patients=len(rows),
            predicted=float(risk[rows].mean()),
            observed=observed.point,
            low=low,
            high=high,
        )


def _inner_bounds(risk: FloatArray, enough: Callable[[float, float], bool]) -> list[float]:
    """Bounds between groups, ascending, without those that would leave too little between two of them."""
    quantiles = np.quantile(risk, np.arange(1, MOST_GROUPS) / MOST_GROUPS)
    kept: list[float] = []
    for bound in np.unique(np.round(quantiles, DIGITS)).tolist():
        if enough(kept[-1] if kept else -np.inf, bound):
            kept.append(bound)
    while kept and not enough(kept[-1], np.inf):
        kept.pop()
    return kept
