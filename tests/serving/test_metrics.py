"""`/metrics`, as Prometheus reads it, after real requests."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from server_workers import answering

from serving.counts import PATHS, TELL_SECONDS, UNUSUAL
from serving.keys import add_key

NOBODYS = "SENTINEL-8841"
"""Whatever comes from outside and could name somebody."""
N_REQUESTS = 12
LABELS = {
    "sequela_request_seconds": {"path", "status"},
    "sequela_predicted_patients": {"model"},
    "sequela_unusual_inputs": {"model", "how", "feature"},
}


@pytest.fixture(scope="module", params=[1, 2])
def told(
    request: Any, start_server: Any, store_home: Path, tag: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """What `/metrics` says after some requests to one or two workers, and the key that came with them."""
    folder = tmp_path_factory.mktemp("metrics")
    _, token = add_key(folder / "keys.json", "ward", ["predict", "explain", "admin"])
    env = {"BENTOML_HOME": str(store_home), "SEQUELA_MODEL": tag, "SEQUELA_KEYS": str(folder / "keys.json")}
    with start_server(folder, env | {"SEQUELA_WORKERS": str(request.param)}) as server:
        answering(server, request.param)
        for _ in range(N_REQUESTS):  # each on a connection of its own: any worker may take it
            with server.client() as client:
                client.headers["authorization"] = f"Bearer {token}"
                send_all(client)
        time.sleep(1.5 * TELL_SECONDS)  # the other worker, too, has then told of its patients
        with server.client() as client:
            yield client.get("/metrics", headers={"authorization": f"Bearer {token}"}).text, token


def send_all(client: httpx.Client) -> None:
    """What is answered, and what is not."""
    had = {"event": "infection", "day": -1, "grade": 3}
    patient = {"patient_id": NOBODYS, "baseline": {"age": 61.5, "product": NOBODYS}, "events": [had]}
    sample = {"material": NOBODYS, "day": 0, "genes": ["G0"], "indptr": [0, 1], "indices": [0], "values": [8841.25]}
    assert client.post("/v1/predict", json={"patients": [patient] * 3}).status_code == 200
    assert client.post("/v1/explain", json={"patients": [patient]}).status_code == 200
    client.post("/v1/predict", json={"patients": [patient | {"samples": [sample]}]})
    assert client.post("/v1/predict", json={"patients": [patient | {NOBODYS: 1}]}).status_code == 400
    assert client.post(f"/v1/{NOBODYS}", content=json.dumps(patient)).status_code == 404
    assert client.get("/v1/model", headers={"authorization": f"Bearer {NOBODYS}"}).status_code == 401


def families(text: str) -> dict[str, Metric]:
    """Ours, by name."""
    return {family.name: family for family in text_string_to_metric_families(text) if "sequela" in family.name}


def test_every_family_says_what_it_is(told: tuple[str, str]) -> None:
    found = families(told[0])
    assert set(found) == set(LABELS)
    for name, family in found.items():
        assert family.documentation.endswith(".")
        assert family.type == ("histogram" if name.endswith("_seconds") else "counter")
        if family.type == "counter":
            assert {sample.name for sample in family.samples} <= {f"{name}_total", f"{name}_created"}


def test_the_workers_are_added_up(told: tuple[str, str], tag: str) -> None:
    found = families(told[0])
    (patients,) = (s for s in found["sequela_predicted_patients"].samples if s.name.endswith("_total"))
    assert patients.labels == {"model": tag}
    assert patients.value == 3 * N_REQUESTS
    samples = [s for s in found["sequela_unusual_inputs"].samples if s.name.endswith("_total")]
    unusual = {(s.labels["how"], s.labels["feature"]): s.value for s in samples}
    assert unusual["happened", "infection"] == 3 * N_REQUESTS
    seconds = found["sequela_request_seconds"].samples
    counted = {(s.labels["path"], s.labels["status"]): s.value for s in seconds if s.name.endswith("_count")}
    assert counted["/v1/explain", "200"] == counted["other", "404"] == counted["/v1/model", "401"] == N_REQUESTS
    for sample in seconds:
        if sample.labels.get("le") == "+Inf":
            assert sample.value == counted[sample.labels["path"], sample.labels["status"]]


def test_labels_are_names_of_ours(told: tuple[str, str], tag: str, card: Any) -> None:
    text, token = told
    assert NOBODYS not in text
    assert "8841.25" not in text
    assert token not in text
    allowed = {
        "path": PATHS | {"other"},
        "status": {"200", "400", "401", "404", "503"},
        "model": {tag},
        "how": set(UNUSUAL),
    }
    names = (*card.variables, "samples", "events", "scores", "infusion_product", "blood", "icans", "infection")
    for name, family in families(text).items():
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == LABELS[name]
            assert all(sample.labels[label] in some for label, some in allowed.items() if label in sample.labels)
            feature = sample.labels.get("feature")
            assert feature is None or any(known in feature for known in names), feature
