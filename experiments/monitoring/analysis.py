"""From a run's configuration to what alerts by its model would have done, on patients it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.config import RunConfig
from experiments.crossval import held_out_models
from experiments.data import TrainingRows, all_patients, rows_of_run
from experiments.home import Home
from experiments.monitoring.landmarks import OnDay, by_day
from experiments.monitoring.markers import Marker, markers_of
from experiments.monitoring.rules import Rule, rules_of
from experiments.monitoring.visits import VisitRows, held_out_risks, rows_on, visits_of, watched_risks
from experiments.monitoring.withheld import guarded_together
from experiments.page.privacy import Disclosure
from features.cells.processing import CellProcessing
from features.errors import SequelaError
from features.patients import Patients
from features.schema import Endpoint
from training.config import sees_cells
from training.evaluation.importance import HeldOutModel

BORNE = (0.05, 0.1, 0.2, 0.5)
"""Alerts a patient and month, at which rules are compared."""
WEEK, MOST_DAYS = 7.0, 16
"""Markers are compared on everyone at risk every week, or every few, so that there are no more days than this."""
Bar = Callable[[str], Callable[[int, int], None]]


@dataclass(frozen=True, slots=True)
class Monitoring:
    """What was found."""

    rows: TrainingRows
    config: RunConfig
    horizon_days: float
    n_visits: int
    n_patients: int
    patient_months: float
    rules: tuple[Rule, ...]
    """Without numbers that would tell of a few real patients."""
    on_days: tuple[OnDay, ...]

    @property
    def borne(self) -> tuple[float, ...]:
        """Alerts a patient and month."""
        return tuple(dict.fromkeys(rule.borne for rule in self.rules))

    @property
    def n_events(self) -> int:
        """That could be caught."""
        return self.rules[0].performance.n_events

    @property
    def shown(self) -> Disclosure:
        """What may be shown of these patients."""
        return Disclosure.of(self.rows.cohort)


def monitor(
    config: RunConfig,
    home: Home,
    folder: Path,
    bar: Bar,
    *,
    horizon_days: float | None = None,
    borne: Sequence[float] = BORNE,
) -> Monitoring:
    """Cross-validate a run's model, watch its test patients, and compare rules.

    Args:
        config: Of the run; the folds are those of its cross-validation.
        home: With the feature stores.
        folder: Where folds keep what they need on the way.
        bar: Makes progress bars.
        horizon_days: For which an alert is good; None: that of the endpoint's decision, else the first.
        borne: Alerts a patient and month.

    Raises:
        SequelaError: The endpoint has one landmark, an unknown horizon, or no event could be caught.
    """
    trained = rows_of_run(config, home, bar("cells stored"))
    endpoint = trained.endpoint
    horizon = watched_horizon(endpoint, horizon_days, "--horizon")
    patients = all_patients(trained.cohort, processing_of(config), home.features)
    models = _models(trained, config, folder, bar)
    rows, risk, fold = watched_risks(trained, patients, models, horizon, bar("visits predicted"))
    visits, markers = (
        visits_of(rows, endpoint, horizon),
        markers_of(rows.patients, trained.cohort.card.variables, risk[:, 0]),
    )
    if not visits.catchable.any():
        msg = f"endpoint {endpoint.name}: no event comes within {horizon:g} days of a visit; choose a longer --horizon"
        raise SequelaError(msg)
    seed, n_bootstrap = config.seed, config.validation.bootstrap
    rules = rules_of(markers, rows, visits, fold, borne, seed=seed, n_bootstrap=n_bootstrap)
    weekly = _weekly(trained, patients, models, horizon, bar("days predicted"))
    return Monitoring(
        trained,
        config,
        horizon,
        len(rows),
        visits.n_patients,
        float(visits.months.sum()),
        guarded_together(rules, Disclosure.of(trained.cohort)),
        tuple(by_day(*weekly, horizon, seed=seed, n_bootstrap=n_bootstrap)),
    )


def watched_horizon(endpoint: Endpoint, wanted: float | None, option: str) -> float:
    """For how long an alert is good: as wanted, else as the endpoint's decision has it, else its first horizon.

    Raises:
        SequelaError: It is beyond the last horizon, or the endpoint has one landmark, so that nobody is watched.
    """
    if len(endpoint.landmark_days) < 2:
        msg = (
            f"endpoint {endpoint.name}: has one landmark, day {endpoint.landmark_days[0]:g}, and nobody is watched; "
            "give it a later one as well, such as landmark_days: [0, 30]"
        )
        raise SequelaError(msg)
    if wanted is None:
        return endpoint.horizons_days[0] if endpoint.decision is None else endpoint.decision.horizon_days
    if not 0 < wanted <= endpoint.horizons_days[-1]:
        msg = f"{option} {wanted:g}: must be above 0 and at most {endpoint.horizons_days[-1]:g} days, the last horizon"
        raise SequelaError(msg)
    return wanted


def processing_of(config: RunConfig) -> CellProcessing | None:
    """Of cells; None where the run's model sees none."""
    return config.features.processing if config.features.cells or sees_cells(config.model) else None


def _models(trained: TrainingRows, config: RunConfig, folder: Path, bar: Bar) -> list[HeldOutModel]:
    advance = bar("folds fitted")
    advance(0, 1)
    models = held_out_models(trained, config, folder, {})
    advance(1, 1)
    return models


def _weekly(
    trained: TrainingRows,
    patients: Patients,
    models: Sequence[HeldOutModel],
    horizon: float,
    told: Callable[[int, int], None],
) -> tuple[list[Marker], VisitRows, NDArray[np.int64]]:
    """Everyone at risk on some days, whole weeks apart, between the landmarks; what is known of them; their folds."""
    cohort, endpoint = trained.cohort, trained.endpoint
    first, last = endpoint.landmark_days[0], endpoint.landmark_days[-1]
    apart = WEEK * max(1.0, np.ceil((last - first) / WEEK / (MOST_DAYS - 1)))
    days = np.unique([*np.arange(first, last, apart), last])
    rows = rows_on(cohort, endpoint, patients, days.tolist())
    rows, risk, fold = held_out_risks(rows, trained, models, horizon, told)
    return markers_of(rows.patients, cohort.card.variables, risk[:, 0]), rows, fold
