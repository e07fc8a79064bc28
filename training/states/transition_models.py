"""A Cox model for each transition, and the states that one patient goes through by them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Self

import numpy as np

from features.outcomes import Outcomes
from features.states import StateHistories
from training.models.cox import CauseSpecificCox
from training.models.states import Move, StateModel
from training.states.markov import stays_of
from training.states.occupation import FloatArray, IntArray, Occupation


class TransitionModels:
    """Proportional hazards of every transition (Andersen, Hansen & Keiding, Scand J Stat 1991;18:153), ridge.

    Time runs on from the landmark in every state (clock forward), and the hazards depend on the present day and the
    covariates alone: the process is taken to be Markov given the covariates. Censoring and entry are taken to be
    independent of the process given them.
    """

    def __init__(self, states: tuple[str, ...], models: Mapping[Move, CauseSpecificCox]) -> None:
        """Names of the states; the model of each move that occurred."""
        self.states = states
        self.models = dict(models)

    @classmethod
    def fit(
        cls, x: FloatArray, histories: StateHistories, *, seed: int, penalties: Mapping[Move, float] | None = None
    ) -> Self:
        """Fit every transition that occurred.

        Args:
            x: (patients, features), standardised, of the patients of the histories.
            histories: Their stays.
            seed: Of choices that chance makes.
            penalties: Of each move's log partial likelihood; None, or a move that is not named: chosen by marginal
                likelihood.
        """
        chosen = {} if penalties is None else penalties
        models = {}
        for origin, target in np.argwhere(histories.moves() > 0).tolist():
            patient = histories.patient[histories.state == origin]
            outcomes: Outcomes = stays_of(histories, origin, target)
            models[origin, target] = CauseSpecificCox.fit(
                x[patient],
                outcomes,
                penalty=chosen.get((origin, target)),
                patient_id=patient.astype(object),
                seed=seed,
            )
        return cls(histories.states, models)

    @property
    def penalties(self) -> dict[Move, float]:
        """Of each move."""
        return {move: model.penalties[0] for move, model in self.models.items()}

    def occupation(self, x: FloatArray, times_days: FloatArray) -> Occupation:
        """The states of one patient, who is in the first one at the landmark.

        p(t) = Π_{s≤t} T(s), the product integral of the patient's hazards dA_ij(s) = exp(β_ij x) dA⁰_ij(s), with the
        probabilities T of `training.models.states.moving`.

        Args:
            x: (features,)
            times_days: (times,): from the landmark, at least 0, ascending.
        """
        times = np.asarray(times_days, dtype=float)
        return Occupation(times, *state_model(self, ()).course(x, times).point)


def resampled(
    x: FloatArray, histories: StateHistories, fitted: TransitionModels, n_resamples: int, rng: np.random.Generator
) -> Iterator[TransitionModels]:
    """The models refitted to patients drawn with replacement, penalties as they are (Efron & Tibshirani 1993)."""
    for _ in range(n_resamples):
        drawn: IntArray = rng.integers(len(histories), size=len(histories))
        yield TransitionModels.fit(x[drawn], histories.take(drawn), seed=0, penalties=fitted.penalties)


def state_model(fitted: TransitionModels, refits: Iterable[TransitionModels]) -> StateModel:
    """The models and their refits as arrays, to be stored and served.

    Hazards of a refit are 0 on days on which nobody of its patients moved, and for moves that none of them made.
    """
    models = (fitted, *refits)
    moves = tuple(sorted(fitted.models))
    times = np.unique(np.concatenate([model.times_days for model in fitted.models.values()] or [np.zeros(0)]))
    n_features = max((model.beta.shape[1] for model in fitted.models.values()), default=0)
    beta = np.zeros((len(models), len(moves), n_features))
    increments = np.zeros((len(models), len(moves), len(times)))
    for i, one in enumerate(models):
        for k, move in enumerate(moves):
            if (model := one.models.get(move)) is not None:
                beta[i, k] = model.beta[0]
                increments[i, k, np.searchsorted(times, model.times_days)] = model.increments[0]
    return StateModel(fitted.states, moves, times, beta, increments)
