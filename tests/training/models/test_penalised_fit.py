"""Elastic net and the choice of the penalty: glmnet, scikit-survival, optimality conditions, rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad

from features.outcomes import Outcomes
from training.models.cox import CauseSpecificCox
from training.models.partial_likelihood import PartialLikelihood
from training.models.penalised_fit import (
    PENALTIES,
    PenaltyRule,
    _choice,
    candidates,
    choose_penalty,
    log_marginal_likelihood,
    maximise,
    most_likely_penalty,
)

CAUSES = ("infection", "death")
ELASTIC_NET = json.loads((Path(__file__).parents[2] / "golden" / "elastic_net.json").read_text(encoding="utf-8"))
FloatArray = NDArray[np.float64]


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


@pytest.mark.parametrize("case", ELASTIC_NET["cases"], ids=[case["name"] for case in ELASTIC_NET["cases"]])
def test_golden_elastic_net_equals_glmnet(case: dict[str, Any]) -> None:
    x, duration = np.array(case["x"]), np.array(case["duration_days"], dtype=float)
    outcomes = Outcomes(duration, np.array(case["cause"]), CAUSES)
    beta = maximise(PartialLikelihood.of(x, outcomes, 1), case["penalty"], l1_ratio=case["l1_ratio"])
    np.testing.assert_allclose(beta, case["beta"], atol=1e-6)
    assert 0 < (beta == 0).sum() < len(beta)
    np.testing.assert_array_equal(beta == 0, np.array(case["beta"]) == 0)
    model = CauseSpecificCox.fit(
        x, outcomes, penalty=case["penalty"], l1_ratio=case["l1_ratio"], patient_id=ids(len(x)), seed=0
    )
    np.testing.assert_array_equal(model.beta[0], beta)


def test_elastic_net_equals_scikit_survival() -> None:
    from sksurv.linear_model import CoxnetSurvivalAnalysis
    from sksurv.util import Surv

    x, outcomes = simulated(4, 150, 6, tied=False)
    n, penalty, l1_ratio = len(x), 8.0, 0.6
    theirs = CoxnetSurvivalAnalysis(alphas=[4 * penalty / n, penalty / n], l1_ratio=l1_ratio, tol=1e-14, max_iter=10**6)
    theirs.fit(x, Surv.from_arrays(outcomes.cause == 1, outcomes.duration_days))
    ours = maximise(PartialLikelihood.of(x, outcomes, 1), penalty, l1_ratio=l1_ratio)
    np.testing.assert_allclose(ours, theirs.coef_[:, 1], atol=1e-5)
    assert 0 < (ours == 0).sum() < len(ours)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    penalty=st.floats(0.5, 40),
    l1_ratio=st.sampled_from([0.05, 0.5, 1.0]),
    tied=st.booleans(),
    truncated=st.booleans(),
    p=st.sampled_from([4, 50]),
)
def test_elastic_net_meets_its_optimality_conditions(
    seed: int, penalty: float, l1_ratio: float, tied: bool, truncated: bool, p: int
) -> None:
    """The subgradient of a concave objective contains 0 at its maximum only (Karush–Kuhn–Tucker)."""
    x, outcomes = simulated(seed, 40, p, tied=tied, truncated=truncated)
    likelihood = PartialLikelihood.of(x, outcomes, 1)
    beta = maximise(likelihood, penalty, l1_ratio=l1_ratio)
    slope = likelihood.likelihood(beta)[1] - penalty * (1 - l1_ratio) * beta
    zero = beta == 0
    assert (np.abs(slope[zero]) <= penalty * l1_ratio + 1e-6).all()
    np.testing.assert_allclose(slope[~zero], penalty * l1_ratio * np.sign(beta[~zero]), atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), tied=st.booleans(), truncated=st.booleans())
def test_gradient_alone_is_that_of_the_likelihood(seed: int, tied: bool, truncated: bool) -> None:
    x, outcomes = simulated(seed, 25, 3, tied=tied, truncated=truncated)
    likelihood, beta = PartialLikelihood.of(x, outcomes, 2), np.array([0.3, -0.2, 0.1])
    np.testing.assert_allclose(likelihood.gradient(beta), likelihood.likelihood(beta)[1], atol=1e-10)


def test_a_vanishing_l1_part_is_ridge() -> None:
    x, outcomes = simulated(6, 120, 5, truncated=True)
    likelihood = PartialLikelihood.of(x, outcomes, 1)
    np.testing.assert_allclose(maximise(likelihood, 5.0, l1_ratio=1e-9), maximise(likelihood, 5.0), atol=1e-6)


def test_a_constant_feature_gets_nothing() -> None:
    x, outcomes = simulated(6, 120, 3)
    x[:, 1] = 2.0
    beta = maximise(PartialLikelihood.of(x, outcomes, 1), 1.0, np.array([0.0, 0.3, 0.0]), l1_ratio=0.5)
    assert beta[1] == pytest.approx(0.0, abs=1e-9)
    assert np.isfinite(beta).all()


@pytest.mark.parametrize("l1_ratio", [0.3, 1.0])
def test_candidates_begin_where_nothing_is_selected(l1_ratio: float) -> None:
    x, outcomes = simulated(6, 120, 5)
    likelihood = PartialLikelihood.of(x, outcomes, 1)
    penalties = candidates(likelihood, l1_ratio)
    assert (np.diff(penalties) > 0).all()
    assert (maximise(likelihood, penalties[-1], l1_ratio=l1_ratio) == 0).all()
    assert (maximise(likelihood, 0.99 * penalties[-1], l1_ratio=l1_ratio) != 0).sum() == 1


def test_lasso_finds_the_one_feature_among_many() -> None:
    x, outcomes = simulated(5, 400, 30)
    model = CauseSpecificCox.fit(x, outcomes, penalty=None, patient_id=ids(400), seed=0, l1_ratio=1.0)
    assert model.beta[0, 0] > 0.4
    strict = CauseSpecificCox.fit(
        x, outcomes, penalty=None, patient_id=ids(400), seed=0, l1_ratio=1.0, penalty_rule="one_standard_error"
    )
    assert strict.beta[0, 0] > 0.2
    assert (strict.beta[0] != 0).sum() < (model.beta[0] != 0).sum() < 10
    assert (strict.beta[1] == 0).all(), "nothing predicts death"


@pytest.mark.parametrize(
    ("rule", "spread", "expected"),
    [
        pytest.param("minimum", 1.0, 1, id="minimum"),
        pytest.param("one_standard_error", 0.001, 1, id="certain"),
        pytest.param("one_standard_error", 1.0, 2, id="uncertain"),
        pytest.param("one_standard_error", 100.0, 3, id="nothing known"),
    ],
)
def test_rule_takes_the_strongest_penalty_that_is_not_clearly_worse(
    rule: PenaltyRule, spread: float, expected: int
) -> None:
    """Standard error of the best mean: spread / √(folds − 1), as every fold has as many events."""
    gain = np.array([0.0, 1.0, 0.6, -0.1])
    folds = np.array([-1.0, 1.0, -1.0, 1.0])[:, None] * spread
    assert _choice(gain + folds, np.ones(4), rule) == expected


def test_with_few_events_the_strongest_penalty_is_taken() -> None:
    x, outcomes = simulated(2, 12, 2)
    assert (outcomes.cause == 1).sum() < 10
    folds = np.arange(12) % 5
    assert choose_penalty(x, outcomes, 1, folds) == PENALTIES[-1]
    lasso = choose_penalty(x, outcomes, 1, folds, l1_ratio=1.0)
    assert (maximise(PartialLikelihood.of(x, outcomes, 1), lasso, l1_ratio=1.0) == 0).all()


@pytest.mark.parametrize("penalty", [3.0, 30.0, 300.0])
def test_marginal_likelihood_is_the_integral_over_the_coefficient(penalty: float) -> None:
    """Laplace's approximation, by quadrature: the mean of the likelihood over coefficients from N(0, 1/λ)."""
    x, outcomes = simulated(3, 150, 1)
    likelihood = PartialLikelihood.of(x, outcomes, 1)
    beta = maximise(likelihood, penalty)
    at_zero = likelihood.value(np.zeros(1))

    def density(b: float) -> float:
        prior = np.sqrt(penalty / (2 * np.pi)) * np.exp(-penalty / 2 * b**2)
        return float(np.exp(likelihood.value(np.array([b])) - at_zero) * prior)

    integral, _ = quad(density, -3, 3, points=[float(beta[0])])
    assert log_marginal_likelihood(likelihood, penalty, beta) - at_zero == pytest.approx(np.log(integral), abs=0.02)


def test_marginal_likelihood_follows_the_signal() -> None:
    x, outcomes = simulated(5, 200, 6)
    shuffled = x[np.random.default_rng(0).permutation(200)]
    signal, noise = (most_likely_penalty(PartialLikelihood.of(of, outcomes, 1)) for of in (x, shuffled))
    assert signal < 100 < noise


def test_repeated_rows_tell_nothing_new() -> None:
    """Twice the rows of the same patients: the penalty about doubles, with the likelihood, to a step of the grid."""
    x, outcomes = simulated(7, 120, 5, tied=False)
    twice = np.tile(np.arange(120), 2)
    later = Outcomes(
        np.concatenate([outcomes.duration_days, outcomes.duration_days + 1e-9]), outcomes.cause[twice], CAUSES
    )
    once = CauseSpecificCox.fit(x, outcomes, penalty=None, patient_id=ids(120), seed=0)
    both = CauseSpecificCox.fit(x[twice], later, penalty=None, patient_id=ids(120)[twice], seed=0)
    apart = CauseSpecificCox.fit(x[twice], later, penalty=None, patient_id=ids(240), seed=0)
    assert 1.3 < both.penalties[0] / once.penalties[0] < 3.0
    assert apart.penalties[0] < both.penalties[0]


def test_marginal_likelihood_is_of_ridge_alone() -> None:
    x, outcomes = simulated(2, 60, 2)
    with pytest.raises(ValueError, match=r"marginal likelihood is that of ridge, l1_ratio is 0\.5"):
        CauseSpecificCox.fit(
            x, outcomes, penalty=None, patient_id=ids(60), seed=0, l1_ratio=0.5, penalty_rule="marginal_likelihood"
        )
