"""The BentoML service. It only wires: the answer is made in `serving.answer`, refusals in `serving.refusals`.

The environment says what is served:

    SEQUELA_MODEL           tag of the model to serve; default sequela:latest, or in a Bento the model built into it
    SEQUELA_MAX_BODY_MIB    largest request, in MiB; default 64
    SEQUELA_FOLLOW          file that names the champion (`serving.champions`); a change is followed without a restart
    SEQUELA_KEYS            file of the keys of callers, from `sequela keys`; without it only this machine is answered
    BENTOML_HOME            where the model store lies

The log holds no value of any patient: faults of requests are answered, not logged.
"""

from __future__ import annotations

import logging
import os
import traceback
from pathlib import Path
from typing import Any, cast

import bentoml
import torch
from bentoml.models import BentoModel
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from features.errors import InputError
from serving.access import Access
from serving.answer import answer
from serving.following import Champion, Named
from serving.guard import JSON, Guard, refusal
from serving.keys import KeyRing
from serving.messages import Fault, PredictAnswer, PredictRequest
from serving.openapi import document
from serving.refusals import fault_of, parse, parse_as
from serving.score_messages import ScoreRequest
from serving.scores import score_answer, score_list
from serving.store import MODEL_NAME

logger = logging.getLogger("bentoml.sequela")

THREADS = 4
"""Requests answered at a time by one worker; torch uses one thread in each."""
MAX_BODY_BYTES = int(os.environ.get("SEQUELA_MAX_BODY_MIB", "64")) * 2**20
KEYS, FOLLOWED = (Path(name) if (name := os.environ.get(key)) else None for key in ("SEQUELA_KEYS", "SEQUELA_FOLLOW"))
_NO_MODEL = "no model is ready; the server's log says why"
_NO_ANSWER = "the answer failed; the server's log says where"
CHAMPION = Champion()
"""Of this process."""
UNREADY = Fault(field=None, rule=_NO_MODEL)
FAILED = Fault(field=None, rule=_NO_ANSWER)


class PredictInput(PredictRequest, bentoml.IODescriptor):  # type: ignore[misc]
    """`PredictRequest` as it comes over HTTP."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> PredictRequest | Fault:
        """Parse the body. A fault is handed on, not raised: BentoML would log it with a traceback."""
        del serde  # JSON only, says the guard
        try:
            return parse(await request.body())
        except InputError as error:
            return fault_of(error)


async def _card_page(request: Request) -> Response:
    del request
    card = CHAMPION.card
    if card is None:
        return refusal(503, UNREADY)
    return Response(card.model_dump_json(), media_type=JSON)


async def _openapi_page(request: Request) -> Response:
    del request
    return JSONResponse(document(CHAMPION.card))


async def _scores_page(request: Request) -> Response:
    """Scores need no model: they are answered here, whether one is ready or not."""
    if request.method == "POST":
        return await run_in_threadpool(_score, await request.body())
    return Response(score_list().model_dump_json(), media_type=JSON)


def _score(body: bytes) -> Response:
    try:
        return Response(score_answer(parse_as(ScoreRequest, body)).model_dump_json(), media_type=JSON)
    except InputError as error:
        return refusal(400, fault_of(error))
    except Exception as error:  # noqa: BLE001  (as in `RiskService.predict`)
        return _failed(error, "scoring")


def _failed(error: Exception, doing: str) -> Response:
    """Log the place of a fault of ours, and nothing else: its message may hold a patient's value."""
    place = "".join(traceback.format_tb(error.__traceback__))
    logger.error("%s while %s, at\n%s", type(error).__name__, doing, place)
    return refusal(500, FAILED)


PAGES = Starlette(
    routes=[
        Route("/v1/model", _card_page),
        Route("/v1/scores", _scores_page, methods=["GET", "POST"]),
        Route("/docs.json", _openapi_page),
    ]
)


@bentoml.asgi_app(PAGES, path="/")
@bentoml.service(
    name=MODEL_NAME,
    threads=THREADS,
    traffic={"timeout": 120},
    logging={"access": {"enabled": False}},  # proxies write those; here they cost a tenth of the throughput
    envs=[{"name": "OTEL_SDK_DISABLED", "value": "true"}],  # spans that nobody collects cost as much
)
class RiskService:
    """Cumulative incidences of late complications, from many patients in one request."""

    model = BentoModel(os.environ.get("SEQUELA_MODEL", f"{MODEL_NAME}:latest"))

    def __init__(self) -> None:
        torch.set_num_threads(1)
        CHAMPION.take(self._stored())  # refused: /readyz stays red, and whoever looks finds one line in the log
        if FOLLOWED:
            CHAMPION.follow(FOLLOWED)

    def __is_ready__(self) -> bool:
        """Whether a model serves: one that reproduced its own example."""
        return CHAMPION.served is not None

    @bentoml.api(route="/v1/predict", output_spec=PredictAnswer)
    def predict(self, request: PredictInput, /) -> PredictAnswer | Response:
        """Cumulative incidence of each cause for each patient, and what was missing or unusual about the patient."""
        if isinstance(request, Fault):
            return refusal(400, request)
        served = CHAMPION.served  # once: an answer is wholly of one model
        if served is None:
            return refusal(503, UNREADY)
        try:
            return answer(served.artifact, served.tag, request)
        except InputError as error:
            return refusal(400, fault_of(error))
        except Exception as error:  # noqa: BLE001  (its message may hold a patient's value: only its place is logged)
            return _failed(error, "predicting")

    def _stored(self) -> bentoml.Model:
        """The model of the Bento we run in, unless SEQUELA_MODEL names another."""
        bento = SERVICE.bento
        model = self.model
        if bento is not None and "SEQUELA_MODEL" not in os.environ:
            model = bento.info.all_models[0].to_model().resolve()
        return cast("bentoml.Model", model)


SERVICE = cast("Any", RiskService)  # what the decorator makes of the class has no stubs
SERVICE.add_asgi_middleware(Named, champion=CHAMPION)
SERVICE.add_asgi_middleware(Access, keys=KeyRing(KEYS) if KEYS else None)
SERVICE.add_asgi_middleware(Guard, max_bytes=MAX_BODY_BYTES)
