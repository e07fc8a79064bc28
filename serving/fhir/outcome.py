"""Refusals of FHIR paths as OperationOutcomes, whoever refused (ASGI)."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.fhir.media import FHIR
from serving.guard import PROBLEM

BASE = "/fhir"
_CODES = {
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    408: "timeout",
    413: "too-long",
    415: "not-supported",
    422: "business-rule",
    429: "throttled",
    503: "transient",
    504: "timeout",
}
"""HTTP status: code of the value set issue-type."""


def operation_outcome(status: int, field: str | None, rule: str) -> dict[str, Any]:
    """A fault as an OperationOutcome."""
    issue: dict[str, Any] = {
        "severity": "error" if status < 500 else "fatal",
        "code": _CODES.get(status, "exception"),
        "diagnostics": rule if field is None else f"{field}: {rule}",
    }
    if field is not None and field[0].isupper():  # an element, and not a header or the body
        issue["expression"] = [field]
    return {"resourceType": "OperationOutcome", "issue": [issue]}


class AsOutcomes:
    """Answers under /fhir are FHIR: problem details become OperationOutcomes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http" or not f"{scope['path']}/".startswith(f"{BASE}/"):
            await self.app(scope, receive, send)
            return
        await self.app(scope, receive, _translated(send))


def _translated(send: Send) -> Send:
    """A `send` that holds an answer back until it is whole, where it is to be said otherwise."""
    begun: MutableMapping[str, Any] | None = None
    body = b""

    async def sent(message: Message) -> None:
        nonlocal begun, body
        if message["type"] == "http.response.start" and message["status"] >= 400:
            begun = message
            return
        if begun is None or message["type"] != "http.response.body":
            await send(message)
            return
        body += message.get("body", b"")
        if message.get("more_body", False):
            return
        said = _said(begun["status"], begun["headers"], body)
        kept = [one for one in begun["headers"] if one[0].lower() not in (b"content-type", b"content-length")]
        headers = [*kept, (b"content-type", FHIR.encode()), (b"content-length", str(len(said)).encode())]
        await send({**begun, "headers": headers})
        await send({"type": "http.response.body", "body": said})

    return sent


def _said(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """An OperationOutcome, of problem details or of the status alone."""
    kind = next((value for name, value in headers if name.lower() == b"content-type"), b"")
    problem = json.loads(body) if kind.startswith(PROBLEM.encode()) else {}
    rule = problem.get("rule") or "there is nothing at this path and method; GET /fhir/metadata says what there is"
    return json.dumps(operation_outcome(status, problem.get("field"), rule)).encode()
