"""What is drawn is what was answered, read back from the figures by their own ticks, to the pixel; and can be read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from browser import Browser
from figures import PIXEL, Figure, overlapping
from risk_page import Json, choose, exchanged, percent, predict_from, predicted, text_of, texts_of, visit

WIDTHS = (320, 390, 1440)
CURVES, COURSE, TIER, GROUPS = "#curves svg.plot", "#landmarks svg.plot", "#tier svg.plot", "#calibration svg.plot"


def near(found: Any, expected: Any) -> bool:
    return bool(np.abs(np.asarray(found) - np.asarray(expected)).max() < PIXEL)


@pytest.mark.parametrize("width", [390, 1440])
def test_curves_and_bands_are_the_answered_incidences(
    browser: Browser, page_server: Any, card: Json, width: int
) -> None:
    visit(browser, page_server, width)
    choose(browser, 0)
    one = predicted(browser)
    figure = Figure(browser, CURVES)
    days = [0, *one["horizons_days"]]
    dots = dict(zip(card["causes"], figure.read["dots"], strict=True))
    for k, cause in enumerate(card["causes"]):
        risks = [0, *one["incidence"][cause]]
        assert near(figure.points("lines", f"cause-{k}"), figure.at(days, risks))
        low, high = np.array(one["interval"][cause]).T
        drawn_low, drawn_high = np.maximum.accumulate(low), np.minimum.accumulate(high[::-1])[::-1]
        band = np.vstack([figure.at([0], [0]), figure.at(days[1:], drawn_high), figure.at(days[1:], drawn_low)[::-1]])
        assert near(figure.points("bands", f"cause-{k}"), band)
        assert near(dots[cause], figure.at([days[-1]], [risks[-1]])[0])
    assert figure.read["values"][-1][0] == "365"


@pytest.mark.parametrize("width", [390, 1440])
def test_each_landmark_stands_at_its_day_with_its_risk_and_interval(
    browser: Browser, long_server: Any, width: int
) -> None:
    visit(browser, long_server, width)
    choose(browser, 0)
    predict_from(browser, 180)
    _, answer = exchanged(browser, "/v1/predict")
    now, *before = answer["predictions"]
    cause = "immune_effector_cell_associated_haematotoxicity"
    seen = [*before, now]
    days, risks = [one["landmark_day"] for one in seen], [one["incidence"][cause][-1] for one in seen]
    assert days == [0, 30, 90, 92, 180]
    figure = Figure(browser, COURSE)
    assert near(figure.read["dots"], figure.at(days, risks))
    assert near(figure.points("lines", "cause-0"), figure.at(days, risks))
    low, high = np.array([one["interval"][cause][-1] for one in seen]).T
    assert near(figure.read["whiskers"], np.column_stack([figure.x(np.array(days)), figure.y(low), figure.y(high)]))
    for text, x, _ in figure.read["named"]:
        nearest = np.abs(figure.x(np.array(days)) + 8 - x).argmin()
        assert text == percent(risks[nearest])
    assert figure.read["named"][-1][0] == percent(risks[-1])


def test_groups_stand_where_they_were_predicted_and_observed(browser: Browser, page_server: Any, card: Json) -> None:
    visit(browser, page_server)
    choose(browser, 1)
    (groups,) = (
        one["groups"] for one in card["calibration"] if (one["landmark_day"], one["horizon_days"]) == (0.0, 365.0)
    )
    figure = Figure(browser, GROUPS)
    expected = [(group["predicted"], group["observed"]) for group in groups]
    assert near(figure.read["dots"], figure.at(*zip(*expected, strict=True)))
    known = [(g["predicted"], g["low"], g["high"]) for g in groups if g["low"] is not None]
    predicted_risk, low, high = np.array(known).T
    assert near(figure.read["whiskers"], np.column_stack([figure.x(predicted_risk), figure.y(low), figure.y(high)]))


@pytest.mark.parametrize("width", WIDTHS)
def test_the_tier_mark_stands_at_the_risk(browser: Browser, page_server: Any, width: int) -> None:
    visit(browser, page_server, width)
    choose(browser, 0)
    one = predicted(browser)
    risk = one["incidence"]["infection"][one["horizons_days"].index(180)]
    found = browser.evaluate(
        f"""(svg => [svg.querySelector('.mark').getBBox(), [...svg.querySelectorAll('rect')].map(one => one.getBBox())])
        (document.querySelector('{TIER}'))""".replace("getBBox()", "getBBox().x")
    )
    mark, edges = found[0] + 6, found[1]
    ticks = np.polyfit([0.0, 0.05, 0.9], edges, 1)  # each band begins at its threshold
    assert near(mark, np.polyval(ticks, risk))
    assert overlapping(browser, TIER) == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("day", [92, 180])
def test_nothing_written_overlaps_or_is_cut(browser: Browser, long_server: Any, width: int, day: int) -> None:
    """Five horizons, landmarks two days apart, thresholds half a hundredth apart, and names of causes that are long."""
    visit(browser, long_server, width, 844)
    choose(browser, 0)
    predict_from(browser, day)
    for selector in (CURVES, COURSE, TIER):
        assert overlapping(browser, selector) == [], selector
    assert browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    labels = texts_of(browser, ".horizons label")
    assert labels == ["90 days", "180 days", "365 days", "2 years", "5 years"]
    assert len(texts_of(browser, ".tiers li")) == 4
    cut = browser.evaluate(
        """[...document.querySelectorAll('.side, .bars b, .stack span, .fact b')]
        .filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.outerHTML)"""
    )
    assert cut == []
    broken = browser.evaluate(
        "[...document.querySelectorAll('.bars b')].filter(one => one.getBoundingClientRect().height > 30).length"
    )
    assert broken == 0


def test_a_model_of_one_landmark_says_that_there_is_no_course(browser: Browser, page_server: Any) -> None:
    visit(browser, page_server)
    state = """{card: {landmark_days: [0], causes: ['death']}, seen: [{happened: []}],
        prediction: {landmark_day: 0}}"""
    script = f"""import('/page/landmarks.js').then(module => {{
        const shown = module.landmarks();
        shown.show({state});
        return shown.node.textContent;
    }})"""
    assert "predicts from day 0 alone, so there is no course" in browser.evaluate(script)


def test_groups_that_are_not_there_are_told_from_none_at_all(browser: Browser, long_server: Any) -> None:
    visit(browser, long_server)
    choose(browser, 0)
    assert text_of(browser, "[data-calibration]").startswith("This model carries no groups of patients")
    assert text_of(browser, "#calibration h3") == "How well calibrated for patients of similar predicted risk"
    state = """{card: {calibration: [{landmark_day: 30, horizon_days: 90, groups: []}], causes: ['death']},
        prediction: {landmark_day: 0}, horizon: 90}"""
    script = f"""import('/page/calibration.js').then(module => {{
        const shown = module.calibration();
        shown.show({state});
        return shown.node.textContent;
    }})"""
    assert "groups of patients to compare with, but none seen by day 0 and followed for 90 days" in (
        browser.evaluate(script)
    )
