"""Stacking: out-of-fold predictions of a mixture's members, from which `stack_weights` learns its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from features.patients import FloatArray, IntArray, Patients
from training.config import MixtureConfig, ModelConfig, RecalibratedConfig, WithIntervalsConfig
from training.models.conformal import WithIntervals
from training.models.mixture import Mixture
from training.models.predictor import Predictor
from training.models.recalibration import Recalibrated
from training.models.repeated_rows import event_patients
from training.models.risk_model import FittedRiskModel
from training.models.seeing import seeing
from training.out_of_fold.stack_weights import FEWEST_EVENTS, StackEvidence, stack_evidence
from training.splits import patient_folds

Refit = Callable[[IntArray, ModelConfig], FittedRiskModel]
"""A whole risk model, encoder and all, fitted on some of the training rows."""
FOLDS = 5
"""Inner folds."""
GRID_POINTS = 30
"""Times at which out-of-fold predictions are scored."""
LATEST_EVENT = 0.9
"""The times end where this share of the events observed has happened: later, a few patients speak for all."""


class Stacked(Mixture):
    """A mixture that remembers, while it is fitted, what its weights were learnt from; only the weights are stored."""

    def __init__(
        self, members: Sequence[Predictor], weights: Sequence[float], evidence: StackEvidence | None = None
    ) -> None:
        """`evidence` is None where a mixture is built again from what was stored."""
        super().__init__(members, weights)
        self.evidence = evidence

    def with_parts(self, parts: Sequence[Predictor]) -> Self:
        """Other members with the same weights."""
        return type(self)(parts, self.weights.tolist(), self.evidence)


def scoring_grid(outcomes: Outcomes) -> FloatArray:
    """Times (times,), evenly spaced up to the day by which nine tenths of the events observed had happened."""
    end = float(np.quantile(outcomes.duration_days[outcomes.cause > 0], LATEST_EVENT))
    return np.linspace(end / GRID_POINTS, end, GRID_POINTS)


def enough_events(outcomes: Outcomes, patient_id: NDArray[Any]) -> bool:
    """Whether anything is to be learnt out of fold: with few patients with an event, all stays as it is."""
    return event_patients(patient_id, outcomes.cause > 0) >= FEWEST_EVENTS


def plain(model: ModelConfig) -> ModelConfig:
    """The model without what is learnt out of fold."""
    match model:
        case RecalibratedConfig() | WithIntervalsConfig():
            return plain(model.model)
        case MixtureConfig(weights="stacked"):
            return model.model_copy(update={"weights": "equal"})
        case _:
            return model


def like(
    refitted: Predictor,
    final: Predictor,
    rng: np.random.Generator | None = None,
    learnt_from: NDArray[Any] | None = None,
) -> Predictor:
    """A refit of the plain model, with the weights and the calibration that the final one has learnt.

    Args:
        refitted: The refit.
        final: The final model.
        rng: If given, the calibration is drawn from what is known of it.
        learnt_from: If given, the patients from whom alone stacked weights may be learnt.
    """
    match final:
        case Recalibrated():
            calibration = final.calibration if rng is None else final.calibration.drawn(rng)
            return Recalibrated(like(refitted, final.model, rng, learnt_from), calibration)
        case WithIntervals():
            return like(refitted, final.model, rng, learnt_from)
        case Stacked(evidence=StackEvidence() as known) if isinstance(refitted, Mixture) and learnt_from is not None:
            return Mixture(refitted.members, known.of(learnt_from).weights().tolist())
        case Mixture() if isinstance(refitted, Mixture):
            return Mixture(refitted.members, final.weights.tolist())
        case _:
            return refitted


def with_drawn_weights(final: Predictor, rng: np.random.Generator) -> Predictor:
    """The final model as it may be in truth, as far as its weights are known; itself where it has none to learn."""
    match final:
        case Recalibrated():
            below = with_drawn_weights(final.model, rng)
            return final if below is final.model else Recalibrated(below, final.calibration)
        case Stacked(evidence=StackEvidence() as known):
            return Mixture(final.members, known.drawn(rng).tolist())
        case _:
            return final


def held_out_like(
    final: Predictor,
    model: ModelConfig,
    patients: Patients,
    outcomes: Outcomes,
    refit: Refit,
    times: FloatArray,
    *,
    seed: int,
) -> NDArray[np.float64]:
    """Incidences (rows, causes, times) of models like the final one that did not see the patient.

    Stacked weights, too, are learnt from the other patients alone. A calibration is the final one's.

    Args:
        final: Fitted on all rows.
        model: Its configuration.
        patients: Training rows.
        outcomes: Their outcomes.
        refit: Fits a whole risk model on some of the rows.
        times: (times,), days.
        seed: Of the folds: the same as when weights were learnt.
    """

    def answering(one: Predictor, train: IntArray) -> Sequence[Predictor]:
        return (like(one, final, learnt_from=patients.patient_id[train]),)

    held_out = out_of_fold(lambda rows: refit(rows, plain(model)), answering, patients, outcomes, times, seed=seed)
    only: NDArray[np.float64] = held_out[0]
    return only


def stack(
    mixture: Mixture, model: MixtureConfig, patients: Patients, outcomes: Outcomes, refit: Refit, *, seed: int
) -> Mixture:
    """The mixture with weights from out-of-fold predictions of its members; as it is with too few events."""
    if not enough_events(outcomes, patients.patient_id):
        return mixture
    times = scoring_grid(outcomes)

    def members(refitted: Predictor, train: IntArray) -> Sequence[Predictor]:
        del train  # members alone: nothing of them was learnt elsewhere
        return refitted.members if isinstance(refitted, Mixture) else ()

    incidence = out_of_fold(lambda rows: refit(rows, plain(model)), members, patients, outcomes, times, seed=seed)
    evidence = stack_evidence(incidence, times, outcomes, patients.landmark_day, patients.patient_id)
    return Stacked(mixture.members, evidence.weights().tolist(), evidence)


def out_of_fold(
    refit: Callable[[IntArray], FittedRiskModel],
    parts: Callable[[Predictor, IntArray], Sequence[Predictor]],
    patients: Patients,
    outcomes: Outcomes,
    times_days: FloatArray,
    *,
    seed: int,
) -> NDArray[np.float64]:
    """Predictions for every training row, by models that did not see its patient.

    Args:
        refit: Fits encoder and predictor on the rows it is given; nothing that was learnt on all rows may be in it.
        parts: The predictors that answer, of the refitted one and the rows it saw: itself, say, or its members.
        patients: Training rows; rows of one patient are held out together.
        outcomes: Their outcomes, with `enough_events`.
        times_days: (times,).
        seed: Of the folds.

    Returns:
        (parts, rows, causes, times).
    """
    n_patients = len(np.unique(patients.patient_id.astype(str)))
    folds = patient_folds(patients.patient_id, outcomes.cause, n_folds=min(FOLDS, n_patients), n_repeats=1, seed=seed)
    held_out = []
    for fold in folds:
        model = refit(fold.train)
        rows = patients.take(fold.test)
        x = model.encoder.transform(rows)
        answering = [seeing(part, rows) for part in parts(model.predictor, fold.train)]
        held_out.append(np.stack([part.incidence(x, rows.landmark_day, times_days) for part in answering]))
    order = np.argsort(np.concatenate([fold.test for fold in folds]))
    values: NDArray[np.float64] = np.concatenate(held_out, axis=1)[:, order]
    return values
