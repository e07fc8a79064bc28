"""The alert rule that goes with a run's risk model into its artifact: fixed and tried out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import numpy as np

from experiments.config import RunConfig
from experiments.data import TrainingRows, all_patients
from experiments.home import Home
from experiments.monitoring.analysis import processing_of, watched_horizon
from experiments.monitoring.markers import MODEL, Marker
from experiments.monitoring.rules import Rule, cross_fitted_rule
from experiments.monitoring.visits import visits_of, watched_risks
from experiments.monitoring.withheld import guarded
from experiments.optional_findings import measured
from experiments.page.privacy import Disclosure
from features.schema import Endpoint
from training.artifact.blocks import AlertsBlock
from training.evaluation.importance import HeldOutModel

ALERTS = "alerts.json"
"""In the report folder of a run that asked for `alerts`."""


def horizon_of_alerts(config: RunConfig, endpoint: Endpoint) -> float | None:
    """For how long an alert of the run's rule is good; None where it asks for no rule.

    Raises:
        SequelaError: The endpoint has one landmark, or no such horizon.
    """
    wanted = config.alerts
    return None if wanted is None else watched_horizon(endpoint, wanted.horizon_days, "alerts.horizon_days =")


def fit_alerts(rows: TrainingRows, config: RunConfig, home: Home, models: Sequence[HeldOutModel]) -> AlertsBlock | None:
    """Fix the rule that the configuration asks for, and try it as `sequela monitor` does, on the first repeat.

    Args:
        rows: Of the run.
        config: Says what is borne.
        home: The stores.
        models: Of the folds of its first repeat.

    Returns:
        None where it asks for nothing.
    """
    horizon = horizon_of_alerts(config, rows.endpoint)
    if config.alerts is None or horizon is None:
        return None
    patients = all_patients(rows.cohort, processing_of(config), home.features)
    visited, risk, fold = watched_risks(rows, patients, models, horizon)
    rule = cross_fitted_rule(
        Marker(MODEL, risk[:, 0]),
        visited,
        visits_of(visited, rows.endpoint, horizon),
        fold,
        config.alerts.per_patient_month,
        rng=np.random.default_rng(config.seed),
        n_bootstrap=config.validation.bootstrap,
    )
    return _block(rule, rows, horizon)


def _block(rule: Rule, rows: TrainingRows, horizon_days: float) -> AlertsBlock:
    shown = Disclosure.of(rows.cohort)
    found = guarded(rule, shown)
    told = found.performance
    n_patients, n_events = (None if shown.small(n) else n for n in (told.n_patients, told.n_events))
    return AlertsBlock(
        provenance=rows.cohort.card.provenance,
        horizon_days=horizon_days,
        threshold=found.threshold if isfinite(found.threshold) else None,
        borne=found.borne,
        per_patient_month=measured(told.per_patient_month),
        caught=measured(told.caught),
        lead_days=measured(told.lead_days),
        after_first_alert=measured(found.after_first_alert),
        n_patients=n_patients,
        n_events=n_events,
        withheld=found.withheld,
    )
