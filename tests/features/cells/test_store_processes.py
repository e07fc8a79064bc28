"""The feature store among processes: several workers, two builders at once, kills, a disk that is full."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from features.cells.anndata_io import write_cells
from features.cells.store import CellStore, build, inspect
from features.cells.store_files import StoreError, building, clear_abandoned

REPOSITORY = Path(__file__).resolve().parents[3]
N_SAMPLES, CELLS_PER_SAMPLE, GENES = 8, 25, tuple(f"LOCAL{i}" for i in range(9))

BUILDER = """
import os, resource, signal, sys, time
from pathlib import Path
from pydantic import BaseModel
from features.cells.store import build
from features.errors import SequelaError

class Wait(BaseModel):
    folder: str
    def __call__(self, bag):
        folder = Path(self.folder)
        if (folder / "die").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        (folder / f"seen-{os.getpid()}").touch()
        while not (folder / "go").exists():
            time.sleep(0.01)
        return bag, {"n": float(len(bag))}

if __name__ == "__main__":
    cells, root, folder, workers, limit = sys.argv[1:]
    if int(limit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    try:
        wait = Wait(folder=folder)
        print(build(Path(cells), Path(root), processing=wait, processor=wait, workers=int(workers)).key)
    except SequelaError as error:
        sys.exit(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    table = np.random.default_rng(0).poisson(2.0, (N_SAMPLES * CELLS_PER_SAMPLE, len(GENES))).astype(np.float32)
    sample = np.repeat([f"s{i}" for i in range(N_SAMPLES)], CELLS_PER_SAMPLE)
    write_cells(tmp_path / "cells.zarr", table, GENES, sample, np.where(np.arange(len(sample)) % 3, "a", "b"))
    return tmp_path / "cells.zarr"


@pytest.fixture
def start(cells: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a builder whose processing waits until there is a file named go."""
    builders: list[subprocess.Popen[str]] = []
    script = tmp_path / "builder.py"
    script.write_text(BUILDER)
    (tmp_path / "signs").mkdir()
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}

    def started(workers: int = 1, limit: int = 0) -> subprocess.Popen[str]:
        words = [script, cells, tmp_path / "store", tmp_path / "signs", workers, limit]
        builder = subprocess.Popen(
            [sys.executable, *map(str, words)],
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        builders.append(builder)
        return builder

    yield started
    for builder in builders:
        builder.kill()
        builder.communicate()


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    stop = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < stop, "waited in vain"
        time.sleep(0.02)


def working(tmp_path: Path) -> list[int]:
    """Processes that have begun to process cells."""
    return [int(path.name.removeprefix("seen-")) for path in (tmp_path / "signs").glob("seen-*")]


def lives(pid: int) -> bool:
    """Whether a process runs: neither gone nor merely not yet waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def left_over(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "store" / ".building").iterdir())


def test_any_number_of_workers_writes_the_same_bytes(cells: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    alone = build(cells, tmp_path / "alone")
    together = build(cells, tmp_path / "together", workers=2, progress=lambda *done: seen.append(done))
    assert together.manifest == alone.manifest
    together.verify()
    assert len(together.shards) == N_SAMPLES
    total = N_SAMPLES * CELLS_PER_SAMPLE
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (total, total)


def test_of_two_builders_at_once_the_later_uses_the_others_store(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    builders = [start(), start(2)]
    wait_for(lambda: len(working(tmp_path)) >= 3)  # both are in the middle
    assert len(left_over(tmp_path)) == 4, "each has a folder and a lock of its own"
    (tmp_path / "signs" / "go").touch()
    answers = [builder.communicate(timeout=60) for builder in builders]
    assert [builder.returncode for builder in builders] == [0, 0], answers
    assert answers[0][0] == answers[1][0]
    (row,) = inspect(tmp_path / "store")
    assert (row.fault, row.key) == ("", answers[0][0].strip())
    store = CellStore.open(tmp_path / "store", row.key, verify=True)
    assert store.summary().number("n").tolist() == [CELLS_PER_SAMPLE] * N_SAMPLES
    assert left_over(tmp_path) == []


def test_a_killed_builder_leaves_nothing_for_long(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    killed = start(2)
    wait_for(lambda: len(working(tmp_path)) == 2)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    wait_for(lambda: not any(map(lives, working(tmp_path))))  # workers end with the builder
    assert inspect(tmp_path / "store") == [], "there is no half of a store"
    assert len(left_over(tmp_path)) == 2
    (tmp_path / "signs" / "go").touch()
    following = start()
    answer = following.communicate(timeout=60)
    assert following.returncode == 0, answer
    CellStore.open(tmp_path / "store", answer[0].strip(), verify=True)
    assert left_over(tmp_path) == []


def test_a_living_builders_folder_is_left_alone(start: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    living = start()
    wait_for(lambda: working(tmp_path))
    before = left_over(tmp_path)
    assert clear_abandoned(tmp_path / "store") == 0
    with building(tmp_path / "store") as other:
        assert other.is_dir()
    assert left_over(tmp_path) == before
    (tmp_path / "signs" / "go").touch()
    answer = living.communicate(timeout=60)
    assert living.returncode == 0, answer


def test_a_killed_worker_is_an_error_and_leaves_nothing(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    (tmp_path / "signs" / "die").touch()
    builder = start(2)
    _, said = builder.communicate(timeout=60)
    assert builder.returncode == 1
    assert "StoreError: a worker process ended before its work was done (exit code -9)" in said
    assert inspect(tmp_path / "store") == []
    assert left_over(tmp_path) == []


@pytest.mark.parametrize(("workers", "limit"), [(1, 2000), (2, 600)], ids=["late", "early, in a worker"])
def test_a_full_disk_is_an_error_and_leaves_nothing(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, workers: int, limit: int
) -> None:
    (tmp_path / "signs" / "go").touch()
    builder = start(workers, limit)  # no file may become larger
    _, said = builder.communicate(timeout=60)
    assert builder.returncode == 1, said
    assert "StoreError: " in said
    assert "cannot be written (File too large); make room on the disk" in said
    assert "Traceback" not in said
    assert inspect(tmp_path / "store") == []
    assert left_over(tmp_path) == []


def test_what_a_worker_finds_wrong_is_said(cells: Path, tmp_path: Path) -> None:
    values = cells / "X" / "data" / "c" / "0"
    values.write_bytes(b"x" + values.read_bytes()[1:])
    with pytest.raises(StoreError, match=r"^cells\.zarr: .*copy or write it again"):
        build(cells, tmp_path / "store", workers=2)
    assert inspect(tmp_path / "store") == []
    assert left_over(tmp_path) == []
