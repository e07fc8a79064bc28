"""An answer as a RiskAssessment of FHIR R4. Probabilities are decimals from 0 to 1."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from features.schema import EventRule
from serving.decision import RESEARCH, SIMULATED, Advice, advice, event_title, remarks, shown_risk
from serving.fhir.codes import EVENTS
from serving.fhir.record import ReadRecord
from serving.messages import PredictAnswer, Prediction
from training.artifact.manifest import Manifest

MODELS = "urn:sequela:models"
TIERS = "urn:sequela:tiers"
Json = dict[str, Any]


def risk_assessment(manifest: Manifest, answered: PredictAnswer, read: ReadRecord) -> Json:
    """The RiskAssessment of one patient.

    Args:
        manifest: Of the model that answered.
        answered: About the one patient.
        read: What it was asked about.
    """
    prediction = answered.predictions[0]
    advised = advice(manifest, prediction)
    notes = [RESEARCH, *remarks(answered), *read.notes, *((advised.rests_on,) if advised else ())]
    found: Json = {
        "resourceType": "RiskAssessment",
        "text": _narrative(manifest, prediction, read, advised),
        "contained": [_device(answered)],
        "status": "preliminary" if read.preliminary else "final",
        "method": {"coding": [_model(answered)], "text": f"{answered.model.name}, {answered.model.endpoint}"},
        "subject": {"reference": read.subject},
        "occurrenceDateTime": read.asked_on.isoformat(),
        "performer": {"reference": "#model"},
        "basis": [{"reference": reference} for reference in read.basis],
        "prediction": list(_predictions(manifest, prediction, read, advised)),
        "mitigation": _mitigation(advised),
        "note": [{"text": text} for text in notes],
    }
    return {key: value for key, value in found.items() if value}  # FHIR has no empty elements


def _model(answered: PredictAnswer) -> Json:
    return {"system": MODELS, "version": answered.model.version, "code": answered.model.name}


def _device(answered: PredictAnswer) -> Json:
    return {
        "resourceType": "Device",
        "id": "model",
        "deviceName": [{"name": f"Sequela {answered.model.name}", "type": "model-name"}],
        "version": [{"value": answered.model.version}],
    }


def _predictions(
    manifest: Manifest, prediction: Prediction, read: ReadRecord, advised: Advice | None
) -> Iterator[Json]:
    """One for each cause and horizon, the event of interest first."""
    endpoint = manifest.endpoint
    for cause, rule in enumerate((endpoint.event, *endpoint.competing)):
        for at, horizon in enumerate(prediction.horizons_days):
            probability = prediction.incidence[rule.name][at]
            if not 0 <= probability <= 1:  # FHIR's own libraries take 3.5
                msg = f"the model gave no probability of {rule.name}"
                raise ValueError(msg)
            one: Json = {"outcome": _outcome(rule), "probabilityDecimal": probability}
            if advised is not None and cause == 0 and horizon == advised.horizon_days:
                one["qualitativeRisk"] = {
                    "coding": [{"system": TIERS, "code": advised.tier.replace(" ", "-")}],
                    "text": advised.tier,
                }
            start = prediction.landmark_day
            one["whenPeriod"] = {
                "start": read.day(start).isoformat(),
                "end": read.day(start + horizon).isoformat(),
            }
            one["rationale"] = shown_risk(manifest, prediction, rule.name, at)
            yield one


def _outcome(rule: EventRule) -> Json:
    return {"coding": [{"system": EVENTS, "code": rule.name}], "text": event_title(rule)}


def _mitigation(advised: Advice | None) -> str | None:
    """What guidance offers, for a clinician to weigh."""
    if advised is None or not advised.options:
        return None
    offered = (f"{option.title}: {option.text} ({option.source})" for option in advised.options)
    return " ".join(("Information from published guidance, to be weighed by a clinician.", *offered))


def _narrative(manifest: Manifest, prediction: Prediction, read: ReadRecord, advised: Advice | None) -> Json:
    """The same for people, as XHTML."""
    endpoint = manifest.endpoint
    title, day = event_title(endpoint.event), read.day(prediction.landmark_day).isoformat()
    risks = (shown_risk(manifest, prediction, endpoint.event.name, at) for at in range(len(prediction.horizons_days)))
    lines = [
        f"{title} within {horizon:g} days of {day}: {risk}"
        for horizon, risk in zip(prediction.horizons_days, risks, strict=True)
    ]
    if advised is not None:
        lines.append(f"Tier: {advised.tier}")
    if manifest.training_cohort.provenance == "simulated":
        lines.append(SIMULATED)
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><ul>{items}</ul></div>'}
