"""Expected days in each state and what they are worth, without HTTP.

A model with transitions (`training.models.states`) knows what comes after a first event, as relapse after an infection;
one without, and any from a landmark other than that of its transitions, knows first events alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from features.encoder import Encoded
from features.errors import InputError
from features.records import PatientRecord
from features.schema import Endpoint
from features.states import EVENT_FREE
from serving.answer import answer, served_model
from serving.event_free import require_event_free
from serving.messages import Prediction, PredictRequest
from serving.patient_course import transitions_of
from serving.state_messages import PatientStates, StatesAnswer, StatesRequest
from training.artifact.folder import Artifact
from training.models.incidence import CumulativeIncidence

N_DAYS = 120
"""Days, evenly spaced up to the horizon, at which first events are predicted; between them they change evenly."""
WORTH_FREE, WORTH_EVENT = 1.0, 0.5
"""Of a day event-free and after the event of interest, unless the request says otherwise."""


def states_request(artifact: Artifact, version: str, request: StatesRequest) -> StatesAnswer:
    """States of every patient of a request.

    By transitions, where the model has some and the patient's landmark is theirs. Otherwise expected days since a first
    event are ∫₀^τ F_k(t) dt, the restricted mean time lost to its cause (Andersen, Stat Med 2013;32:5278), those
    event-free what is left of τ; integrals by the trapezoidal rule. Weighted days are those of Q-TWiST (Glasziou, Simes
    & Gelber, Stat Med 1990;9:1259).

    Args:
        artifact: The model.
        version: Its tag in the model store.
        request: Patients, until when, and what a day is worth.

    Raises:
        InputError: As `serving.answer.answer`; or a state or the horizon is none of the model's, or a patient had an
            event of the endpoint by the landmark of the transitions.
    """
    horizon = _horizon(artifact, request.horizon_days)
    worth = _worth(artifact.manifest.endpoint, request.worth or {})
    for i, record in enumerate(request.patients):
        if _by_transitions(artifact, record):
            told = "states are those of patients who had none by then"
            require_event_free(record, f"patients[{i}]", artifact.manifest.endpoint, told)
    days = tuple(float(day) for day in np.linspace(0.0, horizon, N_DAYS + 1)[1:])
    asked = PredictRequest(patients=request.patients, horizons_days=days)
    rows: list[NDArray[np.float64]] = []

    def seen(encoded: Encoded, incidence: CumulativeIncidence) -> None:
        del incidence
        rows.extend(encoded.x)

    predictions = answer(artifact, version, asked, seen).predictions
    return StatesAnswer(
        model=served_model(artifact.manifest, version),
        horizon_days=horizon,
        worth=worth,
        patients=tuple(
            _followed(artifact, prediction, x, worth)
            if _by_transitions(artifact, record)
            else _first(prediction, worth)
            for record, prediction, x in zip(request.patients, predictions, rows, strict=True)
        ),
    )


def _horizon(artifact: Artifact, asked: float | None) -> float:
    """The day up to which days are counted."""
    endpoint, block = artifact.manifest.endpoint, artifact.manifest.states
    followed = np.inf if block is None or block.followed_days is None else block.followed_days
    last = endpoint.horizons_days[-1]
    horizon = max(day for day in endpoint.horizons_days if day <= followed) if asked is None else asked
    if horizon > last:
        rule = f"must be at most {last:g} days, the last horizon the model was trained for"
        raise InputError("horizon_days", rule)
    if horizon > followed:
        rule = f"must be at most {followed:g} days: beyond, nobody of the training cohort was followed"
        raise InputError("horizon_days", rule)
    return horizon


def _worth(endpoint: Endpoint, given: Mapping[str, float]) -> dict[str, float]:
    """Of a day in every state."""
    usual = {EVENT_FREE: WORTH_FREE} | dict.fromkeys(endpoint.causes, 0.0) | {endpoint.event.name: WORTH_EVENT}
    if not given.keys() <= usual.keys():
        raise InputError("worth", f"names a state that this model does not have; it has {', '.join(usual)}")
    return usual | dict(given)


def _by_transitions(artifact: Artifact, record: PatientRecord) -> bool:
    block = artifact.manifest.states
    return block is not None and record.landmark_day == block.landmark_day


def _followed(
    artifact: Artifact, prediction: Prediction, x: NDArray[np.float64], worth: Mapping[str, float]
) -> PatientStates:
    found = transitions_of(artifact, x, prediction.horizons_days[-1], worth)
    return PatientStates(
        basis="transitions",
        prediction=prediction,
        expected_days={name: course.days[-1].value for name, course in found.states.items()},
        weighted_days=found.weighted_days.value,
        transitions=found,
    )


def _first(prediction: Prediction, worth: Mapping[str, float]) -> PatientStates:
    days = np.concatenate([[0.0], prediction.horizons_days])
    lost = {
        cause: float(np.trapezoid(np.concatenate([[0.0], values]), days))
        for cause, values in prediction.incidence.items()
    }
    expected = {EVENT_FREE: float(days[-1]) - sum(lost.values())} | lost
    return PatientStates(
        basis="first_events",
        prediction=prediction,
        expected_days=expected,
        weighted_days=sum(worth[state] * own for state, own in expected.items()),
    )
