"""Limits on requests before anything reads them: their media type, their size, their number at a time (ASGI)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.messages import Fault, Problem
from serving.packed import JSON

PROBLEM = "application/problem+json"
_ALIKE = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_NOWHERE = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
HEADERS = (
    *_ALIKE,
    (b"content-security-policy", _NOWHERE),
    (b"cache-control", b"no-store"),  # answers are about patients
)
"""Of every answer but the files of the page: a browser that is shown one runs and loads nothing."""
PAGE_HEADERS = (
    *_ALIKE,
    (
        b"content-security-policy",
        _NOWHERE + b"; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
        b"; require-trusted-types-for 'script'; trusted-types 'none'",  # no text becomes markup or code
    ),
    (b"cache-control", b"no-cache"),  # kept, and asked for again by its ETag
)
"""Of the files of the page, which loads nothing from elsewhere and has no script or style within."""
LENGTH_DIGITS = 19
"""Of a declared length; Python reads no number of thousands of digits."""
READ_SECONDS = 60.0
"""In which a body has to come."""
PASS_SECONDS = 2.0
"""For which a body that is too large is let pass, before it is answered."""
MAX_REQUESTS = 64
"""With a body, at a time, of one worker."""


def media_type_of(headers: Headers) -> str:
    """Without parameters, in lower case; JSON where none is given."""
    return headers.get("content-type", JSON).split(";")[0].strip().lower()


def refusal(status: int, fault: Fault) -> Response:
    """A fault as problem details (RFC 9457)."""
    detail = fault.rule if fault.field is None else f"{fault.field}: {fault.rule}"
    title = HTTPStatus(status).phrase
    problem = Problem(title=title, status=status, detail=detail, field=fault.field, rule=fault.rule)
    return Response(problem.model_dump_json(), status_code=status, media_type=PROBLEM)


class Guard:
    """Answers 415 to a body of another type, 413 to one too large, 408 to one that does not come, 429 to too many.

    Bodies are read whole here and handed on in one piece: the size of a chunked body is only known at its end, and an
    exception from within `receive` would be answered by 500. So many are held at a time, and so many bytes of them.

    Args:
        app: What answers.
        max_bytes: Of one body.
        types: Media types that a path takes beside JSON; one that ends in / stands for all below it.
        max_requests: With a body, at a time.
        max_held: Bytes of all bodies at a time; default four of the largest.
        read_seconds: In which a body has to come.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int,
        types: Mapping[str, str] | None = None,
        max_requests: int = MAX_REQUESTS,
        max_held: int | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self.app, self.types = app, types or {}
        self.max_bytes, self.max_requests, self.read_seconds = max_bytes, max_requests, read_seconds
        self.max_held = 4 * max_bytes if max_held is None else max_held
        self._requests = self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] not in ("POST", "PUT", "PATCH"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refused = self._refused_by_headers(scope["path"], headers)
        if refused is not None:
            if refused.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                await self._let_pass(receive, headers)
            await refused(scope, receive, send)
            return
        held = _Held(self)
        self._requests += 1
        try:
            await self._with_body(scope, receive, send, held)
        finally:
            self._requests -= 1
            held.release()

    async def _with_body(self, scope: Scope, receive: Receive, send: Send, held: _Held) -> None:
        try:
            async with asyncio.timeout(self.read_seconds):
                body = await self._read(receive, held)
        except TimeoutError:
            body = self._too_slow()
        if isinstance(body, Response):
            await body(scope, receive, send)
        else:
            await self.app(scope, _replay(body, receive), send)

    async def _let_pass(self, receive: Receive, headers: Headers) -> None:
        """Throw away a body that is a little too large: who is cut off while sending it never sees the answer."""
        length = headers["content-length"]
        sound = length.isdecimal() and len(length) <= LENGTH_DIGITS
        if "expect" in headers or not sound or int(length) > self.max_held:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(PASS_SECONDS):
                while (await receive()).get("more_body", False):
                    pass

    def _refused_by_headers(self, path: str, headers: Headers) -> Response | None:
        media_type = media_type_of(headers)
        more = (one for own, one in self.types.items() if path == own or (own.endswith("/") and path.startswith(own)))
        taken = (JSON, *more)
        if media_type not in taken:
            return refusal(415, Fault(field="content-type", rule=f"must be {' or '.join(taken)}"))
        if headers.get("content-encoding", "identity").strip().lower() != "identity":  # a small body may unpack to any
            return refusal(415, Fault(field="content-encoding", rule="must be absent: bodies are sent as they are"))
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > LENGTH_DIGITS or int(length) > self.max_bytes:
            return self._too_large()
        if self._requests >= self.max_requests or self._held + int(length) > self.max_held:
            return too_busy()
        return None

    def _too_large(self) -> Response:
        rule = f"must be at most {self.max_bytes:,} bytes; send fewer patients or fewer cells in one request"
        return refusal(413, Fault(field="body", rule=rule))

    def _too_slow(self) -> Response:
        rule = f"must come within {self.read_seconds:g} s; send fewer patients or fewer cells in one request"
        response = refusal(408, Fault(field="body", rule=rule))
        response.headers["connection"] = "close"  # what may still come of the body is no next request
        return response

    async def _read(self, receive: Receive, held: _Held) -> bytes | Response:
        """The whole body, or why it is not taken."""
        parts = []
        while True:
            message = await receive()
            if message["type"] != "http.request":  # the client went away
                return b""
            part = message.get("body", b"")
            held.add(len(part))
            if held.bytes > self.max_bytes:
                return self._too_large()
            if self._held > self.max_held:
                return too_busy()
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)


class _Held:
    """The bytes that one request adds to those its guard holds."""

    def __init__(self, guard: Guard) -> None:
        self.guard, self.bytes = guard, 0

    def add(self, n_bytes: int) -> None:
        self.bytes += n_bytes
        self.guard._held += n_bytes

    def release(self) -> None:
        self.guard._held -= self.bytes
        self.bytes = 0


def too_busy() -> Response:
    """429: the same request is welcome in a second."""
    response = refusal(429, Fault(field=None, rule="too many requests at once; wait as Retry-After says"))
    response.headers["retry-after"] = "1"
    return response


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
