"""The layers that BentoML puts around the service."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LAYERS = """
from _bentoml_impl.server.app import ServiceAppFactory
from serving.service import SERVICE

SERVICE.inject_config()
print(*(layer.cls.__name__ for layer in ServiceAppFactory(SERVICE).middlewares))
"""


@pytest.mark.usefixtures("service_module")
def test_they_hold_no_request_once_it_is_answered() -> None:
    """BentoML's limit does, with a timer it never cancels."""
    from bentoml._internal.server.base_app import BaseAppFactory

    layers = BaseAppFactory.middlewares.fget(SimpleNamespace(timeout=60.0, max_concurrency=None))
    app: ASGIApp = _answering
    for layer in layers:
        app = layer.cls(app, **layer.kwargs)

    async def held() -> int:
        await app({"type": "http", "method": "POST", "path": "/", "headers": []}, _nothing, _nowhere)
        return sum(not timer.cancelled() for timer in asyncio.get_running_loop()._scheduled)

    assert len(layers) == 1
    assert asyncio.run(held()) == 0


@pytest.mark.parametrize("disabled", [None, "false"])
def test_tracing_is_there_only_if_it_is_asked_for(server_env: dict[str, str], tag: str, disabled: str | None) -> None:
    env = {name: value for name, value in server_env.items() if name != "OTEL_SDK_DISABLED"} | {"SEQUELA_MODEL": tag}
    env |= {} if disabled is None else {"OTEL_SDK_DISABLED": disabled}
    made = subprocess.run([sys.executable, "-c", LAYERS], env=env, capture_output=True, text=True, check=True)
    layers = made.stdout.split()
    assert ("OpenTelemetryMiddleware" in layers) == (disabled == "false")
    assert layers.index("Access") < layers.index("TimeLimit") < layers.index("Guard")


async def _answering(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _nowhere(message: Any) -> None:
    del message
