"""States by models of transitions, from a real service and on its page: what comes after a first event is told, too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest
from browser import Browser, opened_browser
from pages import axe_violations
from risk_page import THIN, held, percent, points, predicted, seconds_to_risk, text_of

from features.errors import InputError
from features.schema import Endpoint, EventRule
from serving.client import Client
from serving.state_messages import StatesAnswer, StatesRequest
from serving.states import states_request
from serving.store import publish
from tests.serving.conftest import CARD, FEATURES, make_artifact
from tests.serving.test_openapi import with_null
from training.artifact.blocks import StatesBlock
from training.artifact.folder import Artifact, read_artifact, write_artifact
from training.artifact.parts import state_arrays, states_of_example
from training.config import CoxConfig, TrainerConfig
from training.fit import fit_risk_model
from training.models.states import StateModel

NAMES = ("event-free", "infection", "relapse", "death")
MOVES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
N_REFITS = 20
ENDPOINT = Endpoint(
    name="severe_infection",
    event=EventRule(name="infection", min_grade=3),
    competing=(EventRule(name="death"), EventRule(name="relapse")),
    landmark_days=(0.0, 30.0),
    horizons_days=(90.0, 180.0, 365.0),
)
RECORD: dict[str, Any] = {
    "patient_id": "p1",
    "landmark_day": 0.0,
    "baseline": {"age": 60.0, "product": "axi-cel", "crp": 12.0},
}
WIDTHS = (390, 1440)


@pytest.fixture(scope="module")
def folder(cohort: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact with transitions of nobody: hazards drawn once, refits about them."""
    found = tmp_path_factory.mktemp("followed") / "artifact"
    outcomes = cohort.outcomes
    three = type(outcomes)(
        outcomes.duration_days, np.where(np.arange(len(outcomes.cause)) % 3, outcomes.cause, 3), ENDPOINT.causes
    )
    trainer = TrainerConfig(accelerator="cpu")
    fitted = fit_risk_model(cohort.patients, three, CARD, FEATURES, CoxConfig(penalty=10.0), trainer, seed=1)
    make_artifact(fitted, found, "followed-for-tests", endpoint=ENDPOINT)
    artifact = read_artifact(found)
    rng = np.random.default_rng(4)
    times = np.sort(rng.uniform(1.0, 360.0, 150))
    n_features = len(fitted.encoder.feature_names)
    spread = np.concatenate([[0.0], np.ones(N_REFITS)])[:, None, None]  # the fit is in the middle of its refits
    n_models = len(spread)
    beta = rng.normal(0, 0.05, (1, len(MOVES), n_features))
    beta = beta + spread * rng.normal(0, 0.01, (n_models, len(MOVES), n_features))
    increments = rng.exponential(0.004, (1, len(MOVES), len(times)))
    increments = increments * np.exp(spread * rng.normal(0, 0.2, (n_models, len(MOVES), 1)))
    states = StateModel(NAMES, MOVES, times, beta, increments)
    example = artifact.manifest.example
    block = StatesBlock(
        names=NAMES,
        moves=MOVES,
        landmark_day=0.0,
        followed_days=400.0,
        n_patients=160,
        example=states_of_example(fitted, states, example.patient, example.times_days),
    )
    write_artifact(
        found, artifact.manifest.model_copy(update={"states": block}), artifact.arrays | state_arrays(states)
    )
    return found


@pytest.fixture(scope="module")
def followed(folder: Path) -> Artifact:
    return read_artifact(folder)


@pytest.fixture(scope="module")
def running(
    folder: Path, start_server: Any, store_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(store_home))
        tag = publish(folder, {"registry_version": "9"})
    env = {"BENTOML_HOME": str(store_home), "SEQUELA_MODEL": tag}
    with start_server(tmp_path_factory.mktemp("running"), env) as server:
        yield server


@pytest.fixture(scope="module")
def client(running: Any) -> Iterator[httpx.Client]:
    with running.client() as opened:
        yield opened


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with opened_browser(tmp_path_factory.mktemp("profile")) as opened:
        if opened is None:
            pytest.skip("needs Chromium")
        yield opened


def request_of(*records: Any, **rest: Any) -> StatesRequest:
    return StatesRequest.model_validate({"patients": list(records), **rest})


def test_the_service_follows_a_patient_through_all_states(client: httpx.Client, followed: Artifact) -> None:
    body = {"patients": [RECORD, RECORD | {"landmark_day": 30.0}], "worth": {"infection": 0.3, "relapse": 0.1}}
    answered = client.post("/v1/states", json=body)
    assert answered.status_code == 200, answered.text
    told = StatesAnswer.model_validate_json(answered.content)
    here = states_request(followed, told.model.version, StatesRequest.model_validate(body))
    own, later = told.patients
    assert (own.basis, later.basis, later.transitions) == ("transitions", "first_events", None)
    assert own.transitions is not None
    assert own.transitions == here.patients[0].transitions
    assert own.transitions.times_days == ENDPOINT.horizons_days
    assert tuple(own.transitions.states) == NAMES
    courses = own.transitions.states.values()
    for t, day in enumerate(own.transitions.times_days):
        assert sum(course.probability[t].value for course in courses) == pytest.approx(1, abs=1e-12)
        assert sum(course.days[t].value for course in courses) == pytest.approx(day, abs=1e-9)
    for course in courses:
        assert np.all(np.diff([one.value for one in course.ever]) >= 0)
        for one in (*course.probability, *course.ever, *course.days):
            assert one.low <= one.value <= one.high
        for then, by in zip(course.probability, course.ever, strict=True):
            assert by.value >= then.value - 1e-12
    assert own.expected_days == {name: course.days[-1].value for name, course in own.transitions.states.items()}
    weighed = (
        own.expected_days["event-free"] + 0.3 * own.expected_days["infection"] + 0.1 * own.expected_days["relapse"]
    )
    assert own.weighted_days == pytest.approx(weighed)
    assert own.transitions.weighted_days.value == own.weighted_days
    benefit = own.expected_days["event-free"] + own.expected_days["infection"]
    assert own.transitions.benefit_days.value == pytest.approx(benefit)
    assert sum(later.expected_days.values()) == pytest.approx(365)


def test_the_client_reads_it_and_the_card_says_that_it_is_there(
    running: Any, client: httpx.Client, followed: Artifact
) -> None:
    found = Client(running.url).states([RECORD], horizon_days=200.0)
    (own,) = found.patients
    assert own.transitions is not None
    assert own.transitions.times_days == (90.0, 180.0, 200.0)
    assert own.transitions.picture_days[-1] == 200.0
    assert client.get("/v1/model").json()["states"] == {
        "names": list(NAMES),
        "landmark_day": 0.0,
        "followed_days": 400.0,
        "n_patients": 160,
        "n_refits": N_REFITS,
    }


def test_the_example_of_the_description_is_true(client: httpx.Client) -> None:
    spec = client.get("/docs.json").json()
    post = spec["paths"]["/v1/states"]["post"]
    request = post["requestBody"]["content"]["application/json"]["example"]
    example = post["responses"]["200"]["content"]["application/json"]["example"]
    schema = {"$ref": "#/components/schemas/StatesAnswer", "components": with_null(spec["components"])}
    jsonschema.Draft4Validator(schema).validate(example)
    given = client.post("/v1/states", json=request)
    again, shown = (StatesAnswer.model_validate(one) for one in (given.json(), example))
    assert again.model == shown.model
    for one, other in zip(again.patients, shown.patients, strict=True):
        assert one.expected_days == pytest.approx(other.expected_days)
        assert one.transitions == other.transitions


def test_who_had_an_event_before_is_refused_and_so_are_days_after_follow_up(followed: Artifact) -> None:
    infected = RECORD | {"events": [{"event": "infection", "day": -3, "grade": 3}]}
    with pytest.raises(
        InputError, match=r"^patients\[1\]\.events\[0\]: is an event of severe_infection by its landmark"
    ):
        states_request(followed, "m:1", request_of(RECORD, infected))
    mild = RECORD | {"events": [{"event": "infection", "day": -3, "grade": 2}]}
    assert states_request(followed, "m:1", request_of(mild)).patients[0].basis == "transitions"
    block = followed.manifest.states
    assert block is not None
    short = Artifact(
        followed.manifest.model_copy(update={"states": block.model_copy(update={"followed_days": 200.0})}),
        followed.model,
        followed.states,
    )
    assert states_request(short, "m:1", request_of(RECORD)).horizon_days == 180.0
    assert states_request(short, "m:1", request_of(RECORD, horizon_days=200.0)).horizon_days == 200.0
    with pytest.raises(InputError, match=r"^horizon_days: must be at most 200 days: beyond, nobody"):
        states_request(short, "m:1", request_of(RECORD, horizon_days=201.0))


def shown(browser: Browser) -> dict[str, list[str]]:
    """Cells of the table of states, by what heads them."""
    script = """[...document.querySelectorAll('[data-table="states"] tbody tr')]
        .map(row => [...row.cells].map(cell => cell.textContent))"""
    return {head: cells for head, *cells in browser.evaluate(script)}


def ask_page(browser: Browser, server: Any, record: dict[str, Any], width: int = 1440) -> None:
    browser.open(f"{server.url}/", width)
    browser.wait_for("document.querySelectorAll('.example').length > 0", 10)
    browser.evaluate("document.querySelectorAll('.example')[0].click()")
    browser.wait_for("document.querySelector('.answer:not([hidden])') !== null", 20)
    browser.evaluate(
        f"document.getElementById('f-landmark_day').value = {json.dumps(str(record['landmark_day']))};"
        "document.getElementById('f-landmark_day').dispatchEvent(new Event('input', {bubbles: true}));"
        "document.querySelector('.patient form').requestSubmit()"
    )
    browser.wait_for("document.querySelector('.answer:not(.old) #benefit[aria-busy=false]') !== null", 20)
    browser.wait_for("document.querySelector('.answer:not(.old) .drivers[aria-busy=false] .bars li') !== null", 20)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_says_what_the_service_says(browser: Browser, running: Any, width: int) -> None:
    ask_page(browser, running, {"landmark_day": 0}, width)
    browser.evaluate("0")
    sent = [e["params"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    number = [one["requestId"] for one in sent if one["request"]["url"].endswith("/v1/states")][-1]
    answer = json.loads(browser.call("Network.getResponseBody", requestId=number)["body"])
    asked = json.loads(browser.call("Network.getRequestPostData", requestId=number)["postData"])
    assert "patient_id" not in asked["patients"][0]
    states = answer["patients"][0]["transitions"]["states"]
    table = shown(browser)
    heads = ("Alive, relapse-free and free of infection", "After infection", "After relapse", "Dead")
    assert tuple(table) == heads
    for head, course in zip(heads, states.values(), strict=True):
        days = course["days"][-1]
        assert table[head][0] == f"{days['value']:.0f}{days['low']:.0f}–{days['high']:.0f}"
        then, ever = (
            f"{percent(one['value'])}{points(one['low'])}–{points(one['high'])}{THIN}%"
            for one in (course["probability"][-1], course["ever"][-1])
        )
        assert table[head][1:] == [then, "" if head == heads[0] else ever]
    text = browser.evaluate("document.querySelector('#benefit').textContent")
    before, free = answer["patients"][0]["transitions"]["benefit_days"], states["event-free"]["days"][-1]
    for name, one, said in (
        ("before", before, "Alive and relapse-free, with or without infection"),
        ("free", free, "of these free of infection too"),
    ):
        ends = f"95 % interval {one['low']:.0f}–{one['high']:.0f}"
        assert text_of(browser, f"[data-fact={name}]") == f"{one['value']:.0f} days {said} {ends}"
    ever = states["infection"]["ever"][-1]
    assert text_of(browser, "[data-fact=ever]") == (
        f"{percent(ever['value'])} infection by then, by the models of transitions "
        f"95 % interval {points(ever['low'])}–{points(ever['high'])}{THIN}%"
    )
    risk = percent(predicted(browser)["incidence"]["infection"][-1])
    assert text_of(browser, "[data-fact=risk]") == f"{risk} infection as the first event no interval is known"
    assert "Two models of the same patients and the same event" in text_of(browser, ".half.risky .note")
    shares = browser.evaluate("[...document.querySelectorAll('.stack span')].map(one => Number(one.style.flexGrow))")
    assert shares == pytest.approx([course["days"][-1]["value"] / 365 for course in states.values()])
    assert "not validated" in text
    assert "lost to" not in text
    assert browser.evaluate("document.querySelector('#benefit').dataset.basis") == "transitions"
    assert browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert axe_violations(browser) == []
    assert browser.said() == []


def test_the_risk_is_seen_before_the_states(browser: Browser, running: Any) -> None:
    browser.open(f"{running.url}/", 1440)
    browser.wait_for("document.querySelectorAll('.example').length > 0", 10)
    browser.call("Fetch.enable", patterns=[{"urlPattern": "*/v1/states"}])
    try:
        browser.evaluate("document.querySelectorAll('.example')[1].click()")
        number = held(browser, "/v1/states")
        browser.wait_for("document.querySelector('[data-risk]') !== null", 10)
        assert browser.evaluate("document.querySelector('#benefit').getAttribute('aria-busy')") == "true"
        assert "Being worked out" in text_of(browser, "#benefit")
        browser.call("Fetch.continueRequest", requestId=number)
        browser.wait_for("document.querySelector('#benefit').dataset.basis === 'transitions'", 10)
        assert browser.evaluate("document.querySelector('#benefit').getAttribute('aria-busy')") == "false"
    finally:
        browser.call("Fetch.disable")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_first_risk_is_seen_within_a_second_with_states_too(browser: Browser, running: Any, width: int) -> None:
    assert seconds_to_risk(browser, running, width, example=1) < 1


def test_from_another_landmark_the_page_says_why_first_events_are_all(browser: Browser, running: Any) -> None:
    ask_page(browser, running, {"landmark_day": 30})
    text = browser.evaluate("document.querySelector('#benefit').textContent")
    assert "is told from day 0 alone, not from day 30." in text
    assert "lost to infection" in text
    assert "Days without relapse, with or without other events: not known" in text
    assert shown(browser) == {}
