"""The importers by name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from features.errors import SequelaError
from features.importers import IMPORTERS


def test_every_importer_is_described_and_refuses_an_absent_source(tmp_path: Path) -> None:
    for name, importer in IMPORTERS.items():
        assert importer.name == name
        assert importer.description
        assert "\n" not in importer.description
        spec = tmp_path / "spec.yaml" if importer.takes_spec else None
        with pytest.raises(SequelaError, match=r"cannot be read|is missing|no such"):
            importer.run(tmp_path / "absent", tmp_path / "cohort", spec)
        assert list(tmp_path.iterdir()) == []


def test_the_specification_is_asked_for_where_it_is_needed(tmp_path: Path) -> None:
    with pytest.raises(SequelaError, match=r"importer table: needs a specification.*--spec SPEC\.yaml"):
        IMPORTERS["table"].run(tmp_path / "t.csv", tmp_path / "cohort")
    with pytest.raises(SequelaError, match=r"importer leipzig2024: takes no specification; leave --spec out"):
        IMPORTERS["leipzig2024"].run(tmp_path, tmp_path / "cohort", tmp_path / "spec.yaml")


def test_listing_the_importers_loads_none_of_them() -> None:
    code = (
        "import sys; from features.importers import IMPORTERS; print(len(IMPORTERS)); "
        "assert not {'pandas', 'anndata', 'scipy', 'features.importers.table'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(len(IMPORTERS))
