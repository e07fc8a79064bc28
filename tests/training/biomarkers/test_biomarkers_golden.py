"""Tests of markers equal those of R's survival and cmprsk: ties, strata, covariates, late entry, missing values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.biomarkers.effect import hazard_ratio, within_arms
from training.biomarkers.multiplicity import benjamini_hochberg
from training.biomarkers.score_test import cause_specific_scores, subdistribution_scores
from training.effects.arms import Arms

GOLDEN = json.loads((Path(__file__).resolve().parents[2] / "golden" / "biomarkers.json").read_text(encoding="utf-8"))
DATA = {name: np.array(values, dtype=float) for name, values in GOLDEN["data"].items()}
COVARIATES = np.column_stack([DATA["z1"], DATA["z2"]])
CENTRE = DATA["centre"].astype(np.int64)
GIVEN: dict[str, dict[str, Any]] = {
    "plain": {},
    "stratified": {"stratum": CENTRE},
    "adjusted": {"stratum": CENTRE, "covariates": COVARIATES},
    "late": {"stratum": CENTRE, "covariates": COVARIATES},
}
CLOSE = {"rtol": 1e-8, "atol": 1e-9}
pytestmark = pytest.mark.parametrize(
    "one", [pytest.param(one, id=f"{one['marker']}-cause{one['cause']}") for one in GOLDEN["tests"]]
)


def outcomes_of(which: str, time: str = "time") -> Outcomes:
    entry = DATA["entry"] if which == "late" else None
    return Outcomes(DATA[time], DATA["event"].astype(np.int64), ("infection", "death"), entry)


def values_of(one: dict[str, Any]) -> NDArray[np.float64]:
    """All markers, so that they are tested at once, the wanted one first."""
    names = sorted(("g1", "g2", "g3", "g4"), key=lambda name: name != one["marker"])
    return np.column_stack([DATA[name] for name in names])


@pytest.mark.parametrize("which", ["plain", "stratified", "adjusted", "late"])
def test_cause_specific(one: dict[str, Any], which: str) -> None:
    expected = one["cox"][which]
    found = cause_specific_scores(values_of(one), outcomes_of(which), one["cause"], **GIVEN[which])
    np.testing.assert_allclose(found.z[0] ** 2, expected["score"], **CLOSE)
    ratio = hazard_ratio(DATA[one["marker"]], outcomes_of(which), one["cause"], **GIVEN[which])
    np.testing.assert_allclose([np.log(ratio.point), ratio.standard_error], [expected["beta"], expected["se"]], **CLOSE)


@pytest.mark.parametrize("which", ["plain", "stratified", "adjusted"])
def test_subdistribution(one: dict[str, Any], which: str) -> None:
    expected = one["fine_gray"][which]
    found = subdistribution_scores(values_of(one), outcomes_of(which), one["cause"], **GIVEN[which])
    np.testing.assert_allclose(found.z[0] ** 2, expected["score"], **CLOSE)
    ratio = hazard_ratio(DATA[one["marker"]], outcomes_of(which), one["cause"], kept=True, **GIVEN[which])
    np.testing.assert_allclose([np.log(ratio.point), ratio.standard_error], [expected["beta"], expected["se"]], **CLOSE)


def test_crr(one: dict[str, Any]) -> None:
    """Days do not tie, so that the coefficient is one; cmprsk's standard error also has that of the weights."""
    ratio = hazard_ratio(DATA[one["marker"]], outcomes_of("plain", "exact"), one["cause"], kept=True)
    assert np.log(ratio.point) == pytest.approx(one["crr"]["beta"], abs=1e-6)
    assert ratio.standard_error == pytest.approx(one["crr"]["se"], rel=0.02)


def test_interaction(one: dict[str, Any]) -> None:
    """Separate fits in the arms give the Wald test of one model with a baseline hazard for each arm and centre."""
    arms = Arms(outcomes_of("plain"), DATA["arm"].astype(np.int64), ("without", "with"), CENTRE)
    found = within_arms(DATA[one["marker"]], arms, one["cause"])
    assert found.interaction.degrees == 1
    np.testing.assert_allclose(found.interaction.statistic, one["interaction"], **CLOSE)


def test_sign_and_p_are_those_of_the_statistic(one: dict[str, Any]) -> None:
    found = cause_specific_scores(values_of(one), outcomes_of("plain"), one["cause"])
    assert np.sign(found.z[0]) == np.sign(one["cox"]["plain"]["beta"])
    from scipy.stats import chi2

    np.testing.assert_allclose(found.p[0], chi2.sf(one["cox"]["plain"]["score"], 1), rtol=1e-7)


def test_false_discovery_rate(one: dict[str, Any]) -> None:
    del one
    expected = GOLDEN["adjusted"]
    p, q = (np.array(expected[key], dtype=float) for key in ("p", "bh"))
    np.testing.assert_allclose(benjamini_hochberg(p), q, **CLOSE)
