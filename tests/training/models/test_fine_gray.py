"""Fine and Gray's model: golden values from R, its risk sets written out, Aalen–Johansen, and sums above 1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.errors import SequelaError
from features.outcomes import Outcomes
from training.models.fine_gray import FineGray, Observation, within_one
from training.models.nonparametric import aalen_johansen
from training.models.partial_likelihood import PartialLikelihood
from training.models.penalised_fit import PENALTIES, maximise

CAUSES = ("relapse", "death")
GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "fine_gray.json").read_text(encoding="utf-8"))
FloatArray = NDArray[np.float64]


@pytest.fixture(params=GOLDEN["cases"], ids=[case["name"] for case in GOLDEN["cases"]])
def golden(request: pytest.FixtureRequest) -> Any:
    return request.param


def outcomes_of(case: dict[str, Any]) -> Outcomes:
    entry = np.array(case["entry_days"], dtype=float)
    duration = np.array(case["duration_days"], dtype=float)
    return Outcomes(duration, np.array(case["cause"]), CAUSES, entry if entry.any() else None)


def simulated(seed: int, n: int, p: int, *, tied: bool = True, truncated: bool = False) -> tuple[FloatArray, Outcomes]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    latent = rng.exponential([150.0, 60.0, 90.0], size=(n, 3))
    latent[:, 1] *= np.exp(-0.7 * x[:, 0]) if p else 1.0
    duration = latent.min(axis=1)
    duration = np.ceil(duration / 15) * 15 if tied else duration
    late = rng.random(n) < 0.3
    entry = np.where(late, np.minimum(0.9 * duration, rng.uniform(0, 20, n)), 0.0) if truncated else None
    return x, Outcomes(duration, latent.argmin(axis=1), CAUSES, entry)


def ids(n: int) -> NDArray[np.object_]:
    return np.array([f"p{i:03d}" for i in range(n)], dtype=object)


def fitted(x: FloatArray, outcomes: Outcomes, penalty: float | None = 1e-12) -> FineGray:
    return FineGray.fit(x, outcomes, penalty=penalty, patient_id=ids(len(x)), seed=0)


def test_golden_coefficients_equal_cmprsk_and_finegray(golden: dict[str, Any]) -> None:
    x, outcomes = np.array(golden["x"]), outcomes_of(golden)
    model = fitted(x, outcomes, golden["penalty"] or 1e-12)
    np.testing.assert_allclose(model.beta, [cause["beta"] for cause in golden["causes"]], atol=1e-6)


def test_golden_incidences_equal_cmprsk_fgr_and_finegray(golden: dict[str, Any]) -> None:
    x, outcomes = np.array(golden["x"]), outcomes_of(golden)
    at = np.array(golden["times_days"], dtype=float)
    values = fitted(x, outcomes, golden["penalty"] or 1e-12).incidence(x[:5], np.zeros(5), at)
    for k, cause in enumerate(golden["causes"]):
        theirs = np.array(cause["incidence"])
        below = np.cumsum(np.sum([c["incidence"] for c in golden["causes"]], axis=0) > 1, axis=1) == 0
        np.testing.assert_allclose(values[:, k][below], theirs[below], atol=1e-6)
        assert below.mean() > 0.8
        if "fgr" in cause:
            np.testing.assert_allclose(values[:, k][below], np.array(cause["fgr"])[below], atol=1e-6)


def test_golden_likelihoods_equal_cmprsk() -> None:
    for case in (case for case in GOLDEN["cases"] if case["package"] == "cmprsk"):
        x, outcomes = np.array(case["x"]), outcomes_of(case)
        observed = Observation.of(outcomes).before
        for cause, expected in enumerate(case["causes"], start=1):
            likelihood = PartialLikelihood.of(x, outcomes, cause, observed=observed)
            value = likelihood.value(np.array(expected["beta"]))
            assert value == pytest.approx(expected["log_likelihood"], abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), tied=st.booleans(), truncated=st.booleans())
def test_likelihood_equals_its_definition(seed: int, tied: bool, truncated: bool) -> None:
    """Risk set at t: those followed at t, and those with a competing event before, weighted P(t) / P(their event)."""
    x, outcomes = simulated(seed, 30, 2, tied=tied, truncated=truncated)
    observed = Observation.of(outcomes).before
    beta, duration = np.array([0.4, -0.8]), outcomes.duration_days
    entry = np.zeros(30) if outcomes.entry_days is None else outcomes.entry_days
    relative = np.exp(x @ beta)
    expected = 0.0
    for row in np.flatnonzero(outcomes.cause == 1):
        t = duration[row]
        followed = relative[(duration >= t) & (entry < t)].sum()
        kept = (duration < t) & (outcomes.cause == 2)
        weights = observed(np.full(kept.sum(), t)) / observed(duration[kept])
        expected += x[row] @ beta - np.log(followed + weights @ relative[kept])
    value = PartialLikelihood.of(x, outcomes, 1, observed=observed).value(beta)
    assert value == pytest.approx(expected, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), tied=st.booleans(), truncated=st.booleans())
def test_gradient_and_hessian_are_those_of_the_likelihood(seed: int, tied: bool, truncated: bool) -> None:
    x, outcomes = simulated(seed, 30, 3, tied=tied, truncated=truncated)
    likelihood = PartialLikelihood.of(x, outcomes, 1, observed=Observation.of(outcomes).before)
    at, step = np.array([0.3, -0.5, 0.1]), 1e-5
    _, gradient, hessian = likelihood.likelihood(at)
    np.testing.assert_allclose(likelihood.gradient(at), gradient, atol=1e-9)
    for j, direction in enumerate(np.eye(3) * step):
        up, down = likelihood.likelihood(at + direction), likelihood.likelihood(at - direction)
        assert gradient[j] == pytest.approx((up[0] - down[0]) / (2 * step), abs=1e-5)
        np.testing.assert_allclose(hessian[j], -(up[1] - down[1]) / (2 * step), atol=1e-5)


@pytest.mark.parametrize("truncated", [False, True], ids=["from day 0", "left-truncated"])
@pytest.mark.parametrize("tied", [False, True], ids=["no ties", "heavy ties"])
def test_without_features_the_hazard_is_that_of_aalen_johansen(tied: bool, truncated: bool) -> None:
    """The product limit of the steps is Aalen–Johansen's incidence (Geskus, Biometrics 2011;67:39)."""
    _, outcomes = simulated(3, 300, 0, tied=tied, truncated=truncated)
    model = fitted(np.zeros((300, 0)), outcomes)
    expected = aalen_johansen(outcomes).at(model.times_days)
    np.testing.assert_allclose(1 - np.cumprod(1 - model.increments, axis=1), expected, atol=1e-10)
    values = model.incidence(np.zeros((2, 0)), np.zeros(2), model.times_days)
    np.testing.assert_array_equal(values[0], values[1])
    if not tied:
        np.testing.assert_allclose(values[0], expected, atol=5e-3)


def test_coefficients_recover_the_truth() -> None:
    """Fine & Gray 1999, section 5: F_1 = 1 − (1 − p (1 − e^−t))^exp(βx), a subdistribution hazard in proportion."""
    rng = np.random.default_rng(1)
    n, beta, p = 4000, np.array([0.6, -0.4]), 0.5
    x = rng.normal(size=(n, 2))
    relative = np.exp(x @ beta)
    u, first = rng.random(n), rng.random(n) < 1 - (1 - p) ** relative
    ever = 1 - (1 - p) ** relative
    time_first = -np.log(1 - (1 - (1 - u * ever) ** (1 / relative)) / p)
    time = np.where(first, time_first, rng.exponential(1 / np.exp(-x[:, 0])))
    censored = rng.uniform(0.5, 4.0, n)
    cause = np.where(time < censored, np.where(first, 1, 2), 0)
    model = fitted(x, Outcomes(np.minimum(time, censored), cause, CAUSES))
    np.testing.assert_allclose(model.beta[0], beta, atol=0.08)
    at, some = np.array([0.5, 1.0, 2.0]), np.array([[0.0, 0.0], [0.5, 0.0]])
    truth = 1 - (1 - p * (1 - np.exp(-at))) ** np.exp(some @ beta)[:, None]
    np.testing.assert_allclose(model.incidence(some, np.zeros(2), at)[:, 0], truth, atol=0.03)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), causes=st.integers(1, 4), height=st.floats(0.1, 1.0))
def test_incidences_stop_where_their_sum_reaches_one(seed: int, causes: int, height: float) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.exponential(size=(6, causes, 12)) * rng.integers(0, 2, size=(6, causes, 12))
    separate = height * np.cumsum(steps, axis=2) / np.maximum(steps.sum(axis=2, keepdims=True), 1e-9)
    separate = np.pad(separate, ((0, 0), (0, 0), (1, 0)))
    values, total = within_one(separate), separate.sum(axis=1)
    np.testing.assert_allclose(values.sum(axis=1), np.minimum(total, 1.0), atol=1e-12)
    assert (np.diff(values, axis=2) >= -1e-15).all()
    unchanged = np.broadcast_to((total <= 1.0)[:, None], values.shape)
    np.testing.assert_allclose(values[unchanged], separate[unchanged], atol=1e-12)


def test_a_patient_at_high_risk_of_both_gets_no_more_than_certainty() -> None:
    x, outcomes = simulated(2, 200, 2)
    model = fitted(x, outcomes)
    model.beta[:] = 1.0
    at = np.sort(np.r_[0.0, model.times_days])
    values = model.incidence(np.array([[2.0, 1.0], [-5.0, -1.0]]), np.zeros(2), at)
    assert values[0].sum(axis=0)[-1] == pytest.approx(1.0)
    assert (values.sum(axis=1) <= 1 + 1e-12).all()
    assert values[1].sum(axis=0)[-1] < 0.2


def test_extreme_patients_stay_finite() -> None:
    x, outcomes = simulated(2, 40, 2)
    values = fitted(x, outcomes, 0.1).incidence(np.array([[1e4, 0.0], [-1e4, 0.0]]), np.zeros(2), np.array([30.0, 1e3]))
    assert np.isfinite(values).all()
    assert (values.sum(axis=1) <= 1 + 1e-12).all()


@pytest.mark.parametrize("truncated", [False, True], ids=["from day 0", "left-truncated"])
def test_more_features_than_rows_equal_the_unreduced_solution(truncated: bool) -> None:
    x, outcomes = simulated(1, 40, 70, truncated=truncated)
    model = fitted(x, outcomes, 3.0)
    observed = Observation.of(outcomes).before
    for cause in (1, 2):
        whole = maximise(PartialLikelihood.of(x, outcomes, cause, observed=observed), 3.0)
        np.testing.assert_allclose(model.beta[cause - 1], whole, atol=1e-6)
    assert np.abs(model.beta).max() > 0.01


def test_penalty_follows_the_signal() -> None:
    x, outcomes = simulated(5, 200, 6)
    signal = fitted(x, outcomes, None).penalties
    noise = fitted(x[np.random.default_rng(0).permutation(200)], outcomes, None).penalties
    assert signal[0] < 100 < noise[0]
    assert {*signal, *noise} <= set(PENALTIES)


def test_a_cause_without_event_has_no_incidence() -> None:
    x, outcomes = simulated(2, 40, 2)
    outcomes = Outcomes(outcomes.duration_days, np.where(outcomes.cause == 2, 0, outcomes.cause), CAUSES)
    values = fitted(x, outcomes, 1.0).incidence(x, np.zeros(40), np.array([30.0, 1000.0]))
    assert (values[:, 1] == 0).all()
    assert (values[:, 0] > 0).all()


def test_no_event_at_all_is_no_incidence() -> None:
    x, outcomes = simulated(2, 10, 2)
    outcomes = Outcomes(outcomes.duration_days, np.zeros(10, dtype=np.int64), CAUSES)
    assert (fitted(x, outcomes, None).incidence(x, np.zeros(10), np.array([0.0, 100.0])) == 0).all()


def test_a_gap_in_follow_up_is_refused() -> None:
    """The first two are gone before the others enter, all on one day: no weight can carry them over."""
    duration, entry = np.array([5.0, 6.0, 20.0, 25.0, 30.0]), np.array([0.0, 0.0, 10.0, 10.0, 10.0])
    outcomes = Outcomes(duration, np.array([2, 1, 1, 2, 1]), CAUSES, entry)
    with pytest.raises(SequelaError, match=r"entry_days: nobody was followed .* day 5,.* kind: cox"):
        fitted(np.zeros((5, 1)), outcomes)
