"""What processes that are no more have left: runs that never ended, and events that MLflow does not have."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from experiments.home import Home
from experiments.store.failures import OutageError
from experiments.store.interpreter import Interpreter
from experiments.tracking.events import end_of, open_runs
from experiments.tracking.run_folder import RunFolder
from features.errors import SequelaError

LONGEST_SECONDS = 10.0
"""Before a run, for what earlier ones have left."""


@dataclass(frozen=True, slots=True)
class Synced:
    """A run that was looked after."""

    run_id: str
    delivered: int
    """Events that MLflow has got now."""
    killed: bool
    """Whether its process had been killed; the run is marked so."""
    refused: tuple[str, ...]
    """What MLflow would not take."""
    broken: str | None = None
    """Why its folder cannot be read, where that is so."""


def settle(folder: RunFolder) -> None:
    """Mark a run killed whose process is no more; its courier may be the first to notice, a moment too early."""
    for _ in range(20):
        if folder.take():
            try:
                _settle(folder)
            finally:
                folder.release()
            return
        time.sleep(0.1)


def _settle(folder: RunFolder) -> bool:
    """Whether the run had been killed. One that said how it ended before it could write that down, had not."""
    if folder.status != "running":
        return False
    events = folder.outbox.events()
    if open_runs(events):
        folder.end_open_runs("KILLED", events[-1].time_ms)  # the last sign of life
        return True
    folder.mark(status=(end_of(events) or "KILLED").lower())
    return False


def sync(
    home: Home, references: Sequence[str] = (), progress: Callable[[int, int], None] | None = None
) -> Iterator[Synced]:
    """Deliver what runs have left behind; runs that are still going on deliver themselves.

    Args:
        home: The stores.
        references: Ids of runs, or their beginnings; none: all runs.
        progress: Told how many runs of how many are done.

    Raises:
        SequelaError: A reference fits no run; or the store does not answer, or is wrongly configured. What is left,
            waits.
    """
    folders = list(RunFolder.all_of(home))
    for reference in references:
        if not any(folder.path.name.startswith(reference) for folder in folders):
            msg = f"run {reference}: no run in {home.runs} has this id; its folders are named by it"
            raise SequelaError(msg)
    chosen = [f for f in folders if not references or any(f.path.name.startswith(r) for r in references)]
    for done, folder in enumerate(chosen):
        if (folder.status == "running" or folder.outbox.waiting()) and folder.take():
            try:
                yield _deliver(home, folder)
            except (OSError, ValueError, KeyError, TypeError, IndexError) as error:  # a disk that was full, a torn line
                yield Synced(folder.path.name, 0, killed=False, refused=(), broken=f"{type(error).__name__}: {error}")
            finally:
                folder.release()
        if progress is not None:
            progress(done + 1, len(chosen))


def _deliver(home: Home, folder: RunFolder) -> Synced:
    killed = _settle(folder)
    waiting = folder.outbox.waiting()
    interpreter = Interpreter(home, folder)
    try:
        interpreter.deliver()
    except OutageError as error:
        msg = f"run {folder.path.name}: the tracking store does not answer ({error}); it is kept, try again later"
        raise SequelaError(msg) from error
    folder.adopt_delivered()
    return Synced(folder.path.name, waiting, killed, tuple(interpreter.refused))


def deliver_left(home: Home) -> None:
    """What `sync` does, as far as it goes in a few seconds: nobody waits long for what others have left."""
    began = time.monotonic()
    try:
        for _ in sync(home):
            if time.monotonic() - began > LONGEST_SECONDS:
                return
    except SequelaError:  # the store does not answer; the run at hand will say so
        return
