"""The service as its callers meet it: `bentoml serve` in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from counted import counts_for
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.messages import Problem
from serving.page_files import FILES
from training.artifact.folder import Artifact
from training.models.risk_model import FittedRiskModel

Json = dict[str, Any]
HORIZONS = [90.0, 180.0, 365.0]
SENTINEL = "SENTINEL-8841"
SENTINEL_NUMBER = 884172.0625


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[httpx.Client]:
    with server.client() as opened:
        yield opened


def predict(client: httpx.Client, records: list[Any], **rest: Any) -> httpx.Response:
    return client.post("/v1/predict", json={"patients": records, **rest})


def incidences(body: Json) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([list(prediction["incidence"].values()) for prediction in body["predictions"]])


def test_the_served_answer_is_that_of_the_process_that_trained(
    client: httpx.Client, cohort: Any, fitted: FittedRiskModel
) -> None:
    times = [1.0, *HORIZONS]
    response = predict(client, cohort.records, horizons_days=times)
    assert response.status_code == 200
    expected = fitted.predict_incidence(cohort.patients, np.array(times)).values
    np.testing.assert_allclose(incidences(response.json()), expected, rtol=0, atol=1e-6)
    x, day = fitted.encoder.transform(cohort.patients), cohort.patients.landmark_day
    numbers = [one["expected_events"] for one in response.json()["predictions"]]
    counted = counts_for(x.shape[1]).expected(x, day, np.array(times))
    np.testing.assert_allclose(numbers, counted, rtol=0, atol=1e-6)


def test_the_example_of_the_card_answers_as_it_says(client: httpx.Client, artifact: Artifact, tag: str) -> None:
    card = client.get("/v1/model").json()
    response = client.post("/v1/predict", json=card["example"]["request"])
    assert response.status_code == 200
    assert response.json()["model"] == card["example"]["answer"]["model"]
    stored = np.array(artifact.manifest.example.incidence)
    for body in (response.json(), card["example"]["answer"]):
        np.testing.assert_allclose(incidences(body)[0], stored, rtol=0, atol=1e-6)
    assert card["version"] == tag
    assert card["training_cohort"]["provenance"] == "simulated"
    assert (card["run_id"], card["git_commit"]) == (artifact.manifest.run_id, artifact.manifest.git_commit)


def test_the_openapi_document_carries_the_same_example(client: httpx.Client) -> None:
    post = client.get("/docs.json").json()["paths"]["/v1/predict"]["post"]
    example = post["requestBody"]["content"]["application/json"]["example"]
    assert client.post("/v1/predict", json=example).status_code == 200
    assert example == client.get("/v1/model").json()["example"]["request"]


def test_every_answer_names_its_model(client: httpx.Client, tag: str) -> None:
    assert predict(client, [{}]).json()["model"] == {
        "name": "mixture-for-tests",
        "version": tag,
        "run_id": "0123456789abcdef" * 2,
        "endpoint": "severe_infection",
        "provenance": "simulated",
    }


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/"])
def test_operations_pages_answer(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 200


def test_a_thousand_patients_keep_their_order(client: httpx.Client, cohort: Any) -> None:
    records = [{k: v for k, v in cohort.records[i % 100].items() if k != "samples"} for i in range(1_100)]
    body = predict(client, records).json()
    assert [p["patient_id"] for p in body["predictions"]] == [f"p{i % 100}" for i in range(1_100)]
    np.testing.assert_allclose(incidences(body)[100:200], incidences(body)[:100], rtol=0, atol=1e-6)


def without_numbers(body: Json) -> Json:
    """What does not depend on who else is answered at the time, to the last digit."""
    rest = [
        {k: v for k, v in one.items() if k not in ("incidence", "event_free", "expected_events")}
        for one in body["predictions"]
    ]
    return body | {"predictions": rest}


def test_requests_at_once_do_not_mix(server: Any, client: httpx.Client, cohort: Any) -> None:
    alone = [predict(client, [record]).json() for record in cohort.records[:24]]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda record: predict(client, [record]).json(), cohort.records[:24] * 3))
    for one, other in zip(together, alone * 3, strict=True):
        np.testing.assert_allclose(incidences(one), incidences(other), rtol=0, atol=1e-6)
        assert without_numbers(one) == without_numbers(other)


# -- what is refused ---------------------------------------------------------------------------------------------------

GENES = [*(f"G{i}" for i in range(8)), "PDCD1", "HAVCR2", "LAG3", "TIGIT", "NOT-ON-THE-PANEL"]


@st.composite
def samples(draw: st.DrawFn) -> Json:
    genes = draw(
        st.lists(st.sampled_from(GENES), min_size=7, max_size=9, unique=True)  # half of the panel or more
    )
    rows = draw(
        st.lists(st.lists(st.integers(0, len(genes) - 1), max_size=4, unique=True), min_size=1, max_size=8).filter(any)
    )
    indices = [gene for row in rows for gene in row]
    sample: Json = {
        "material": draw(st.sampled_from(["blood", "infusion_product"])),
        "day": draw(st.floats(allow_nan=False, allow_infinity=False)),
        "genes": genes,
        "indptr": np.cumsum([0, *map(len, rows)]).tolist(),
        "indices": indices,
        "values": draw(st.lists(st.integers(0, 10_000_000), min_size=len(indices), max_size=len(indices))),
    }
    if draw(st.booleans()):
        labels = st.sampled_from(["CD4 T", "CD8 T", "monocyte", "unheard of"])
        sample["cell_types"] = draw(st.lists(labels, min_size=len(rows), max_size=len(rows)))
    return sample


MEASUREMENTS = st.one_of(
    st.fixed_dictionaries(
        {
            "variable": st.just("ferritin"),
            "day": st.floats(allow_nan=False, allow_infinity=False),
            "value": st.floats(1, 1e6),
        },
        optional={"unit": st.sampled_from([None, "ng/mL", "ug/L"])},
    ),
    st.fixed_dictionaries(
        {
            "variable": st.just("ferritin"),
            "day": st.integers(-10, 40),
            "value": st.floats(1, 900),
            "unit": st.just("ug/mL"),
        }
    ),
)
BASELINE = st.fixed_dictionaries(
    {},
    optional={
        "age": st.none()
        | st.floats(18, 100)
        | st.integers(18, 100)
        | st.fixed_dictionaries({"value": st.floats(220, 1190), "unit": st.just("mo")}),
        "ecog": st.sampled_from([None, "0", "1", "2"]),
        "product": st.none() | st.text(max_size=20),
    },
)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "patient_id": st.text(min_size=1, max_size=20),
        "landmark_day": st.sampled_from([0, 30, 0.0, 30.0]),
        "baseline": BASELINE,
        "measurements": st.lists(MEASUREMENTS, max_size=6),
        "samples": st.lists(samples(), max_size=3),
    },
)
REQUESTS = st.fixed_dictionaries(
    {"patients": st.lists(RECORDS, min_size=1, max_size=4)},
    optional={
        "horizons_days": st.none()
        | st.lists(st.floats(1e-6, 365, allow_subnormal=False), min_size=1, max_size=5, unique=True).map(sorted)
    },
)


@settings(max_examples=150, deadline=None)
@given(request=REQUESTS)
def test_any_valid_request_is_answered_with_incidences(client: httpx.Client, request: Json) -> None:
    response = client.post("/v1/predict", json=request)
    assert response.status_code == 200, response.text
    body = response.json()
    for record, prediction in zip(request["patients"], body["predictions"], strict=True):
        assert prediction["patient_id"] == record.get("patient_id", "patient")
        assert prediction["landmark_day"] == record.get("landmark_day", 0.0)
        assert prediction["horizons_days"] == (request.get("horizons_days") or HORIZONS)
        assert list(prediction["incidence"]) == ["infection", "death"]
        values = np.array(list(prediction["incidence"].values()))
        assert values.shape == (2, len(prediction["horizons_days"]))
        assert values.min() >= 0
        assert values.max() <= 1
        assert (np.diff(values, axis=1) >= -1e-6).all()
        np.testing.assert_allclose(values.sum(axis=0) + prediction["event_free"], 1, rtol=0, atol=2e-6)


SOUND_SAMPLE = {
    "material": "blood",
    "day": 0.0,
    "genes": ["G0", "G1", "G2", "G3", "G4", "G5"],
    "indptr": [0, 1, 2],
    "indices": [0, 1],
    "values": [1.0, 2.0],
    "clones": [{"locus": "tcr", "clone": "a", "abundance": 2.0}],
}
SOUND = {
    "patient_id": "a",
    "landmark_day": 30.0,
    "baseline": {"age": 50.0, "ecog": "1"},
    "measurements": [{"variable": "ferritin", "day": 1.0, "value": 100.0, "unit": "ng/mL"}],
    "samples": [SOUND_SAMPLE],
    "events": [{"event": "infection", "day": 3.0, "grade": 3}],
}

Spoil = tuple[str, Callable[[Json], object]]
SPOILT: list[Spoil] = [
    ("landmark_day", lambda r: r.update(landmark_day=SENTINEL_NUMBER)),
    ("landmark_day", lambda r: r.update(landmark_day=SENTINEL)),
    ("landmark_day", lambda r: r.update(landmark_day=float("nan"))),
    ("patient_id", lambda r: r.update(patient_id=SENTINEL_NUMBER)),
    ("surprise", lambda r: r.update(surprise=SENTINEL)),
    ("baseline", lambda r: r.update(baseline=[SENTINEL])),
    ("baseline.age", lambda r: r["baseline"].update(age=SENTINEL)),
    ("baseline.age", lambda r: r["baseline"].update(age=SENTINEL_NUMBER)),
    ("baseline.age", lambda r: r["baseline"].update(age=float("inf"))),
    ("baseline.age", lambda r: r["baseline"].update(age=[SENTINEL])),
    ("baseline.age", lambda r: r["baseline"].update(age={"value": SENTINEL_NUMBER, "unit": "mo"})),
    ("baseline.age.unit", lambda r: r["baseline"].update(age={"value": SENTINEL_NUMBER, "unit": "kg"})),
    ("baseline.age.unit", lambda r: r["baseline"].update(age={"value": SENTINEL_NUMBER})),
    ("baseline.age.unit", lambda r: r["baseline"].update(age={"value": 55.0, "unit": SENTINEL})),
    ("baseline.age.unit", lambda r: r["baseline"].update(age={"value": 55.0, "unit": f"kg{{{SENTINEL}}}"})),
    ("baseline.age.value", lambda r: r["baseline"].update(age={"value": SENTINEL, "unit": "a"})),
    ("baseline.ecog", lambda r: r["baseline"].update(ecog=SENTINEL)),
    ("baseline.ecog", lambda r: r["baseline"].update(ecog=SENTINEL_NUMBER)),
    ("baseline.unknown", lambda r: r["baseline"].update(unknown=SENTINEL_NUMBER)),
    ("measurements[0].value", lambda r: r["measurements"][0].update(value=SENTINEL)),
    ("measurements[0].value", lambda r: r["measurements"][0].update(value=-SENTINEL_NUMBER)),
    ("measurements[0].value", lambda r: r["measurements"][0].update(value=float("-inf"))),
    ("measurements[0].day", lambda r: r["measurements"][0].update(day=SENTINEL)),
    ("measurements[0].day", lambda r: r["measurements"][0].pop("day")),
    ("measurements[0].variable", lambda r: r["measurements"][0].update(variable=SENTINEL)),
    ("measurements[0].value.unit", lambda r: r["measurements"][0].update(unit="mmol/L")),
    ("measurements[0].value.unit", lambda r: r["measurements"][0].update(unit=f"ng / mL {{{SENTINEL}}}")),
    ("measurements[0].note", lambda r: r["measurements"][0].update(note=SENTINEL)),
    ("samples[0].material", lambda r: r["samples"][0].update(material=SENTINEL)),
    ("samples[0].genes", lambda r: r["samples"][0].update(genes=[SENTINEL, SENTINEL + "-2"])),
    ("samples[0].genes", lambda r: r["samples"][0].update(genes=["G0", "G0"])),
    ("samples[0].genes", lambda r: r["samples"][0].update(genes=[])),
    ("samples[0].indices", lambda r: r["samples"][0].update(indices=[0, 884172])),
    ("samples[0].indices", lambda r: r["samples"][0].update(indices=[0, 8841 * 10**30])),
    ("samples[0].indices", lambda r: r["samples"][0].update(indices=[0])),
    ("samples[0].indptr", lambda r: r["samples"][0].update(indptr=[0, 2, 1])),
    ("samples[0].indptr", lambda r: r["samples"][0].update(indptr=[0, 1, 884172])),
    ("samples[0].values", lambda r: r["samples"][0].update(values=[1.0, -SENTINEL_NUMBER])),
    ("samples[0].values", lambda r: r["samples"][0].update(indptr=[0, 0], indices=[], values=[])),
    ("samples[0].values[1]", lambda r: r["samples"][0].update(values=[1.0, SENTINEL])),
    ("samples[0].values[0]", lambda r: r["samples"][0].update(values=[float("nan"), 1.0])),
    ("samples[0].cell_types", lambda r: r["samples"][0].update(cell_types=[SENTINEL])),
    ("samples[0].day", lambda r: r["samples"][0].update(day=None)),
    ("samples[0].indptr", lambda r: r["samples"][0].update(indptr=[0])),
    ("samples[0].clones", lambda r: r["samples"][0]["clones"].append(dict(r["samples"][0]["clones"][0]))),
    ("samples[0].clones[0].abundance", lambda r: r["samples"][0]["clones"][0].update(abundance=-SENTINEL_NUMBER)),
    ("samples[0].clones[0].locus", lambda r: r["samples"][0]["clones"][0].update(locus=SENTINEL)),
    ("events[0].event", lambda r: r["events"][0].update(event=SENTINEL)),
    ("events[0].day", lambda r: r["events"][0].update(day=SENTINEL)),
    ("events[0].grade", lambda r: r["events"][0].update(grade=8841)),
]


def check_refusal(response: httpx.Response, field: str) -> None:
    assert response.status_code == 400, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == 400
    assert set(body) == set(Problem.model_fields)
    assert body["field"] == field
    assert body["detail"] == f"{field}: {body['rule']}"
    assert body["rule"]
    assert "8841" not in response.text


@settings(max_examples=150, deadline=None)
@given(before=st.lists(RECORDS, max_size=2), after=st.lists(RECORDS, max_size=1), spoil=st.sampled_from(SPOILT))
def test_any_spoilt_request_is_refused_by_field(
    client: httpx.Client, before: list[Json], after: list[Json], spoil: Spoil
) -> None:
    field, change = spoil
    record = deepcopy(SOUND)
    change(record)
    body = json.dumps({"patients": [*before, record, *after]})
    response = client.post("/v1/predict", content=body, headers={"content-type": "application/json"})
    check_refusal(response, f"patients[{len(before)}].{field}")


def test_what_the_spoilt_requests_were_made_of_is_sound(client: httpx.Client) -> None:
    assert predict(client, [SOUND]).status_code == 200


@pytest.mark.parametrize(("field", "change"), SPOILT, ids=[f"{i}-{field}" for i, (field, _) in enumerate(SPOILT)])
def test_no_value_of_a_refused_request_reaches_the_log(
    server: Any, client: httpx.Client, field: str, change: Callable[[Json], object]
) -> None:
    record = deepcopy(SOUND)
    change(record)
    before = server.log.read_text()
    response = client.post("/v1/predict", content=json.dumps({"patients": [record]}))
    check_refusal(response, f"patients[0].{field}")
    assert server.log.read_text() == before


@pytest.mark.parametrize(
    "body",
    [f'{{"patients": [{{"patient_id": "{SENTINEL}" oops', f'["{SENTINEL}"]', f'"{SENTINEL}', SENTINEL, ""],
    ids=["broken", "array", "open", "bare", "empty"],
)
def test_what_is_not_a_request_is_refused(server: Any, client: httpx.Client, body: str) -> None:
    check_refusal(client.post("/v1/predict", content=body), "body")
    assert SENTINEL not in server.log.read_text()


@pytest.mark.parametrize(
    ("rest", "field"),
    [
        ({"horizons_days": [365.0001]}, "horizons_days[0]"),
        ({"horizons_days": [90, 30]}, "horizons_days[1]"),
        ({"horizons_days": []}, "horizons_days"),
        ({"patients": []}, "patients"),
        ({"surprise": 1}, "surprise"),
    ],
    ids=["beyond", "descending", "none", "nobody", "unknown"],
)
def test_faults_beside_the_patients(client: httpx.Client, rest: Json, field: str) -> None:
    check_refusal(client.post("/v1/predict", json={"patients": [{}]} | rest), field)


def test_nothing_of_answered_patients_is_logged_either(server: Any, client: httpx.Client) -> None:
    assert predict(client, [{**SOUND, "patient_id": SENTINEL, "baseline": {"product": SENTINEL}}]).status_code == 200
    assert SENTINEL not in server.log.read_text()
    assert "8841" not in server.log.read_text()


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "chunked"])
def test_a_body_beyond_the_limit_is_refused(client: httpx.Client, chunked: bool) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(3):
            yield b" " * 2**20

    response = client.post("/v1/predict", content=parts() if chunked else b" " * (2 * 2**20 + 1))
    assert response.status_code == 413
    assert response.json()["field"] == "body"
    assert client.get("/readyz").status_code == 200


def test_a_chunked_body_within_the_limit_is_answered(client: httpx.Client) -> None:
    def parts() -> Iterator[bytes]:
        yield b'{"patients": [{"patient_id": '
        yield b'"in parts"}]}'

    assert client.post("/v1/predict", content=parts()).json()["predictions"][0]["patient_id"] == "in parts"


def test_pickles_and_forms_are_refused(client: httpx.Client) -> None:
    for media_type in ("application/vnd.bentoml+pickle", "multipart/form-data; boundary=x"):
        response = client.post("/v1/predict", content=b"x", headers={"content-type": media_type})
        assert response.status_code == 415
        assert response.json()["field"] == "content-type"


def test_methods_and_paths_that_are_not_there(client: httpx.Client) -> None:
    assert client.get("/v1/predict").status_code == 405
    assert client.post("/v1/model", json={}).status_code == 405
    assert client.get("/v1/nothing").status_code == 404


def test_a_worker_stays_small(server: Any, client: httpx.Client, cohort: Any) -> None:
    assert predict(client, cohort.records).status_code == 200
    workers = [
        p for p in psutil.Process(server.pid).children(recursive=True) if "_bentoml_impl" in " ".join(p.cmdline())
    ]
    assert workers
    assert max(p.memory_info().rss for p in workers) < 500 * 2**20


def test_no_page_may_load_anything_from_elsewhere(client: httpx.Client) -> None:
    for path in ("/", "/page/app.js", "/v1/model", "/docs.json", "/assets/style.css", "/v1/nothing"):
        (policy,) = client.get(path).headers.get_list("content-security-policy")
        assert policy.startswith("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
        assert "http" not in policy
        assert "unsafe" not in policy
        assert ("script-src" in policy) == (path in FILES)
