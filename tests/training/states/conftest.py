"""Values computed with R."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def golden() -> dict[str, Any]:
    """Values computed by tests/golden/states.R."""
    path = Path(__file__).resolve().parents[2] / "golden" / "states.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
