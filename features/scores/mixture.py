"""Gaussian mixtures for data with missing values, fitted by EM to what is observed.

Ghahramani & Jordan, Supervised learning from incomplete data via an EM approach, NIPS 1993; McLachlan & Peel, Finite
Mixture Models, 2000. Values are taken to be missing at random given the observed ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.errors import SequelaError
from features.patients import FloatArray

_SHORT_RUN: Final = 20
_LONG_RUNS: Final = 3


class _Patterns(NamedTuple):
    """Which values are observed: each of the P ways in which that happens once, so that its algebra is done once."""

    observed: NDArray[np.bool_]
    """(P, d)."""
    of_row: NDArray[np.int64]
    """(n,) the pattern of each row."""

    @classmethod
    def of(cls, x: FloatArray) -> _Patterns:
        observed, of_row = np.unique(~np.isnan(x), axis=0, return_inverse=True)
        return cls(observed, of_row.reshape(-1))

    @property
    def both(self) -> NDArray[np.bool_]:
        """(P, d, d) where row and column are observed."""
        return self.observed[:, :, None] & self.observed[:, None, :]


@dataclass(frozen=True, slots=True)
class GaussianMixture:
    """A mixture of K Gaussians with full covariances, for data (n, d) in which any value may be NaN."""

    weights: FloatArray
    """(K,), summing to 1."""
    means: FloatArray
    """(K, d)."""
    covariances: FloatArray
    """(K, d, d)."""

    @classmethod
    def fit(
        cls,
        x: FloatArray,
        seed: int,
        *,
        n_components: int = 2,
        n_starts: int = 10,
        ridge: float = 1e-6,
        tolerance: float = 1e-6,
        max_iterations: int = 2000,
    ) -> GaussianMixture:
        """Maximise the likelihood of what is observed in x (n, d), by EM from several starts.

        Every start takes a few steps and the best go on until a step gains less than `tolerance` a row. A fit with a
        component of fewer than d + 1 rows, whose likelihood owes to a nearly singular covariance, gives way to
        one without. Rows without any value do not enter.

        Args:
            x: (n, d), NaN where missing.
            seed: Of the starts.
            n_components: K.
            n_starts: How many starts are tried.
            ridge: Added to the diagonals of the covariances after every step, in squared units of x.
            tolerance: Least gain in log-likelihood a row for which steps go on.
            max_iterations: Most steps from one start.

        Raises:
            SequelaError: Fewer rows than components, a variable that is never observed, or a singular covariance from
                every start.
        """
        x = x[np.isfinite(x).any(axis=1)]
        if len(x) < n_components:
            msg = f"mixture: {len(x)} rows have a value, {n_components} components need as many. Give more patients."
            raise SequelaError(msg)
        if not np.isfinite(x).any(axis=0).all():
            msg = "mixture: a variable is never observed. Leave it out."
            raise SequelaError(msg)
        rng = np.random.default_rng(seed)
        least = (x.shape[1] + 1) / len(x)

        def merit(run: tuple[GaussianMixture, float]) -> tuple[bool, float]:
            return bool(run[0].weights.min() >= least), run[1]

        begun = [_attempt(_start(x, n_components, rng), x, ridge, 0.0, _SHORT_RUN) for _ in range(n_starts)]
        hopeful = sorted(filter(None, begun), key=merit)[-_LONG_RUNS:]
        ended = [_attempt(mixture, x, ridge, tolerance, max_iterations) for mixture, _ in hopeful]
        ranked = sorted(filter(None, ended), key=merit)
        if not ranked:
            msg = "mixture: every start ended in a singular covariance. Name fewer variables, or raise the ridge."
            raise SequelaError(msg)
        return ranked[-1][0]

    def refine(
        self, x: FloatArray, *, ridge: float = 1e-6, tolerance: float = 1e-6, max_iterations: int = 2000
    ) -> tuple[GaussianMixture, list[float]]:
        """EM from this mixture: where it ends, and the observed log-likelihood before each step and at the end.

        Raises:
            LinAlgError: A covariance became singular.
        """
        patterns = _Patterns.of(x)
        mixture, joint = self, self._log_joint(x, patterns)
        trace = [float(_log_sum(joint).sum())]
        for _ in range(max_iterations):
            mixture = mixture._step(x, patterns, joint, ridge)
            joint = mixture._log_joint(x, patterns)
            trace.append(float(_log_sum(joint).sum()))
            if trace[-1] - trace[-2] < tolerance * len(x):
                break
        return mixture, trace

    def log_likelihood(self, x: FloatArray) -> float:
        """Log-likelihood of what is observed in x (n, d)."""
        return float(_log_sum(self._log_joint(x, _Patterns.of(x))).sum())

    def posterior(self, x: FloatArray) -> FloatArray:
        """Probability of each component given what is observed, (n, K); the weights for a row without any value."""
        joint = self._log_joint(x, _Patterns.of(x))
        return np.asarray(np.exp(joint - _log_sum(joint)[:, None]))

    def _log_joint(self, x: FloatArray, patterns: _Patterns) -> FloatArray:
        """Log of weight times density of the observed values, (n, K)."""
        joint = np.tile(np.log(self.weights), (len(x), 1))
        n_observed = patterns.observed.sum(axis=1)
        for k, (mean, covariance) in enumerate(zip(self.means, self.covariances, strict=True)):
            factor = np.linalg.cholesky(_observed_part(covariance, patterns))
            log_root = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
            constant = n_observed * np.log(2 * np.pi) / 2 + log_root
            centred = np.where(np.isnan(x), 0.0, x - mean)
            whitened = np.einsum("nij,nj->ni", np.linalg.inv(factor)[patterns.of_row], centred)
            joint[:, k] -= constant[patterns.of_row] + (whitened**2).sum(axis=1) / 2
        return joint

    def _step(self, x: FloatArray, patterns: _Patterns, joint: FloatArray, ridge: float) -> GaussianMixture:
        """One step of EM: expected values and their covariances given the observed ones, then new parameters."""
        share = np.exp(joint - _log_sum(joint)[:, None])
        sizes = share.sum(axis=0) + 10 * np.finfo(float).eps  # an empty component must not divide by 0
        means, covariances = np.empty_like(self.means), np.empty_like(self.covariances)
        for k in range(len(sizes)):
            filled, spread = self._expected(x, patterns, share[:, k], k)
            means[k] = share[:, k] @ filled / sizes[k]
            centred = filled - means[k]
            scatter = (share[:, k, None] * centred).T @ centred + spread
            covariances[k] = (scatter + scatter.T) / (2 * sizes[k]) + ridge * np.eye(x.shape[1])
        return GaussianMixture(sizes / sizes.sum(), means, covariances)

    def _expected(self, x: FloatArray, patterns: _Patterns, share: FloatArray, k: int) -> tuple[FloatArray, FloatArray]:
        """Data with missing values replaced by their conditional means in component k, and their summed covariance."""
        mean, covariance = self.means[k], self.covariances[k]
        precision = np.where(patterns.both, np.linalg.inv(_observed_part(covariance, patterns)), 0.0)
        slope = np.where(patterns.observed[:, None, :], 0.0, precision @ covariance)  # observed to missing
        unobserved = ~patterns.observed[:, :, None] & ~patterns.observed[:, None, :]
        conditional = np.where(unobserved, covariance - covariance @ slope, 0.0)
        of_pattern = np.bincount(patterns.of_row, weights=share, minlength=len(patterns.observed))
        centred = np.where(np.isnan(x), 0.0, x - mean)
        expected = mean + np.einsum("ni,nij->nj", centred, slope[patterns.of_row])
        spread = np.asarray(np.tensordot(of_pattern, conditional, axes=1), dtype=np.float64)
        return np.where(np.isnan(x), expected, x), spread

    def state(self) -> dict[str, Any]:
        """Plain JSON values that `from_state` rebuilds the mixture from."""
        return {
            "weights": self.weights.tolist(),
            "means": self.means.tolist(),
            "covariances": self.covariances.tolist(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> GaussianMixture:
        """Rebuild what `state` described."""
        return cls(*(np.array(state[name], dtype=np.float64) for name in ("weights", "means", "covariances")))


def _observed_part(covariance: FloatArray, patterns: _Patterns) -> FloatArray:
    """The covariance of what each pattern observes, (P, d, d), and the identity where it does not."""
    return np.where(patterns.both, covariance, np.eye(len(covariance)))


def _log_sum(joint: FloatArray) -> FloatArray:
    """Logarithm of the sum of exponentials over components, (n,)."""
    top = joint.max(axis=1)
    return np.asarray(top + np.log(np.exp(joint - top[:, None]).sum(axis=1)))


def _start(x: FloatArray, n_components: int, rng: np.random.Generator) -> GaussianMixture:
    """Equal weights, the variances of the data, and rows far from one another as means (k-means++)."""
    centre, variance = np.nanmean(x, axis=0), np.maximum(np.nanvar(x, axis=0), 1e-12)
    filled = np.where(np.isnan(x), centre, x)
    means = [filled[rng.integers(len(x))]]
    while len(means) < n_components:
        distance = np.min([((filled - mean) ** 2 / variance).sum(axis=1) for mean in means], axis=0)
        chance = distance / distance.sum() if distance.sum() > 0 else None
        means.append(filled[rng.choice(len(x), p=chance)])
    weights = np.full(n_components, 1 / n_components)
    return GaussianMixture(weights, np.array(means), np.tile(np.diag(variance), (n_components, 1, 1)))


def _attempt(
    mixture: GaussianMixture, x: FloatArray, ridge: float, tolerance: float, max_iterations: int
) -> tuple[GaussianMixture, float] | None:
    """Where EM ends and its log-likelihood, or None when a covariance became singular."""
    try:
        refined, trace = mixture.refine(x, ridge=ridge, tolerance=tolerance, max_iterations=max_iterations)
    except np.linalg.LinAlgError:
        return None
    return refined, trace[-1]
