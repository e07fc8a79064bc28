"""Browsers of clients may call CDS Hooks from their own pages; all else of the service stays closed to other pages."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.cds.services import BASE


class CdsCors:
    """Cross-origin rules for the paths of CDS Hooks alone (ASGI).

    Args:
        app: What answers.
        origins: Of the pages that may call.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self.app = app
        self._open = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=("GET", "POST"),
            allow_headers=("authorization", "content-type"),
            expose_headers=("retry-after", "x-request-id"),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        ours = scope["type"] == "http" and (scope["path"] == BASE or scope["path"].startswith(f"{BASE}/"))
        await (self._open if ours else self.app)(scope, receive, send)
