"""The JSON Schema of a model says of clinical requests what the service says."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InputError
from serving.answer import answer
from serving.card import model_card
from serving.messages import PredictRequest
from serving.refusals import parse
from serving.request_schema import request_schema
from training.artifact.folder import Artifact

Json = dict[str, Any]


@pytest.fixture(scope="module")
def schema(artifact: Artifact) -> Json:
    return request_schema(model_card(artifact, "sequela:v"), artifact.model.encoder.variables)


@pytest.fixture(scope="module")
def validator(schema: Json) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_its_example_fits_and_is_answered(schema: Json, validator: Any, artifact: Artifact) -> None:
    (example,) = schema["examples"]
    assert validator.is_valid(example)
    assert answer(artifact, "v", PredictRequest.model_validate(example)).predictions


def test_the_records_of_a_cohort_fit(validator: Any, cohort: Any) -> None:
    assert [fault.message for fault in validator.iter_errors({"patients": cohort.records})] == []


VALUES = st.one_of(
    st.none(),
    st.sampled_from([-1, 0, 18, 55.5, 100, 101, 1e7, "0", "2", "3", "axi-cel", "new", True]),
)
PATIENTS = st.fixed_dictionaries(
    {},
    optional={
        "landmark_day": st.sampled_from([-1, 0, 12.5, 30, 31, "0"]),
        "baseline": st.dictionaries(st.sampled_from(["age", "ecog", "product", "crp", "aeg"]), VALUES, max_size=3),
        "measurements": st.lists(
            st.fixed_dictionaries(
                {"variable": st.sampled_from(["ferritin", "anc", "age"]), "day": st.just(1.0), "value": st.just(5.0)}
            ),
            max_size=2,
        ),
        "events": st.lists(
            st.fixed_dictionaries({"event": st.sampled_from(["infection", "rash"]), "day": st.just(1.0)}), max_size=2
        ),
        "name": st.just("x"),
    },
)


@pytest.fixture(scope="module")
def verdicts(validator: Any, artifact: Artifact) -> Callable[[Json], tuple[bool, bool]]:
    """``verdicts(request)``: whether the schema takes it, and whether it is answered."""

    def judged(request: Json) -> tuple[bool, bool]:
        try:
            answer(artifact, "v", parse(json.dumps(request).encode()))
        except InputError:
            return bool(validator.is_valid(request)), False
        return bool(validator.is_valid(request)), True

    return judged


@given(
    st.lists(PATIENTS, min_size=1, max_size=2),
    st.none() | st.lists(st.sampled_from([0, 1, 90, 365, 366]), min_size=1, max_size=2, unique=True).map(sorted),
)
def test_what_fits_is_answered_and_what_does_not_is_refused(
    verdicts: Callable[[Json], tuple[bool, bool]], patients: list[Json], horizons: list[float] | None
) -> None:
    fits, answered = verdicts({"patients": patients, "horizons_days": horizons})
    assert fits == answered


def test_the_service_gives_it(server: Any, schema: Json) -> None:
    with server.client() as client:
        response = client.get("/v1/schema")
    assert response.headers["content-type"].startswith("application/schema+json")
    assert response.json()["properties"] == schema["properties"]
