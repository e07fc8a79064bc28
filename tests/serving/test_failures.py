"""What happens when the model is missing, damaged, or fails."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.card import model_card
from serving.following import Served
from serving.messages import PredictRequest
from serving.store import publish
from training.artifact.folder import Artifact
from training.artifact.manifest import WEIGHTS

SENTINEL = "SENTINEL-8841"


def test_a_damaged_model_is_never_ready(
    artifact_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start_server: Any
) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    tag = publish(artifact_dir, {})
    weights = tmp_path / "home" / "models" / tag.replace(":", "/") / "artifact" / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with start_server(tmp_path, {"BENTOML_HOME": str(tmp_path / "home"), "SEQUELA_MODEL": tag}, ready=503) as server:
        with server.client() as client:
            answers = {
                "predict": client.post("/v1/predict", json={"patients": [{}]}),
                "card": client.get("/v1/model"),
            }
            assert client.get("/livez").status_code == 200
            assert client.get("/docs.json").status_code == 200
            score = client.post("/v1/scores", json={"patients": [{"crs": {"fever": True}}]})  # needs no model
            assert score.json()["patients"][0]["scores"]["crs"]["value"] == 1.0
            assert client.get("/v1/scores").status_code == 200
        for name, response in answers.items():
            assert response.status_code == 503, name
            assert response.json()["rule"] == "no model is ready; the server's log says why"
        log = server.log.read_text()
        assert f"Model {tag} is not served: " in log
        assert "does not match its sha256" in log
        assert "Traceback" not in log


def test_a_model_that_is_not_in_the_store_ends_the_server(tmp_path: Path, server_env: dict[str, str]) -> None:
    env = server_env | {"BENTOML_HOME": str(tmp_path), "SEQUELA_MODEL": "sequela:absent"}
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:RiskService", "--port", "0"]
    ended = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "sequela:absent" in ended.stdout + ended.stderr


class _Failing:
    """A predictor that fails with a patient's value in its message, as numpy's conversions do."""

    kind = "failing"

    def incidence(self, *_: object) -> Any:
        msg = f"could not convert string to float: {SENTINEL}"
        raise ValueError(msg)


def test_a_failing_answer_is_logged_without_its_message(
    artifact: Artifact, service_module: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Artifact(artifact.manifest, replace(artifact.model, predictor=_Failing()))
    served = Served(failing, "sequela:v", model_card(artifact, "sequela:v"))
    monkeypatch.setattr(service_module.CHAMPION, "served", served)
    request = PredictRequest.model_validate({"patients": [{"patient_id": SENTINEL}]})
    logging.getLogger("bentoml.sequela").propagate = True
    with caplog.at_level(logging.ERROR):
        response = service_module.ANSWERING.by_model(request, service_module.PREDICT, "predict")
    assert response.status_code == 500
    assert SENTINEL.encode() not in response.body
    assert "ValueError in request none (predict)" in caplog.text
    assert "test_failures.py" in caplog.text  # its place
    assert SENTINEL not in caplog.text


async def post(app: Any, path: str, body: object) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
        return await client.post(path, json=body)


def test_a_failing_score_is_logged_without_its_message(
    service_module: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "score_answer", lambda _: float(SENTINEL))
    logging.getLogger("bentoml.sequela").propagate = True
    with caplog.at_level(logging.ERROR):
        response = asyncio.run(post(service_module.PAGES, "/v1/scores", {"patients": [{}]}))
    assert response.status_code == 500
    assert response.json()["rule"] == "the answer failed; the server's log says where"
    assert "ValueError in request" in caplog.text
    assert SENTINEL not in caplog.text


def test_a_service_without_a_ledger_takes_no_outcomes(service_module: Any) -> None:
    told = {"patients": [{"patient_id": SENTINEL, "follow_up_days": 3}]}
    response = asyncio.run(post(service_module.PAGES, "/v1/outcomes", told))
    assert response.status_code == 404
    assert "keeps no predictions" in response.json()["rule"]
