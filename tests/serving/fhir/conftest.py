"""Bundles asked without HTTP, and what others' readers of FHIR say of the answers."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from assessments import Assess, Json
from fhir.resources.R4B.riskassessment import RiskAssessment

from serving.answer import answer
from serving.fhir.operation import asked
from serving.fhir.risk_assessment import risk_assessment
from training.artifact.folder import Artifact

GOLDEN = Path(__file__).parents[2] / "golden" / "fhir_r4.json"


@pytest.fixture(scope="session")
def official() -> jsonschema.Draft6Validator:
    """HL7's JSON Schema of R4."""
    return jsonschema.Draft6Validator(json.loads(GOLDEN.read_text("utf-8")))


@pytest.fixture(scope="session")
def assess(artifact: Artifact, official: jsonschema.Draft6Validator) -> Assess:
    """``assess(content)``: the RiskAssessment, once others have read it."""

    def assessed(content: Json, of: Artifact = artifact) -> Json:
        question = asked(of, json.dumps(content).encode())
        answered = question.by(answer)(of, "m:1", question.request)
        found: Json = json.loads(json.dumps(risk_assessment(of.manifest, answered, question.read), allow_nan=False))
        RiskAssessment.model_validate(found)
        official.validate(found)
        return found

    return assessed
