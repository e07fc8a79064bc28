"""Who is answered: keys, scopes, limits; in this process, and over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Receive, Scope, Send

from serving.access import FAILURES_PER_MINUTE, Access
from serving.keys import KeyRing, add_key, revoke_key
from serving.page_files import FILES

Answer = tuple[int, dict[str, str], Any]
ELSEWHERE = "192.0.2.7"


def ask(
    access: Access,
    authorization: str | None = None,
    path: str = "/v1/predict",
    peer: str = ELSEWHERE,
    method: str = "POST",
) -> Answer:
    """Status, headers and body; whoever is let in is answered 204."""
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body was read")

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [] if authorization is None else [(b"authorization", authorization.encode("latin-1"))]
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "client": (peer, 4711)}
    asyncio.run(access(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent[1:])
    said = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], said, json.loads(body) if body else None


async def let_in(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def guarded(file: Path) -> Callable[[], Access]:
    return lambda: Access(let_in, KeyRing(file))


def test_without_keys_this_machine_alone_is_answered() -> None:
    access = Access(let_in, None)
    for peer, status in (("127.0.0.1", 204), ("::1", 204), ("", 204), (ELSEWHERE, 403), ("10.0.0.1", 403), ("?", 403)):
        assert ask(access, peer=peer)[0] == status, peer


def test_scopes_open_what_they_say(file: Path, guarded: Callable[[], Access]) -> None:
    _, ward = add_key(file, "ward", ["predict"])
    _, admin = add_key(file, "prometheus", ["admin"])
    access = guarded()
    paths = ("/v1/predict", "/v1/scores", "/v1/model", "/docs.json", "/v1/explain", "/v1/outcomes", "/metrics")
    assert [ask(access, f"Bearer {ward}", path)[0] for path in paths] == [204] * 4 + [403] * 3
    assert [ask(access, f"Bearer {admin}", path)[0] for path in paths] == [403] * 6 + [204]
    _, headers, body = ask(access, f"Bearer {ward}", "/metrics")
    assert headers["www-authenticate"] == 'Bearer realm="sequela", error="insufficient_scope", scope="admin"'
    assert body["rule"] == "must be a key with the scope admin"


def test_the_page_is_open_where_there_are_keys_to_ask_for(guarded: Callable[[], Access]) -> None:
    access = guarded()
    assert {ask(access, None, path, method=method)[0] for path in FILES for method in ("GET", "HEAD")} == {204}
    others = ("/page/", "/page/x.js", "/page/../v1/model", "/v1/schema")
    assert {ask(access, None, path, method="GET")[0] for path in others} == {401}
    assert ask(access, None, "/")[0] == 401  # with a body
    assert ask(Access(let_in, None), None, "/", method="GET")[0] == 403


def test_without_a_key_nobody_is_answered_but_who_asks_whether_it_lives(guarded: Callable[[], Access]) -> None:
    access = guarded()
    for authorization in (None, "", "Bearer", "Bearer sequela_00000000_x", "Basic dXNlcjpwYXNz"):
        status, headers, body = ask(access, authorization)
        assert status == 401
        assert headers["www-authenticate"] == 'Bearer realm="sequela"'
        assert body["field"] == "authorization"
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
    assert [ask(access, None, path)[0] for path in ("/livez", "/readyz")] == [204, 204]


@given(st.text(st.characters(max_codepoint=255), max_size=60))
def test_no_header_is_answered_by_a_fault_of_ours(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    access = Access(let_in, KeyRing(tmp_path_factory.getbasetemp() / "none.json"))
    assert ask(access, text)[0] == 401
    assert ask(access, f"Bearer {text}")[0] == 401


def test_a_key_asks_as_often_as_it_may(file: Path, guarded: Callable[[], Access]) -> None:
    _, token = add_key(file, "slow", ["predict"], requests_per_minute=3)
    access = guarded()
    answers = [ask(access, f"Bearer {token}") for _ in range(5)]
    assert [status for status, *_ in answers] == [204, 204, 204, 429, 429]
    assert 1 <= int(answers[-1][1]["retry-after"]) <= 20


def test_who_shows_wrong_keys_is_not_listened_to_and_others_are(file: Path, guarded: Callable[[], Access]) -> None:
    _, token = add_key(file, "ward", ["predict"])
    access = guarded()
    tried = [ask(access, "Bearer wrong")[0] for _ in range(FAILURES_PER_MINUTE + 2)]
    assert tried == [401] * FAILURES_PER_MINUTE + [429] * 2
    assert ask(access, f"Bearer {token}")[0] == 429
    assert ask(access, f"Bearer {token}", peer="192.0.2.8")[0] == 204


def test_a_service_with_keys(
    start_server: Any, store_home: Path, tag: str, file: Path, tmp_path: Path, cohort: Any
) -> None:
    """Over HTTP, on the real server: known within a second, and no key in its log."""
    key, token = add_key(file, "ward", ["predict"])
    env = {"BENTOML_HOME": str(store_home), "SEQUELA_MODEL": tag, "SEQUELA_KEYS": str(file)}
    body = {"patients": [{}]}
    with start_server(tmp_path, env) as server, server.client() as client:
        headers = {"authorization": f"Bearer {token}"}
        assert client.post("/v1/predict", json=body, headers=headers).status_code == 200
        assert client.get("/v1/model", headers=headers).status_code == 200
        assert client.post("/v1/predict", json=body).status_code == 401
        assert client.get("/metrics", headers=headers).status_code == 403
        assert client.get("/livez").status_code == 200
        other = client.post("/v1/predict", content=b"x", headers={"content-type": "text/plain"})
        assert other.status_code == 401  # before anything is said of the body, which would be 415
        _, admin = add_key(file, "prometheus", ["admin"])
        time.sleep(1.5)
        assert client.get("/metrics", headers={"authorization": f"Bearer {admin}"}).status_code == 200
        revoke_key(file, key.id)
        time.sleep(1.5)
        assert client.post("/v1/predict", json=body, headers=headers).status_code == 401
        log = server.log.read_text()
    assert token not in log
    assert token.split("_", 2)[2] not in log
    assert admin not in log
