"""RiskAssessments as tests look at them, and what the plain API says of the same facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from features.records import PatientRecord
from serving.answer import answer
from serving.messages import Prediction, PredictRequest
from training.artifact.folder import Artifact

Json = dict[str, Any]
Assess = Callable[..., Json]


def risks(found: Json) -> list[float]:
    return [one["probabilityDecimal"] for one in found["prediction"]]


def notes(found: Json) -> str:
    return "\n".join(one["text"] for one in found["note"])


def plain(artifact: Artifact, **record: Any) -> Prediction:
    """What the plain API answers."""
    request = PredictRequest(patients=(PatientRecord.model_validate(record),))
    return answer(artifact, "m:1", request).predictions[0]


def said_plainly(artifact: Artifact, **record: Any) -> list[float]:
    found = plain(artifact, **record)
    return [value for values in found.incidence.values() for value in values]


def with_endpoint(artifact: Artifact, **more: Any) -> Artifact:
    """The same model, whose endpoint is changed."""
    endpoint = artifact.manifest.endpoint.model_copy(update=more)
    manifest = artifact.manifest.model_copy(update={"endpoint": endpoint})
    return replace(artifact, manifest=manifest, model=replace(artifact.model, causes=endpoint.causes))
