"""The BentoML service. It only wires: the answer is made in `serving.answer`, refusals in `serving.refusals`.

The environment says what is served:

    SEQUELA_MODEL             tag of the model to serve; default sequela:latest, or in a Bento the model built into it
    SEQUELA_MAX_BODY_MIB      largest request, in MiB; default 64
    SEQUELA_MAX_REQUESTS      requests with a body that a worker holds at a time; default 64, more get 429
    SEQUELA_MAX_SECONDS       in which an answer has to begin; default 120, later ones are replaced by 504
    SEQUELA_WORKERS           processes that answer; default 1
    SEQUELA_FOLLOW            file that names the champion (`serving.champions`); a change is followed without a restart
    SEQUELA_KEYS              file of the keys of callers, from `sequela keys`; without it only this machine is answered
    SEQUELA_AUDIT             file to which who asked for whom is appended (`serving.audit`); absent: none is kept
    SEQUELA_AUDIT_KEEP_DAYS   days for which its files are kept once they are put aside; absent: for ever
    SEQUELA_LEDGER            folder in which predictions wait for outcomes (`serving.ledger`); absent: none are kept
    SEQUELA_LEDGER_KEEP_DAYS  days for which its files are kept; absent: for ever
    SEQUELA_SHADOW            tag of a challenger that answers the same requests for the ledger (`serving.shadow`)
    SEQUELA_USE               folder in which what comes is counted by day (`serving.use`); absent: it is not
    SEQUELA_PUBLIC_URL        address under which others reach the service; cards link its page, FHIR names it
    SEQUELA_CDS_CLIENTS       file of the clients of CDS Hooks (`serving.cds.clients`), whose tokens name that address
    SEQUELA_FEEDBACK          folder in which cards and what became of them are kept; absent: they are not
    SEQUELA_FEEDBACK_KEEP_DAYS  days for which its files are kept; absent: for ever
    SEQUELA_TIME_ZONE         whose clock says which day it is, as Europe/Berlin (`serving.today`); default UTC
    SEQUELA_LOG               json: log lines are JSON; default text
    BENTOML_HOME              where the model store lies

The log holds no value of any patient: faults of requests are answered, not logged.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
import bentoml
import torch
from bentoml.models import BentoModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from features.errors import InputError
from serving.access import Access
from serving.answering import UNREADY, Answer, Answering, Question, as_json, failed, refused
from serving.asking import Identified
from serving.audit import AuditLog
from serving.cds.clients import Clients
from serving.cds.cors import CdsCors
from serving.cds.feedback import Feedback
from serving.cds.routes import Hooks
from serving.counts import exposition
from serving.environment import MOST_DAYS, address, number, whole
from serving.explaining import explain_request
from serving.fhir.media import FHIR
from serving.fhir.outcome import BASE as FHIR_BASE
from serving.fhir.outcome import AsOutcomes
from serving.fhir.routes import fhir_routes
from serving.following import Champion, Named
from serving.guard import Guard, media_type_of, refusal
from serving.json_log import log_as_json
from serving.keys import KeyRing
from serving.layers import leave_layers_out
from serving.ledger import Ledger
from serving.messages import Fault, OutcomesRequest, PredictRequest
from serving.monitor_messages import MonitorRequest
from serving.monitoring import monitor_request
from serving.openapi import document
from serving.packed import PACKED, parse_packed
from serving.page_files import page_routes
from serving.predicting import Predicting
from serving.refusals import parse, parse_as
from serving.request_schema import SCHEMA, request_schema
from serving.score_messages import ScoreRequest
from serving.scores import score_answer, score_list
from serving.shadow import Shadow
from serving.state_messages import StatesRequest
from serving.states import states_request
from serving.store import MODEL_NAME
from serving.time_limit import TimeLimit
from serving.use import Use
from serving.workers import look_after_workers
from training.artifact.folder import Artifact

AT_A_TIME = anyio.CapacityLimiter(16)
"""Requests in work in one worker, most of them waiting for the one that works for all; torch uses one thread."""
MAX_BODY_BYTES = whole("SEQUELA_MAX_BODY_MIB", 64) * 2**20
MAX_REQUESTS = whole("SEQUELA_MAX_REQUESTS", 64)
MAX_SECONDS = number("SEQUELA_MAX_SECONDS", 120)
WORKERS = whole("SEQUELA_WORKERS", 1)
KEYS, FOLLOWED, AUDITED, COUNTED, KEPT, TRUSTED, TOLD = (
    Path(name) if (name := os.environ.get(f"SEQUELA_{key}")) else None
    for key in ("KEYS", "FOLLOW", "AUDIT", "USE", "LEDGER", "CDS_CLIENTS", "FEEDBACK")
)
AUDITED_DAYS, KEPT_DAYS, TOLD_DAYS = (
    whole(f"SEQUELA_{key}_KEEP_DAYS", None, most=MOST_DAYS) for key in ("AUDIT", "LEDGER", "FEEDBACK")
)
CHALLENGER = os.environ.get("SEQUELA_SHADOW")
PUBLIC_URL = address("SEQUELA_PUBLIC_URL", required_by="SEQUELA_CDS_CLIENTS" if TRUSTED else None)
CHAMPION = Champion()
"""Of this process."""
NO_LEDGER = Fault(field=None, rule="this service keeps no predictions with which outcomes could be compared")
AUDIT = AuditLog(AUDITED, keep_days=AUDITED_DAYS) if AUDITED else None
LEDGER = Ledger(KEPT, KEPT_DAYS) if KEPT else None
SHADOW = Shadow(LEDGER) if LEDGER else None
USE = Use(COUNTED) if COUNTED else None
PREDICT = Predicting(USE)
ANSWERING = Answering(CHAMPION, AUDIT, LEDGER, SHADOW)
CLIENTS = Clients(TRUSTED, PUBLIC_URL) if TRUSTED and PUBLIC_URL else None
HOOKS = Hooks(CHAMPION, ANSWERING, PREDICT, Feedback(TOLD, TOLD_DAYS) if TOLD else None, PUBLIC_URL)

if os.environ.get("SEQUELA_LOG") == "json":
    log_as_json()
leave_layers_out()


async def _card_page(request: Request) -> Response:
    del request
    card = CHAMPION.card
    if card is None:
        return refusal(503, UNREADY)
    return as_json(card)


async def _schema_page(request: Request) -> Response:
    del request
    served = CHAMPION.served
    if served is None:
        return refusal(503, UNREADY)
    return JSONResponse(request_schema(served.card, served.artifact.model.encoder.variables), media_type=SCHEMA)


async def _openapi_page(request: Request) -> Response:
    del request
    served = CHAMPION.served
    return JSONResponse(document(None) if served is None else await run_in_threadpool(lambda: served.document))


async def _metrics_page(request: Request) -> Response:
    del request
    content, media_type = await run_in_threadpool(exposition)
    return Response(content, media_type=media_type)


async def _scores_page(request: Request) -> Response:
    """Scores need no model: they are answered here, whether one is ready or not."""
    if request.method == "POST":
        body = await request.body()
        return await run_in_threadpool(ANSWERING.without_model, "score", ScoreRequest, body, score_answer)
    return as_json(score_list())


async def _outcomes_page(request: Request) -> Response:
    """What became of patients: needs a ledger, and no model."""
    if LEDGER is None:
        return refusal(404, NO_LEDGER)
    body = await request.body()
    return await run_in_threadpool(ANSWERING.without_model, "outcomes", OutcomesRequest, body, ANSWERING.outcomes)


async def _predict_page(request: Request) -> Response:
    return await _by_model(request, _reader(request), PREDICT, "predict")


async def _explain_page(request: Request) -> Response:
    return await _by_model(request, _reader(request), explain_request, "explain")


async def _monitor_page(request: Request) -> Response:
    return await _by_model(request, partial(parse_as, MonitorRequest), monitor_request, "monitor")


async def _states_page(request: Request) -> Response:
    return await _by_model(request, partial(parse_as, StatesRequest), states_request, "states")


def _reader(request: Request) -> Callable[[bytes], PredictRequest]:
    return parse_packed if media_type_of(request.headers) == PACKED else parse


async def _by_model(
    request: Request,
    read: Callable[[bytes], Question],
    answer_of: Callable[[Artifact, str, Question], Answer],
    action: str,
) -> Response:
    """What the model that serves says to a request."""
    body = await request.body()
    return await anyio.to_thread.run_sync(_answered, read, body, answer_of, action, limiter=AT_A_TIME)


def _answered(
    read: Callable[[bytes], Question], body: bytes, answer_of: Callable[[Artifact, str, Question], Answer], action: str
) -> Response:
    try:
        asked: Question | Response = read(body)
    except InputError as error:
        asked = refused(error)
    except Exception as error:  # noqa: BLE001  (as in `serving.answering`)
        asked = failed(error, "read")
    return as_json(ANSWERING.by_model(asked, answer_of, action))


PAGES = Router(
    routes=[
        Route("/v1/model", _card_page),
        Route("/v1/schema", _schema_page),
        Route("/v1/predict", _predict_page, methods=["POST"]),
        Route("/v1/explain", _explain_page, methods=["POST"]),
        Route("/v1/monitor", _monitor_page, methods=["POST"]),
        Route("/v1/states", _states_page, methods=["POST"]),
        Route("/metrics", _metrics_page),
        Route("/v1/outcomes", _outcomes_page, methods=["POST"]),
        Route("/v1/scores", _scores_page, methods=["GET", "POST"]),
        Route("/docs.json", _openapi_page),
        *fhir_routes(CHAMPION, ANSWERING, PREDICT, PUBLIC_URL),
        *HOOKS.routes(),
        *page_routes(),
    ]
)


@bentoml.asgi_app(PAGES, path="/")
@bentoml.service(
    name=MODEL_NAME,
    workers=WORKERS,
    metrics={"enabled": False},  # BentoML's make a label of any path that is asked for; see `serving.counts`
    logging={"access": {"enabled": False}},  # proxies write those; here they cost a tenth of the throughput
    envs=[{"name": "OTEL_SDK_DISABLED", "value": "true"}],  # spans that nobody collects; see `serving.layers`
)
class RiskService:
    """Cumulative incidences of late complications, from many patients in one request.

    All that it answers is in `PAGES`: what BentoML puts around a method of its own takes as long as our model.
    """

    model = BentoModel(os.environ.get("SEQUELA_MODEL", f"{MODEL_NAME}:latest"))

    def __init__(self) -> None:
        torch.set_num_threads(1)
        CHAMPION.take(self._stored())  # refused: /readyz stays red, and whoever looks finds one line in the log
        if FOLLOWED:
            CHAMPION.follow(FOLLOWED)
        if SHADOW is not None and CHALLENGER:
            SHADOW.start(CHALLENGER)
        if USE is not None:
            USE.start()

    @bentoml.on_deployment
    def prepare() -> None:
        """In the process above the workers, before there are any."""
        look_after_workers()

    @bentoml.on_shutdown
    def finish(self) -> None:
        """Write what was counted since it was last written."""
        if USE is not None:
            USE.write()

    def __is_ready__(self) -> bool:
        """Whether a model serves: one that reproduced its own example."""
        return CHAMPION.served is not None

    def _stored(self) -> bentoml.Model:
        """The model of the Bento we run in, unless SEQUELA_MODEL names another."""
        bento = SERVICE.bento
        model = self.model
        if bento is not None and "SEQUELA_MODEL" not in os.environ:
            model = bento.info.all_models[0].to_model().resolve()
        return cast("bentoml.Model", model)


SERVICE = cast("Any", RiskService)  # what the decorator makes of the class has no stubs
SERVICE.add_asgi_middleware(Identified)
SERVICE.add_asgi_middleware(AsOutcomes)
SERVICE.add_asgi_middleware(Named, champion=CHAMPION)
SERVICE.add_asgi_middleware(CdsCors, clients=CLIENTS)
SERVICE.add_asgi_middleware(Access, keys=KeyRing(KEYS) if KEYS else None, clients=CLIENTS)
SERVICE.add_asgi_middleware(TimeLimit, seconds=MAX_SECONDS)
SERVICE.add_asgi_middleware(
    Guard,
    max_bytes=MAX_BODY_BYTES,
    types=dict.fromkeys(("/v1/predict", "/v1/explain"), PACKED) | dict.fromkeys((FHIR_BASE, f"{FHIR_BASE}/"), FHIR),
    max_requests=MAX_REQUESTS,
)
