"""Limits on requests before anything reads them: their media type and their size (ASGI)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.messages import Fault, Problem

JSON = "application/json"
PROBLEM = "application/problem+json"
POLICY = (
    b"default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; img-src 'self' data:"
)


HEADERS = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),  # answers are about patients
)
"""Of every answer; pages load nothing from elsewhere: BentoML's would report its visitors."""
READ_SECONDS = 60.0
"""In which a body has to come."""


def refusal(status: int, fault: Fault) -> Response:
    """A fault as problem details (RFC 9457)."""
    detail = fault.rule if fault.field is None else f"{fault.field}: {fault.rule}"
    title = HTTPStatus(status).phrase
    problem = Problem(title=title, status=status, detail=detail, field=fault.field, rule=fault.rule)
    return Response(problem.model_dump_json(), status_code=status, media_type=PROBLEM)


class Guard:
    """Answers 415 to a body that is not plain JSON, 413 to one that is too large, and 408 to one that does not come.

    Bodies are read whole here and handed on in one piece: the size of a chunked body is only known at its end, and an
    exception from within `receive` would be answered by 500.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, read_seconds: float = READ_SECONDS) -> None:
        self.app = app
        self.max_bytes, self.read_seconds = max_bytes, read_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] not in ("POST", "PUT", "PATCH"):
            await self.app(scope, receive, send)
            return
        refused = self._refused_by_headers(Headers(scope=scope))
        if refused is None:
            try:
                async with asyncio.timeout(self.read_seconds):
                    body = await self._read(receive)
            except TimeoutError:
                refused = self._too_slow()
            else:
                if body is not None:
                    await self.app(scope, _replay(body, receive), send)
                    return
                refused = self._too_large()
        await refused(scope, receive, send)

    def _refused_by_headers(self, headers: Headers) -> Response | None:
        media_type = headers.get("content-type", JSON).split(";")[0].strip().lower()
        if media_type != JSON:
            rule = f"must be {JSON}"
            return refusal(415, Fault(field="content-type", rule=rule))
        if headers.get("content-encoding", "identity").strip().lower() != "identity":  # a small body may unpack to any
            return refusal(415, Fault(field="content-encoding", rule="must be absent: bodies are sent as they are"))
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.max_bytes:
            return self._too_large()
        return None

    def _too_large(self) -> Response:
        rule = f"must be at most {self.max_bytes:,} bytes; send fewer patients or fewer cells in one request"
        return refusal(413, Fault(field="body", rule=rule))

    def _too_slow(self) -> Response:
        rule = f"must come within {self.read_seconds:g} s; send fewer patients or fewer cells in one request"
        return refusal(408, Fault(field="body", rule=rule))

    async def _read(self, receive: Receive) -> bytes | None:
        """The whole body, or None once it is too large."""
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":  # the client went away
                return b""
            part = message.get("body", b"")
            size += len(part)
            if size > self.max_bytes:
                return None
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)


def with_headers(send: Send, added: Sequence[tuple[bytes, bytes]]) -> Send:
    """A `send` that adds headers to the answer."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", []), *added]
            message = {**message, "headers": headers}
        await send(message)

    return sent


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body in one message, then whatever comes next."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
