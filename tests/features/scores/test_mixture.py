"""The mixture with missing values: against scikit-learn, against known truths, and by its definitions."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as SklearnMixture

from features.errors import SequelaError
from features.patients import FloatArray
from features.scores.mixture import GaussianMixture

TRUTH = GaussianMixture(
    np.array([0.3, 0.7]),
    np.array([[2.0, 2.0, -1.0], [0.0, 0.0, 0.0]]),
    np.array(
        [[[1.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 0.5]], [[0.5, -0.2, 0.1], [-0.2, 0.8, 0.0], [0.1, 0, 1]]]
    ),
)


def sample(n: int, seed: int, missing: float = 0.0, truth: GaussianMixture = TRUTH) -> FloatArray:
    rng = np.random.default_rng(seed)
    component = rng.choice(len(truth.weights), size=n, p=truth.weights)
    x = np.array([rng.multivariate_normal(truth.means[k], truth.covariances[k]) for k in component])
    x[rng.random(x.shape) < missing] = np.nan
    return x


def start(x: FloatArray) -> GaussianMixture:
    covariance = np.diag(np.nanvar(x, axis=0))
    return GaussianMixture(
        np.array([0.5, 0.5]), np.array([np.full(3, 1.5), np.full(3, -0.5)]), np.array([covariance] * 2)
    )


def ordered(mixture: GaussianMixture) -> GaussianMixture:
    order = np.argsort(-mixture.means[:, 0])
    return GaussianMixture(mixture.weights[order], mixture.means[order], mixture.covariances[order])


def test_complete_data_gives_what_scikit_learn_gives() -> None:
    x = sample(300, seed=1)
    begin = start(x)
    ours, trace = begin.refine(x, ridge=1e-6, tolerance=-np.inf, max_iterations=40)
    theirs = SklearnMixture(
        2,
        weights_init=begin.weights,
        means_init=begin.means,
        precisions_init=np.linalg.inv(begin.covariances),
        reg_covar=1e-6,
        tol=0,
        max_iter=40,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(x)
    assert len(trace) == 41
    np.testing.assert_allclose(ours.weights, theirs.weights_, atol=1e-6)
    np.testing.assert_allclose(ours.means, theirs.means_, atol=1e-6)
    np.testing.assert_allclose(ours.covariances, theirs.covariances_, atol=1e-6)
    np.testing.assert_allclose(ours.posterior(x), theirs.predict_proba(x), atol=1e-6)
    np.testing.assert_allclose(ours.log_likelihood(x), theirs.score(x) * len(x), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 0.3, 0.6]))
def test_every_step_gains_likelihood(seed: int, missing: float) -> None:
    x = sample(60, seed, missing)
    _, trace = start(x).refine(x, ridge=0.0, tolerance=-np.inf, max_iterations=25)
    assert (np.diff(trace) > -1e-8).all()


def test_the_truth_is_found_with_30_percent_missing() -> None:
    fitted = ordered(GaussianMixture.fit(sample(6000, seed=3, missing=0.3), seed=0, n_starts=5))
    np.testing.assert_allclose(fitted.weights, TRUTH.weights, atol=0.05)
    np.testing.assert_allclose(fitted.means, TRUTH.means, atol=0.12)
    np.testing.assert_allclose(fitted.covariances, TRUTH.covariances, atol=0.15)


def test_one_gaussian_with_values_missing_by_another_value() -> None:
    """The second value is missing where the first is high: its mean over what is observed is biased, EM's is not."""
    truth = GaussianMixture(np.ones(1), np.zeros((1, 2)), np.array([[[1.0, 0.8], [0.8, 1.0]]]))
    x = sample(4000, seed=5, truth=truth)
    x[x[:, 0] > 0, 1] = np.nan
    fitted = GaussianMixture.fit(x, seed=0, n_components=1)
    assert np.nanmean(x[:, 1]) < -0.5
    np.testing.assert_allclose(fitted.means, truth.means, atol=0.06)
    np.testing.assert_allclose(fitted.covariances, truth.covariances, atol=0.08)


def test_posterior_by_its_definition() -> None:
    x = np.vstack([sample(20, seed=7, missing=0.4), np.full((1, 3), np.nan)])
    expected = []
    for row in x:
        seen = np.flatnonzero(np.isfinite(row))
        weighted = [
            weight * (multivariate_normal(mean[seen], cov[np.ix_(seen, seen)]).pdf(row[seen]) if len(seen) else 1.0)
            for weight, mean, cov in zip(TRUTH.weights, TRUTH.means, TRUTH.covariances, strict=True)
        ]
        expected.append(np.array(weighted) / sum(weighted))
    np.testing.assert_allclose(TRUTH.posterior(x), expected, rtol=1e-9)
    np.testing.assert_allclose(TRUTH.posterior(x)[-1], TRUTH.weights, rtol=1e-12)
    assert TRUTH.posterior(np.full((1, 3), 1e6)).sum() == pytest.approx(1)  # far away, both densities underflow


def test_seed_and_order_of_rows() -> None:
    x = sample(200, seed=11, missing=0.2)
    first, again = (GaussianMixture.fit(x, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.means, again.means)
    turned = GaussianMixture.fit(x[::-1], seed=4)
    assert turned.log_likelihood(x) == pytest.approx(first.log_likelihood(x), abs=1e-3)


def test_a_component_on_a_few_rows_gives_way() -> None:
    """Three nearly equal rows have the highest likelihood, which they owe to a nearly singular covariance."""
    few = np.array([4.0, 0.0, 3.0]) + 1e-3 * np.eye(3)
    x = np.vstack([sample(100, seed=13), few])
    fitted = GaussianMixture.fit(x, seed=0, ridge=1e-8, n_starts=20)
    spurious, trace = GaussianMixture(
        np.array([0.97, 0.03]), np.array([x[:100].mean(axis=0), few[0]]), np.array([np.eye(3), 1e-4 * np.eye(3)])
    ).refine(x, ridge=1e-8)
    assert trace[-1] > fitted.log_likelihood(x) + 5
    assert spurious.weights.min() * len(x) < 4 <= fitted.weights.min() * len(x) + 1e-6


def test_state_is_json() -> None:
    back = GaussianMixture.from_state(json.loads(json.dumps(TRUTH.state())))
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(back, name), getattr(TRUTH, name))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.full((5, 2), np.nan), "0 rows have a value, 2 components"),
        (np.column_stack([np.arange(5.0), np.full(5, np.nan)]), "never observed"),
    ],
    ids=["nothing observed", "a variable never observed"],
)
def test_data_that_cannot_be_fitted(x: FloatArray, message: str) -> None:
    with pytest.raises(SequelaError, match=message):
        GaussianMixture.fit(x, seed=0)


def test_singular_covariances_are_explained() -> None:
    line = np.arange(10.0)
    with pytest.raises(SequelaError, match="singular covariance"):
        GaussianMixture.fit(np.column_stack([line, line]), seed=0, ridge=0.0)
