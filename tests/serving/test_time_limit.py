"""Requests that take longer than they may."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from serving.messages import Problem
from serving.time_limit import TimeLimit


def test_a_service_answers_504_and_goes_on(start_server: Any, store_home: Path, tag: str, tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    env = {
        "SEQUELA_AUDIT": str(audit),
        "BENTOML_HOME": str(store_home),
        "SEQUELA_MODEL": tag,
        "SEQUELA_MAX_SECONDS": "0.1",
    }
    with start_server(tmp_path, env) as server, server.client() as client:
        late = client.post("/v1/predict", json={"patients": [{"baseline": {"age": 61.0}}] * 10_000})
        deadline = time.monotonic() + 30  # the late one is still worked on
        while client.post("/v1/predict", json={"patients": [{"baseline": {"age": 61.0}}]}).status_code != 200:
            assert time.monotonic() < deadline
        metrics = client.get("/metrics").text
        log = server.log.read_text()
    assert (late.status_code, late.headers["content-type"]) == (504, "application/problem+json")
    problem = Problem.model_validate_json(late.content)
    assert problem.rule == "took longer than 0.1 s; send fewer patients or fewer cells in one request"
    assert late.headers["x-request-id"]
    assert late.headers["x-content-type-options"] == "nosniff"
    assert re.search(r'sequela_request_seconds_count\{path="/v1/predict",status="504"\} [1-9]', metrics)
    assert {json.loads(line)["status"] for line in audit.read_text().splitlines()} == {200, 504}
    assert 'status="500"' not in metrics
    assert "Traceback" not in log


class Working:
    """An app that answers after a while, or fails."""

    def __init__(self, seconds: float, *, fails: bool = False) -> None:
        self.seconds, self.fails = seconds, fails

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(self.seconds)
        if self.fails:
            msg = "on its way"
            raise ValueError(msg)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(self.seconds)
        await send({"type": "http.response.body", "body": b"fine"})


def ask(app: TimeLimit) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app({"type": "http", "method": "POST", "path": "/v1/predict", "headers": []}, receive, send))
    return sent


def test_an_answer_that_has_begun_in_time_is_whole() -> None:
    """Its second half comes after the limit."""
    started, body = ask(TimeLimit(Working(0.1), seconds=0.15))
    assert (started["status"], body["body"]) == (200, b"fine")


def test_a_late_answer_is_thrown_away() -> None:
    started, body = ask(TimeLimit(Working(0.1), seconds=0.02))
    assert (started["status"], json.loads(body["body"])["status"]) == (504, 504)


def test_a_late_failure_is_raised_and_answers_nothing_twice() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    limit = TimeLimit(Working(0.1, fails=True), seconds=0.02)
    with pytest.raises(ValueError, match="on its way"):
        asyncio.run(limit({"type": "http", "method": "POST", "path": "/", "headers": []}, receive, send))
    assert [message.get("status") for message in sent] == [504, None]
