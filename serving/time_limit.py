"""The longest that a request may take (ASGI)."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.asking import asking
from serving.guard import refusal
from serving.messages import Fault


class TimeLimit:
    """Answers 504 where no answer has begun in time.

    What works on the request cannot be broken off: it goes on, keeps its place among the requests that are taken at a
    time, and its answer is thrown away.

    Args:
        app: What answers.
        seconds: In which it has to.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app, self.seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and answer it if nobody else does."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(send)
        timer = asyncio.get_running_loop().call_later(self.seconds, self._end, answer, scope, receive)
        try:
            await self.app(scope, receive, answer.sent)
        finally:
            timer.cancel()
            if answer.instead is not None:
                await answer.instead

    def _end(self, answer: _Answer, scope: Scope, receive: Receive) -> None:
        if not answer.begun:
            asking().late = True
            rule = f"took longer than {self.seconds:g} s; send fewer patients or fewer cells in one request"
            refused = refusal(504, Fault(field=None, rule=rule))
            answer.instead = asyncio.create_task(refused(scope, receive, answer.send))


class _Answer:
    """To one request."""

    def __init__(self, send: Send) -> None:
        self.send, self.begun = send, False
        self.instead: asyncio.Task[None] | None = None
        """What was sent in its place."""

    async def sent(self, message: Message) -> None:
        if self.instead is None:
            self.begun = True
            await self.send(message)
