"""What is known of the request that is being answered: its id, and whose key came with it; how it ended is counted."""

from __future__ import annotations

import re
import time
from contextvars import ContextVar
from dataclasses import dataclass
from random import Random

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.counts import counts
from serving.guard import with_headers

GIVEN = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What is taken as a request's id from whoever asks; else one is made here."""


_CHANCE = Random()  # noqa: S311  an id is no secret; the system's own chance is asked for once and not by each request


@dataclass(slots=True)
class Asking:
    """Of one request."""

    request_id: str
    key_id: str | None = None
    """Of the key; None where the service has none."""
    late: bool = False
    """Whether 504 was answered while it was worked on."""


ASKING: ContextVar[Asking | None] = ContextVar("asking", default=None)


def asking() -> Asking:
    """Of the request that is being answered."""
    return ASKING.get() or Asking("none")


class Identified:
    """Gives every request an id, says it in the answer as ``X-Request-ID``, and counts how the request ended (ASGI)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        now = Asking(given if GIVEN.fullmatch(given) else f"{_CHANCE.getrandbits(64):016x}")
        ASKING.set(now)
        began, status, seconds, counted = time.perf_counter(), 500, 0.0, False

        def count() -> None:
            nonlocal counted
            if not counted:
                counted = True
                counts().ended(scope["path"], status, seconds or time.perf_counter() - began)

        async def sent(message: Message) -> None:
            nonlocal status, seconds
            if message["type"] == "http.response.start":
                status, seconds = message["status"], time.perf_counter() - began
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                count()  # now nobody waits for it; and what was answered 504 is worked on for longer

        try:
            await self.app(scope, receive, with_headers(sent, [(b"x-request-id", now.request_id.encode())]))
        finally:
            count()
