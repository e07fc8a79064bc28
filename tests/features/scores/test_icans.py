"""ICANS grades: every cell of the ASTCT table, the ICE score, and what missing domains imply."""

from __future__ import annotations

import math

import numpy as np
import pytest

from features.errors import SequelaError
from features.scores.icans import icans_grade, ice_score

ICE_GRADES = {10: 0, 9: 1, 8: 1, 7: 1, 6: 2, 5: 2, 4: 2, 3: 2, 2: 3, 1: 3, 0: 3}


@pytest.mark.parametrize(("ice", "grade"), ICE_GRADES.items())
def test_ice_alone(ice: int, grade: int) -> None:
    assert icans_grade(ice) == grade
    assert icans_grade(ice, "alert", "none", "none", "none") == grade


@pytest.mark.parametrize(
    ("domain", "level", "grade"),
    [
        ("consciousness", "awakens_spontaneously", 1),
        ("consciousness", "awakens_to_voice", 2),
        ("consciousness", "awakens_to_touch", 3),
        ("consciousness", "unarousable", 4),
        ("seizure", "resolving", 3),
        ("seizure", "prolonged", 4),
        ("motor", "deep_focal_weakness", 4),
        ("pressure", "focal_oedema", 3),
        ("pressure", "diffuse_oedema_or_raised_pressure", 4),
    ],
)
def test_each_domain(domain: str, level: str, grade: int) -> None:
    assert icans_grade(10, **{domain: level}) == grade
    assert icans_grade(None, **{domain: level}) == grade
    assert icans_grade(4, **{domain: level}) == max(2, grade)


def test_examples_of_the_consensus() -> None:
    assert icans_grade(3, seizure="resolving") == 3  # ICE score of 3 and a generalised seizure
    assert icans_grade(0, "alert") == 3  # awake with global aphasia
    assert icans_grade(0, "unarousable") == 4


@pytest.mark.parametrize(
    ("domains", "grade"),
    [
        ({"ice": None}, math.nan),
        ({"ice": math.nan}, math.nan),
        ({"ice": None, "seizure": "none", "motor": "none", "pressure": "none"}, math.nan),
        ({"ice": None, "consciousness": "alert"}, 0),
        ({"ice": math.nan, "seizure": "prolonged"}, 4),
    ],
    ids=str,
)
def test_missing_domains(domains: dict[str, object], grade: float) -> None:
    np.testing.assert_equal(icans_grade(**domains), grade)  # type: ignore[arg-type]


def test_ice_score_is_the_sum_of_its_items() -> None:
    assert ice_score(4, 3, 1, 1, 1) == 10
    assert ice_score(2, 1, 0, 1, 0) == 4
    assert ice_score(0, 0, 0, 0, 0) == 0
    assert math.isnan(ice_score(4, 3, None, 1, 1))
    assert math.isnan(ice_score(4, math.nan, 1, 1, 1))


@pytest.mark.parametrize("points", [5, -1, 1.5, math.inf])
def test_ice_items_have_a_range(points: float) -> None:
    with pytest.raises(SequelaError, match="orientation: must be a whole number of points from 0 to 4"):
        ice_score(points, 3, 1, 1, 1)


@pytest.mark.parametrize(("item", "place"), [("naming", 1), ("commands", 2), ("writing", 3), ("attention", 4)])
def test_each_ice_item_is_checked_by_its_own_range(item: str, place: int) -> None:
    items: list[float] = [0, 0, 0, 0, 0]
    items[place] = 4
    with pytest.raises(SequelaError, match=f"{item}: must be a whole number"):
        ice_score(*items)


@pytest.mark.parametrize("ice", [11, -1, 6.5, math.inf])
def test_ice_score_has_a_range(ice: float) -> None:
    with pytest.raises(SequelaError, match="ICE score: must be a whole number of points from 0 to 10"):
        icans_grade(ice)


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(SequelaError, match="seizure: not one of its levels"):
        icans_grade(10, seizure="yes")
