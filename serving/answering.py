"""How a request is answered: by the model that serves, into the audit log and the ledger, and silent about values."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from pydantic import BaseModel
from starlette.responses import Response

from features.errors import InputError
from serving.asking import asking
from serving.audit import AuditLog
from serving.following import Champion, Served
from serving.guard import refusal
from serving.ledger import Ledger
from serving.messages import ExplainAnswer, Fault, OutcomesAnswer, OutcomesRequest, PredictAnswer, PredictRequest
from serving.monitor_messages import MonitorAnswer, MonitorRequest
from serving.packed import JSON
from serving.refusals import TooLargeError, fault_of, parse_as
from serving.score_messages import ScoreRequest
from serving.shadow import Shadow
from serving.state_messages import StatesAnswer, StatesRequest
from training.artifact.folder import Artifact

logger = logging.getLogger("bentoml.sequela")
Question = TypeVar("Question", PredictRequest, MonitorRequest, StatesRequest)
Answer = TypeVar("Answer", PredictAnswer, ExplainAnswer, MonitorAnswer, StatesAnswer)
Asked = TypeVar("Asked", ScoreRequest, OutcomesRequest)

UNREADY = Fault(field=None, rule="no model is ready; the server's log says why")
FAILED = Fault(field=None, rule="the answer failed; the server's log says where")
UNKEPT = Fault(field=None, rule="the ledger cannot be written; the server's log says why")
UNAUDITED = Fault(field=None, rule="the audit log cannot be written; the server's log says why")


def as_json(given: BaseModel | Response) -> Response:
    """An answer as it is sent; what is none already is."""
    return given if isinstance(given, Response) else Response(given.model_dump_json(), media_type=JSON)


def refused(error: InputError) -> Response:
    """What is said of a request that cannot be answered."""
    return refusal(413 if isinstance(error, TooLargeError) else 400, fault_of(error))


def failed(error: Exception, action: str) -> Response:
    """Log the place of a fault of ours, and nothing else: its message may hold a patient's value."""
    place = "".join(traceback.format_tb(error.__traceback__))
    logger.error("%s in request %s (%s), at\n%s", type(error).__name__, asking().request_id, action, place)
    return refusal(500, FAILED)


class Answering:
    """Answers requests of one process.

    Args:
        champion: Holds the model that serves.
        audit: Without which nothing is answered, where there is one.
        ledger: Where predictions wait for outcomes; None: they are not kept.
        shadow: Shown what the champion answered; None: there is no ledger.
    """

    def __init__(
        self, champion: Champion, audit: AuditLog | None, ledger: Ledger | None, shadow: Shadow | None
    ) -> None:
        self.champion = champion
        self._audit, self._ledger, self._shadow = audit, ledger, shadow

    def by_model(
        self,
        request: Question | Response,
        answer_of: Callable[[Artifact, str, Question], Answer],
        action: str,
        served: Served | None = None,
    ) -> Answer | Response:
        """The answer, once it stands in the audit log.

        Args:
            request: What is asked, or why it cannot be.
            answer_of: Answers it, of a model and its tag.
            action: For the audit log.
            served: The model that read the request; None: any reads it, and the one that serves now answers.
        """
        served = served or self.champion.served  # once: an answer is wholly of one model
        if isinstance(request, Response):
            return self.without_answer(request, action, served)
        given = refusal(503, UNREADY) if served is None else _answer(request, answer_of, served, action)
        status = given.status_code if isinstance(given, Response) else 200
        late = asking().late  # 504 was answered meanwhile
        patients = [record.patient_id for record in request.patients]
        if not self._audited(action, served.tag if served else None, 504 if late else status, patients):
            return refusal(503, UNAUDITED)
        if isinstance(given, PredictAnswer) and isinstance(request, PredictRequest) and not late:
            self._keep(request, given)
        return given

    def without_answer(
        self, said: Response, action: str, served: Served | None, patients: Sequence[str] = ()
    ) -> Response:
        """What is said where no model answers, once it stands in the audit log."""
        status = 504 if asking().late else said.status_code
        audited = self._audited(action, served.tag if served else None, status, patients)
        return said if audited else refusal(503, UNAUDITED)

    def without_model(
        self, action: str, message: type[Asked], body: bytes, answer_of: Callable[[Asked], BaseModel | Response]
    ) -> Response:
        """An answer that no model gives, once it stands in the audit log."""
        patients: list[str] = []
        try:
            request = parse_as(message, body)
            patients = [one.patient_id for one in request.patients]
            given = as_json(answer_of(request))
        except InputError as error:
            given = refused(error)
        except Exception as error:  # noqa: BLE001  (as in `_answer`)
            given = failed(error, action)
        return given if self._audited(action, None, given.status_code, patients) else refusal(503, UNAUDITED)

    def outcomes(self, request: OutcomesRequest) -> OutcomesAnswer | Response:
        """Keep what became of patients; there must be a ledger."""
        try:
            cast("Ledger", self._ledger).happened(request.patients)
        except OSError as error:
            return _unkept(error)
        return OutcomesAnswer(received=len(request.patients))

    def _audited(self, action: str, model: str | None, status: int, patient_ids: Sequence[str]) -> bool:
        """Write to the audit log, where there is one; whether that could be done."""
        if self._audit is None:
            return True
        try:
            self._audit.write(asking(), action, model, status, patient_ids)
        except OSError as error:
            logger.error("The audit log cannot be written: %s", error.strerror or error)
            return False
        return True

    def _keep(self, request: PredictRequest, answer: PredictAnswer) -> None:
        """Into the ledger, and before the challenger; what cannot be kept is answered all the same."""
        if self._ledger is None or self._shadow is None:
            return
        try:
            self._ledger.predicted(answer)
            self._shadow.show(request, answer.model.version)
        except OSError as error:
            _unkept(error)
        except Exception as error:  # noqa: BLE001  (as in `_answer`)
            failed(error, "ledger")


def _unkept(error: OSError) -> Response:
    logger.error("The ledger cannot be written: %s", error.strerror or error)
    return refusal(503, UNKEPT)


def _answer(
    request: Question, answer_of: Callable[[Artifact, str, Question], Answer], served: Served, action: str
) -> Answer | Response:
    try:
        return answer_of(served.artifact, served.tag, request)
    except InputError as error:
        return refused(error)
    except Exception as error:  # noqa: BLE001  (its message may hold a patient's value: only its place is logged)
        return failed(error, action)
