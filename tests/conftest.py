"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Each process of tests on one core: threads of several wait for one another far longer than they compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real studies beside the repository, or wherever SEQUELA_SHARED_DATA points."""
    folder = Path(os.environ.get("SEQUELA_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real studies at {folder}; set SEQUELA_SHARED_DATA to test on them")
    return folder
