"""In which order the page asks and shows: the risk first, nothing stale as new, and a key that ends without loss."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from browser import Browser
from risk_page import (
    ANSWERED,
    Json,
    asked,
    choose,
    enter,
    exchanged,
    explained,
    held,
    in_view,
    percent,
    predicted,
    seconds_to_risk,
    submit,
    text_of,
    visit,
)

STALE = "entered before"


@contextmanager
def holding(browser: Browser, path: str) -> Iterator[None]:
    """Requests to a path are held until they are let go, or the block ends."""
    browser.call("Fetch.enable", patterns=[{"urlPattern": f"*{path}"}])
    try:
        yield
    finally:
        browser.call("Fetch.disable")


def test_numbers_of_what_was_entered_before_are_marked(browser: Browser, page_server: Any) -> None:
    visit(browser, page_server)
    choose(browser, 0)
    assert text_of(browser, ".outdated") == ""
    browser.evaluate("document.getElementById('f-baseline.age').focus()")
    browser.call("Input.insertText", text="9999")
    assert STALE in text_of(browser, ".outdated")
    submit(browser)
    browser.wait_for("document.querySelector('.faults').textContent", 10)
    assert STALE in text_of(browser, ".outdated")  # refused: they are still of the patient before
    assert browser.evaluate("getComputedStyle(document.querySelector('.part'), '::before').content") == '""'
    choose(browser, 0)
    assert text_of(browser, ".outdated") == ""
    assert browser.evaluate("getComputedStyle(document.querySelector('.part'), '::before').content") == "none"


def test_the_risk_is_seen_before_it_is_explained(browser: Browser, page_server: Any) -> None:
    visit(browser, page_server)
    with holding(browser, "/v1/explain"):
        browser.evaluate("document.querySelector('.example').click()")
        browser.wait_for("document.querySelector('[data-risk]') !== null", 10)
        assert browser.evaluate("document.querySelector('.drivers').getAttribute('aria-busy')") == "true"
        browser.call("Fetch.continueRequest", requestId=held(browser, "/v1/explain"))
        explained(browser)


def test_what_drives_the_risk_is_told_although_the_next_request_is_refused(browser: Browser, page_server: Any) -> None:
    visit(browser, page_server)
    with holding(browser, "/v1/explain"):
        browser.evaluate("document.querySelector('.example').click()")
        number = held(browser, "/v1/explain")
        enter(browser, "baseline.age", "999")
        submit(browser)
        browser.wait_for("document.querySelector('.faults').textContent", 10)
        browser.call("Fetch.continueRequest", requestId=number)
        browser.wait_for("document.querySelector('.drivers[aria-busy=false] .bars li') !== null", 10)
    assert STALE in text_of(browser, ".outdated")


def test_an_explanation_that_comes_late_is_not_of_another_patient(browser: Browser, page_server: Any) -> None:
    """That of the patient before is given up once the next one's risk is there."""
    visit(browser, page_server)
    with holding(browser, "/v1/explain"):
        browser.evaluate("document.querySelectorAll('.example')[0].click()")
        held(browser, "/v1/explain")
        browser.evaluate("document.querySelectorAll('.example')[2].click()")
        browser.wait_for("document.querySelectorAll('[data-noted=missing] li').length > 8", 10)
        assert browser.evaluate("document.querySelector('.drivers').getAttribute('aria-busy')") == "true"
    explained(browser)
    _, answer = exchanged(browser, "/v1/explain")
    shown = text_of(browser, ".drivers p")
    assert percent(answer["explanations"][0]["incidence"]["infection"][-1]) in shown
    assert (
        "baseline" not in asked(browser, "/v1/explain")["patients"][0]
        or not asked(browser, "/v1/explain")["patients"][0]["baseline"]
    )


def test_one_horizon_is_chosen_for_all(browser: Browser, page_server: Any) -> None:
    visit(browser, page_server)
    choose(browser, 0)
    browser.evaluate("document.querySelector('[name=horizon][value=\"90\"]').click()")
    one = predicted(browser)
    at = one["horizons_days"].index(90)
    assert text_of(browser, "[data-risk=infection]") == percent(one["incidence"]["infection"][at])
    for part in (".slider output", "#drivers", "#calibration", "#risk .sentence"):
        assert "90 days" in text_of(browser, part)


@pytest.mark.parametrize("width", [390, 1440])
def test_the_first_risk_is_seen_within_a_second(browser: Browser, page_server: Any, width: int) -> None:
    assert seconds_to_risk(browser, page_server, width) < 1


def show_key(browser: Browser, key: str) -> None:
    browser.evaluate(f"document.querySelector('#key').value = {key!r}")
    browser.evaluate("document.querySelector('.key').requestSubmit()")


def test_a_key_is_asked_for_where_the_service_has_keys(browser: Browser, keyed: tuple[Any, str]) -> None:
    server, token = keyed
    browser.open(f"{server.url}/", 390)
    browser.wait_for("document.activeElement.id === 'key'", 10)
    show_key(browser, "schlüssel ☃")
    assert text_of(browser, ".key [role=alert]").startswith("This is no key: keys are letters, digits")
    show_key(browser, "sequela_00000000_wrong")
    browser.wait_for("document.querySelector('.key [role=alert]')?.textContent.includes('not known')", 10)
    assert text_of(browser, "#lead") == "A key is needed."
    show_key(browser, token)
    browser.wait_for("document.activeElement.id === 'examples-title'", 10)
    assert browser.evaluate("document.querySelector('.key')") is None
    browser.evaluate("document.querySelector('.example').click()")
    browser.wait_for("document.querySelector('.drivers').textContent.includes('lacks the scope explain')", 20)
    assert text_of(browser, "[data-risk]").endswith("%")
    assert text_of(browser, ".risk .ends") == "fitted without intervals"
    assert "carries no groups of patients" in text_of(browser, "[data-calibration]")
    assert browser.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    visit_again = browser.evaluate("fetch('v1/model').then(answer => answer.status)")
    assert visit_again == 401  # the page alone knows the key
    assert browser.evaluate("refusedByPolicy") == []
    assert token not in server.log.read_text()


def test_a_key_that_ends_takes_nothing_with_it(browser: Browser, keyed: tuple[Any, str]) -> None:
    """What was entered stays, another key is asked for above it, and what was asked is asked again."""
    server, token = keyed
    browser.open(f"{server.url}/", 390, 844)
    browser.wait_for("document.activeElement.id === 'key'", 10)
    show_key(browser, token)
    browser.wait_for("document.querySelectorAll('.example').length > 0", 10)
    enter(browser, "baseline.age", "71")
    browser.evaluate("window.kept = window.fetch; 0")
    browser.evaluate("window.fetch = async () => new Response('{}', {status: 401}); 0")
    submit(browser)
    browser.wait_for("document.activeElement.id === 'key'", 10)
    browser.evaluate("new Promise(done => setTimeout(done, 500))")
    assert in_view(browser, "#key")
    assert "no longer taken" in text_of(browser, ".key [role=alert]")
    assert "kept" in text_of(browser, ".key [role=alert]")
    assert browser.evaluate("document.getElementById('f-baseline.age').value") == "71"
    show_key(browser, "sequela_00000000_other")
    browser.wait_for("document.querySelector('.key [role=alert]').textContent.includes('not known')", 10)
    browser.evaluate("window.fetch = window.kept; 0")
    show_key(browser, token)
    browser.wait_for(ANSWERED, 10)
    assert browser.evaluate("document.querySelector('.key')") is None
    assert browser.evaluate("document.activeElement.id") == "results"
    body: Json = asked(browser, "/v1/predict")
    assert body["patients"][0]["baseline"] == {"age": 71}
