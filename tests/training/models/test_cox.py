"""Cox models: golden values from R, derivatives, p > n, and the choice of the penalty."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.outcomes import Outcomes
from training.models.cox import CauseSpecificCox
from training.models.nonparametric import aalen_johansen
from training.models.partial_likelihood import PartialLikelihood
from training.models.penalised_fit import PENALTIES, choose_penalty, maximise, most_likely_penalty

CAUSES = ("infection", "death")
GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "cox.json").read_text(encoding="utf-8"))
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
    latent[:, 1] *= np.exp(-0.7 * x[:, 0])
    duration = latent.min(axis=1)
    duration = np.ceil(duration / 15) * 15 if tied else duration
    entry = np.where(rng.random(n) < 0.5, duration * rng.uniform(0, 0.9, n), 0.0) if truncated else None
    return x, Outcomes(duration, latent.argmin(axis=1), CAUSES, entry)


def ids(n: int) -> NDArray[np.object_]:
    return np.array([f"p{i:03d}" for i in range(n)], dtype=object)


def test_golden_coefficients_equal_coxph(golden: dict[str, Any]) -> None:
    x, outcomes = np.array(golden["x"]), outcomes_of(golden)
    for cause, expected in enumerate(golden["causes"], start=1):
        risk = PartialLikelihood.of(x, outcomes, cause)
        np.testing.assert_allclose(maximise(risk, golden["penalty"]), expected["beta"], atol=1e-6)
        likelihood = risk.likelihood(np.array(expected["beta"]))[0]
        assert likelihood == pytest.approx(expected["log_likelihood"], abs=1e-6)


def test_golden_baseline_hazards_equal_survfit(golden: dict[str, Any]) -> None:
    x, outcomes = np.array(golden["x"]), outcomes_of(golden)
    for cause, expected in enumerate(golden["causes"], start=1):
        risk = PartialLikelihood.of(x, outcomes, cause)
        np.testing.assert_array_equal(risk.times, expected["times_days"])
        cumulative = np.cumsum(risk.baseline(np.array(expected["beta"])))
        np.testing.assert_allclose(cumulative, expected["cumulative_hazard"], rtol=1e-6)


def test_golden_incidences(golden: dict[str, Any]) -> None:
    x, outcomes = np.array(golden["x"]), outcomes_of(golden)
    penalty = golden["penalty"] or 1e-12  # fit asks for more than 0
    model = CauseSpecificCox.fit(x, outcomes, penalty=penalty, patient_id=ids(len(x)), seed=0)
    values = model.incidence(x[:5], np.zeros(5), np.array(golden["times_days"], dtype=float))
    np.testing.assert_allclose(values, golden["incidence"], atol=1e-6)


def test_golden_csc_differs_only_in_its_definition_of_the_product() -> None:
    """CSC sums exp(−Λ(s−)) ΔΛ_k(s), which can pass 1; with that sum instead of ours, our hazards give CSC's numbers."""
    case = next(case for case in GOLDEN["cases"] if "csc" in case)
    x, outcomes, at = np.array(case["x"]), outcomes_of(case), np.array(case["times_days"], dtype=float)
    model = CauseSpecificCox.fit(x, outcomes, penalty=1e-12, patient_id=ids(len(x)), seed=0)
    hazard = np.exp(x[:5] @ model.beta.T)[:, :, None] * model.increments
    total = hazard.sum(axis=1)
    before = np.exp(-(np.cumsum(total, axis=1) - total))
    curve = np.cumsum(before[:, None] * hazard, axis=2)
    theirs = curve[:, :, np.searchsorted(model.times_days, at, side="right") - 1]
    np.testing.assert_allclose(theirs, case["csc"], atol=1e-6)
    ours = model.incidence(x[:5], np.zeros(5), at)
    assert (ours <= theirs + 1e-12).all(), "1 − exp(−ΔΛ) is at most ΔΛ"
    assert 1e-3 < np.abs(ours - theirs).max() < 0.03


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    beta=st.lists(st.floats(-1, 1), min_size=3, max_size=3),
    tied=st.booleans(),
    truncated=st.booleans(),
)
def test_gradient_and_hessian_are_those_of_the_likelihood(
    seed: int, beta: list[float], tied: bool, truncated: bool
) -> None:
    x, outcomes = simulated(seed, 25, 3, tied=tied, truncated=truncated)
    risk = PartialLikelihood.of(x, outcomes, 1)
    at, step = np.array(beta), 1e-5
    _, gradient, hessian = risk.likelihood(at)
    for j, direction in enumerate(np.eye(3) * step):
        up, down = risk.likelihood(at + direction), risk.likelihood(at - direction)
        assert gradient[j] == pytest.approx((up[0] - down[0]) / (2 * step), abs=1e-5)
        np.testing.assert_allclose(hessian[j], -(up[1] - down[1]) / (2 * step), atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), tied=st.booleans(), truncated=st.booleans())
def test_likelihood_equals_its_definition(seed: int, tied: bool, truncated: bool) -> None:
    """Efron 1977 written out: for the l-th of d tied events, the risk set less l/d of the tied ones."""
    x, outcomes = simulated(seed, 20, 2, tied=tied, truncated=truncated)
    beta = np.array([0.4, -0.8])
    entry = np.zeros(20) if outcomes.entry_days is None else outcomes.entry_days
    relative = np.exp(x @ beta)
    expected = 0.0
    for time in np.unique(outcomes.duration_days[outcomes.cause == 1]):
        tied_rows = np.flatnonzero((outcomes.duration_days == time) & (outcomes.cause == 1))
        at_risk = relative[(outcomes.duration_days >= time) & (entry < time)].sum()
        for rank, row in enumerate(tied_rows):
            expected += x[row] @ beta - np.log(at_risk - rank / len(tied_rows) * relative[tied_rows].sum())
    assert PartialLikelihood.of(x, outcomes, 1).likelihood(beta)[0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("truncated", [False, True], ids=["from day 0", "left-truncated"])
def test_more_features_than_rows_equal_the_unreduced_solution(truncated: bool) -> None:
    x, outcomes = simulated(1, 30, 70, truncated=truncated)
    model = CauseSpecificCox.fit(x, outcomes, penalty=3.0, patient_id=ids(30), seed=0)
    for cause in (1, 2):
        np.testing.assert_allclose(
            model.beta[cause - 1], maximise(PartialLikelihood.of(x, outcomes, cause), 3.0), atol=1e-6
        )
    assert np.abs(model.beta).max() > 0.01


def test_more_features_than_rows_leave_the_chosen_penalty_unchanged() -> None:
    x, outcomes = simulated(1, 30, 40)
    model = CauseSpecificCox.fit(x, outcomes, penalty=None, patient_id=ids(30), seed=3)
    likelihoods = [PartialLikelihood.of(x, outcomes, cause) for cause in (1, 2)]
    assert model.penalties == tuple(map(most_likely_penalty, likelihoods))


def test_penalty_follows_the_signal() -> None:
    x, outcomes = simulated(5, 200, 6)
    folds = np.arange(200) % 5
    signal = choose_penalty(x, outcomes, 1, folds)
    noise = choose_penalty(x[np.random.default_rng(0).permutation(200)], outcomes, 1, folds)
    assert signal < 100 < noise
    assert {signal, noise} <= set(PENALTIES)


def test_penalty_keeps_rows_of_a_patient_together() -> None:
    """Copies of each patient in two folds would reward overfitting: the penalty must not weaken when rows repeat."""
    x, outcomes = simulated(7, 40, 20)
    twice = np.tile(np.arange(40), 2)
    once = CauseSpecificCox.fit(x, outcomes, penalty=None, patient_id=ids(40), seed=0)
    both = CauseSpecificCox.fit(x[twice], outcomes.take(twice), penalty=None, patient_id=ids(40)[twice], seed=0)
    apart = CauseSpecificCox.fit(x[twice], outcomes.take(twice), penalty=None, patient_id=ids(80), seed=0)
    assert both.penalties[1] >= once.penalties[1]
    assert apart.penalties[1] < once.penalties[1]


def test_coefficients_recover_the_truth() -> None:
    x, outcomes = simulated(11, 3000, 2, tied=False)
    model = CauseSpecificCox.fit(x, outcomes, penalty=1.0, patient_id=ids(3000), seed=0)
    np.testing.assert_allclose(model.beta, [[0.7, 0.0], [0.0, 0.0]], atol=0.08)


def test_a_cause_without_event_has_no_incidence() -> None:
    x, outcomes = simulated(2, 40, 2)
    outcomes = Outcomes(outcomes.duration_days, np.where(outcomes.cause == 2, 0, outcomes.cause), CAUSES)
    model = CauseSpecificCox.fit(x, outcomes, penalty=1.0, patient_id=ids(40), seed=0)
    values = model.incidence(x, np.zeros(40), np.array([30.0, 1000.0]))
    assert (values[:, 1] == 0).all()
    assert (values[:, 0] > 0).all()


def test_no_event_at_all_is_no_incidence() -> None:
    x, outcomes = simulated(2, 10, 2)
    outcomes = Outcomes(outcomes.duration_days, np.zeros(10, dtype=np.int64), CAUSES)
    model = CauseSpecificCox.fit(x, outcomes, penalty=None, patient_id=ids(10), seed=0)
    assert (model.incidence(x, np.zeros(10), np.array([0.0, 100.0])) == 0).all()


def test_without_features_incidence_is_nearly_aalen_johansen() -> None:
    """The two differ by exp(−1/n) against 1 − 1/n at each event."""
    _, outcomes = simulated(3, 400, 1, tied=False, truncated=True)
    model = CauseSpecificCox.fit(np.zeros((400, 0)), outcomes, penalty=None, patient_id=ids(400), seed=0)
    at = np.array([0.0, 15.0, 45.0, 90.0])
    values = model.incidence(np.zeros((2, 0)), np.zeros(2), at)
    np.testing.assert_array_equal(values[0], values[1])
    np.testing.assert_allclose(values[0], aalen_johansen(outcomes).at(at), atol=2e-3)


def test_extreme_patients_stay_finite() -> None:
    x, outcomes = simulated(2, 40, 2)
    model = CauseSpecificCox.fit(x, outcomes, penalty=0.1, patient_id=ids(40), seed=0)
    values = model.incidence(np.array([[1e4, 0.0], [-1e4, 0.0]]), np.zeros(2), np.array([30.0, 1000.0]))
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values[0, 0], 1.0, atol=1e-6)
    np.testing.assert_allclose(values[1, 0], 0.0, atol=1e-6)


@pytest.mark.parametrize("truncated", [False, True], ids=["from day 0", "left-truncated"])
def test_separated_patients_do_not_make_the_likelihood_positive(truncated: bool) -> None:
    """However far coefficients run off: each factor is the share of one hazard among those at risk."""
    x, outcomes = simulated(3, 60, 2, tied=False, truncated=truncated)
    likelihood = PartialLikelihood.of(x, outcomes, 1)
    values = [likelihood.value(size * np.array([1.0, -1.0])) for size in (0.0, 10.0, 40.0, 1000.0)]
    assert (np.diff([0.0, *values]) < 0).all(), "and these coefficients are the worse, the larger"
    x = -outcomes.duration_days[:, None]  # separates: who goes first has the highest value
    weak = maximise(PartialLikelihood.of(x, outcomes, 1), 1e-3, l1_ratio=0.5)
    assert PartialLikelihood.of(x, outcomes, 1).value(weak) <= 0
    assert 0 < weak[0] < 100
