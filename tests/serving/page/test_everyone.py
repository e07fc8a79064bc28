"""For everyone: by keyboard, on a narrow screen, in the dark, on paper, and without anything from elsewhere."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from browser import Browser
from pages import axe_violations
from PIL import Image
from risk_page import (
    OUTLINED,
    OVERFLOW,
    asked,
    choose,
    enter,
    explained,
    in_view,
    paste,
    predict_from,
    press,
    submit,
    tab_to,
    text_of,
    texts_of,
    visit,
)

WIDTHS = (390, 1440)
REFUSED = "document.querySelector('.faults').textContent"
OPEN = "document.querySelectorAll('details').forEach(one => { one.open = true; })"
HAD = {"landmark_day": 30, "events": [{"event": "infection", "day": 5, "grade": 3}]}


@contextmanager
def media(browser: Browser, *, medium: str = "", scheme: str = "light", gliding: bool = False) -> Iterator[None]:
    """On paper (``print``), in another scheme of colours, or where things may glide, until the block ends."""
    still = {"name": "prefers-reduced-motion", "value": "reduce"}
    now = still if not gliding else still | {"value": "no-preference"}
    features = [now, {"name": "prefers-color-scheme", "value": scheme}]
    browser.call("Emulation.setEmulatedMedia", media=medium, features=features)
    try:
        yield
    finally:
        browser.call("Emulation.setEmulatedMedia", media="", features=[still])


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1440, "light")])
def test_axe_finds_nothing_serious_in_any_state(browser: Browser, page_server: Any, width: int, scheme: str) -> None:
    """At the start, of an answer from a later landmark with all unfolded, stale, refused, pasted in vain, and of who
    had the event."""
    dark = scheme == "dark"
    with media(browser, scheme=scheme):
        visit(browser, page_server, width)
        assert axe_violations(browser, contrast_alone=dark) == []
        choose(browser, 1)
        predict_from(browser, 30)
        browser.evaluate(OPEN)
        browser.wait_for("document.querySelectorAll('#landmarks .dot').length === 2", 5)
        assert axe_violations(browser, contrast_alone=dark) == []
        enter(browser, "baseline.age", "999")
        assert axe_violations(browser, contrast_alone=True) == []
        submit(browser)
        browser.wait_for(REFUSED, 10)
        assert axe_violations(browser, contrast_alone=dark) == []
        paste(browser, "{")
        assert axe_violations(browser, contrast_alone=True) == []
        paste(browser, HAD)
        explained(browser)
        assert axe_violations(browser, contrast_alone=dark) == []


def test_axe_finds_nothing_serious_where_a_key_is_asked_for(browser: Browser, keyed: tuple[Any, str]) -> None:
    for scheme in ("light", "dark"):
        with media(browser, scheme=scheme):
            browser.open(f"{keyed[0].url}/", 390)
            browser.wait_for("document.querySelector('#key') !== null", 10)
            assert axe_violations(browser) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_serious_of_what_is_long(browser: Browser, long_server: Any, width: int) -> None:
    visit(browser, long_server, width)
    choose(browser, 1)
    browser.evaluate(OPEN)
    browser.evaluate("new Promise(done => setTimeout(done, 200))")
    assert axe_violations(browser) == []


@pytest.mark.parametrize("width", [320, 390, 1440])
def test_nothing_is_wider_than_the_screen(browser: Browser, page_server: Any, long_server: Any, width: int) -> None:
    for server in (page_server, long_server):
        visit(browser, server, width)
        assert browser.evaluate(OVERFLOW) == 0
        choose(browser, 1)
        browser.evaluate(OPEN)
        assert browser.evaluate(OVERFLOW) == 0
        enter(browser, "baseline.age", "999")
        submit(browser)
        browser.wait_for(REFUSED, 10)
        assert browser.evaluate(OVERFLOW) == 0


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_used_by_keyboard_alone(browser: Browser, page_server: Any, width: int) -> None:
    """A patient is pasted, a row added and removed, asked for, and read to the last part."""
    visit(browser, page_server, width)
    press(browser, "Tab")
    assert browser.evaluate("document.activeElement.className") == "skip"
    tab_to(browser, "classList.contains('example')")
    tab_to(browser, "tagName === 'SUMMARY'")
    press(browser, "Enter")
    tab_to(browser, "id === 'pasted'")
    browser.call("Input.insertText", text='{"baseline": {"age": 50}}')
    tab_to(browser, "textContent === 'Take this patient'")
    press(browser, "Enter")
    explained(browser)
    tab_to(browser, "id === 'f-baseline.age'")
    browser.call("Input.insertText", text="71")
    for expected in (1, 2):
        tab_to(browser, "textContent === 'Add'")
        press(browser, "Enter")
        assert browser.evaluate("document.querySelectorAll('.row.measurements').length") == expected
        press(browser, "ArrowDown")  # of the list that has the focus now
        tab_to(browser, "dataset.part === 'day'")
        browser.call("Input.insertText", text="-1")
        tab_to(browser, "dataset.part === 'value'")
        browser.call("Input.insertText", text="500")
    tab_to(browser, "getAttribute('aria-label') === 'Remove row 2 of measurements over time'")
    press(browser, "Enter")
    assert browser.evaluate("document.activeElement.textContent") == "Add"
    tab_to(browser, "type === 'submit'")
    press(browser, "Enter")
    browser.wait_for("document.querySelector('.answer.old') === null", 10)
    explained(browser)
    sent = asked(browser, "/v1/predict")["patients"][0]
    assert sent["baseline"] == {"age": 71}
    assert [(one["day"], one["value"]) for one in sent["measurements"]] == [(-1, 500)]
    tab_to(browser, "name === 'horizon'")
    press(browser, "ArrowLeft")
    assert "180 days" in text_of(browser, "#risk .sentence")
    assert browser.evaluate(OUTLINED)
    tab_to(browser, "hash === '#calibration'")
    press(browser, "Enter")
    top = "document.querySelector('#calibration').getBoundingClientRect().top"
    browser.wait_for(f"{top} < innerHeight", 5)
    browser.evaluate("document.querySelector('.parts a:last-child').focus()")
    tab_to(browser, "id === 'read-day'")
    press(browser, "ArrowLeft")
    assert text_of(browser, ".slider output") != "180 days"
    tab_to(browser, "id === 'driver-cause'")
    press(browser, "ArrowDown")
    assert "The risk of death" in text_of(browser, ".drivers p")
    assert browser.evaluate("refusedByPolicy") == []


def test_what_is_scrolled_is_a_stop_and_what_is_not_is_none(browser: Browser, long_server: Any) -> None:
    for width in WIDTHS:
        visit(browser, long_server, width)
        choose(browser, 0)
        browser.evaluate(OPEN)
        stops = "[...document.querySelectorAll('.scroll')].map(o => [o.scrollWidth > o.clientWidth, o.tabIndex === 0])"
        browser.wait_for(f"{stops}.every(([wide, stop]) => wide === stop)", 5)
        found = browser.evaluate(stops)
        assert [False, False] in found
        assert width > 390 or [True, True] in found


def test_every_part_is_reached_by_its_link(browser: Browser, page_server: Any) -> None:
    visit(browser, page_server, 390, 844)
    choose(browser, 0)
    names = [
        "Risk",
        "Tier",
        "Over time",
        "Benefit and risk",
        "Course",
        "Drivers",
        "Missing",
        "Calibration",
        "The model",
    ]
    assert texts_of(browser, ".parts a") == names
    for id_ in ("benefit", "calibration", "about"):
        browser.evaluate(f"document.querySelector('.parts a[href=\"#{id_}\"]').click()")
        browser.wait_for(f"Math.abs(document.querySelector('#{id_}').getBoundingClientRect().top) < 60", 5)


def test_nothing_is_asked_of_anyone_else_and_the_policy_is_kept(browser: Browser, page_server: Any) -> None:
    visit(browser, page_server)
    for number in range(4):
        choose(browser, number)
    paste(browser, {"baseline": {"age": 999}})
    browser.wait_for(REFUSED, 10)
    paste(browser, HAD)
    explained(browser)
    browser.evaluate("document.querySelector('[name=horizon][value=\"90\"]').click()")
    browser.evaluate("0")
    sent = [e["params"]["request"]["url"] for e in browser.events if e["method"] == "Network.requestWillBeSent"]
    assert len(sent) > 10
    assert [url for url in sent if not url.startswith(f"{page_server.url}/")] == []
    assert browser.evaluate("refusedByPolicy") == []
    assert [one for one in browser.said() if "400" not in json.dumps(one)] == []
    # The same listener hears what the policy refuses.
    browser.evaluate(
        "document.body.append(Object.assign(document.createElement('img'), {src: 'https://elsewhere.invalid/a.png'}))"
    )
    browser.evaluate("document.body.setAttribute('style', 'color: red')")
    browser.wait_for("refusedByPolicy.length >= 2", 10)
    assert sorted(browser.evaluate("refusedByPolicy")) == [
        "img-src https://elsewhere.invalid/a.png",
        "style-src-attr inline",
    ]


def test_dark_is_dark(browser: Browser, page_server: Any) -> None:
    seen = []
    for scheme in ("light", "dark"):
        with media(browser, scheme=scheme):
            visit(browser, page_server)
            colours = browser.evaluate("['backgroundColor', 'color'].map(one => getComputedStyle(document.body)[one])")
        seen.append([sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(","))) for colour in colours])
    (paper, ink), (dark_paper, light_ink) = seen
    assert paper > 700 > 150 > ink
    assert dark_paper < 150 < 650 < light_ink


def test_nothing_moves_once_it_is_seen(browser: Browser, page_server: Any) -> None:
    shifts = """
    window.moved = 0;
    new PerformanceObserver(list => list.getEntries().forEach(shift => { moved += shift.value; }))
        .observe({type: 'layout-shift', buffered: true});
    """
    number = browser.call("Page.addScriptToEvaluateOnNewDocument", source=shifts)["identifier"]
    try:
        with media(browser, gliding=True):
            for width in WIDTHS:
                visit(browser, page_server, width)
                choose(browser, 0)
                browser.evaluate("new Promise(done => setTimeout(done, 300))")
                assert browser.evaluate("moved") < 0.05
                browser.evaluate("scrollTo({top: 0, behavior: 'instant'})")
                browser.evaluate("document.querySelector('.top').style.marginTop = '300px'")  # is heard
                browser.wait_for("moved > 0.05", 5)
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=number)


def test_paper_says_of_whom_when_and_by_which_model(browser: Browser, page_server: Any) -> None:
    visit(browser, page_server)
    record = {
        "patient_id": "p9",
        "landmark_day": 30,
        "baseline": {"age": 63, "haemoglobin": {"value": 9, "unit": "g/dL"}},
    }
    record["events"] = [{"event": "icans", "day": 5, "grade": 2}]
    paste(browser, record)
    explained(browser)
    height = "document.querySelector('.printed').getBoundingClientRect().height"
    assert browser.evaluate(height) == 0
    with media(browser, medium="print"):
        terms = texts_of(browser, ".printed dt")
        facts = dict(zip(terms, texts_of(browser, ".printed dd"), strict=True))
        assert browser.evaluate(height) > 100
        expected = {"Patient": "p9", "Seen from": "day 30 since infusion", "Age": "63 years", "Haemoglobin": "9 g/dL"}
        assert expected.items() <= facts.items()
        assert facts["ICANS"] == "grade 2, day 5"
        assert facts["Model"].startswith("cox-for-tests, version sequela:")
        assert browser.evaluate("new Date().getFullYear().toString()") in facts["Predicted"]
        enter(browser, "baseline.age", "70")  # what is stale is not printed
        assert browser.evaluate("document.querySelector('#risk').getBoundingClientRect().height") == 0
        assert browser.evaluate(height) == 0
        assert "entered before" in browser.evaluate("document.querySelector('.answer').innerText")


def test_what_is_read_in_the_phone_is_in_view_at_once(browser: Browser, page_server: Any) -> None:
    visit(browser, page_server, 390, 844)
    choose(browser, 0)
    browser.evaluate("new Promise(done => setTimeout(done, 600))")
    assert in_view(browser, "[data-risk]")
    assert Image.open(io.BytesIO(browser.screenshot())).size == (390, 844)
