"""Every number of the page and of the card, computed once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from experiments.page.curves import Curves, curves_of, median_follow_up
from experiments.page.privacy import SMALLEST, Disclosure
from experiments.run_page.over_time import Calibration, OverTime, calibration, over_time
from experiments.run_page.record import AtLandmark, RunRecord
from experiments.run_page.selection import Selection, selection_at
from experiments.run_page.subgroups import Failures, SubgroupScores, failures, group_labels, subgroup_scores
from features.errors import SequelaError
from training.evaluation.intervals import Interval

MOST_RESAMPLES = 200
RELATIVE_RISK_REDUCTION = 0.3
"""Assumed of treatment unless another is given; an example, measured of nothing."""


@dataclass(frozen=True, slots=True)
class FromLandmark:
    """What is drawn of one landmark."""

    at: AtLandmark
    curves: Curves
    over_time: OverTime | None
    calibrations: tuple[Calibration, ...]


@dataclass(frozen=True, slots=True)
class Analysis:
    """A run, and what is said of it."""

    record: RunRecord
    shown: Disclosure
    landmarks: tuple[FromLandmark, ...]
    follow_up: Interval
    """Median, days from the first landmark."""
    subgroups: tuple[SubgroupScores, ...]
    failures: Failures | None
    selections: tuple[Selection, ...]
    """Whom thresholds select, at each landmark where that may be told."""
    relative_risk_reduction: float
    """What treatment is assumed to do, for numbers needed to treat."""

    @property
    def cause(self) -> str:
        """The event of interest."""
        return self.record.rows.endpoint.event.name

    @property
    def simulated(self) -> bool:
        """Whether nobody is real."""
        return self.record.rows.cohort.card.provenance == "simulated"

    def overall(self, metric: str) -> Interval:
        """A score of the event of interest over all times, from the first landmark."""
        return self.record.score(self.record.rows.endpoint.landmark_days[0], self.cause, metric)

    def at_horizon(self, metric: str) -> Interval:
        """A score of the event of interest at `RunRecord.horizon_days`, from the first landmark."""
        first = self.record.rows.endpoint.landmark_days[0]
        return self.record.score(first, self.cause, metric, self.record.horizon_days)


def analyse(
    record: RunRecord,
    progress: Callable[[int, int], None] | None = None,
    *,
    relative_risk_reduction: float = RELATIVE_RISK_REDUCTION,
) -> Analysis:
    """Compute what a page and a card say.

    Args:
        record: The run.
        progress: Called with the parts done and the parts in all.
        relative_risk_reduction: Above 0 and at most 1, by which treatment is assumed to lower the risk of the event.

    Raises:
        SequelaError: It is not.
    """
    if not 0 < relative_risk_reduction <= 1:
        msg = f"a relative risk reduction of {relative_risk_reduction:g}: give one above 0 and at most 1, e.g. 0.3"
        raise SequelaError(msg)
    told = progress or (lambda done, of: None)
    of = 2 * len(record.landmarks) + 1
    shown = Disclosure.of(record.rows.cohort, individual_lines=False)
    n_bootstrap = min(record.config.validation.bootstrap, MOST_RESAMPLES)
    seed = record.config.seed
    drawn = []
    for number, at in enumerate(record.landmarks):
        told(number, of)
        drawn.append(_from_landmark(record, at, n_bootstrap))
    first = record.landmarks[0]
    least = SMALLEST if shown.guarded else 1
    labels = group_labels(record.rows.cohort, first.patient_id, least)
    groups = subgroup_scores(first, labels, record.horizon_days, n_bootstrap, seed)
    worst = failures(first, labels, record.horizon_days, least)
    follow_up = median_follow_up(first.outcomes, np.random.default_rng(seed))
    selected = []
    for number, at in enumerate(record.landmarks, start=len(record.landmarks) + 1):
        told(number, of)
        selected.append(selection_at(record, at, labels if at is first else {}, shown, n_bootstrap))
    told(of, of)
    return Analysis(
        record,
        shown,
        tuple(drawn),
        follow_up,
        tuple(groups),
        worst,
        tuple(one for one in selected if one is not None),
        relative_risk_reduction,
    )


def _from_landmark(record: RunRecord, at: AtLandmark, n_bootstrap: int) -> FromLandmark:
    endpoint, seed = record.rows.endpoint, record.config.seed
    curves = curves_of(endpoint.name, at.day, at.outcomes, np.random.default_rng(seed), endpoint.horizons_days[-1])
    by_time = over_time(at, n_bootstrap, np.random.default_rng(seed))
    found = (calibration(at, horizon) for horizon in endpoint.horizons_days)
    return FromLandmark(at, curves, by_time, tuple(one for one in found if one is not None))
