"""A patient's states as the service tells them: the areas under what is predicted, and what they are worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from features.errors import InputError
from features.records import PatientRecord
from serving.answer import answer
from serving.client import Client, ServiceError
from serving.messages import PredictRequest
from serving.state_messages import MAX_IN_STATES, StatesAnswer, StatesRequest
from serving.states import states_request
from training.artifact.folder import Artifact

RECORD: dict[str, Any] = {
    "patient_id": "p1",
    "landmark_day": 0.0,
    "baseline": {"age": 60.0, "product": "axi-cel", "crp": 12.0},
}


def request_of(*records: Any, **rest: Any) -> StatesRequest:
    return StatesRequest.model_validate({"patients": list(records), **rest})


def test_expected_days_are_areas_under_what_is_predicted(artifact: Artifact, cohort: Any) -> None:
    """Against a day-by-day sum of the same predictions, within half a day; they add up to the horizon."""
    endpoint = artifact.manifest.endpoint
    found = states_request(artifact, "m:1", request_of(*cohort.records[:5]))
    assert found.horizon_days == endpoint.horizons_days[-1]
    days = tuple(np.arange(1.0, found.horizon_days + 1))
    asked = PredictRequest(patients=tuple(cohort.records[:5]), horizons_days=days)
    predictions = answer(artifact, "m:1", asked).predictions
    for own, prediction in zip(found.patients, predictions, strict=True):
        assert set(own.expected_days) == {"event-free", *endpoint.causes}
        assert sum(own.expected_days.values()) == pytest.approx(found.horizon_days)
        for cause, values in prediction.incidence.items():
            assert own.expected_days[cause] == pytest.approx(float(np.sum(values)), abs=0.5 + values[-1])
        assert own.expected_days["event-free"] == pytest.approx(
            float(np.sum(prediction.event_free)), abs=0.5 + 1 - prediction.event_free[-1]
        )
        last = own.prediction
        assert last.horizons_days[-1] == found.horizon_days
        assert last.event_free[-1] == pytest.approx(prediction.event_free[-1], abs=1e-9)


def test_days_are_weighed_by_what_they_are_worth(artifact: Artifact) -> None:
    endpoint = artifact.manifest.endpoint
    usual = states_request(artifact, "m:1", request_of(RECORD, horizon_days=90.0))
    expected = usual.patients[0].expected_days
    event = endpoint.event.name
    assert usual.worth == {"event-free": 1.0} | dict.fromkeys(endpoint.causes, 0.0) | {event: 0.5}
    assert usual.patients[0].weighted_days == pytest.approx(expected["event-free"] + 0.5 * expected[event])
    all_alike = dict.fromkeys(usual.worth, 1.0)
    alike = states_request(artifact, "m:1", request_of(RECORD, horizon_days=90.0, worth=all_alike))
    assert alike.patients[0].weighted_days == pytest.approx(90.0)


def test_faults_are_told_by_their_place(artifact: Artifact) -> None:
    with pytest.raises(InputError, match=r"^worth: names a state that this model does not have; it has event-free,"):
        states_request(artifact, "m:1", request_of(RECORD, worth={"cured": 1.0}))
    with pytest.raises(InputError, match=r"^horizon_days: must be at most"):
        states_request(artifact, "m:1", request_of(RECORD, horizon_days=1e5))
    with pytest.raises(InputError, match=r"^patients\[1\]\.baseline\.age"):
        states_request(artifact, "m:1", request_of(RECORD, {"baseline": {"age": 300.0}}))


def test_the_service_and_its_client_tell_the_same(server: Any, artifact: Artifact, tag: str) -> None:
    with server.client() as client:
        answered = client.post("/v1/states", json={"patients": [RECORD], "worth": {"event-free": 0.9}})
        unknown = client.post("/v1/states", json={"patients": [RECORD], "wort": {}})
        worth = client.post("/v1/states", json={"patients": [RECORD], "worth": {"event-free": 2.0}})
        many = client.post("/v1/states", json={"patients": [RECORD] * (MAX_IN_STATES + 1)})
    assert answered.status_code == 200, answered.text
    told = StatesAnswer.model_validate_json(answered.content)
    assert told.model.version == tag
    here = states_request(artifact, tag, request_of(RECORD, worth={"event-free": 0.9}))
    assert told.patients[0].weighted_days == pytest.approx(here.patients[0].weighted_days, abs=1e-6)
    assert (unknown.status_code, unknown.json()["field"]) == (400, "wort")
    assert worth.status_code == 400
    assert worth.json()["field"].startswith("worth")
    assert (many.status_code, many.json()["field"]) == (413, "patients")
    asked = Client(server.url).states([PatientRecord.model_validate(RECORD)], horizon_days=90.0)
    assert asked.horizon_days == 90.0
    with pytest.raises(ServiceError, match="landmark_day"):
        Client(server.url).states([RECORD | {"landmark_day": 9999.0}])
