"""Fitting one risk model on one set of patients: encoder first, then predictor. Nothing else may learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
        given = Given(
            x,
            patients,
            outcomes,
            trainer=trainer,
            seed=seed,
            refit=refit,
            panel=encoder.samples,
            listener=listener,
            checkpoint=checkpoint,
            tasks=tuple(tasks),
        )
        predictor = _fit(model, given)
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


@dataclass(frozen=True, slots=True)
class Given:
    """What a predictor of any kind is fitted to, and how."""

    x: NDArray[np.float64]
    """(rows, features): standardised."""
    patients: Patients
    outcomes: Outcomes
    trainer: TrainerConfig
    seed: int
    refit: Refit
    """Fits a whole risk model to some of the rows."""
    panel: SampleFeatures | None
    """Materials and genes of samples, as the encoder knows them."""
    listener: EpochListener | None = None
    checkpoint: Path | None = None
    tasks: tuple[Task, ...] = ()
    """Other endpoints."""

    @property
    def ids(self) -> NDArray[np.object_]:
        """(rows,): whose."""
        return self.patients.patient_id

    def of_part(self, name: str) -> Given:
        """The same for a part of a model, whose unfinished fit is kept beside the others'."""
        kept = self.checkpoint
        return self if kept is None else replace(self, checkpoint=kept.with_stem(f"{kept.stem}-{name}"))


def _fit(model: ModelConfig, given: Given) -> Predictor:
    match model:
        case MixtureConfig():
            return _fit_mixture(model, given)
        case DistilledConfig():
            return _fit_distilled(model, given)
        case RecalibratedConfig():
            below = _fit(model.model, given)
            return recalibrate(below, model.model, given.patients, given.outcomes, given.refit, seed=given.seed)
        case WithIntervalsConfig():
            return _fit_with_intervals(model, given)
        case NetworkConfig() | DeepHitConfig() | AttentionConfig() | SetTransformerConfig() | CustomConfig():
            return _fit_in_epochs(model, given)
        case _:
            return _fit_at_once(model, given)


def _fit_at_once(
    model: AalenJohansenConfig | CoxConfig | FineGrayConfig | ForestConfig | BoostingConfig | InContextConfig,
    given: Given,
) -> Predictor:
    """Models that are fitted without epochs."""
    x, outcomes, ids, seed = given.x, given.outcomes, given.ids, given.seed
    match model:
        case AalenJohansenConfig():
            return AalenJohansen.fit(given.patients.landmark_day, outcomes)
        case CoxConfig():
            return CauseSpecificCox.fit(
                x,
                outcomes,
                penalty=model.penalty,
                patient_id=ids,
                seed=seed,
                l1_ratio=model.l1_ratio,
                penalty_rule=model.penalty_rule,
            )
        case FineGrayConfig():
            return FineGray.fit(x, outcomes, penalty=model.penalty, patient_id=ids, seed=seed)
        case ForestConfig():
            return fit_forest(x, outcomes, ids, model, seed=seed)
        case BoostingConfig():
            return fit_boosting(x, outcomes, ids, model, seed=seed)
        case InContextConfig():
            return fit_in_context(x, outcomes, ids, model, given.trainer, seed=seed)


def _fit_in_epochs(
    model: NetworkConfig | DeepHitConfig | AttentionConfig | SetTransformerConfig | CustomConfig, given: Given
) -> Predictor:
    """Models whose losses are told epoch by epoch."""
    x, outcomes, ids, trainer = given.x, given.outcomes, given.ids, given.trainer
    seed, listener, checkpoint = given.seed, given.listener, given.checkpoint
    match model:
        case NetworkConfig() if given.tasks:
            tasks = (Task(x, outcomes, ids), *given.tasks)
            return fit_together(tasks, model, trainer, seed=seed, listener=listener, checkpoint=checkpoint)[0]
        case AttentionConfig() | SetTransformerConfig():
            of_cells = given.patients, outcomes, given.panel, model, trainer
            return fit_bag_network(x, *of_cells, seed=seed, listener=listener, checkpoint=checkpoint)
        case NetworkConfig():
            return fit_network(x, outcomes, ids, model, trainer, seed=seed, listener=listener, checkpoint=checkpoint)
        case _:
            fit: Fit = fit_deephit if isinstance(model, DeepHitConfig) else custom_fit(model.kind)
            return fit(x, outcomes, ids, model, trainer, seed=seed, listener=listener, checkpoint=checkpoint)


def _fit_mixture(model: MixtureConfig, given: Given) -> Mixture:
    weights = model.weights if isinstance(model.weights, tuple) else (1.0,) * len(model.members)
    if len(weights) != len(model.members):
        msg = f"model.weights: {len(weights)} for {len(model.members)} members; give one each, or none"
        raise SequelaError(msg)
    members = [_fit(member, given.of_part(str(number))) for number, member in enumerate(model.members)]
    mixture = Mixture(members, weights)
    if model.weights != "stacked":
        return mixture
    return stack(mixture, model, given.patients, given.outcomes, given.refit, seed=given.seed)


def _fit_distilled(model: DistilledConfig, given: Given) -> Predictor:
    def student(x: NDArray[np.float64], patients: Patients, drawn: Outcomes) -> Predictor:
        own = replace(given.of_part("student"), x=x, patients=patients, outcomes=drawn, tasks=())
        return _fit(model.student, own)

    teacher = _fit(model.model, given)
    return distil(teacher, given.x, given.patients, given.outcomes, model.draws, student, seed=given.seed)


def _fit_with_intervals(model: WithIntervalsConfig, given: Given) -> Predictor:
    def again(drawn: Outcomes, number: int, truth: Predictor) -> Predictor:
        """The model on other outcomes; what was learnt out of fold is not learnt again."""
        own = replace(given, outcomes=drawn, seed=given.seed + number, listener=None, checkpoint=None)
        return like(_fit(plain(model.model), own), truth, np.random.default_rng([given.seed, number]))

    x, patients, outcomes = given.x, given.patients, given.outcomes
    return add_intervals(_fit(model.model, given), model, x, patients, outcomes, given.refit, again, seed=given.seed)
