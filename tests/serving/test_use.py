"""Counts that several threads make at the same time: none is lost."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from features.drift import Reference
from serving.use import DayCounts, Use

REFERENCE = Reference.of({"age": np.linspace(20, 80, 100)}, {"infection": np.linspace(0, 1, 100)})
ROW, RISK = np.array([[50.0]]), np.array([[0.5]])
MODEL = "sequela:v1"
RACE = """
import sys, threading
from serving.counts import counts
sys.setswitchinterval(1e-6)
start, made = threading.Barrier(8), []
def make():
    start.wait()
    made.append(counts())
threads = [threading.Thread(target=make) for _ in range(8)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
assert len(made) == 8 and len(set(map(id, made))) == 1, made
"""


@pytest.fixture(autouse=True)
def _impatient_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(*work: Callable[[], object]) -> None:
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def written(folder: Path) -> DayCounts:
    (file,) = folder.glob("*/*.json")
    return DayCounts.model_validate_json(file.read_text())


def test_rows_of_several_threads_are_all_counted(tmp_path: Path) -> None:
    use = Use(tmp_path)

    def add() -> None:
        for _ in range(300):
            use.add(MODEL, REFERENCE, ROW, RISK)

    at_once(*[add] * 6, *[use.write] * 2)
    use.write()
    found = written(tmp_path)
    assert found.n_rows == sum(found.inputs["age"].counts) == sum(found.risks["infection"].counts) == 1_800


def test_the_last_to_write_writes_all(tmp_path: Path) -> None:
    """As at the end of a service, when the minute is over at the same time."""
    use = Use(tmp_path)

    def add_and_write() -> None:
        use.add(MODEL, REFERENCE, ROW, RISK)
        use.write()

    for n in range(1, 200):
        at_once(*[add_and_write] * 3)
        assert written(tmp_path).n_rows == 3 * n


def test_counters_are_made_once() -> None:
    subprocess.run([sys.executable, "-c", RACE], check=True)
