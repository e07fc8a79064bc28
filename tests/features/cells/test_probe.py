"""A file from which the HDF5 library does not come back is refused, by the process that survives."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

import features.cells.probe as probe
from features.cells.anndata_layout import CellFileError
from features.cells.probe import require_readable


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "cells.h5ad"
    with h5py.File(path, "w") as file:
        file.create_group("obs").attrs["_index"] = "cell"
    return path


def test_sound_absent_and_other_files_pass(sound: Path, tmp_path: Path) -> None:
    require_readable(sound)
    require_readable(tmp_path / "absent.h5ad")
    (tmp_path / "text.h5ad").write_bytes(b"no HDF5")
    require_readable(tmp_path / "text.h5ad")
    require_readable(tmp_path)


@pytest.mark.parametrize(
    ("look", "says"),
    [("while True: pass", "does not come back from it within 1 s"), ("import os; os.abort()", "crashes on it")],
    ids=["hangs", "crashes"],
)
def test_what_the_library_does_not_survive_is_refused(
    sound: Path, monkeypatch: pytest.MonkeyPatch, look: str, says: str
) -> None:
    monkeypatch.setattr(probe, "_LOOK", look)
    with pytest.raises(CellFileError, match=says):
        require_readable(sound, 1.0)
