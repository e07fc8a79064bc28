"""HScore against its published table, written out case by case."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.scores.hscore import HSCORE

HEALTHY: dict[str, float] = {
    "temperature": 36.8,
    "ferritin": 100,
    "triglycerides": 1.0,
    "fibrinogen": 3.0,
    "ast": 20,
    "haemoglobin": 14,
    "wbc": 7,
    "platelets": 250,
    "organomegaly": 0,
    "immunosuppression": 0,
    "haemophagocytosis": 0,
}
WORST = HEALTHY | {
    "temperature": 40,
    "ferritin": 20_000,
    "triglycerides": 5,
    "fibrinogen": 1,
    "ast": 300,
    "haemoglobin": 6,
    "wbc": 1,
    "platelets": 20,
    "organomegaly": 2,
    "immunosuppression": 1,
    "haemophagocytosis": 1,
}


def score(values: dict[str, Any]) -> float:
    return float(HSCORE.compute(values)[0])


def published(values: dict[str, float]) -> int:  # noqa: C901 - the table of the paper, line by line
    """Fardet 2014, as the table is read aloud."""
    points = 0
    if values["immunosuppression"]:
        points += 18
    if values["temperature"] > 39.4:
        points += 49
    elif values["temperature"] >= 38.4:
        points += 33
    points += {0: 0, 1: 23, 2: 38}[int(values["organomegaly"])]
    lineages = 0
    if values["haemoglobin"] <= 9.2:
        lineages += 1
    if values["wbc"] <= 5:
        lineages += 1
    if values["platelets"] <= 110:
        lineages += 1
    points += {0: 0, 1: 0, 2: 24, 3: 34}[lineages]
    if values["ferritin"] > 6000:
        points += 50
    elif values["ferritin"] >= 2000:
        points += 35
    if values["triglycerides"] > 4:
        points += 64
    elif values["triglycerides"] >= 1.5:
        points += 44
    if values["fibrinogen"] <= 2.5:
        points += 30
    if values["ast"] >= 30:
        points += 19
    if values["haemophagocytosis"]:
        points += 35
    return points


def test_the_lowest_and_the_highest() -> None:
    assert score(HEALTHY) == 0
    assert score(WORST) == 337
    assert HSCORE.range == (0, 337)


@pytest.mark.parametrize(
    ("changed", "points"),
    [
        pytest.param({"temperature": 38.3}, 0, id="temperature below 38.4"),
        pytest.param({"temperature": 38.4}, 33, id="temperature 38.4"),
        pytest.param({"temperature": 39.4}, 33, id="temperature 39.4"),
        pytest.param({"temperature": 39.5}, 49, id="temperature above 39.4"),
        pytest.param({"organomegaly": 1}, 23, id="liver or spleen"),
        pytest.param({"organomegaly": 2}, 38, id="liver and spleen"),
        pytest.param({"haemoglobin": 9.2}, 0, id="one lineage"),
        pytest.param({"haemoglobin": 9.2, "wbc": 5.0}, 24, id="two lineages at their limits"),
        pytest.param({"haemoglobin": 9.3, "wbc": 5.0, "platelets": 110}, 24, id="haemoglobin just not low"),
        pytest.param({"haemoglobin": 9.2, "wbc": 5.0, "platelets": 110}, 34, id="three lineages"),
        pytest.param({"ferritin": 1999}, 0, id="ferritin below 2000"),
        pytest.param({"ferritin": 2000}, 35, id="ferritin 2000"),
        pytest.param({"ferritin": 6000}, 35, id="ferritin 6000"),
        pytest.param({"ferritin": 6001}, 50, id="ferritin above 6000"),
        pytest.param({"triglycerides": 1.49}, 0, id="triglycerides below 1.5"),
        pytest.param({"triglycerides": 1.5}, 44, id="triglycerides 1.5"),
        pytest.param({"triglycerides": 4.0}, 44, id="triglycerides 4"),
        pytest.param({"triglycerides": 4.01}, 64, id="triglycerides above 4"),
        pytest.param({"fibrinogen": 2.51}, 0, id="fibrinogen above 2.5"),
        pytest.param({"fibrinogen": 2.5}, 30, id="fibrinogen 2.5"),
        pytest.param({"ast": 29}, 0, id="AST below 30"),
        pytest.param({"ast": 30}, 19, id="AST 30"),
        pytest.param({"immunosuppression": 1}, 18, id="immunosuppressed"),
        pytest.param({"haemophagocytosis": 1}, 35, id="haemophagocytosis"),
    ],
)
def test_points_of_each_finding(changed: dict[str, float], points: int) -> None:
    assert published(HEALTHY | changed) == points
    assert score(HEALTHY | changed) == points


findings = st.fixed_dictionaries(
    {
        "temperature": st.floats(35, 42),
        "ferritin": st.floats(0, 20_000),
        "triglycerides": st.floats(0, 8),
        "fibrinogen": st.floats(0, 8),
        "ast": st.floats(0, 500),
        "haemoglobin": st.floats(3, 18),
        "wbc": st.floats(0, 20),
        "platelets": st.floats(0, 400),
        "organomegaly": st.sampled_from([0.0, 1.0, 2.0]),
        "immunosuppression": st.sampled_from([0.0, 1.0]),
        "haemophagocytosis": st.sampled_from([0.0, 1.0]),
    }
)


@given(st.lists(findings, min_size=1, max_size=5))
def test_agrees_with_the_table(patients: list[dict[str, float]]) -> None:
    columns = {name: np.array([patient[name] for patient in patients]) for name in HEALTHY}
    assert HSCORE.compute(columns).tolist() == [published(patient) for patient in patients]


@given(findings, findings)
def test_never_lower_when_no_finding_is_better(first: dict[str, float], second: dict[str, float]) -> None:
    falling = ("fibrinogen", "haemoglobin", "wbc", "platelets")
    worse = {name: (min if name in falling else max)(first[name], second[name]) for name in first}
    assert score(worse) >= max(score(first), score(second))


@pytest.mark.parametrize("name", list(HEALTHY))
def test_without_any_one_finding_there_is_no_score(name: str) -> None:
    assert math.isnan(score(WORST | {name: math.nan}))


@pytest.mark.parametrize(
    ("name", "code"), [("organomegaly", 3.0), ("organomegaly", 0.5), ("immunosuppression", 2.0)], ids=str
)
def test_a_code_that_is_none_has_no_score(name: str, code: float) -> None:
    assert math.isnan(score(HEALTHY | {name: code}))


def test_groups_at_the_cut_off() -> None:
    below, above = "below the cut-off", "at the cut-off or above"
    assert HSCORE.group(np.array([168.0, 169.0, np.nan])).tolist() == [below, above, None]
