"""Fine and Gray's model: proportional hazards of the subdistribution of each cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from features.errors import SequelaError
from features.outcomes import Outcomes
from training.models.nonparametric import EXHAUSTED, StepSurvival, censoring_survival
from training.models.partial_likelihood import MAX_LINEAR_PREDICTOR, FloatArray, PartialLikelihood
from training.models.penalised_fit import choose_penalty, folds_of, maximise, reduce_features
from training.models.predictor import Arrays, Sizes


@dataclass(frozen=True, slots=True)
class Observation:
    """P(under observation just before t), up to a factor: not yet censored, and entered."""

    censoring: StepSurvival
    """G, in which events come before censorings of the same day."""
    entry: StepSurvival | None
    """1 − H, with H the product-limit estimate in reversed time of the day of entry; None without left truncation."""

    @classmethod
    def of(cls, outcomes: Outcomes) -> Observation:
        """Estimate from all rows, assuming censoring and entry independent of features and causes.

        Raises:
            SequelaError: At some event nobody can be known to be under observation any more, or already.
        """
        entry = None if outcomes.entry_days is None else _entry_distribution(outcomes.entry_days, outcomes)
        found = cls(censoring_survival(outcomes), entry)
        at = np.unique(outcomes.duration_days[outcomes.cause > 0])
        lost = at[found.before(at) <= EXHAUSTED]
        if len(lost):
            msg = (
                f"entry_days: nobody was followed right before some day next to the event on day {lost[0]:g}, so the "
                "fine_gray model's weights cannot be estimated; take out the few rows before that gap, or choose "
                "kind: cox"
            )
            raise SequelaError(msg)
        return found

    def before(self, times_days: FloatArray) -> FloatArray:
        """G(t−) H(t−) at any times."""
        share = self.censoring.before(times_days)
        return share if self.entry is None else share * (1.0 - self.entry.before(times_days))


def _entry_distribution(entry_days: FloatArray, outcomes: Outcomes) -> StepSurvival:
    """1 − H, H(t) = Π_{s>t} (1 − entries on s / rows with entry ≤ s < duration) (Geskus, Biometrics 2011;67:39)."""
    days, n_entries = np.unique(entry_days, return_counts=True)
    entered = np.cumsum(n_entries)
    left = np.searchsorted(np.sort(outcomes.duration_days), days, side="right")
    factor = 1.0 - n_entries / (entered - left)
    later = np.concatenate([np.cumprod(factor[::-1])[::-1][1:], [1.0]])
    return StepSurvival(days, 1.0 - later)


class FineGray:
    """One subdistribution-hazards model a cause, with ridge penalty (Fine & Gray, JASA 1999;94:496).

    Rows with a competing event stay at risk with weights G(t−)/G(T−), under left truncation G(t−)H(t−)/(G(T−)H(T−))
    (Geskus, Biometrics 2011;67:39). Ties are Breslow's, and F_k(t | x) = 1 − exp(−Λ_k(t) exp(βx)), as in R's
    cmprsk; unlike there, an event comes before a censoring of the same day in G, as everywhere in this package.

    Models of several causes do not know of each other, and their incidences can sum to more than 1 (Austin, Steyerberg
    & Putter, Stat Med 2021, doi:10.1002/sim.9023). Up to the time at which a patient's sum reaches 1, each cause has
    exactly its model's incidence; there, the last step is shared in proportion, and nothing happens afterwards.
    """

    kind: ClassVar[str] = "fine_gray"

    def __init__(
        self, beta: FloatArray, times_days: FloatArray, increments: FloatArray, penalties: Sequence[float]
    ) -> None:
        """Coefficients (causes, features), event times (t,), baseline subdistribution hazard steps (causes, t)."""
        self.beta = beta
        self.times_days = times_days
        self.increments = increments
        self.penalties = tuple(penalties)

    @classmethod
    def fit(
        cls, x: FloatArray, outcomes: Outcomes, *, penalty: float | None, patient_id: NDArray[np.object_], seed: int
    ) -> Self:
        """Fit every cause.

        Args:
            x: Standardised features (rows, features).
            outcomes: Outcomes of the rows, possibly left-truncated.
            penalty: Ridge penalty on the log partial likelihood; None: chosen by cross-validation for each cause.
            patient_id: (rows,): rows of one patient stay together in that cross-validation.
            seed: Of the cross-validation's folds.

        Raises:
            SequelaError: The weights cannot be estimated, since follow-up has a gap.
        """
        times = np.unique(outcomes.duration_days[outcomes.cause > 0])
        observation, folds = Observation.of(outcomes), folds_of(patient_id, seed)
        beta = np.zeros((len(outcomes.causes), x.shape[1]))
        increments = np.zeros((len(outcomes.causes), len(times)))
        penalties = []
        reduced, back = reduce_features(x)

        def risk_sets(x: FloatArray, outcomes: Outcomes, cause: int) -> PartialLikelihood:
            return PartialLikelihood.of(x, outcomes, cause, observed=observation.before)

        for k in range(len(outcomes.causes)):
            chosen = penalty
            if chosen is None:
                chosen = choose_penalty(reduced, outcomes, k + 1, folds, risk_sets=risk_sets)
            penalties.append(chosen)
            likelihood = risk_sets(reduced, outcomes, k + 1)
            if not len(likelihood.event_row):
                continue
            coefficients = maximise(likelihood, chosen)
            beta[k] = back @ coefficients
            increments[k, np.searchsorted(times, likelihood.times)] = likelihood.baseline(coefficients)
        return cls(beta, times, increments, penalties)

    def incidence(self, x: FloatArray, landmark_day: FloatArray, times_days: FloatArray) -> FloatArray:
        """Incidences (rows, causes, times); constant after the last event time."""
        del landmark_day  # a feature, where there are several
        at = np.searchsorted(self.times_days, times_days, side="right")
        result = np.zeros((len(x), len(self.beta), len(times_days)))
        relative = np.exp(np.clip(x @ self.beta.T, -MAX_LINEAR_PREDICTOR, MAX_LINEAR_PREDICTOR))
        cumulative = np.pad(np.cumsum(self.increments, axis=1), ((0, 0), (1, 0)))
        for rows in np.array_split(np.arange(len(x)), max(1, len(x) // 256)):  # bounded memory
            separate = -np.expm1(-relative[rows][:, :, None] * cumulative)
            result[rows] = within_one(separate)[:, :, at]
        return result

    def state(self) -> tuple[Sizes, dict[str, NDArray[Any]]]:
        """Penalties; coefficients, times and baseline hazards."""
        arrays = {"beta": self.beta, "times_days": self.times_days, "increments": self.increments}
        return {"penalties": list(self.penalties)}, arrays

    @classmethod
    def from_state(cls, sizes: Sizes, arrays: Arrays) -> Self:
        """Rebuild what `state` described."""
        return cls(arrays["beta"], arrays["times_days"], arrays["increments"], sizes["penalties"])


def within_one(separate: FloatArray) -> FloatArray:
    """Incidences (rows, causes, times), stopped where the causes' sum reaches 1; the first time's are 0."""
    total = separate.sum(axis=1)
    over = np.flatnonzero(total[:, -1] > 1.0)
    steps, gained = np.diff(separate[over], axis=2), np.diff(total[over], axis=1)
    room = np.diff(np.minimum(total[over], 1.0), axis=1)
    share = np.divide(room, gained, out=np.zeros_like(room), where=gained > 0)
    result = separate.copy()
    result[over, :, 1:] = np.cumsum(steps * share[:, None], axis=2)
    return result
