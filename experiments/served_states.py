"""Models of transitions between states that go with a run's risk model into its artifact."""

from __future__ import annotations

import numpy as np

from experiments.config import RunConfig
from experiments.data import TrainingRows, all_patients
from experiments.home import Home
from features.cohort import Cohort
from features.cohort_states import state_histories_at
from features.encoder import PatientEncoder
from features.errors import SequelaError
from features.patients import IntArray
from features.records import PatientRecord
from features.schema import Endpoint
from features.states import StateHistories
from training.artifact.blocks import StatesBlock
from training.artifact.parts import states_of_example
from training.models.risk_model import FittedRiskModel
from training.models.states import StateModel
from training.states.transition_models import TransitionModels, resampled, state_model


def histories_of_run(cohort: Cohort, endpoint: Endpoint) -> tuple[IntArray, StateHistories]:
    """Positions in ``cohort.patients`` of those at risk at the first landmark, and the states they go through.

    Raises:
        SequelaError: States cannot be told: nobody is followed beyond the event, or to the first horizon.
    """
    found = state_histories_at(cohort, endpoint, endpoint.landmark_days[0])
    if endpoint.horizons_days[0] > found[1].followed_days:
        msg = (
            f"states: nobody is followed to day {endpoint.horizons_days[0]:g}, the first of horizons_days of "
            f"{endpoint.name}, but to day {found[1].followed_days:g}; add an earlier horizon, or remove `states`"
        )
        raise SequelaError(msg)
    return found


def fit_states(
    rows: TrainingRows, config: RunConfig, home: Home, encoder: PatientEncoder
) -> tuple[StateModel, StateHistories] | None:
    """Fit what the configuration asks for, to all patients at risk at the first landmark; with their histories.

    Later landmarks are left out: their patients are those of the first again, and `sequela benefit-risk` predicts from
    the first alone.

    Args:
        rows: Of the run.
        config: Says how many refits.
        home: The stores.
        encoder: Of the run's risk model: transitions depend on what it sees.

    Returns:
        None where it asks for nothing.
    """
    if config.states is None:
        return None
    at_risk, histories = histories_of_run(rows.cohort, rows.endpoint)
    # Not of `rows`: who enters observation late, and after a first event, is at no risk of it, but of what comes next.
    everyone = all_patients(rows.cohort, config.features.processing if encoder.samples else None, home.features)
    x = encoder.transform(everyone.take(at_risk).at_landmark(rows.endpoint.landmark_days[0]))
    fitted = TransitionModels.fit(x, histories, seed=config.seed)
    rng = np.random.default_rng(config.seed)
    return state_model(fitted, resampled(x, histories, fitted, config.states.resamples, rng)), histories


def states_block(
    states: StateModel,
    histories: StateHistories,
    landmark_day: float,
    model: FittedRiskModel,
    patient: PatientRecord,
    times_days: tuple[float, ...],
) -> StatesBlock:
    """What the manifest says of them, with the states of the example's patient at its times."""
    followed = histories.followed_days
    return StatesBlock(
        names=states.states,
        moves=states.moves,
        landmark_day=landmark_day,
        followed_days=followed if np.isfinite(followed) else None,
        n_patients=len(histories),
        example=states_of_example(model, states, patient, times_days),
    )
