"""Ratios of hazards: cause-specific (Cox) and subdistribution (Fine and Gray) ones, with standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.errors import SequelaError
from features.outcomes import Outcomes
from training.effects.arms import Arms, FloatArray, IntArray
from training.effects.estimates import ABSENT, Estimate, ratio
from training.models.fine_gray import Observation
from training.models.partial_likelihood import PartialLikelihood
from training.models.penalised_fit import newton

LEAST_INFORMATION = 1e-6
"""About a log ratio: with less than this, of a standard error of a thousand, nothing was learnt of it."""
TOLERANCE = 1e-14
"""Of the log likelihood's gain, relative to it, below which Newton's method stops."""


@dataclass(frozen=True, slots=True)
class Stratified:
    """A log partial likelihood summed over strata, each with a baseline hazard of its own."""

    parts: tuple[PartialLikelihood, ...]
    rows: tuple[IntArray, ...]
    """For each stratum, where its rows stand among all, in the order of the part's."""

    @classmethod
    def of(cls, x: FloatArray, outcomes: Outcomes, cause: int, strata: Sequence[IntArray], *, kept: bool) -> Stratified:
        """Partial likelihoods of the strata in which the cause occurs.

        Args:
            x: (rows, features).
            outcomes: Of the rows.
            cause: 1, 2, …
            strata: Positions of the rows of each.
            kept: Whether rows with another cause stay at risk with Fine and Gray's weights, from each stratum's own
                censoring distribution; if not, they leave.
        """
        parts, places = [], []
        for rows in strata:
            own = outcomes.take(rows)
            if (own.cause == cause).any():
                observed = Observation.of(own).before if kept else None
                parts.append(PartialLikelihood.of(x[rows], own, cause, observed=observed))
                places.append(rows[np.argsort(own.duration_days, kind="stable")])
        return cls(tuple(parts), tuple(places))

    def value(self, beta: FloatArray) -> float:
        """The log partial likelihood."""
        return sum(part.value(beta) for part in self.parts)

    def likelihood(self, beta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """The log partial likelihood, its gradient, and its negative Hessian."""
        values, gradients, hessians = zip(*(part.likelihood(beta) for part in self.parts), strict=True)
        return sum(values), np.sum(gradients, axis=0), np.sum(hessians, axis=0)

    def residuals(self, beta: FloatArray, n_rows: int) -> FloatArray:
        """(rows, features): score residuals; 0 in strata without an event."""
        found = np.zeros((n_rows, len(beta)))
        for part, rows in zip(self.parts, self.rows, strict=True):
            found[rows] = part.score_residuals(beta)
        return found

    def martingale_residuals(self, beta: FloatArray, n_rows: int) -> FloatArray:
        """(rows,): events less those expected; 0 in strata without an event."""
        found = np.zeros(n_rows)
        for part, rows in zip(self.parts, self.rows, strict=True):
            found[rows] = part.martingale_residuals(beta)
        return found

    def information_on(self, others: FloatArray, beta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Of other features (rows, others), whose coefficients are 0: see `PartialLikelihood.information_on`."""
        found = [part.information_on(beta, others[rows]) for part, rows in zip(self.parts, self.rows, strict=True)]
        own, cross = zip(*found, strict=True)
        return np.sum(own, axis=0), np.sum(cross, axis=0)


def cause_specific_ratios(arms: Arms, cause: int, cluster: IntArray | None = None) -> tuple[Estimate, ...]:
    """Hazard ratio of each arm to the first, other causes censoring (Cox, J R Stat Soc B 1972;34:187), Efron's ties.

    Args:
        arms: Patients, perhaps in strata, each with a baseline hazard of its own.
        cause: 1, 2, …
        cluster: (rows,): standard errors robust to dependence within clusters (Lin & Wei, JASA 1989;84:1074); None:
            those of the model.

    Returns:
        (arms − 1,); NaN for an arm without an event of the cause, and for all if the first has none.
    """
    return _ratios(arms, cause, kept=False, cluster=cluster)


def subdistribution_ratios(arms: Arms, cause: int) -> tuple[Estimate, ...]:
    """Subdistribution hazard ratio of each arm to the first (Fine & Gray, JASA 1999;94:496), Breslow's ties.

    The standard error is robust by patient and takes the weights for censoring as known, as R's `survival::finegray`
    with a weighted `coxph` does; the weights are each stratum's own. Above 1, an arm has the greater incidence; the
    ratio is no ratio of risks, nor of rates among those at risk (Austin & Fine, Stat Med 2017;36:4391).

    Returns:
        (arms − 1,); NaN for an arm without an event of the cause, for all if the first has none, and where the weights
        cannot be estimated.
    """
    try:
        return _ratios(arms, cause, kept=True, cluster=np.arange(len(arms)))
    except SequelaError:  # late entry with a gap in the follow-up
        return (ABSENT,) * (len(arms.names) - 1)


def _ratios(arms: Arms, cause: int, *, kept: bool, cluster: IntArray | None) -> tuple[Estimate, ...]:
    happens = np.array([(arms.of(k).cause == cause).any() for k in range(len(arms.names))])
    found = [ABSENT] * (len(arms.names) - 1)
    if not happens[0] or not happens[1:].any():
        return tuple(found)
    x = arms.indicators()[:, happens[1:]]
    strata = [rows[happens[arms.arm[rows]]] for rows in arms.strata()]
    estimates = log_ratios(x, arms.outcomes, cause, strata, kept=kept, cluster=cluster)
    for place, estimate in zip(np.flatnonzero(happens[1:]), estimates, strict=True):
        found[place] = estimate
    return tuple(found)


def log_ratios(
    x: FloatArray,
    outcomes: Outcomes,
    cause: int,
    strata: Sequence[IntArray],
    *,
    kept: bool = False,
    cluster: IntArray | None = None,
) -> tuple[Estimate, ...]:
    """Maximum partial likelihood of a model in x (rows, features); ratios by feature, as `Stratified` and the above.

    NaN where the likelihood has no one maximum, as when no stratum holds two arms.
    """
    likelihood = Stratified.of(x, outcomes, cause, strata, kept=kept)
    absent = tuple(ABSENT for _ in range(x.shape[1]))
    beta = np.zeros(x.shape[1])
    if not likelihood.parts or not _informative(likelihood.likelihood(beta)[2]):
        return absent
    try:
        beta = newton(likelihood, 0.0, 0.0, beta, TOLERANCE)
    except np.linalg.LinAlgError:  # a feature tells who has the event: the likelihood rises for ever
        return absent
    information = likelihood.likelihood(beta)[2]
    if not _informative(information):
        return absent
    covariance = np.linalg.inv(information)
    if cluster is not None:
        sums = np.zeros((int(cluster.max()) + 1, x.shape[1]))
        np.add.at(sums, cluster, likelihood.residuals(beta, len(x)) @ covariance)
        covariance = sums.T @ sums
    errors = np.sqrt(np.maximum(covariance.diagonal(), 0.0))
    return tuple(ratio(float(b), float(error)) for b, error in zip(beta, errors, strict=True))


def _informative(information: FloatArray) -> bool:
    return bool(np.linalg.eigvalsh(information).min() > LEAST_INFORMATION)
