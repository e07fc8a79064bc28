"""Every kind of model answers over HTTP as in the process that trained it: any landmark, with cells and without."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from small_models import MODELS

from serving.store import publish
from tests.serving.conftest import CARD, FEATURES, make_artifact, patients_of
from tests.serving.test_following import export
from training.config import TrainerConfig
from training.fit import fit_risk_model
from training.models.mixture import PREDICTORS

TIMES = [1.0, 90.0, 200.5, 365.0]


def test_every_kind_is_here() -> None:
    assert set(MODELS) - {"cells_within", "distilled"} == set(PREDICTORS)  # made of, and of another


@pytest.fixture(scope="module")
def followed(tag: str, store_home: Path, start_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A service that follows a file; the client, and the file."""
    folder = tmp_path_factory.mktemp("kinds")
    export(folder / "e.json", tag)
    env = {"BENTOML_HOME": str(store_home), "SEQUELA_MODEL": tag, "SEQUELA_FOLLOW": str(folder / "e.json")}
    with start_server(folder, env) as server, server.client() as client:
        yield client, folder / "e.json"


def wait_for(client: httpx.Client, tag: str) -> None:
    deadline = time.monotonic() + 30
    while (headers := client.get("/readyz").headers)["x-sequela-model"] != tag:
        assert time.monotonic() < deadline, dict(headers)
        time.sleep(0.1)


@pytest.mark.parametrize("kind", MODELS)
def test_served_is_trained(
    kind: str, cohort: Any, followed: Any, store_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, champion = followed
    cpu = TrainerConfig(accelerator="cpu")
    fitted = fit_risk_model(cohort.patients, cohort.outcomes, CARD, FEATURES, MODELS[kind], cpu, seed=4)
    make_artifact(fitted, tmp_path / "artifact", name=kind)
    monkeypatch.setenv("BENTOML_HOME", str(store_home))
    served = publish(tmp_path / "artifact", {})
    export(champion, served)
    wait_for(client, served)
    for landmark in (None, 0.0, 12.5, 30.0):
        moved = [record | ({} if landmark is None else {"landmark_day": landmark}) for record in cohort.records]
        bare = [record | {"samples": []} for record in moved]
        for records in (moved, bare):
            answer = client.post("/v1/predict", json={"patients": records, "horizons_days": TIMES})
            assert answer.status_code == 200, answer.text
            found = np.array([list(one["incidence"].values()) for one in answer.json()["predictions"]])
            expected = fitted.predict_incidence(patients_of(records), np.array(TIMES)).values
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
