from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from serving.guard import Guard

LIMIT = 100


def ask(messages: list[Message], headers: dict[str, str], method: str = "POST") -> tuple[int, dict[str, Any] | None]:
    """Status and JSON of the answer; the app behind the guard answers 200 with what it received."""

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        first = await receive()
        after = await receive() if messages else {"type": "none left"}
        body = json.dumps({"received": first.get("body", b"").decode(), "then": after["type"]}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def receive() -> Message:
        return messages.pop(0)

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": "/v1/predict", "headers": raw}
    asyncio.run(Guard(echo, LIMIT)(scope, receive, send))
    body = b"".join(m.get("body", b"") for m in sent[1:])
    return sent[0]["status"], json.loads(body) if body else None


def chunks(*parts: bytes) -> list[Message]:
    last = len(parts) - 1
    body: list[Message] = [{"type": "http.request", "body": p, "more_body": i < last} for i, p in enumerate(parts)]
    return [*body, {"type": "http.disconnect"}]


@pytest.mark.parametrize(
    "parts", [(b"x" * LIMIT,), (b"x" * 60, b"x" * 40), (b"", b"x" * LIMIT, b"")], ids=["one", "two", "three"]
)
def test_a_body_of_just_the_limit_passes_whole_and_disconnection_after_it(parts: tuple[bytes, ...]) -> None:
    status, body = ask(chunks(*parts), {"content-type": "application/json; charset=utf-8"})
    assert status == 200
    assert body == {"received": "x" * LIMIT, "then": "http.disconnect"}


@pytest.mark.parametrize(
    ("messages", "headers"),
    [
        ([], {"content-length": str(LIMIT + 1), "expect": "100-continue"}),
        ([], {"content-length": str(1000 * LIMIT)}),
        ([], {"content-length": "9" * 40}),
        ([], {"content-length": "-5"}),
        ([], {"content-length": "0" * 5_000}),
        (chunks(b"x" * 60, b"x" * 41), {"transfer-encoding": "chunked"}),
        (chunks(b"x" * 101, b""), {"content-length": "5"}),
    ],
    ids=[
        "declared",
        "declared by far",
        "declared absurdly",
        "declared below nothing",
        "declared in digits",
        "chunked",
        "declared falsely",
    ],
)
def test_a_larger_body_is_refused(messages: list[Message], headers: dict[str, str]) -> None:
    status, body = ask(messages, headers)
    assert status == 413
    assert body is not None
    assert body["field"] == "body"
    assert body["rule"].startswith("must be at most 100 bytes")


def test_a_body_that_is_a_little_too_large_is_let_pass_before_it_is_answered() -> None:
    """A client that writes all before it reads would see a broken pipe, and no 413."""
    messages = chunks(b"x" * 60, b"x" * 60, b"x" * 60)
    assert ask(messages, {"content-length": "180"})[0] == 413
    assert [message["type"] for message in messages] == ["http.disconnect"]


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/vnd.bentoml+pickle",
        "application/x-www-form-urlencoded",
    ],
)
def test_other_media_types_are_refused(media_type: str) -> None:
    status, body = ask([], {"content-type": media_type})
    assert status == 415
    assert body == {
        "type": "about:blank",
        "title": "Unsupported Media Type",
        "status": 415,
        "detail": "content-type: must be application/json",
        "field": "content-type",
        "rule": "must be application/json",
    }


def test_get_passes_untouched() -> None:
    status, body = ask(chunks(b""), {"content-type": "text/plain"}, "GET")
    assert status == 200
    assert body == {"received": "", "then": "http.disconnect"}


def test_a_client_that_leaves_is_not_waited_for() -> None:
    messages: list[Message] = [{"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"}]
    assert ask(messages, {})[1] == {"received": "", "then": "none left"}


def test_a_packed_body_is_refused_unread() -> None:
    status, body = ask([], {"content-encoding": "gzip"})
    assert status == 415
    assert body is not None
    assert body["field"] == "content-encoding"


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    sent: list[Message] = []

    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("passed on")

    async def receive() -> Message:
        await asyncio.sleep(60)
        return {}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/predict", "headers": []}
    asyncio.run(Guard(never, LIMIT, read_seconds=0.05)(scope, receive, send))
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["rule"].startswith("must come within 0.05 s")


class Slow:
    """An app that answers when it is told to."""

    def __init__(self) -> None:
        self.told = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.told.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def ask_at_once(guard: Guard, slow: Slow, sizes: list[int]) -> list[int]:
    """Statuses of requests that are begun one after the other, and answered when all are."""
    statuses: list[int] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])
            assert (message["status"] == 429) == ((b"retry-after", b"1") in message["headers"])

    async def one(size: int) -> None:
        body = chunks(b"x" * size)

        async def receive() -> Message:
            return body.pop(0)

        await guard({"type": "http", "method": "POST", "path": "/v1/predict", "headers": []}, receive, send)

    tasks = [asyncio.create_task(one(size)) for size in sizes]
    await asyncio.sleep(0.05)
    slow.told.set()
    await asyncio.gather(*tasks)
    slow.told.clear()
    return sorted(statuses)


@pytest.mark.parametrize(
    ("limits", "sizes", "refused"),
    [
        ({"max_requests": 2}, [1, 1, 1, 1], 2),
        ({"max_held": 150}, [90, 90, 10], 1),
        ({"max_held": 150}, [60, 60, 30], 0),
    ],
)
def test_more_requests_or_bytes_than_are_held_at_a_time_wait(
    limits: dict[str, int], sizes: list[int], refused: int
) -> None:
    async def twice() -> list[list[int]]:
        slow = Slow()
        guard = Guard(slow, LIMIT, **limits)
        return [await ask_at_once(guard, slow, sizes) for _ in range(2)]  # what was held is let go

    assert asyncio.run(twice()) == [[200] * (len(sizes) - refused) + [429] * refused] * 2
