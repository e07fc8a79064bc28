"""Comparisons of arms equal those of R's survival and cmprsk on a simulated and on real studies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from features.outcomes import Outcomes
from training.effects.arms import Arms
from training.effects.estimates import Estimate
from training.effects.gray import gray_test
from training.effects.hazards import cause_specific_ratios, subdistribution_ratios
from training.effects.logrank import log_rank_test
from training.effects.risks import RISK, Measure, by_arm
from training.effects.time_lost import TIME_LOST

CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def causes(arms: Arms) -> range:
    return range(1, len(arms.outcomes.causes) + 1)


@pytest.mark.parametrize("which", ["plain", "stratified"])
def test_tests(study: Any, which: str) -> None:
    arms = study.arms if which == "stratified" else replace(study.arms, stratum=None)
    expected = study.golden["tests"][which]
    gray = [gray_test(arms, cause) for cause in causes(arms)]
    np.testing.assert_allclose([one.statistic for one in gray], expected["gray"], **CLOSE)
    np.testing.assert_allclose([one.p for one in gray], expected["gray_p"], **CLOSE)
    log_rank = [log_rank_test(arms, cause).statistic for cause in causes(arms)]
    np.testing.assert_allclose(log_rank, expected["logrank"], **CLOSE)


def assert_equal(found: tuple[Estimate, ...], expected: dict[str, Any]) -> None:
    np.testing.assert_allclose(np.log([one.point for one in found]), np.atleast_1d(expected["beta"]), **CLOSE)
    np.testing.assert_allclose([one.standard_error for one in found], np.atleast_1d(expected["se"]), **CLOSE)


@pytest.mark.parametrize("which", ["plain", "stratified", "robust"])
def test_cause_specific_ratios(study: Any, which: str) -> None:
    arms = study.arms if which == "stratified" else replace(study.arms, stratum=None)
    cluster = study.cluster if which == "robust" else None
    for cause in causes(arms):
        assert_equal(cause_specific_ratios(arms, cause, cluster), study.golden["cox"][cause - 1][which])


@pytest.mark.parametrize("which", ["plain", "stratified"])
def test_subdistribution_ratios(study: Any, which: str) -> None:
    arms = study.arms if which == "stratified" else replace(study.arms, stratum=None)
    for cause in causes(arms):
        assert_equal(subdistribution_ratios(arms, cause), study.golden["fine_gray"][cause - 1][which])


@pytest.mark.parametrize(
    ("measure", "point", "error"),
    [(RISK, "incidence", "se"), (TIME_LOST, "lost", "lost_se")],
    ids=["incidence", "time lost"],
)
def test_curves(study: Any, measure: Measure, point: str, error: str) -> None:
    found = by_arm(study.arms, measure, np.array(study.golden["times"], dtype=float))
    for table, expected in zip(found, study.golden["curves"], strict=True):
        for name, key in (("point", point), ("standard_error", error)):
            values = [[getattr(one, name) for one in row] for row in table]
            np.testing.assert_allclose(np.nan_to_num(values), expected[key], **CLOSE)


def test_weighted_incidence(golden: dict[str, Any]) -> None:
    """Standard errors of R are robust by patient: the influence of each row times its weight."""
    case = golden["cases"][0]
    data, expected = case["data"], case["weighted"]
    cause = np.array(data["event"], dtype=np.int64)
    outcomes = Outcomes(np.array(data["time"], dtype=float), cause, ("infection", "death"))
    weights, at = np.array(expected["weight"]), np.array(case["times"], dtype=float)
    np.testing.assert_allclose(RISK.value(outcomes, at, weights), expected["incidence"], **CLOSE)
    influence = weights[:, None, None] * RISK.influence(outcomes, at, weights)
    np.testing.assert_allclose(np.sqrt((influence**2).sum(axis=0)), expected["se"], **CLOSE)
