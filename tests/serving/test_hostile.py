"""Bodies and connections that are meant to hurt: refused, quickly, in bounded memory, while others are answered."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

GROWTH = 600 * 2**20
"""Of a server that takes 64 MiB at a time and holds four such bodies."""
REQUEST = b'{"patients": [{"baseline": {"age": 61.0}}]}'


@pytest.fixture(scope="module")
def wide(store_home: Any, tag: str, start_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A service with its own limits."""
    env = {"BENTOML_HOME": str(store_home), "SEQUELA_MODEL": tag}
    with start_server(tmp_path_factory.mktemp("hostile"), env) as server:
        yield server


def memory(server: Any) -> int:
    top = psutil.Process(server.pid)
    return sum(process.memory_info().rss for process in (top, *top.children(recursive=True)))


def head(length: int | None, *more: str) -> bytes:
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    plain = () if any(line.startswith("Content-Type") for line in more) else ("Content-Type: application/json",)
    lines = ("POST /v1/predict HTTP/1.1", "Host: x", *plain, size, *more, "", "")
    return "\r\n".join(lines).encode()


def opened(server: Any) -> socket.socket:
    return socket.create_connection((urlsplit(server.url).hostname, urlsplit(server.url).port), timeout=30)


def status_of(connection: socket.socket) -> int:
    return int(connection.recv(4096).split()[1])


def test_a_body_without_end_is_refused_where_it_is_too_large(wide: Any) -> None:
    """A gigabyte, of which a sixteenth is sent before the answer comes."""
    before, part = memory(wide), b"100000\r\n" + b" " * 2**20 + b"\r\n"
    with opened(wide) as connection:
        connection.sendall(head(None))
        sent = 0
        with contextlib.suppress(OSError):
            for _ in range(1024):
                connection.sendall(part)
                sent += 1
                connection.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    assert status_of(connection) == 413
                    break
                connection.settimeout(30)
    assert sent < 200
    assert memory(wide) - before < GROWTH
    with opened(wide) as connection:
        connection.sendall(head(2**30))
        assert status_of(connection) == 413


def nested(depth: int) -> bytes:
    return b'{"patients": ' + b"[" * depth + b"]" * depth + b"}"


def tensors(n: int, key: str = "dtype") -> bytes:
    """A safetensors file of empty ones."""
    return safetensors("".join(f',"{i:x}":{{"{key}":"U8","shape":[0],"data_offsets":[0,0]}}' for i in range(n)))


def safetensors(tensors: str, metadata: str = "") -> bytes:
    header = f'{{"__metadata__":{{"request":"{{}}"{metadata}}}{tensors}}}'.encode()
    return len(header).to_bytes(8, "little") + header


def keys(n: int) -> bytes:
    return json.dumps({"patients": [{"baseline": {f"k{i}": 1 for i in range(n)}}]}).encode()


PACKED = ("Content-Type: application/x-safetensors",)
BODIES: dict[str, tuple[Callable[[], bytes], tuple[str, ...], int]] = {
    "deep": (lambda: nested(1_000_000), (), 400),
    "a million keys": (lambda: keys(1_000_000), (), 400),
    "a gzip bomb": (lambda: gzip.compress(b" " * 2**28), ("Content-Encoding: gzip",), 415),
    "a bomb that says nothing": (lambda: gzip.compress(b" " * 2**28), (), 400),
    "no number": (lambda: b'{"patients": [{"landmark_day": NaN}]}', (), 400),
    "beyond numbers": (lambda: b'{"patients": [{"landmark_day": 1' + b"0" * 400_000 + b"}]}", (), 400),
    "broken text": (lambda: b'{"patients": [{"patient_id": "\xff\xfe"}]}', (), 400),
    "half a surrogate": (lambda: b'{"patients": [{"patient_id": "\\ud800"}]}', (), 400),
    "a list of nothing": (lambda: b'{"patients": [' + b",".join([b"{}"] * 10_001) + b"]}", (), 413),
    "a million tensors": (lambda: tensors(1_000_000), PACKED, 413),
    "tensors in disguise": (lambda: tensors(900_000, r"\u0064type"), PACKED, 413),
    "a tensor of a million dimensions": (
        lambda: safetensors(f',"a":{{"dtype":"U8","shape":[{"1," * 1_000_000}1],"data_offsets":[0,1]}}') + b"0",
        PACKED,
        413,
    ),
    "a million notes": (lambda: safetensors("", "".join(f',"{i:x}":""' for i in range(1_000_000))), PACKED, 413),
    "a key twice": (lambda: b'{"patients": [{"baseline": {"age": 61, "age": 300}}]}', (), 400),
}


@pytest.mark.parametrize(("body", "more", "status"), BODIES.values(), ids=BODIES)
def test_bodies_that_are_meant_to_hurt(
    wide: Any, body: Callable[[], bytes], more: tuple[str, ...], status: int
) -> None:
    before, sent = memory(wide), body()
    with opened(wide) as connection:
        began = time.monotonic()
        connection.sendall(head(len(sent), *more) + sent)
        assert status_of(connection) == status
        assert time.monotonic() - began < 10
    assert memory(wide) - before < GROWTH


def test_slow_and_silent_clients_keep_nobody_waiting(wide: Any) -> None:
    """Two hundred connections that send half a request, or nothing; others are answered meanwhile."""
    beginnings = (b"", b"POST /v1/pre", head(len(REQUEST)), head(len(REQUEST)) + REQUEST[:10], head(None) + b"5\r\n{")
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(opened(wide)) for _ in range(200)]
        for i, connection in enumerate(held):
            if i % len(beginnings) < 2 or i < 150:  # of whole heads fewer than are taken at a time
                connection.sendall(beginnings[i % len(beginnings)] if i % len(beginnings) < 2 or i < 60 else b"GET")
        for _ in range(20):
            with wide.client() as client:
                began = time.monotonic()
                response = client.post("/v1/predict", content=REQUEST, headers={"content-type": "application/json"})
                assert response.status_code == 200
                assert time.monotonic() - began < 2
    with wide.client() as client:  # what the connections held is let go
        assert client.post("/v1/predict", json=json.loads(REQUEST)).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [b"\x16\x03\x01\x02\x00\x01\x00", head(-5), b"POST /v1/predict\r\n\r\n", b"\x00" * 1000],
    ids=["tls", "length", "no protocol", "zeros"],
)
def test_what_is_no_http_ends_the_connection_and_nothing_else(wide: Any, sent: bytes) -> None:
    with opened(wide) as connection:
        connection.sendall(sent)
        answer = connection.recv(4096)
    assert not answer or answer.split()[1].startswith(b"4")
    with wide.client() as client:
        assert client.post("/v1/predict", json=json.loads(REQUEST)).status_code == 200
