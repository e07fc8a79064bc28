"""What a run left behind, read again: its configuration, its predictions and its tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.config import RunConfig
from experiments.count_records import COUNTS, CountFindings
from experiments.data import TrainingRows
from experiments.optional_findings import read_finding
from experiments.out_of_fold import even_grid
from experiments.served_alerts import ALERTS
from experiments.thresholds import THRESHOLDS, Settled, with_decision
from experiments.written_predictions import predicted_over_rows
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.patients import FloatArray, IntArray
from training.artifact.blocks import AlertsBlock
from training.evaluation.intervals import Interval

ONLY_THERE_IF_ASKED = ("counts", "importance", "tuning")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Which run it is, and with what it was made."""

    run_id: str
    started: float
    """Seconds since 1970."""
    environment: Mapping[str, str]
    """See `experiments.tracking.environment_tags`."""


@dataclass(frozen=True, slots=True)
class AtLandmark:
    """The scored rows of one landmark, with predictions of the first repeat."""

    day: float
    outcomes: Outcomes
    incidence: FloatArray
    """(rows, causes, times), out of fold."""
    times_days: FloatArray
    patient_id: NDArray[np.object_]
    """(rows,)"""
    fold: IntArray
    """(rows,): the number of the fold whose model predicted the row."""


@dataclass(frozen=True)
class RunRecord:
    """A finished run."""

    facts: RunFacts
    config: RunConfig
    rows: TrainingRows
    incidence: FloatArray
    """(repeats, rows, causes, times), out of fold; NaN for rows that are never tested."""
    fold: IntArray
    """(repeats, rows): the number of the fold whose model predicted the row; −1 for rows that are never tested."""
    times_days: FloatArray
    """(times,): the even grid up to the last horizon."""
    scores: pd.DataFrame
    """landmark_day, cause, horizon_days (NaN: over all times), metric, point, low, high."""
    net_benefit: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]
    """Those of `ONLY_THERE_IF_ASKED` that the run wrote."""
    permutation: Mapping[str, Any] | None
    """Content of permutation_test.json."""
    alerts: AlertsBlock | None
    """Where the run asked for `alerts`."""
    counts: CountFindings | None = None
    """Where the run asked for `counts`."""
    settled: Settled | None = None
    """How the thresholds of tiers came, with which `rows.endpoint` stands; None without tiers, and of earlier runs."""

    @cached_property
    def landmarks(self) -> tuple[AtLandmark, ...]:
        """The scored rows of each landmark that has any."""
        return tuple(
            self._at(day, rows)
            for day in self.rows.endpoint.landmark_days
            if len(rows := np.flatnonzero(self.scored & (self.rows.patients.landmark_day == day)))
        )

    @cached_property
    def scored(self) -> NDArray[np.bool_]:
        """(rows,): see `experiments.scoring.scored_rows`."""
        tested = np.isfinite(self.incidence[0]).all(axis=(1, 2))
        scored: NDArray[np.bool_] = tested & self.rows.outcomes.from_landmark
        return scored

    def _at(self, day: float, rows: IntArray) -> AtLandmark:
        outcomes, ids = self.rows.outcomes.take(rows), self.rows.patients.patient_id[rows]
        return AtLandmark(day, outcomes, self.incidence[0, rows], self.times_days, ids, self.fold[0, rows])

    def score(self, day: float, cause: str, metric: str, horizon_days: float | None = None) -> Interval:
        """A score as scores.csv has it; NaN where it has none."""
        table = self.scores
        at = table["horizon_days"].isna() if horizon_days is None else table["horizon_days"] == horizon_days
        rows = table[(table["landmark_day"] == day) & (table["cause"] == cause) & (table["metric"] == metric) & at]
        if rows.empty:
            return Interval(np.nan, np.nan, np.nan)
        point, low, high = rows[["point", "low", "high"]].to_numpy(dtype=float)[0]
        return Interval(float(point), float(low), float(high))

    @property
    def horizon_days(self) -> float:
        """The horizon that single numbers are of: the middle one, or the last known one before it."""
        first, cause = self.rows.endpoint.landmark_days[0], self.rows.endpoint.event.name
        horizons = self.rows.endpoint.horizons_days
        middle = horizons[: (len(horizons) + 1) // 2]
        known = [at for at in middle if np.isfinite(self.score(first, cause, "brier", at).point)]
        return known[-1] if known else horizons[0]


def read_record(report: Path, config: RunConfig, rows: TrainingRows, facts: RunFacts) -> RunRecord:
    """Read the report folder of a run.

    Args:
        report: The folder that `experiments.run_report.write_report` wrote.
        config: The run.
        rows: The rows the run was trained on, or the same rows read again without their cells.
        facts: Which run it is.

    Raises:
        SequelaError: A file is missing or cannot be read, or the predictions are of other patients.
    """
    try:
        splits = json.loads((report / "splits.json").read_text("utf-8"))
        predictions = pd.read_parquet(report / "oof_predictions.parquet")
        scores, net_benefit = (pd.read_csv(report / f"{name}.csv") for name in ("scores", "net_benefit"))
        optional = {name: report / f"{name}.csv" for name in ONLY_THERE_IF_ASKED}
        tables = {name: pd.read_csv(path) for name, path in optional.items() if path.exists()}
        test = report / "permutation_test.json"
        permutation = json.loads(test.read_text("utf-8")) if test.exists() else None
        alerts = read_finding(AlertsBlock, report / ALERTS)
        counts = read_finding(CountFindings, report / COUNTS)
        settled = read_finding(Settled, report / THRESHOLDS)
    except (OSError, ValueError) as error:
        msg = f"{report}: the report of the run cannot be read ({type(error).__name__}); train the run again"
        raise SequelaError(msg) from error
    rows = replace(rows, endpoint=with_decision(rows.endpoint, settled))
    incidence, fold = predicted_over_rows(predictions, splits, rows, config.name)
    grid = even_grid(rows.endpoint)
    found = tables, permutation, alerts, counts, settled
    return RunRecord(facts, config, rows, incidence, fold, grid, scores, net_benefit, *found)
