"""Explanations as the service gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from features.errors import InputError
from serving.answer import answer
from serving.explaining import explain_request
from serving.messages import MAX_EXPLAINED, ExplainAnswer, PredictRequest
from training.artifact.folder import Artifact


def request_of(records: list[Any], **rest: Any) -> PredictRequest:
    return PredictRequest.model_validate({"patients": records, **rest})


@pytest.fixture(scope="module")
def explained(artifact: Artifact, cohort: Any) -> ExplainAnswer:
    return explain_request(artifact, "sequela:x", request_of(cohort.records[:12], horizons_days=[90.0, 300.0]))


def test_contributions_sum_to_the_difference_from_the_average_patient(explained: ExplainAnswer) -> None:
    for one in explained.explanations:
        for cause, incidence in one.incidence.items():
            parts = np.array(list(one.contributions[cause].values())).sum(axis=0)
            np.testing.assert_allclose(parts, np.subtract(incidence, one.average[cause]), atol=1e-4)


def test_the_risk_explained_is_the_risk_predicted(explained: ExplainAnswer, artifact: Artifact, cohort: Any) -> None:
    predicted = answer(artifact, "sequela:x", request_of(cohort.records[:12], horizons_days=[90.0, 300.0]))
    for one, other in zip(explained.explanations, predicted.predictions, strict=True):
        assert (one.patient_id, one.landmark_day, one.horizons_days) == (
            other.patient_id,
            other.landmark_day,
            other.horizons_days,
        )
        for cause in one.incidence:
            np.testing.assert_allclose(one.incidence[cause], other.incidence[cause], atol=1e-6)
    assert explained.model == predicted.model


def test_what_moved_the_risk_is_named_by_its_place_in_the_record(explained: ExplainAnswer, artifact: Artifact) -> None:
    sources = {source for one in explained.explanations for source in one.contributions["infection"]}
    assert sources <= set(artifact.model.encoder.column_sources)
    assert {"baseline.age", "baseline.crp"} <= sources


def test_a_patient_is_explained_alike_in_any_company(explained: ExplainAnswer, artifact: Artifact, cohort: Any) -> None:
    alone = explain_request(artifact, "sequela:x", request_of([cohort.records[7]], horizons_days=[90.0, 300.0]))
    assert alone.explanations[0] == explained.explanations[7]


def test_faults_are_told_by_the_place_in_the_whole_request(artifact: Artifact) -> None:
    with pytest.raises(InputError, match=r"^patients\[1\]\.baseline\.age"):
        explain_request(artifact, "v", request_of([{}, {"baseline": {"age": 300.0}}]))
    with pytest.raises(InputError, match=rf"^patients: may hold at most {MAX_EXPLAINED} patients to explain"):
        explain_request(artifact, "v", request_of([{}] * (MAX_EXPLAINED + 1)))


def test_the_service_explains(server: Any, cohort: Any, artifact: Artifact, tag: str) -> None:
    records = cohort.records[:3]
    with server.client() as client:
        response = client.post("/v1/explain", json={"patients": records})
        too_many = client.post("/v1/explain", json={"patients": [{}] * (MAX_EXPLAINED + 1)})
    assert response.status_code == 200
    served = ExplainAnswer.model_validate_json(response.content)
    assert served.model.version == tag
    here = explain_request(artifact, tag, request_of(records))
    for one, other in zip(served.explanations, here.explanations, strict=True):
        for cause, parts in one.contributions.items():
            np.testing.assert_allclose(list(parts.values()), list(other.contributions[cause].values()), atol=1e-6)
    assert (too_many.status_code, too_many.json()["field"]) == (413, "patients")
