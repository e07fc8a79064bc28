"""What is entered, pasted or uploaded is sent as it stands, or refused in words where it can be seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser import Browser
from risk_page import (
    Json,
    asked,
    choose,
    enter,
    exchanged,
    explained,
    in_view,
    paste,
    requests_to,
    submit,
    text_of,
    texts_of,
    visit,
)

MEASURED = {"variable": "ferritin", "day": 0, "value": 90}
REFUSED = "document.querySelector('.faults').textContent"
FIRST_VALUE = "measurements[0].value"


def test_a_number_is_sent_as_it_is_read(browser: Browser, page_server: Any) -> None:
    read = {"12": 12, "12,5": 12.5, "12.000": 12, "1234,567": 1234.567, "0,125": 0.125, "1 200": 1200, "−3": -3}
    visit(browser, page_server)
    for text, sent in (read | {"12\u202f000": 12_000}).items():
        n_before = len(requests_to(browser, "/v1/predict"))
        enter(browser, "baseline.crp", text)
        submit(browser)
        assert len(requests_to(browser, "/v1/predict")) == n_before + 1
        assert asked(browser, "/v1/predict")["patients"][0]["baseline"] == {"crp": sent}


@pytest.mark.parametrize("place", ["baseline.crp", FIRST_VALUE])
def test_a_comma_that_may_mean_a_thousand_times_as_much_is_refused(
    browser: Browser, page_server: Any, place: str
) -> None:
    meanings = {"12,000": "as 12000 or as 12.000", "1,200": "as 1200 or as 1.200", "−1,234,567": "as −1234567"}
    visit(browser, page_server)
    paste(browser, {"measurements": [MEASURED]})
    explained(browser)
    n_before = len(requests_to(browser, "/v1/predict"))
    for text, meant in meanings.items():
        enter(browser, place, text)
        submit(browser)
        assert text_of(browser, ".faults").endswith(f"can be read {meant}: write it without a comma")
        assert browser.evaluate("document.activeElement.dataset.place") == place
    assert len(requests_to(browser, "/v1/predict")) == n_before


def test_what_is_no_number_is_sent_for_the_service_to_refuse(browser: Browser, page_server: Any) -> None:
    visit(browser, page_server)
    for text in ("0x20", "1e2", "1.200,5", "Infinity", "twelve"):
        enter(browser, "baseline.crp", text)
        submit(browser)
        assert asked(browser, "/v1/predict")["patients"][0]["baseline"] == {"crp": text}
        browser.wait_for("document.activeElement.dataset.place === 'baseline.crp'", 10)
        browser.evaluate("document.activeElement.blur()")


def test_a_pasted_record_is_sent_as_it_is_shown(browser: Browser, page_server: Any, cohort: Any) -> None:
    """Units, cells and grades come through the form unchanged; values of a patient reach no address and no storage."""
    record = next(one for one in cohort.records if one["samples"] and one["events"])
    record = record | {"baseline": record["baseline"] | {"haemoglobin": {"value": 9.1, "unit": "g/dL"}}}
    visit(browser, page_server)
    paste(browser, {"patients": [record]})
    explained(browser)
    assert asked(browser, "/v1/explain")["patients"] == [record]
    assert browser.evaluate("location.href") == f"{page_server.url}/"
    assert browser.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    enter(browser, "baseline.haemoglobin", "9,2")
    submit(browser)
    explained(browser)
    changed = {"haemoglobin": {"value": 9.2, "unit": "g/dL"}}
    assert asked(browser, "/v1/predict")["patients"][0] == record | {"baseline": record["baseline"] | changed}


@pytest.mark.parametrize(
    "record",
    [
        {"baseline": {"age": {"value": 63}}, "landmark_day": 0},
        {"baseline": {"age": "63,5"}, "landmark_day": 0},
        {"baseline": {"ecog": None}, "landmark_day": 0.0},
        {"baseline": {}, "landmark_day": 0, "measurements": [MEASURED | {"value": "12,000"}]},
        {"baseline": {}, "landmark_day": 0, "events": [{"event": "icans", "day": -1, "grade": None}]},
    ],
    ids=["no unit", "text", "null", "doubtful text", "no grade"],
)
def test_what_is_untouched_is_sent_as_it_came(
    browser: Browser, page_server: Any, client: httpx.Client, record: Json
) -> None:
    """Whatever the service says of it: the form mends nothing that nobody has touched."""
    visit(browser, page_server)
    paste(browser, record)
    browser.wait_for(f"document.querySelector('.answer:not([hidden])') !== null || {REFUSED} !== ''", 10)
    assert asked(browser, "/v1/predict")["patients"][0] == record
    answer = client.post("/v1/predict", json={"patients": [record]})
    refused = answer.status_code != 200
    assert (browser.evaluate(REFUSED) != "") == refused
    if refused:
        assert text_of(browser, ".faults").endswith(answer.json()["rule"])


def test_what_of_a_request_is_not_used_is_said(browser: Browser, page_server: Any, card: Json) -> None:
    visit(browser, page_server)
    paste(browser, {"patients": [{"baseline": {"age": 63}}], "horizons_days": [30]})
    explained(browser)
    assert text_of(browser, "#pasted-note") == (
        "Of the request horizons_days is not used: the page asks for horizons of its own."
    )
    assert set(card["horizons_days"]) <= set(asked(browser, "/v1/predict")["horizons_days"])
    paste(browser, {"baseline": {"age": 64}})
    assert text_of(browser, "#pasted-note") == ""


def test_what_is_no_patient_is_not_sent(browser: Browser, page_server: Any) -> None:
    visit(browser, page_server)
    for text, said in NO_PATIENTS:
        paste(browser, text)
        assert text_of(browser, "#pasted-fault").startswith(said)
        assert browser.evaluate("document.activeElement.id") == "pasted"
    assert requests_to(browser, "/v1/predict") == []


NO_PATIENTS = [
    ("", "This is empty: paste the JSON of a patient, or choose a file."),
    ("{", "This is not JSON: it cannot be read from line 1, character 2 on."),
    ("[1]", "This is JSON, but no patient"),
    ("[]", "This is JSON, but no patient"),
    ('"a"', "This is JSON, but no patient"),
    ("null", "This is JSON, but no patient"),
    ('{"patients": 5}', "This is JSON, but no patient"),
    ('{"resourceType": "Bundle"}', "This is FHIR (Bundle). Send a Bundle to /fhir/$predict-risk of this service"),
    ("patient_id,age,ecog\np1,63,1\n", "This is a table, as it seems. The command sequela request asks"),
    ('{"measurements": {"a": 1}}', "This is no patient: measurements must be a list of objects such as"),
    ('{"measurements": [null]}', "This is no patient: measurements must be a list of objects such as"),
    ('{"samples": "abc"}', "This is no patient: samples must be a list of objects such as"),
    ('[{}, {"events": [1]}]', "This is no patient: patient 2: events must be a list of objects such as"),
    ('{"baseline": [1]}', "This is no patient: baseline must be an object"),
]


def test_a_fault_of_no_field_is_said_where_it_was_pasted(browser: Browser, page_server: Any) -> None:
    visit(browser, page_server)
    paste(browser, {"baseline": {"aeg": 50}})
    browser.wait_for("document.querySelector('#pasted-fault').textContent", 10)
    said = "patients[0].baseline.aeg: is no baseline variable of this model"
    assert text_of(browser, "#pasted-fault").startswith(said)
    assert said in text_of(browser, ".faults")
    browser.wait_for("document.activeElement.id === 'pasted'", 5)


@pytest.mark.parametrize(
    ("record", "place"),
    [
        ({"baseline": {"age": 999}}, "baseline.age"),
        ({"baseline": {"age": "old"}}, "baseline.age"),
        ({"landmark_day": 4_000}, "landmark_day"),
        ({"measurements": [MEASURED, MEASURED | {"value": -1}]}, "measurements[1].value"),
        ({"events": [{"event": "icans", "day": 0, "grade": 9}]}, "events[0].grade"),
    ],
    ids=["range", "text", "landmark", "measurement", "event"],
)  # fmt: skip
def test_what_is_refused_is_said_at_its_field(
    browser: Browser, page_server: Any, client: httpx.Client, record: Json, place: str
) -> None:
    visit(browser, page_server)
    paste(browser, record)
    browser.wait_for(REFUSED, 10)
    rule = client.post("/v1/predict", json={"patients": [record]}).json()["rule"]
    assert text_of(browser, ".faults").endswith(rule)
    assert browser.evaluate("document.querySelector('.faults').getAttribute('role')") == "alert"
    wrong = browser.evaluate("[...document.querySelectorAll('[aria-invalid]')].map(e => e.dataset.place)")
    assert wrong == [place]
    assert browser.evaluate("document.activeElement.dataset.place") == place
    above = "document.querySelector('.send').getBoundingClientRect().top"
    browser.wait_for(f"document.activeElement.getBoundingClientRect().bottom < {above}", 5)  # once it is scrolled to
    last = "document.activeElement.getAttribute('aria-describedby').split(' ').at(-1)"
    assert browser.evaluate(f"document.getElementById({last}).textContent") == rule
    choose(browser, 0)
    assert browser.evaluate("document.querySelectorAll('[aria-invalid]').length") == 0


@pytest.mark.parametrize("status", [0, 429])
def test_on_a_phone_a_fault_is_seen_wherever_the_form_is_sent(browser: Browser, page_server: Any, status: int) -> None:
    """Of a form far longer than the screen; 0: the network is gone. Sent from its end, and by an example at its top."""
    visit(browser, page_server, 390, 844)
    paste(browser, {"measurements": [{"variable": "anc", "day": -day, "value": 900} for day in range(12)]})
    explained(browser)
    problem = json.dumps({"status": status, "title": "x", "detail": "as it happens", "rule": "as it happens"})
    answer = f"new Response({problem!r}, {{status: {status}}})" if status else "Promise.reject(new TypeError('gone'))"
    browser.evaluate(f"window.fetch = async () => {answer}; 0")
    said = "as it happens" if status else "The service cannot be reached"
    for click in (".send button", ".example"):
        browser.evaluate(f"document.querySelector('{click}').scrollIntoView({{behavior: 'instant'}})")
        browser.evaluate(f"document.querySelector('{click}').focus()")
        browser.evaluate(f"document.querySelector('{click}').click()")
        browser.wait_for(f"{REFUSED}.includes({said!r})", 10)
        deadline = "new Promise(done => setTimeout(done, 600))"  # once it is scrolled to
        browser.evaluate(deadline)
        assert in_view(browser, ".faults p"), click
        assert browser.evaluate("document.activeElement.className") == "faults"


def test_one_of_several_uploaded_patients_is_chosen(browser: Browser, page_server: Any, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    records = [{"patient_id": f"p{i}", "baseline": {"age": 40 + i}} for i in range(3)]
    file.write_text(json.dumps({"patients": records}))
    visit(browser, page_server)
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    node = browser.call("DOM.querySelector", nodeId=root, selector="#uploaded")["nodeId"]
    browser.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])
    explained(browser)
    sent = [exchanged(browser, "/v1/explain")[0]["patients"][0]]
    browser.evaluate("(choice => { choice.value = 2; choice.dispatchEvent(new Event('change')); })(which)")
    browser.wait_for("document.getElementById('f-baseline.age').value === '42'", 5)
    explained(browser)
    sent.append(exchanged(browser, "/v1/explain")[0]["patients"][0])
    assert [(one["patient_id"], one["baseline"]) for one in sent] == [("p0", {"age": 40}), ("p2", {"age": 42})]


def test_who_had_the_event_is_told_that_the_risk_is_not_theirs(
    browser: Browser, page_server: Any, client: httpx.Client
) -> None:
    had = {"event": "infection", "day": 5, "grade": 3}
    record = {"landmark_day": 30, "baseline": {"age": 63}, "events": [had]}
    visit(browser, page_server)
    paste(browser, record)
    explained(browser)
    warning = text_of(browser, ".warning")
    assert warning.startswith("This is not this patient’s risk. The record has infection by day 30")
    assert browser.evaluate("document.querySelector('.warning').getAttribute('role')") == "alert"
    shown = browser.evaluate("[...document.querySelectorAll('.part')].filter(one => !one.hidden).map(one => one.id)")
    assert shown == ["risk", "curves", "landmarks", "drivers", "noted"]
    assert texts_of(browser, ".parts a") == ["Risk", "Over time", "Course", "Drivers", "Missing", "The model"]
    everything = browser.evaluate("document.querySelector('.answer').innerText")
    assert "without an event" not in everything
    assert "By day 30 this patient has had infection" in text_of(browser, "#landmarks p")
    mild = record | {"events": [had | {"grade": 2}]}
    paste(browser, mild)
    explained(browser)
    assert not client.post("/v1/predict", json={"patients": [mild]}).json()["predictions"][0]["happened"]
    assert browser.evaluate("document.querySelector('.warning').hidden") is True
    assert browser.evaluate("[...document.querySelectorAll('.part')].every(one => !one.hidden)")
