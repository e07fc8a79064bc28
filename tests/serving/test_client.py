"""The client against real servers: a service, and one that fails as networks do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import serving.client
from serving.client import Client, ServiceError
from serving.keys import add_key

Script = Callable[[int], tuple[int, dict[str, str], bytes]]


@pytest.fixture
def played() -> Iterator[Callable[[Script], tuple[str, list[bytes]]]]:
    """`played(script)`: a server that answers its n-th request as the script says; its address, and its bodies."""
    servers: list[ThreadingHTTPServer] = []

    def play(script: Script) -> tuple[str, list[bytes]]:
        bodies: list[bytes] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(self.rfile.read(int(self.headers["content-length"])))
                status, headers, content = script(len(bodies))
                if status == 0:
                    return  # the connection ends without an answer
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *words: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}", bodies

    yield play
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving.client, "_pause", lambda attempt: 0.0)


def answer_to(body: bytes) -> bytes:
    """What a service answers, as far as the client looks."""
    model = {"name": "m", "version": "sequela:1", "run_id": "r", "endpoint": "e", "provenance": "simulated"}
    remarks = ("missing", "impossible", "outside_training_range", "unseen_levels", "ignored")
    empty: dict[str, Any] = {name: [] for name in remarks}
    found = [
        {"patient_id": patient["patient_id"], "landmark_day": 0.0, "horizons_days": [1.0]}
        | {"incidence": {"event": [0.1]}, "event_free": [0.9]}
        | empty
        for patient in json.loads(body)["patients"]
    ]
    return json.dumps({"model": model, "predictions": found}).encode()


def test_the_service_answers_a_list_of_any_length_in_its_order(server: Any, cohort: Any, fitted: Any) -> None:
    """The server takes 2 MiB at a time, which is less than the client sends at first."""
    client = Client(server.url)
    sent = (cohort.records[i % len(cohort.records)] for i in range(3 * len(cohort.records)))
    found = list(client.predict(sent, horizons_days=[90.0, 365.0]))
    assert len(found) == 3 * len(cohort.records)
    expected = fitted.predict_incidence(cohort.patients, np.array([90.0, 365.0])).values
    served = np.array([list(one.prediction.incidence.values()) for one in found])
    np.testing.assert_allclose(served, np.tile(expected, (3, 1, 1)), rtol=0, atol=1e-6)
    assert client.card().version == found[0].model.version


def test_a_refused_patient_is_named_by_its_number_in_the_whole_list(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving.client, "MOST_PATIENTS", 4)
    patients = [{"baseline": {"age": 50.0}}] * 10 + [{"baseline": {"aeg": 50.0}}]
    answers = Client(server.url).predict(patients)
    with pytest.raises(ServiceError, match=r"400: patients\[10\]\.baseline\.aeg: is no baseline variable") as refused:
        list(answers)
    assert (refused.value.status, refused.value.field) == (400, "patients[10].baseline.aeg")


def test_what_is_not_answered_is_asked_again_and_nothing_twice(
    played: Callable[[Script], tuple[str, list[bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving.client, "MOST_PATIENTS", 2)
    failures = {1: (503, {"retry-after": "0"}), 2: (0, {}), 4: (429, {}), 5: (502, {})}
    url, bodies = played(lambda n: (*failures[n], b"<html>") if n in failures else (200, {}, answer_to(bodies[-1])))
    found = list(Client(url).predict([{"patient_id": f"p{i}"} for i in range(5)]))
    assert [one.prediction.patient_id for one in found] == [f"p{i}" for i in range(5)]
    assert len(bodies) == 3 + len(failures)


@pytest.mark.parametrize(
    ("status", "said", "asked"), [(503, "answers 503", 5), (0, "does not answer", 5), (401, "answers 401", 1)]
)
def test_in_the_end_it_says_what_was_wrong(
    played: Callable[[Script], tuple[str, list[bytes]]], status: int, said: str, asked: int
) -> None:
    url, bodies = played(lambda n: (status, {}, b"<html>"))
    with pytest.raises(ServiceError, match=said):
        list(Client(url).predict([{}]))
    assert len(bodies) == asked


def test_large_patients_go_alone(
    played: Callable[[Script], tuple[str, list[bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving.client, "MOST_BYTES", 200)
    url, bodies = played(lambda n: (200, {}, answer_to(bodies[-1])))
    sizes = [10, 10, 500, 10, 180, 180]
    list(Client(url).predict([{"patient_id": "p" * size} for size in sizes]))
    assert [len(json.loads(body)["patients"]) for body in bodies] == [2, 1, 1, 1, 1]


@pytest.mark.parametrize("url", ["localhost:3000", "file:///etc/passwd", "ftp://here", ""])
def test_an_address_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(ServiceError, match="is no address of a service"):
        Client(url)


def test_nobody_there_is_said() -> None:
    with pytest.raises(ServiceError, match=r"127\.0\.0\.1:9: does not answer .* is the address right"):
        Client("http://127.0.0.1:9", attempts=2).card()


def test_a_key_opens_a_guarded_service(start_server: Any, store_home: Path, tag: str, tmp_path: Path) -> None:
    _, token = add_key(tmp_path / "keys.json", "ward", ["predict"])
    env = {"BENTOML_HOME": str(store_home), "SEQUELA_MODEL": tag, "SEQUELA_KEYS": str(tmp_path / "keys.json")}
    with start_server(tmp_path, env) as server:
        assert Client(server.url, token).card().name == "mixture-for-tests"
        with pytest.raises(ServiceError, match="401: authorization: must be Bearer"):
            Client(server.url).card()
