"""The paths of CDS Hooks."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from features.errors import InputError
from features.schema import Endpoint
from serving.answering import UNREADY, Answering, failed, refused
from serving.asking import asking
from serving.cds.cards import card
from serving.cds.feedback import CardShown, Feedback, FeedbackRequest
from serving.cds.hooks import MissingPrefetchError, read_call, record_of
from serving.cds.orders import options_ordered
from serving.cds.services import BASE, BY_ID, Service, discovery
from serving.fhir.operation import Asked, parsed
from serving.fhir.record import NotApplicableError, ReadRecord, read_record
from serving.fhir.resources import read_as
from serving.following import Champion, Served
from serving.guard import refusal
from serving.messages import Fault
from serving.predicting import Predicting
from serving.refusals import fault_of
from serving.today import today

logger = logging.getLogger("bentoml.sequela")
UNKNOWN = Fault(field="id", rule=f"must be one of {', '.join(BY_ID)}")
NO_FEEDBACK = Fault(field=None, rule="this service keeps no feedback")
UNKEPT = Fault(field=None, rule="the feedback cannot be written; the server's log says why")
NO_CARDS: dict[str, Any] = {"cards": []}


@dataclass(frozen=True, slots=True)
class Question:
    """A call, read."""

    asked: Asked
    ordered: tuple[str, ...]


class Hooks:
    """Answers calls of one process.

    Args:
        champion: Holds the model that serves.
        answering: How a request is answered.
        predict: Makes predictions.
        feedback: Where cards and feedback are kept; None: they are not.
        page: Address of the service's page, which cards link; None: they link none.
    """

    def __init__(
        self,
        champion: Champion,
        answering: Answering,
        predict: Predicting,
        feedback: Feedback | None,
        page: str | None,
    ) -> None:
        self._champion, self._answering, self._predict = champion, answering, predict
        self._feedback, self._page = feedback, page

    def routes(self) -> list[Route]:
        """Discovery, the services, and feedback on their cards."""
        return [
            Route(BASE, self._discovery),
            Route(f"{BASE}/{{id}}", self._page_of(self._cards), methods=["POST"]),
            Route(f"{BASE}/{{id}}/feedback", self._page_of(self._told), methods=["POST"]),
        ]

    async def _discovery(self, request: Request) -> Response:
        del request
        served = self._champion.served
        return JSONResponse(discovery(None if served is None else served.artifact))

    def _page_of(self, answer: Callable[[Service, bytes], Response]) -> Callable[[Request], Awaitable[Response]]:
        """Of a service that there is."""

        async def page(request: Request) -> Response:
            service = BY_ID.get(request.path_params["id"])
            if service is None:
                return refusal(404, UNKNOWN)
            return await run_in_threadpool(answer, service, await request.body())

        return page

    def _cards(self, service: Service, body: bytes) -> Response:
        served = self._champion.served
        if served is None:
            return refusal(503, UNREADY)
        patients: list[str] = []
        question = self._read(served, service, body, patients)
        if isinstance(question, Response):
            return self._answering.without_answer(question, "cds", served, patients)
        given = self._answering.by_model(question.asked.request, question.asked.by(self._predict), "cds", served)
        if isinstance(given, Response):
            return given
        try:
            found = card(
                served.artifact.manifest, given, question.asked.read, page=self._page, ordered=question.ordered
            )
            self._show(found, service, served)
        except Exception as error:  # noqa: BLE001  (as in `serving.answering`)
            return failed(error, "cds")
        return JSONResponse({"cards": [found]})

    def _read(self, served: Served, service: Service, body: bytes, patients: list[str]) -> Question | Response:
        """What is asked; or an answer without cards, where there is nothing to say of the patient.

        Whom it is about is told through `patients`, whether there is a card or not.
        """
        try:
            call = read_call(parsed(body), service)
            patients.append(call.context.patientId.removeprefix("Patient/"))
            ordered = options_ordered(call)
            if service.hook == "order-select" and not ordered:
                return JSONResponse(NO_CARDS)
            model = served.artifact.model.encoder, served.artifact.manifest.endpoint
            read = read_record(record_of(call), *model, asked_on=today(), lenient=True)
            return Question(Asked(read), ordered) if _is_ahead(read, model[1]) else JSONResponse(NO_CARDS)
        except NotApplicableError:
            return JSONResponse(NO_CARDS)
        except MissingPrefetchError as error:
            return refusal(412, fault_of(error))
        except InputError as error:
            return refused(error)
        except Exception as error:  # noqa: BLE001  (as in `serving.answering`)
            return failed(error, "cds")

    def _show(self, found: dict[str, Any], service: Service, served: Served) -> None:
        """Keep that a card was shown; what cannot be kept is answered all the same."""
        if self._feedback is None:
            return
        now = datetime.now(UTC)
        shown = CardShown(
            at=now, card=found["uuid"], service=service.id, model=served.tag, indicator=found["indicator"]
        )
        try:
            self._feedback.shown(shown)
        except OSError as error:
            logger.error("The feedback cannot be written: %s", error.strerror or error)

    def _told(self, service: Service, body: bytes) -> Response:
        return self._answering.without_answer(self._kept(service, body), "feedback", None)

    def _kept(self, service: Service, body: bytes) -> Response:
        if self._feedback is None:
            return refusal(404, NO_FEEDBACK)
        try:
            self._feedback.given(read_as(FeedbackRequest, parsed(body), "request"), service.id, asking().key_id)
        except InputError as error:
            return refused(error)
        except OSError as error:
            logger.error("The feedback cannot be written: %s", error.strerror or error)
            return refusal(503, UNKEPT)
        except Exception as error:  # noqa: BLE001  (as in `serving.answering`)
            return failed(error, "feedback")
        return Response(status_code=200)


def _is_ahead(read: ReadRecord, endpoint: Endpoint) -> bool:
    """Whether the time that the card speaks of is not over yet."""
    decided = endpoint.horizons_days[-1] if endpoint.decision is None else endpoint.decision.horizon_days
    return read.days_asked < read.record.landmark_day + decided
