"""Every number, interval and sentence of the page is what the service answers."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import numpy as np
import pytest
from browser import Browser
from risk_page import (
    OVERFLOW,
    THIN,
    Json,
    choose,
    exchanged,
    explained,
    paste,
    percent,
    points,
    predicted,
    press,
    rows,
    span,
    text_of,
    texts_of,
    title,
    visit,
)

from features.guidance import OPTIONS
from tests.serving.page.conftest import DECISION

WIDTHS = (390, 1440)
N_EXAMPLES = 4


def cell(prediction: Json, cause: str, at: int) -> str:
    """A risk as a table has it, with its interval."""
    return percent(prediction["incidence"][cause][at]) + span(prediction["interval"][cause][at])


def signed(share: float) -> str:
    text = f"{abs(100 * share):.1f}"
    return "0.0" if text == "0.0" else f"{'−' if share < 0 else '+'}{text}"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("number", range(N_EXAMPLES))
def test_every_example_is_predicted_and_the_numbers_shown_are_those_answered(
    browser: Browser, page_server: Any, client: httpx.Client, card: Json, width: int, number: int
) -> None:
    visit(browser, page_server, width)
    choose(browser, number)
    body, answer = exchanged(browser, "/v1/predict")
    prediction = answer["predictions"][0]
    again = client.post("/v1/predict", json=body).json()["predictions"][0]
    assert again["incidence"]["infection"] == pytest.approx(prediction["incidence"]["infection"], abs=1e-6)
    places = [prediction["horizons_days"].index(day) for day in card["horizons_days"]]
    shown = rows(browser, "risks")
    for cause in card["causes"]:
        assert shown[title(cause)] == [cell(prediction, cause, at) for at in places]
    assert shown["Free of all"] == [percent(prediction["event_free"][at]) for at in places]
    for kind in ("missing", "outside_training_range", "unseen_levels", "ignored", "impossible"):
        listed = browser.evaluate(
            f"[...document.querySelectorAll('[data-noted={kind}] li')].map(li => li.dataset.place)"
        )
        assert listed == prediction[kind]
    assert browser.evaluate("innerWidth") == width
    browser.wait_for("Math.abs(document.querySelector('#results').getBoundingClientRect().top) < 400", 5)
    assert browser.evaluate(OVERFLOW) == 0
    assert browser.said() == []


@pytest.mark.parametrize("horizon", [90, 365])
def test_the_headline_is_of_the_chosen_horizon(browser: Browser, page_server: Any, horizon: int) -> None:
    visit(browser, page_server)
    choose(browser, 1)
    browser.evaluate(f"document.querySelector('[name=horizon][value=\"{horizon}\"]').click()")
    one = predicted(browser)
    at = one["horizons_days"].index(horizon)
    infection, death = (one["incidence"][cause][at] for cause in ("infection", "death"))
    assert text_of(browser, "[data-risk=infection]") == percent(infection)
    assert text_of(browser, ".risk .ends") == f"90 % interval {span(one['interval']['infection'][at])}"
    assert text_of(browser, "#risk .sentence") == (
        f"Infection of grade 3 or worse within {horizon} days after day 0 since infusion; "
        f"death comes first in {percent(death)}; {percent(one['event_free'][at])} stay free of all."
    )
    assert text_of(browser, ".slider output") == f"{horizon} days"
    shares = 100 * np.array([infection, death, one["event_free"][at]])
    caption = text_of(browser, "#risk figcaption")
    counts = [int(word) for word in caption.replace(",", " ").split() if word.isdecimal()]
    assert counts[0] == sum(counts[1:]) == 100
    assert (np.abs(np.array(counts[1:]) - shares) < 1).all()
    assert caption == f"Of 100 such patients: {counts[1]} infection, {counts[2]} death and {counts[3]} none of these."
    marks = [browser.evaluate(f"document.querySelectorAll('#risk figure {one}').length") for one in MARKS]
    assert marks == counts[1:]


MARKS = ("path.cause-0", "path.cause-1", "circle.free")


def test_the_curves_are_read_at_any_day_by_key_and_in_a_table(browser: Browser, page_server: Any, card: Json) -> None:
    visit(browser, page_server)
    choose(browser, 0)
    one = predicted(browser)
    browser.evaluate("document.querySelector('#read-day').focus()")
    press(browser, "Home")
    for _ in range(9):
        press(browser, "ArrowRight")
    assert f"Read at {one['horizons_days'][9]:g} days" == text_of(browser, ".slider label")
    readings = [
        f"{title(cause)}{percent(one['incidence'][cause][9])}{span(one['interval'][cause][9])}"
        for cause in card["causes"]
    ]
    assert texts_of(browser, ".reading") == [*readings, f"Free of all{percent(one['event_free'][9])}"]
    table = rows(browser, "curves")
    for day, cells in table.items():
        at = one["horizons_days"].index(float(day))
        risks = [
            f"{percent(one['incidence'][cause][at])} ({span(one['interval'][cause][at])})" for cause in card["causes"]
        ]
        assert cells == [*risks, percent(one["event_free"][at])]
    assert {f"{day:g}" for day in card["horizons_days"]} <= set(table)


def test_days_free_and_lost_are_the_areas_under_the_answered_curves(
    browser: Browser, page_server: Any, card: Json
) -> None:
    visit(browser, page_server)
    choose(browser, 0)
    one = predicted(browser)
    lost = {cause: area(one["horizons_days"], one["incidence"][cause], 0.0) for cause in card["causes"]}
    free = area(one["horizons_days"], one["event_free"], 1.0)
    assert free + sum(lost.values()) == pytest.approx(365)
    days = {"Alive and free of infection": free} | {f"Lost to {cause}": lost[cause] for cause in lost}
    expected = {head: [f"{n:.0f}", f"{100 * n / 365:.0f}{THIN}%"] for head, n in days.items()}
    assert rows(browser, "days") == expected
    none = "no interval is known"
    assert text_of(browser, "[data-fact=free]") == (
        f"{free:.0f} days alive and free of infection: free of all first events {none}"
    )
    risk = percent(one["incidence"]["infection"][-1])
    ends = span(one["interval"]["infection"][-1])
    assert text_of(browser, "[data-fact=risk]") == f"{risk} infection as the first event 90 % interval {ends}"
    assert text_of(browser, "[data-fact=lost]") == (
        f"{lost['infection']:.0f} days lost to infection as the first event {none}"
    )
    shares = browser.evaluate("[...document.querySelectorAll('.stack span')].map(one => Number(one.style.flexGrow))")
    assert shares == pytest.approx([n / 365 for n in days.values()])


def area(days: list[float], values: list[float], start: float) -> float:
    """By the trapezoidal rule, from day 0."""
    points = list(zip([0.0, *days], [start, *values], strict=True))
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(points))


def test_relapse_free_days_are_not_made_of_first_events(browser: Browser, long_server: Any) -> None:
    """Where relapse competes and transitions are unknown, what can be said is said, and what cannot."""
    visit(browser, long_server)
    choose(browser, 0)
    one = predicted(browser)
    lost = area(one["horizons_days"], one["incidence"]["relapse"], 0.0)
    said = text_of(browser, ".half .note")
    assert "Days without relapse, with or without other events: not known" in said
    assert f"Lost to a relapse that comes first: {lost:.0f} days; no interval is known." in said


def test_the_risk_from_each_landmark_is_that_of_the_record_seen_from_there(
    browser: Browser, page_server: Any, client: httpx.Client
) -> None:
    visit(browser, page_server)
    record = {
        "patient_id": "p7",
        "landmark_day": 20,
        "baseline": {"age": 70},
        "measurements": [{"variable": "anc", "day": 15, "value": 90}],
    }
    paste(browser, {"patients": [record]})
    explained(browser)
    expected = {}
    for day in (0, 20):
        one = client.post("/v1/predict", json={"patients": [record | {"landmark_day": day}]}).json()["predictions"][0]
        ends = one["interval"]["infection"][-1]
        expected[f"Day {day}"] = [percent(one["incidence"]["infection"][-1]), span(ends)]
    assert rows(browser, "landmarks") == expected
    assert expected["Day 0"] != expected["Day 20"]
    assert text_of(browser, "#landmarks p").endswith("in a patient without an event so far.")
    body, _ = exchanged(browser, "/v1/predict")
    assert [one.get("patient_id") for one in body["patients"]] == ["p7", None]  # a ledger keeps what looks ahead alone


@pytest.mark.parametrize("cause", ["infection", "death"])
def test_every_driver_is_what_was_explained(browser: Browser, page_server: Any, cause: str) -> None:
    visit(browser, page_server)
    choose(browser, 0)
    browser.evaluate("document.querySelector('[name=horizon][value=\"180\"]').click()")
    browser.evaluate(
        f"(choice => {{ choice.value = '{cause}'; choice.dispatchEvent(new Event('change')); }})"
        "(document.querySelector('#driver-cause'))"
    )
    _, answer = exchanged(browser, "/v1/explain")
    own = answer["explanations"][0]
    adds = sorted((values[1] for values in own["contributions"][cause].values()), key=abs, reverse=True)
    shown = [*adds[:8], sum(adds[8:])]
    assert texts_of(browser, ".bars b") == [signed(share) for share in shown]
    bars = browser.evaluate("[...document.querySelectorAll('.bar')].map(one => [one.className, one.style.width])")
    most = max(map(abs, shown))
    assert [kind for kind, _ in bars] == ["bar less" if share < 0 else "bar more" for share in shown]
    assert [float(width.removesuffix("%")) for _, width in bars] == pytest.approx(
        [50 * abs(share) / most for share in shown], abs=0.01
    )
    table = [cells[-1] for cells in rows(browser, "drivers").values()]
    assert sorted(table) == sorted(signed(share) for share in adds)
    assert text_of(browser, ".drivers p") == (
        f"The risk of {cause}, from {percent(own['average'][cause][1])} in the average training patient to "
        f"{percent(own['incidence'][cause][1])} here, in percentage points within 180 days."
    )


def test_the_patient_is_placed_in_the_group_of_its_risk(browser: Browser, page_server: Any, card: Json) -> None:
    visit(browser, page_server)
    choose(browser, 1)
    risk = predicted(browser)["incidence"]["infection"][-1]
    (groups,) = (
        one["groups"] for one in card["calibration"] if (one["landmark_day"], one["horizon_days"]) == (0.0, 365.0)
    )
    own = next(group for group in groups if risk <= group["up_to"])
    between = f"of {span([own['above'], own['up_to']])}" if own["up_to"] < 1 else f"above {percent(own['above'])}"
    assert text_of(browser, "[data-calibration]") == (
        f"This patient’s risk is {percent(risk)}. Of {own['n_patients']} patients seen from day 0 with a "
        f"predicted risk {between}, whatever else they had, {percent(own['observed'])} had infection within 365 days; "
        f"{ends_of(own, '95 % interval ')}. Predicted were {percent(own['predicted'])}."
    )
    table = rows(browser, "calibration")
    assert list(table.values()) == [
        [
            str(group["n_patients"]),
            percent(group["predicted"]),
            percent(group["observed"]) + ends_of(group, none="none known"),
        ]
        for group in groups
    ]
    assert [head.startswith("▸") for head in table] == [group is own for group in groups]
    assert "those of the predicted risk above are of 90 %" in text_of(browser, "#calibration .note")


def ends_of(group: Json, name: str = "", none: str = "no interval is known") -> str:
    return none if group["low"] is None else name + span([group["low"], group["high"]])


def test_the_tier_says_what_guidance_offers_and_what_it_rests_on(
    browser: Browser, page_server: Any, card: Json
) -> None:
    visit(browser, page_server)
    choose(browser, 0)
    one = predicted(browser)
    risk = one["incidence"]["infection"][one["horizons_days"].index(DECISION.horizon_days)]
    level = DECISION.tier_of(risk)
    assert level == 1
    assert text_of(browser, "[data-tier]") == (
        f"Raised (from 5.0{THIN}% to 90{THIN}%): {percent(risk)} risk of infection of grade 3 or worse within 180 days."
    )
    assert texts_of(browser, ".tiers li") == [
        f"Standardbelow 5.0{THIN}%",
        f"Raised ▾ this patientfrom 5.0{THIN}% to 90{THIN}%",
        f"Highfrom 90{THIN}% on",
    ]
    keys = [key for tier in DECISION.tiers[: level + 1] for key in tier.options]
    assert texts_of(browser, ".options li") == [OPTIONS[k].title + OPTIONS[k].text + OPTIONS[k].source for k in keys]
    note = text_of(browser, "#tier .note")
    assert note == f"For a clinician to weigh; no order. {card['thresholds'][0]['said']} {card['decision'][0]['said']}"
    assert "The threshold of 5 % was given with the endpoint" in note
    assert "acting from a risk of 5 % on is of use was not shown" in note
    assert "is 1.1 true positives in 100 patients (95 % interval −2.0 to 3.0)" in note
    assert card["guidance"].keys() == {key for tier in DECISION.tiers for key in tier.options}


def test_a_hundred_patients_are_a_hundred(browser: Browser, page_server: Any) -> None:
    rng = np.random.default_rng(0)
    shares = [*rng.dirichlet([0.3, 1, 2], 200).tolist(), [1.0, 0.0, 0.0], [0.29, 0.71, 0.0]]
    visit(browser, page_server)
    counts = np.array(browser.evaluate(f"import('/page/headline.js').then(m => {shares}.map(m.wholeNumbers))"))
    assert (counts.sum(axis=1) == 100).all()
    assert (np.abs(counts - 100 * np.array(shares)) < 1).all()


def test_what_is_not_quite_certain_is_not_written_as_certain(browser: Browser, page_server: Any) -> None:
    shares = [0.0, 0.0004, 0.0005, 0.0994, 0.0995, 0.5, 0.9949, 0.995, 0.9994, 0.9996, 1.0, 1.0 - 1e-15, 1.0 + 1e-15]
    visit(browser, page_server)
    shown = browser.evaluate(f"import('/page/words.js').then(words => {shares}.map(words.points))")
    assert shown == ["0.0", "<0.1", "0.1", "9.9", "10", "50", "99", "99.5", "99.9", ">99.9", "100", "100", "100"]
    assert shown == [points(share) for share in shares]


def test_long_times_are_said_in_years_and_large_numbers_without_commas(browser: Browser, page_server: Any) -> None:
    visit(browser, page_server)
    days = browser.evaluate(
        "import('/page/words.js').then(words => [1, 365, 700, 730, 731, 900, 1095, 1825, 3652].map(words.days))"
    )
    in_years = ["2 years", "2 years", "900 days", "3 years", "5 years", "10 years"]
    assert days == ["1 day", "365 days", "700 days", *in_years]
    numbers = browser.evaluate(
        "import('/page/words.js').then(words => [9999, 12000, -1234567, 0.25].map(words.plainNumber))"
    )
    assert numbers == ["9999", f"12{THIN}000", f"−1{THIN}234{THIN}567", "0.25"]
    record = {"measurements": [{"variable": "ferritin", "day": 0, "value": 12_000}]}
    paste(browser, record)
    explained(browser)
    assert f"last 12{THIN}000 ng/mL" in texts_of(browser, ".bars small")


def test_scores_stand_by_score_and_landmark(browser: Browser, page_server: Any, client: httpx.Client) -> None:
    metrics = {
        "ibs/infection": 0.0889,
        "ibs_lo/infection": 0.0743,
        "ibs_hi/infection": 0.1096,
        "auc_90d_from30/infection": 0.77,
        "ibs/death": None,
        "own": 0.7,
    }
    visit(browser, page_server)
    browser.evaluate("document.querySelector('#card').replaceChildren()")
    changed = f"Object.assign(card, {{metrics: {str(metrics).replace('None', 'null')}}})"
    browser.evaluate(
        "Promise.all([import('/page/card.js'), fetch('v1/model').then(answer => answer.json())])"
        f".then(([module, card]) => document.body.append(...module.cardNodes({changed}))).then(() => 0)"
    )
    assert rows(browser, "scores") == {
        "Integrated Brier score, from day 0": ["0.0890.074 to 0.110", "–", "–"],
        "AUC by day 90, from day 30": ["0.770", "–", "–"],
        "own, from day 0": ["–", "–", "0.700"],
    }
