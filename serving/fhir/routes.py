"""The paths under /fhir."""

from __future__ import annotations

import json

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from features.errors import InputError
from serving.answering import UNREADY, Answering, failed, refused
from serving.fhir.conformance import DEFINITION, capability_statement, operation_definition
from serving.fhir.media import FHIR, refused_form
from serving.fhir.operation import Asked, asked
from serving.fhir.record import NotApplicableError
from serving.fhir.risk_assessment import Json, risk_assessment
from serving.following import Champion, Served
from serving.guard import refusal
from serving.predicting import Predicting
from serving.refusals import fault_of

PREDICT_RISK = "/fhir/$predict-risk"


def fhir_routes(
    champion: Champion, answering: Answering, predict: Predicting, public_url: str | None = None
) -> list[Route]:
    """The operation, and what says that there is one.

    Args:
        champion: Holds the model that serves.
        answering: How a request is answered.
        predict: Makes predictions.
        public_url: Address under which others reach the service; None: none is configured.
    """

    async def metadata(request: Request) -> Response:
        served = champion.served
        tag = "no model" if served is None else served.tag
        return refused_form(request) or fhir(capability_statement(tag, public_url))

    async def definition(request: Request) -> Response:
        return refused_form(request) or fhir(operation_definition(champion.served, public_url))

    async def predict_risk(request: Request) -> Response:
        refused = refused_form(request)
        if refused is not None:
            return refused
        return await run_in_threadpool(_predict_risk, champion, answering, predict, await request.body())

    return [
        Route("/fhir/metadata", metadata),
        Route(f"/fhir/{DEFINITION}", definition),
        Route(PREDICT_RISK, predict_risk, methods=["POST"]),
    ]


def fhir(content: Json) -> Response:
    """A resource."""
    return Response(json.dumps(content, ensure_ascii=False, allow_nan=False), media_type=FHIR)


def _predict_risk(champion: Champion, answering: Answering, predict: Predicting, body: bytes) -> Response:
    served = champion.served
    if served is None:
        return refusal(503, UNREADY)
    question = _read(served, body)
    if isinstance(question, Response):
        return answering.without_answer(question, "fhir", served)
    given = answering.by_model(question.request, question.by(predict), "fhir", served)
    if isinstance(given, Response):
        return given
    try:
        return fhir(risk_assessment(served.artifact.manifest, given, question.read))
    except Exception as error:  # noqa: BLE001  (as in `serving.answering`)
        return failed(error, "fhir")


def _read(served: Served, body: bytes) -> Asked | Response:
    try:
        return asked(served.artifact, body)
    except NotApplicableError as error:
        return refusal(422, fault_of(error))
    except InputError as error:
        return refused(error)
    except Exception as error:  # noqa: BLE001  (as in `serving.answering`)
        return failed(error, "fhir")
