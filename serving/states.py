"""Expected days event-free and since each first event, and what they are worth; without HTTP.

A served model knows first events alone: what comes after one, as relapse after an infection, it does not say.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from features.errors import InputError
from features.schema import Endpoint
from serving.answer import answer, served_model
from serving.messages import Prediction, PredictRequest
from serving.state_messages import EVENT_FREE, PatientStates, StatesAnswer, StatesRequest
from training.artifact import Artifact

N_DAYS = 120
"""Days, evenly spaced up to the horizon, at which states are predicted; between them they change evenly."""
WORTH_FREE, WORTH_EVENT = 1.0, 0.5
"""Of a day event-free and after the event of interest, unless the request says otherwise."""


def states_request(artifact: Artifact, version: str, request: StatesRequest) -> StatesAnswer:
    """States of every patient of a request.

    Expected days since a first event are ∫₀^τ F_k(t) dt, the restricted mean time lost to its cause (Andersen, Stat
    Med 2013;32:5278), those event-free what is left of τ; integrals by the trapezoidal rule. Weighted days are those of
    Q-TWiST (Glasziou, Simes & Gelber, Stat Med 1990;9:1259), first events being the states.

    Args:
        artifact: The model.
        version: Its tag in the model store.
        request: Patients, until when, and what a day is worth.

    Raises:
        InputError: As `serving.answer.answer`; or a state or the horizon is none of the model's.
    """
    endpoint = artifact.manifest.endpoint
    horizon = endpoint.horizons_days[-1] if request.horizon_days is None else request.horizon_days
    if horizon > endpoint.horizons_days[-1]:
        rule = f"must be at most {endpoint.horizons_days[-1]:g} days, the last horizon the model was trained for"
        raise InputError("horizon_days", rule)
    worth = _worth(endpoint, request.worth or {})
    days = tuple(float(day) for day in np.linspace(0.0, horizon, N_DAYS + 1)[1:])
    asked = PredictRequest(patients=request.patients, horizons_days=days)
    return StatesAnswer(
        model=served_model(artifact.manifest, version),
        horizon_days=horizon,
        worth=worth,
        patients=tuple(_states(one, worth) for one in answer(artifact, version, asked).predictions),
    )


def _worth(endpoint: Endpoint, given: Mapping[str, float]) -> dict[str, float]:
    """Of a day in every state."""
    usual = {EVENT_FREE: WORTH_FREE} | dict.fromkeys(endpoint.causes, 0.0) | {endpoint.event.name: WORTH_EVENT}
    if not given.keys() <= usual.keys():
        raise InputError("worth", f"names a state that this model does not have; it has {', '.join(usual)}")
    return usual | dict(given)


def _states(prediction: Prediction, worth: Mapping[str, float]) -> PatientStates:
    days = np.concatenate([[0.0], prediction.horizons_days])
    lost = {
        cause: float(np.trapezoid(np.concatenate([[0.0], values]), days))
        for cause, values in prediction.incidence.items()
    }
    expected = {EVENT_FREE: float(days[-1]) - sum(lost.values())} | lost
    return PatientStates(
        prediction=prediction,
        expected_days=expected,
        weighted_days=sum(worth[state] * own for state, own in expected.items()),
    )
