"""Requests that schemathesis makes of the OpenAPI document: every answer is one that it describes, and none is 5xx."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


schemathesis.openapi.media_type("application/x-safetensors", st.binary(max_size=200))
PATHS = (
    *("/v1/predict", "/v1/explain", "/v1/monitor", "/v1/states", "/v1/outcomes", "/v1/scores"),
    *("/v1/model", "/v1/schema", "/livez", "/readyz"),
)


@pytest.fixture(scope="module")
def operations(server: Any) -> dict[str, list[Any]]:
    """By path; schemathesis' plugin for pytest is not used: 4.32 does not know pytest 9.2."""
    found: dict[str, list[Any]] = {}
    for operation in schemathesis.openapi.from_url(f"{server.url}/docs.json").get_all_operations():
        found.setdefault(operation.ok().path, []).append(operation.ok())
    return found


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_is_described(operations: dict[str, list[Any]], path: str) -> None:
    assert set(operations) == set(PATHS)
    for operation in operations[path]:

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            case.validate_response(case.call(), checks=CHECKS)

        ask()
