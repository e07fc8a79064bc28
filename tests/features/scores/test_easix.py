"""EASIX and its modifications."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.scores.easix import EASIX, M_EASIX, S_EASIX
from features.scores.score import Score

LABS = {"ldh": 300.0, "creatinine": 0.9, "crp": 2.5, "platelets": 150.0}


def of(score: Score, **changed: float) -> float:
    values = LABS | changed
    return float(score.compute({name: values[name] for name in score.inputs})[0])


@pytest.mark.parametrize(
    ("score", "expected"), [(EASIX, 1.8), (S_EASIX, 2.0), (M_EASIX, 5.0)], ids=lambda x: getattr(x, "name", None)
)
def test_by_hand(score: Score, expected: float) -> None:
    assert of(score) == pytest.approx(expected, rel=1e-12)
    assert score.log2(np.array([of(score)]))[0] == pytest.approx(math.log2(expected), rel=1e-12)


def test_crp_is_taken_in_mg_per_decilitre() -> None:
    assert M_EASIX.inputs["crp"] == "mg/dL"


def test_the_cut_off_belongs_to_the_low_group() -> None:
    values = np.array([0.0, 4.66, 4.67, 4.68, np.nan])
    assert EASIX.group(values).tolist() == ["low", "low", "low", "high", None]


@pytest.mark.parametrize("score", [S_EASIX, M_EASIX], ids=lambda s: s.name)
def test_no_groups_without_a_published_cut_off(score: Score) -> None:
    assert score.group(np.array([0.1, 1e9])).tolist() == [None, None]


positive = st.floats(1e-3, 1e4)


@pytest.mark.parametrize("score", [EASIX, S_EASIX, M_EASIX], ids=lambda s: s.name)
@given(ldh=positive, other=positive, platelets=positive, factor=st.floats(1.001, 100))
def test_a_doubling_is_one_on_the_log_scale(
    score: Score, ldh: float, other: float, platelets: float, factor: float
) -> None:
    base = of(score, ldh=ldh, creatinine=other, crp=other, platelets=platelets)
    double = of(score, ldh=2 * ldh, creatinine=other, crp=other, platelets=platelets)
    logs = score.log2(np.array([base, double]))
    assert logs[1] - logs[0] == pytest.approx(1.0, abs=1e-9)
    assert of(score, ldh=ldh * factor, creatinine=other, crp=other, platelets=platelets) > base
    assert of(score, ldh=ldh, creatinine=other, crp=other, platelets=platelets * factor) < base


def test_a_crp_of_zero_has_a_ratio_but_no_logarithm() -> None:
    ratio = of(M_EASIX, crp=0.0)
    assert ratio == 0.0
    assert np.isnan(M_EASIX.log2(np.array([ratio]))).all()


@pytest.mark.parametrize(
    "changed",
    [{"platelets": 0.0}, {"platelets": 0.0, "ldh": 0.0}, {"ldh": math.nan}, {"ldh": -1.0}, {"ldh": math.inf}],
    ids=["no platelets", "nothing over nothing", "missing", "negative", "infinite"],
)
@pytest.mark.parametrize("score", [EASIX, S_EASIX, M_EASIX], ids=lambda s: s.name)
def test_what_has_no_value_is_missing(score: Score, changed: dict[str, float]) -> None:
    assert math.isnan(of(score, **changed))
