"""Choosing a model's settings inside a training fold, by inner cross-validation: the outer test fold is never seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna

from features.config import FeatureConfig
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.patients import Patients
from features.schema import CohortCard
from training.config import ModelConfig, SearchRange, TrainerConfig, TuningConfig
from training.fit import fit_risk_model
from training.fitting.companions import Companion, of_fold
from training.out_of_fold.stack_weights import stack_evidence
from training.out_of_fold.stacking import enough_events, scoring_grid
from training.search_space import Setting, SettingsError, with_settings
from training.splits import patient_folds


@dataclass(frozen=True, slots=True)
class Trial:
    """Settings that were tried."""

    number: int
    """0: the model as configured."""
    settings: Mapping[str, Setting]
    """By dotted key; none for the model as configured."""
    score: float
    """IPCW-integrated Brier score over that of Aalen–Johansen, mean over causes, out of the inner folds; infinite where
    the settings could not be fitted."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """The best of the trials."""

    model: ModelConfig
    trials: tuple[Trial, ...]
    """In the order in which they were tried; none where there were too few events to choose by."""

    @property
    def best(self) -> int:
        """Number of the trial with the lowest score; the first of them."""
        return int(np.argmin([trial.score for trial in self.trials])) if self.trials else 0


def tune(
    patients: Patients,
    outcomes: Outcomes,
    card: CohortCard,
    features: FeatureConfig,
    model: ModelConfig,
    trainer: TrainerConfig,
    tuning: TuningConfig,
    *,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    companions: Sequence[Companion] = (),
) -> Tuned:
    """Try settings on inner folds of these patients, and on nobody else.

    The model as configured is the first trial, so that tuning keeps it unless something was better. Others are proposed
    by the tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011). All trials share the folds. Settings that
    the model does not allow together, or cannot be fitted with, are worse than all others.

    Args:
        patients: Training rows of one outer fold; rows of one patient are held out together.
        outcomes: Their outcomes.
        card: What the cohort's variables mean.
        features: Which features the model sees; encoders are fitted in the inner folds.
        model: The model as configured.
        trainer: Where Lightning trains.
        tuning: The space and the number of trials.
        seed: Of proposals, folds and fits.
        progress: Told how many trials of how many are done.
        companions: Other endpoints, as in `fit_risk_model`.

    Raises:
        SequelaError: There are fewer patients than inner folds, or no settings could be fitted.
    """
    if not enough_events(outcomes, patients.patient_id):
        return Tuned(model, ())
    ids, cause = patients.patient_id, outcomes.cause
    folds = patient_folds(ids, cause, n_folds=tuning.folds, n_repeats=1, seed=seed)
    times = scoring_grid(outcomes)

    failure: Exception | None = None

    def score(settings: Mapping[str, Setting]) -> float:
        nonlocal failure
        try:
            return inner_score(with_settings(model, settings))
        except (SettingsError, SequelaError) as error:
            failure = error
            return float("inf")

    def inner_score(candidate: ModelConfig) -> float:
        incidence = np.empty((1, len(outcomes), len(outcomes.causes), len(times)))
        for fold in folds:
            part = patients.take(fold.train), outcomes.take(fold.train)
            others = of_fold(companions, patients, fold.train)
            fitted = fit_risk_model(*part, card, features, candidate, trainer, seed=seed, companions=others)
            incidence[0, fold.test] = fitted.predict_incidence(patients.take(fold.test), times).values
        return float(stack_evidence(incidence, times, outcomes, patients.landmark_day, patients.patient_id).total[0, 0])

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    trials = [Trial(0, {}, score({}))]
    for number in range(1, tuning.trials + 1):
        if progress is not None:
            progress(number, tuning.trials + 1)
        asked = study.ask()
        settings = {key: _propose(asked, key, where) for key, where in tuning.space.items()}
        trials.append(Trial(number, settings, score(settings)))
        study.tell(asked, trials[-1].score)
    if progress is not None:
        progress(tuning.trials + 1, tuning.trials + 1)
    tuned = Tuned(model, tuple(trials))
    if failure is not None and trials[tuned.best].score == float("inf"):
        msg = f"tuning.space: not one of {len(trials)} trials could be fitted; the last of them: {failure}"
        raise SequelaError(msg) from failure
    return Tuned(with_settings(model, trials[tuned.best].settings), tuned.trials)


def _propose(trial: optuna.Trial, key: str, where: SearchRange | tuple[Setting, ...]) -> Setting:
    if not isinstance(where, SearchRange):
        chosen: Setting = trial.suggest_categorical(key, list(where))
        return chosen
    if isinstance(where.low, int) and isinstance(where.high, int):
        return trial.suggest_int(key, where.low, where.high, log=where.log)
    return trial.suggest_float(key, where.low, where.high, log=where.log)
