"""Artifacts of every released format: served for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.store import publish
from training.artifact.folder import read_artifact

RELEASED = sorted((Path(__file__).resolve().parents[1] / "golden" / "artifacts").iterdir())


@pytest.mark.parametrize("folder", RELEASED, ids=[folder.name for folder in RELEASED])
def test_a_released_artifact_is_served(
    folder: Path, start_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path))
    tag = publish(folder, {})
    example = read_artifact(folder).manifest.example
    env = {"BENTOML_HOME": str(tmp_path), "SEQUELA_MODEL": tag}
    with start_server(tmp_path, env) as server, server.client() as client:
        card = client.get("/v1/model").json()
        answer = client.post("/v1/predict", json=card["example"]["request"])
        explained = client.post("/v1/explain", json=card["example"]["request"])
        described = client.get("/docs.json")
    assert (answer.status_code, explained.status_code, described.status_code) == (200, 200, 200)
    (prediction,) = answer.json()["predictions"]
    known = dict(zip(example.times_days, np.transpose(example.incidence), strict=True))
    asked = prediction["horizons_days"]
    assert asked == [day for day in example.times_days if day > 0]
    given = np.transpose(list(prediction["incidence"].values()))
    np.testing.assert_allclose(given, [known[day] for day in asked], rtol=0, atol=1e-6)
