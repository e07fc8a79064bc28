"""Layers that BentoML puts around every service, and that this one does without."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import import_module

from starlette.types import ASGIApp


def leave_layers_out() -> None:
    """From the applications that BentoML makes in this process from now on.

    Its time limit never cancels its timers: each keeps its request until it would have struck, so that a busy service
    holds those of two minutes, and the garbage collector walks through them, for a third of a second. `TimeLimit` takes
    its place. Its context of a request is for methods that BentoML answers by, of which we have none. Tracing works on
    every request even where it is off, as it is unless OTEL_SDK_DISABLED says ``false``.
    """
    _leave_out("bentoml._internal.server.http.traffic", "TimeoutMiddleware")
    _leave_out("_bentoml_impl.server.app", "ContextMiddleware")
    if os.environ.get("OTEL_SDK_DISABLED", "true").lower() == "true":
        _leave_out("opentelemetry.instrumentation.asgi", "OpenTelemetryMiddleware")


def _leave_out(module: str, layer: str) -> None:
    with suppress(ImportError):  # should BentoML find it elsewhere some day, it stays
        setattr(import_module(module), layer, _without)


def _without(app: ASGIApp, **_: object) -> ASGIApp:
    return app
