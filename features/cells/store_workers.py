"""Worker processes that fill shards: started afresh, each taking the next shard, ended with whoever started them."""

from __future__ import annotations

import multiprocessing
import os
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from features.cells.store_files import Shard, StoredFile, StoreError
from features.cells.store_fill import Filler, Job
from features.errors import SequelaError

Task = tuple[Path, tuple[int, int]]
"""Folder of a shard, and which samples of the file it takes."""
Filled = tuple[Shard, dict[str, StoredFile]]


def fill_in_workers(job: Job, tasks: Sequence[Task], workers: int, count: Callable[[int], None]) -> list[Filled]:
    """Fill shards in processes of their own.

    Args:
        job: What every worker has to know.
        tasks: The shards.
        workers: Number of processes.
        count: Hears of cells that are done.

    Returns:
        What was filled, in the order of the tasks.

    Raises:
        SequelaError: What a worker found wrong, or that one was killed.
        OSError: A worker could not write.
    """
    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of other threads
    started: dict[Connection, BaseProcess] = {}
    try:
        for _ in range(workers):
            here, there = context.Pipe()
            process: BaseProcess = context.Process(target=_work, args=(job, there), daemon=True)
            process.start()
            there.close()
            started[here] = process
        return _share_out(tasks, started, count)
    finally:
        for connection, process in started.items():
            process.kill()  # idle by now, unless something failed
            process.join()
            connection.close()


def _share_out(
    tasks: Sequence[Task], started: dict[Connection, BaseProcess], count: Callable[[int], None]
) -> list[Filled]:
    """Give each worker a shard whenever it has none, until all are filled."""
    waiting, filled = deque(enumerate(tasks)), dict[int, Filled]()
    while len(filled) < len(tasks):
        for connection in wait(list(started)):
            assert isinstance(connection, Connection)  # noqa: S101 - for the type checker
            try:
                kind, content = connection.recv()
            except (EOFError, ConnectionResetError) as error:
                started[connection].join()
                raise _killed(started[connection].exitcode) from error
            if kind == "cells":
                count(content)
            elif kind == "failed":
                raise content
            elif kind == "filled":
                filled[content[0]] = content[1]
            if kind in {"ready", "filled"} and waiting:
                connection.send(waiting.popleft())
    return [filled[i] for i in range(len(tasks))]


def _killed(exit_code: int | None) -> StoreError:
    msg = (
        f"a worker process ended before its work was done (exit code {exit_code}); it may have run out of memory: "
        "use fewer workers, and build again. Nothing half-written is left."
    )
    return StoreError(msg)


def _work(job: Job, connection: Connection) -> None:
    """What a worker does: fill the shards that it is given, until there are no more."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        with Filler(job) as filler:
            connection.send(("ready", None))
            while True:
                number, (folder, which) = connection.recv()
                filled = filler.fill(folder, which, lambda n: connection.send(("cells", n)))
                connection.send(("filled", (number, filled)))
    except EOFError:
        return
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the other process that reports it
        connection.send(("failed", _sendable(error)))


def _sendable(error: Exception) -> Exception:
    """An error that can be pickled and says the same; one that nobody foresaw takes its traceback along."""
    if isinstance(error, SequelaError):
        return StoreError(str(error))
    if isinstance(error, OSError):
        return OSError(error.errno, error.strerror)
    return RuntimeError("".join(traceback.format_exception(error)))


def _end_with_parent() -> None:
    """End this process as soon as the one that started it has ended, however it has."""
    parent: Any = multiprocessing.parent_process()
    wait([parent.sentinel])
    os._exit(1)
