"""What was predicted is kept until outcomes come, under pseudonyms; a challenger answers the same in the shadow."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from features.errors import SequelaError
from serving.card import model_card
from serving.following import Served
from serving.keys import add_key
from serving.ledger import Happened, Ledger
from serving.messages import PatientOutcome, PredictRequest
from serving.pseudonyms import Pseudonyms
from serving.shadow import MOST_PATIENTS, Shadow
from serving.store import publish
from tests.serving.conftest import make_artifact

NAMES = ("Jane Doe", "John Roe")
PATIENTS = [{"patient_id": name, "baseline": {"age": 61.5 + i}} for i, name in enumerate(NAMES)]


@dataclass(frozen=True)
class Keeping:
    """A service with a ledger, a challenger and keys."""

    server: Any
    folder: Path
    challenger: str
    keys: dict[str, dict[str, str]]

    def lines(self, kind: str) -> list[dict[str, Any]]:
        files = sorted((self.folder / "ledger" / kind).glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def settled(self, kind: str, n: int) -> list[dict[str, Any]]:
        """The lines, once there are so many: the shadow answers later."""
        deadline = time.monotonic() + 20
        while len(self.lines(kind)) < n and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.lines(kind)


@pytest.fixture(scope="module")
def keeping(start_server: Any, fitted: Any, store_home: Path, tag: str, tmp_path_factory: Any) -> Iterator[Keeping]:
    folder = tmp_path_factory.mktemp("keeping")
    make_artifact(fitted, folder / "challenger", "a-challenger")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(store_home))
        challenger = publish(folder / "challenger", {"registry_version": "4"})
    keys = {}
    for scope in ("predict", "outcomes", "admin"):
        _, token = add_key(folder / "keys.json", scope, [scope])
        keys[scope] = {"authorization": f"Bearer {token}"}
    env = {"BENTOML_HOME": str(store_home), "SEQUELA_MODEL": tag, "SEQUELA_KEYS": str(folder / "keys.json")}
    env |= {"SEQUELA_LEDGER": str(folder / "ledger"), "SEQUELA_SHADOW": challenger}
    with start_server(folder, env) as server:
        yield Keeping(server, folder, challenger, keys)


def test_what_was_answered_is_kept_and_the_challenger_answers_it_too(keeping: Keeping, tag: str) -> None:
    with keeping.server.client() as client:
        answer = client.post("/v1/predict", json={"patients": PATIENTS}, headers=keeping.keys["predict"]).json()
        client.post("/v1/predict", json={"patients": [{}]}, headers=keeping.keys["predict"])  # of nobody
        lines = keeping.settled("predictions", 4)
        time.sleep(1.5)  # counters are told once a second
        metrics = client.get("/metrics", headers=keeping.keys["admin"]).text
    told = {line["patient"]: line for line in lines if not line["shadow"]}
    shadow = {line["patient"]: line for line in lines if line["shadow"]}
    assert len(told) == len(shadow) == 2 == len(lines) / 2
    assert {line["model"] for line in told.values()} == {tag}
    assert {line["model"] for line in shadow.values()} == {keeping.challenger}
    pseudonyms = Pseudonyms(keeping.folder / "ledger" / "key")
    for name, prediction in zip(NAMES, answer["predictions"], strict=True):
        kept, also = told[pseudonyms.of(name)], shadow[pseudonyms.of(name)]
        assert kept["incidence"] == also["incidence"] == prediction["incidence"], "the same model, twice"
        assert kept["horizons_days"] == prediction["horizons_days"]
    assert f'sequela_shadowed_requests_total{{how="answered",model="{keeping.challenger}"}} 2.0' in metrics


def test_outcomes_are_kept_by_the_same_pseudonym_and_take_their_own_key(keeping: Keeping) -> None:
    body = {"patients": [{"patient_id": NAMES[0], "follow_up_days": 200, "events": [{"event": "infection", "day": 9}]}]}
    with keeping.server.client() as client:
        assert client.post("/v1/outcomes", json=body, headers=keeping.keys["predict"]).status_code == 403
        assert keeping.lines("outcomes") == []
        answer = client.post("/v1/outcomes", json=body, headers=keeping.keys["outcomes"])
        assert (answer.status_code, answer.json()) == (200, {"received": 1})
        assert client.post("/v1/predict", json={}, headers=keeping.keys["outcomes"]).status_code == 403
    (line,) = keeping.lines("outcomes")
    assert line["patient"] == Pseudonyms(keeping.folder / "ledger" / "key").of(NAMES[0])
    assert line["events"] == [{"event": "infection", "day": 9.0, "grade": None}]


@pytest.mark.parametrize(
    ("patient", "field"),
    [
        ({"follow_up_days": 3}, "patients[0].patient_id"),
        ({"patient_id": "p"}, "patients[0].follow_up_days"),
        ({"patient_id": "p", "follow_up_days": "3"}, "patients[0].follow_up_days"),
        ({"patient_id": "p", "follow_up_days": -1}, "patients[0].follow_up_days"),
        ({"patient_id": "p", "follow_up_days": 1e308}, "patients[0].follow_up_days"),
        ({"patient_id": "p", "follow_up_days": 3, "events": [{"event": "", "day": 1}]}, "patients[0].events[0].event"),
        (
            {"patient_id": "p", "follow_up_days": 3, "events": [{"event": "x" * 201, "day": 1}]},
            "patients[0].events[0].event",
        ),
        ({"patient_id": "p", "follow_up_days": 3, "event": []}, "patients[0].event"),
        ({"patient_id": "p", "follow_up_days": 3, "events": [{"event": "x", "day": 4}]}, "patients[0].events"),
        (
            {"patient_id": "p", "follow_up_days": 3, "events": [{"event": "x", "day": 1, "grade": 9}]},
            "patients[0].events[0].grade",
        ),
    ],
)
def test_what_is_no_outcome_is_refused_by_field(keeping: Keeping, patient: dict[str, Any], field: str) -> None:
    before = keeping.lines("outcomes")
    with keeping.server.client() as client:
        answer = client.post("/v1/outcomes", json={"patients": [patient]}, headers=keeping.keys["outcomes"])
    assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert keeping.lines("outcomes") == before


def test_a_patient_is_told_of_once_in_a_request(keeping: Keeping) -> None:
    body = {"patients": [{"patient_id": "p", "follow_up_days": day} for day in (3, 4)]}
    with keeping.server.client() as client:
        answer = client.post("/v1/outcomes", json=body, headers=keeping.keys["outcomes"])
    assert (answer.status_code, answer.json()["field"]) == (400, "patients")


def test_no_name_is_kept_and_files_are_ours_alone(keeping: Keeping) -> None:
    files = [path for path in (keeping.folder / "ledger").rglob("*") if path.is_file()]
    text = "".join(path.read_text() for path in files) + keeping.server.log.read_text()
    assert not [part for name in NAMES for part in name.split() if part in text]
    assert "61.5" not in text
    assert "62.5" not in text
    assert Pseudonyms(keeping.folder / "ledger" / "key").of(NAMES[0]) in text, "there is something to look through"
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)


def test_an_answer_is_given_though_the_ledger_cannot_be_written(keeping: Keeping) -> None:
    folder = keeping.folder / "ledger" / "predictions"
    folder.rename(folder.with_name("elsewhere"))
    try:
        with keeping.server.client() as client:
            answer = client.post("/v1/predict", json={"patients": PATIENTS}, headers=keeping.keys["predict"])
    finally:
        folder.with_name("elsewhere").rename(folder)
    assert answer.status_code == 200
    assert "The ledger cannot be written: No such file or directory" in keeping.server.log.read_text()


def test_an_outcome_that_cannot_be_kept_is_not_confirmed(keeping: Keeping) -> None:
    folder = keeping.folder / "ledger" / "outcomes"
    folder.rename(folder.with_name("elsewhere"))
    body = {"patients": [{"patient_id": "p", "follow_up_days": 3}]}
    try:
        with keeping.server.client() as client:
            answer = client.post("/v1/outcomes", json=body, headers=keeping.keys["outcomes"])
    finally:
        folder.with_name("elsewhere").rename(folder)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.json()["rule"] == "the ledger cannot be written; the server's log says why"


def test_what_does_not_fit_leaves_no_part_of_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path)
    told = PatientOutcome(patient_id="p", follow_up_days=3.0)
    ledger.happened([told])
    whole = os.write
    monkeypatch.setattr(os, "write", lambda file, content: whole(file, content[:20]))
    with pytest.raises(OSError, match="no space left"):
        ledger.happened([told])
    monkeypatch.undo()
    ledger.happened([told])
    (file,) = (tmp_path / "outcomes").iterdir()
    assert [Happened.model_validate_json(line).follow_up_days for line in file.read_text().splitlines()] == [3.0, 3.0]


def test_a_reader_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Pseudonyms(tmp_path / "key")
    assert list(tmp_path.iterdir()) == []
    assert Pseudonyms(tmp_path / "key", make=True).of("p") == Pseudonyms(tmp_path / "key").of("p")


def test_a_challenger_is_spared_what_it_cannot_keep_up_with(
    tmp_path: Path, artifact: Any, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever becomes of a request in the shadow is counted, and nothing more comes of it."""
    found: list[str] = []
    monkeypatch.setattr("serving.shadow.counts", lambda: Noting(found))
    shadow = Shadow(Ledger(tmp_path))
    small = PredictRequest.model_validate({"patients": [{"patient_id": "p"}]})
    shadow.show(small, "champion")
    assert found == [], "nobody stands in the shadow"
    shadow.served = Served(artifact, tag, model_card(artifact, tag))
    for _ in range(MOST_PATIENTS + 2):
        shadow.show(small, "champion")
    shadow.show(small, tag)
    assert found == ["dropped", "dropped"], "and what it answered as the champion it does not answer again"
    assert shadow._answer(shadow.served, small) == "answered"
    unknown = PredictRequest.model_validate({"patients": [{"baseline": {"shoe_size": 43}}]})
    assert shadow._answer(shadow.served, unknown) == "refused"
    shutil.rmtree(tmp_path / "predictions")
    assert shadow._answer(shadow.served, small) == "failed"


class Noting:
    """In the place of counters."""

    def __init__(self, found: list[str]) -> None:
        self.found = found

    def shadowed(self, model: str, how: str) -> None:
        del model
        self.found.append(how)


def test_a_place_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SequelaError, match=r"file/ledger: cannot be written"):
        Ledger(tmp_path / "file" / "ledger")


def test_the_document_describes_outcomes(keeping: Keeping) -> None:
    with httpx.Client(base_url=keeping.server.url, trust_env=False) as client:
        post = client.get("/docs.json", headers=keeping.keys["predict"]).json()["paths"]["/v1/outcomes"]["post"]
        example = post["requestBody"]["content"]["application/json"]["example"]
        answer = client.post("/v1/outcomes", json=example, headers=keeping.keys["outcomes"])
    assert answer.json() == post["responses"]["200"]["content"]["application/json"]["example"]
