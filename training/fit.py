"""Fitting one risk model on one set of patients: encoder first, then predictor. Nothing else may learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from features.cells.processing import CellProcessor
from features.cells.samples import SampleFeatures
from features.config import FeatureConfig
from features.encoder import PatientEncoder
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.patients import IntArray, Patients
from features.schema import CellsCard, CohortCard
from training.cells.network_fit import fit_bag_network
from training.config import (
    AalenJohansenConfig,
    AttentionConfig,
    BoostingConfig,
    CoxConfig,
    DeepHitConfig,
    DistilledConfig,
    FineGrayConfig,
    ForestConfig,
    InContextConfig,
    MixtureConfig,
    ModelConfig,
    NetworkConfig,
    RecalibratedConfig,
    SetTransformerConfig,
    TrainerConfig,
    WithIntervalsConfig,
    sees_cells,
)
from training.custom_models import CustomConfig, Fit, custom_fit
from training.fitting.boosting import fit_boosting
from training.fitting.companions import Companion, of_fold, with_events
from training.fitting.deephit import fit_deephit
from training.fitting.distillation import distil
from training.fitting.forest import fit_forest
from training.fitting.in_context import fit_in_context
from training.fitting.joint import Task, fit_together
from training.fitting.network import fit_network
from training.loops.stopping import EpochListener
from training.models.aalen_johansen import AalenJohansen
from training.models.cox import CauseSpecificCox
from training.models.fine_gray import FineGray
from training.models.mixture import Mixture
from training.models.network import HazardNetwork
from training.models.predictor import Predictor
from training.models.risk_model import FittedRiskModel
from training.out_of_fold.conformal import add_intervals
from training.out_of_fold.recalibration import recalibrate
from training.out_of_fold.stacking import Refit, like, plain, stack

SMALL = 10**8
"""Rows × features²: below it, threads of BLAS and OpenMP wait for one another longer than they compute, and by far
longer where other processes are at work: 40 times as long was measured of BLAS (750 rows, 84 features, two busy cores).
How many threads Lightning has is said by `TrainerConfig.threads`."""


def fit_risk_model(
    patients: Patients,
    outcomes: Outcomes,
    card: CohortCard,
    features: FeatureConfig,
    model: ModelConfig,
    trainer: TrainerConfig,
    *,
    seed: int,
    listener: EpochListener | None = None,
    checkpoint: Path | None = None,
    companions: Sequence[Companion] = (),
) -> FittedRiskModel:
    """Fit the encoder and the predictor on these patients, and on nothing else.

    Args:
        patients: Training rows; several landmark days of a patient are several rows.
        outcomes: Their outcomes.
        card: What the cohort's variables mean.
        features: Which features the model sees.
        model: Which model.
        trainer: Where Lightning trains.
        seed: Of everything random.
        listener: Told the losses of each epoch of a network.
        checkpoint: File in which the unfinished fit of a network keeps how far it is; the same fit goes on there. Of a
            mixture, the beginning of its members' names.
        companions: Other endpoints, whose events teach networks too; they hold no patient that is held out of this fit.
            One without any event takes no part.

    Raises:
        SequelaError: A network without any event to learn from, or a mixture with a wrong number of weights.
    """
    encoder = PatientEncoder.fit(patients, card, features)
    if sees_cells(model) and encoder.samples is None:
        encoder = with_panel(encoder, patients, card, features)
    x, companions = encoder.transform(patients), with_events(companions)

    def refit(rows: IntArray, inner: ModelConfig) -> FittedRiskModel:
        part = patients.take(rows), outcomes.take(rows)
        others = of_fold(companions, patients, rows)
        return fit_risk_model(*part, card, features, inner, trainer, seed=seed, companions=others)

    tasks = [Task(encoder.transform(one.patients), one.outcomes, one.patients.patient_id) for one in companions]
    with threadpool_limits(1 if x.shape[0] * x.shape[1] ** 2 < SMALL else None):
        predictor = _fit_predictor(
            x, patients, outcomes, model, trainer, seed, listener, refit, encoder.samples, checkpoint, tasks
        )
    return FittedRiskModel(encoder, predictor, outcomes.causes)


def with_panel(
    encoder: PatientEncoder, patients: Patients, card: CohortCard, features: FeatureConfig
) -> PatientEncoder:
    """An encoder that lets cells pass, though it makes no column of them: it knows their panel and their processing.

    Unchanged where no training patient has a sample by its landmark.
    """
    cells = card.cells or CellsCard()
    counts = cells.values == "counts"
    some = SampleFeatures.fit(patients, ("composition",), 1, counts=counts, human_genes=cells.genes == "genes")
    if some is None:
        return encoder
    panel = replace(some, features=(), programs={}, variable_genes=())
    return replace(encoder, samples=panel, processor=CellProcessor(features.processing, counts=counts))


def _fit_predictor(
    x: NDArray[np.float64],
    patients: Patients,
    outcomes: Outcomes,
    model: ModelConfig,
    trainer: TrainerConfig,
    seed: int,
    listener: EpochListener | None,
    refit: Refit,
    panel: SampleFeatures | None,
    checkpoint: Path | None = None,
    tasks: Sequence[Task] = (),
) -> Predictor:
    match model:
        case AalenJohansenConfig():
            return AalenJohansen.fit(patients.landmark_day, outcomes)
        case CoxConfig():
            return CauseSpecificCox.fit(
                x,
                outcomes,
                penalty=model.penalty,
                patient_id=patients.patient_id,
                seed=seed,
                l1_ratio=model.l1_ratio,
                penalty_rule=model.penalty_rule,
            )
        case FineGrayConfig():
            ids = patients.patient_id
            return FineGray.fit(x, outcomes, penalty=model.penalty, patient_id=ids, seed=seed)
        case NetworkConfig():
            own = Task(x, outcomes, patients.patient_id)
            return _fit_hazards((own, *tasks), model, trainer, seed, listener, checkpoint)
        case DeepHitConfig() | CustomConfig():
            fit: Fit = fit_deephit if isinstance(model, DeepHitConfig) else custom_fit(model.kind)
            ids = patients.patient_id
            return fit(x, outcomes, ids, model, trainer, seed=seed, listener=listener, checkpoint=checkpoint)
        case ForestConfig() | BoostingConfig() | InContextConfig():
            return _fit_at_once(x, outcomes, patients.patient_id, model, trainer, seed)
        case AttentionConfig() | SetTransformerConfig():
            return fit_bag_network(
                x, patients, outcomes, panel, model, trainer, seed=seed, listener=listener, checkpoint=checkpoint
            )
        case MixtureConfig():
            return _fit_mixture(x, patients, outcomes, model, trainer, seed, listener, refit, panel, checkpoint, tasks)
        case DistilledConfig() | RecalibratedConfig() | WithIntervalsConfig():
            return _fit_around(x, patients, outcomes, model, trainer, seed, listener, refit, panel, checkpoint, tasks)


def _fit_hazards(
    tasks: Sequence[Task],
    model: NetworkConfig,
    trainer: TrainerConfig,
    seed: int,
    listener: EpochListener | None,
    checkpoint: Path | None,
) -> HazardNetwork:
    """The network of the first of some endpoints."""
    if len(tasks) > 1:
        return fit_together(tasks, model, trainer, seed=seed, listener=listener, checkpoint=checkpoint)[0]
    x, outcomes, ids = tasks[0].x, tasks[0].outcomes, tasks[0].patient_id
    return fit_network(x, outcomes, ids, model, trainer, seed=seed, listener=listener, checkpoint=checkpoint)


def _fit_at_once(
    x: NDArray[np.float64],
    outcomes: Outcomes,
    patient_id: NDArray[np.object_],
    model: ForestConfig | BoostingConfig | InContextConfig,
    trainer: TrainerConfig,
    seed: int,
) -> Predictor:
    """Models that are fitted without epochs."""
    match model:
        case ForestConfig():
            return fit_forest(x, outcomes, patient_id, model, seed=seed)
        case BoostingConfig():
            return fit_boosting(x, outcomes, patient_id, model, seed=seed)
        case InContextConfig():
            return fit_in_context(x, outcomes, patient_id, model, trainer, seed=seed)


def _fit_around(
    x: NDArray[np.float64],
    patients: Patients,
    outcomes: Outcomes,
    model: DistilledConfig | RecalibratedConfig | WithIntervalsConfig,
    trainer: TrainerConfig,
    seed: int,
    listener: EpochListener | None,
    refit: Refit,
    panel: SampleFeatures | None,
    checkpoint: Path | None,
    tasks: Sequence[Task],
) -> Predictor:
    """A model, and what is learnt from its answers."""
    below = _fit_predictor(x, patients, outcomes, model.model, trainer, seed, listener, refit, panel, checkpoint, tasks)
    if isinstance(model, DistilledConfig):

        def student(x: NDArray[np.float64], patients: Patients, drawn: Outcomes) -> Predictor:
            own = _of_member(checkpoint, "student")
            return _fit_predictor(x, patients, drawn, model.student, trainer, seed, listener, refit, panel, own)

        return distil(below, x, patients, outcomes, model.draws, student, seed=seed)
    if isinstance(model, RecalibratedConfig):
        return recalibrate(below, model.model, patients, outcomes, refit, seed=seed)

    def again(drawn: Outcomes, number: int, truth: Predictor) -> Predictor:
        """The model on other outcomes; what was learnt out of fold is not learnt again."""
        simple = plain(model.model)
        other = _fit_predictor(x, patients, drawn, simple, trainer, seed + number, None, refit, panel, tasks=tasks)
        return like(other, truth, np.random.default_rng([seed, number]))

    return add_intervals(below, model, x, patients, outcomes, refit, again, seed=seed)


def _fit_mixture(
    x: NDArray[np.float64],
    patients: Patients,
    outcomes: Outcomes,
    model: MixtureConfig,
    trainer: TrainerConfig,
    seed: int,
    listener: EpochListener | None,
    refit: Refit,
    panel: SampleFeatures | None,
    checkpoint: Path | None,
    tasks: Sequence[Task],
) -> Mixture:
    given = model.weights if isinstance(model.weights, tuple) else (1.0,) * len(model.members)
    if len(given) != len(model.members):
        msg = f"model.weights: {len(given)} for {len(model.members)} members; give one each, or none"
        raise SequelaError(msg)
    members = []
    for i, member in enumerate(model.members):
        own = _of_member(checkpoint, str(i))
        fitted = _fit_predictor(x, patients, outcomes, member, trainer, seed, listener, refit, panel, own, tasks)
        members.append(fitted)
    mixture = Mixture(members, given)
    return stack(mixture, model, patients, outcomes, refit, seed=seed) if model.weights == "stacked" else mixture


def _of_member(checkpoint: Path | None, name: str) -> Path | None:
    return None if checkpoint is None else checkpoint.with_stem(f"{checkpoint.stem}-{name}")
