"""Requests to a server, in two ways, by a client that costs little: plain HTTP/1.1 over connections that stay open.

`open_loop` sends each request at its appointed time, whether earlier ones were answered or not, and counts its latency
from then on: a pause of the server is felt by all who wait in it (coordinated omission, Tene 2013). `closed_loop` sends
the next request when the last is answered: what the server can do.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Answer:
    """To one request."""

    due: float
    """Seconds after the beginning at which it was to be sent."""
    seconds: float
    """From then on until the whole answer was there."""
    status: int
    """0 where the connection broke."""
    body: bytes = field(repr=False)


def post(path: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    """A request as it goes over the wire."""
    all_headers = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in (all_headers | (headers or {})).items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection:
    """One that is opened when it is needed, and again after it broke."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body; 0 and the error where there is no answer."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self.port, limit=2**24)
            reader, writer = self._streams
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            body = await self._body(reader, fields)
            if fields.get(b"connection") == b"close":
                await self.close()
            return int(head[9:12]), body
        except (OSError, EOFError, ValueError) as error:
            await self.close()
            return 0, type(error).__name__.encode()

    @staticmethod
    async def _body(reader: asyncio.StreamReader, fields: dict[bytes, bytes]) -> bytes:
        if b"content-length" in fields:
            return await reader.readexactly(int(fields[b"content-length"]))
        parts = []
        while size := int(await reader.readline(), 16):
            parts.append(await reader.readexactly(size))
            await reader.readline()
        await reader.readline()
        return b"".join(parts)

    async def close(self) -> None:
        """Close it."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def closed_loop(port: int, request: bytes, connections: int, seconds: float) -> list[Answer]:
    """So many connections, each asking again as soon as it is answered."""
    answers: list[Answer] = []
    began = time.perf_counter()

    async def one() -> None:
        connection = Connection(port)
        while (due := time.perf_counter() - began) < seconds:
            status, body = await connection.ask(request)
            answers.append(Answer(due, time.perf_counter() - began - due, status, body))
        await connection.close()

    await asyncio.gather(*(one() for _ in range(connections)))
    return answers


async def open_loop(port: int, request: bytes, rate: float, seconds: float, connections: int = 64) -> list[Answer]:
    """So many requests a second, each at its time, over whichever connection is free."""
    answers: list[Answer] = []
    waiting: asyncio.Queue[float | None] = asyncio.Queue()
    began = time.perf_counter()

    async def one() -> None:
        connection = Connection(port)
        while (due := await waiting.get()) is not None:
            status, body = await connection.ask(request)
            answers.append(Answer(due, time.perf_counter() - began - due, status, body))
        await connection.close()

    async def appoint() -> None:
        for number in range(int(rate * seconds)):
            due = number / rate
            await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
            waiting.put_nowait(due)
        for _ in range(connections):
            waiting.put_nowait(None)

    await asyncio.gather(appoint(), *(one() for _ in range(connections)))
    return answers
