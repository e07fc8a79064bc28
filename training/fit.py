"""Fitting one risk model on one set of patients: encoder first, then predictor. Nothing else may learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.config import FeatureConfig
from features.encoder import PatientEncoder
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.patients import Patients
from features.schema import CohortCard
from training.config import AalenJohansenConfig, CoxConfig, MixtureConfig, ModelConfig, NetworkConfig, TrainerConfig
from training.models.aalen_johansen import AalenJohansen
from training.models.cox import CauseSpecificCox
from training.models.mixture import Mixture
from training.models.predictor import Predictor
from training.models.risk_model import FittedRiskModel
from training.network_fit import EpochListener, fit_network


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

    Raises:
        SequelaError: A network without any event to learn from, or a mixture with a wrong number of weights.
    """
    encoder = PatientEncoder.fit(patients, card, features)
    x = encoder.transform(patients)
    predictor = _fit_predictor(x, patients, outcomes, model, trainer, seed, listener)
    return FittedRiskModel(encoder, predictor, outcomes.causes)


def _fit_predictor(
    x: NDArray[np.float64],
    patients: Patients,
    outcomes: Outcomes,
    model: ModelConfig,
    trainer: TrainerConfig,
    seed: int,
    listener: EpochListener | None,
) -> Predictor:
    match model:
        case AalenJohansenConfig():
            return AalenJohansen.fit(patients.landmark_day, outcomes)
        case CoxConfig():
            ids = patients.patient_id
            return CauseSpecificCox.fit(x, outcomes, penalty=model.penalty, patient_id=ids, seed=seed)
        case NetworkConfig():
            return fit_network(x, outcomes, patients.patient_id, model, trainer, seed=seed, listener=listener)
        case MixtureConfig():
            if model.weights is not None and len(model.weights) != len(model.members):
                msg = f"model.weights: {len(model.weights)} for {len(model.members)} members; give one each, or none"
                raise SequelaError(msg)
            members = [_fit_predictor(x, patients, outcomes, m, trainer, seed, listener) for m in model.members]
            return Mixture(members, model.weights or [1.0] * len(members))
