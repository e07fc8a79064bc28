"""Browsers of clients may call CDS Hooks from their own pages; all else of the service stays closed to other pages."""

from __future__ import annotations

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.cds.clients import Clients
from serving.cds.services import is_hook


class CdsCors:
    """Cross-origin rules for the paths of CDS Hooks alone (ASGI).

    Args:
        app: What answers.
        clients: Whose pages may call; None: nobody's.
    """

    def __init__(self, app: ASGIApp, clients: Clients | None) -> None:
        self.app, self._clients = app, clients
        self._rules = self._of(())

    def _of(self, origins: tuple[str, ...]) -> tuple[tuple[str, ...], ASGIApp]:
        rules = CORSMiddleware(
            self.app,
            allow_origins=origins,
            allow_methods=("GET", "POST"),
            allow_headers=("authorization", "content-type"),
            expose_headers=("retry-after", "x-request-id"),
        )
        return origins, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http" or not is_hook(scope["path"]):
            await self.app(scope, receive, send)
            return
        if self._clients is not None:
            self._clients.look_again()
            if self._clients.origins != self._rules[0]:
                self._rules = self._of(self._clients.origins)
        await self._rules[1](scope, receive, send)
