"""The states of one patient, by Cox models of the transitions of a cohort's patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.benefit_risk.analysis import CURVE_DAYS
from experiments.benefit_risk.question import BENEFICIAL, COMPLICATION, Question
from features.cohort import to_patients
from features.config import FeatureConfig
from features.documents import read_document
from features.encoder import PatientEncoder
from features.errors import InputError, SequelaError
from features.patients import FloatArray
from features.records import PatientRecord
from features.request import to_patients as records_to_patients
from serving.event_free import counted_event
from training.evaluation.intervals import Interval, percentile_interval
from training.states.occupation import Occupation
from training.states.transition_models import TransitionModels, resampled

FEATURES = FeatureConfig(cells=())
"""Baseline variables, and measurements and events up to the landmark."""
Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class PatientInput:
    """A patient as the transition models see everyone."""

    patient_id: str
    not_given: tuple[str, ...]
    """Baseline variables that the record leaves out; they are imputed."""
    own: FloatArray
    """(features,): of the patient."""
    x: FloatArray
    """(patients, features): of those of the question."""


@dataclass(frozen=True, slots=True)
class PatientStates:
    """What is predicted of one patient."""

    patient_id: str
    not_given: tuple[str, ...]
    """Baseline variables of the models that the record leaves out; they are imputed."""
    curve: Occupation
    """At `CURVE_DAYS` days from 0 to the horizon."""
    estimates: tuple[tuple[tuple[Interval, Interval, Interval], ...], ...]
    """By time and state: probability of being in it, of ever having been, and expected days."""
    harm: Interval
    benefit_days: Interval
    weighted_days: Interval
    """By the horizon, as of groups."""
    n_resamples: int


def read_patient(path: Path, question: Question) -> PatientInput:
    """Read a patient's record, as services take it.

    Raises:
        SequelaError: It is none, or of another day than the question's landmark, or had an event by then; or it has a
            variable that the cohort does not, or a value that is impossible.
    """
    record = read_document(path, PatientRecord)
    if record.landmark_day != question.landmark_day:
        msg = f"{path.name}: landmark_day: must be {question.landmark_day:g}, the first landmark of the endpoint"
        raise SequelaError(f"{msg}; give what was known by then")
    number = counted_event(record, question.endpoint)
    if number is not None:
        msg = f"{path.name}: events[{number}]: is an event of the endpoint by its landmark"
        raise SequelaError(f"{msg}; only patients who had none by then are predicted")
    patients = to_patients(question.cohort).take(question.rows).at_landmark(question.landmark_day)
    encoder = PatientEncoder.fit(patients, question.cohort.card, FEATURES)
    try:
        own = encoder.transform(records_to_patients([record], encoder))[0]
    except InputError as error:
        field = error.field.removeprefix("patients[0].")
        msg = f"{path.name}: {field}: {error.rule}"
        raise SequelaError(msg) from error
    not_given = tuple(name for name in encoder.baseline_inputs if record.baseline.get(name) is None)
    return PatientInput(record.patient_id, not_given, own, encoder.transform(patients))


def patient_states(
    patient: PatientInput,
    question: Question,
    *,
    n_resamples: int,
    seed: int,
    progress: Advance | None = None,
) -> PatientStates:
    """Fit the transition models to everyone of a question, and predict one patient.

    Intervals are percentiles over models refitted to patients drawn with replacement: of how sure the patient's
    probabilities are, not of what will happen to the patient.

    Args:
        patient: The patient, and those of the question.
        question: Whose patients the models are fitted to, and until when.
        n_resamples: Refits.
        seed: Of the resamples.
        progress: Told how many refits of how many are done.
    """
    models = TransitionModels.fit(patient.x, question.histories, seed=seed)
    draws = []
    refits = resampled(patient.x, question.histories, models, n_resamples, np.random.default_rng(seed))
    for done, refit in enumerate(refits, start=1):
        draws.append(_values(refit.occupation(patient.own, question.times_days)))
        if progress is not None:
            progress(done, n_resamples)
    found = models.occupation(patient.own, question.times_days)
    return _with_intervals(patient, question, models, _values(found), np.stack(draws))


def _values(found: Occupation) -> FloatArray:
    """(3, times, states): probability, entries, days."""
    return np.stack([found.probability, found.entered, found.days])


def _with_intervals(
    patient: PatientInput, question: Question, models: TransitionModels, points: FloatArray, draws: FloatArray
) -> PatientStates:
    def interval(value: Callable[[FloatArray], float]) -> Interval:
        return percentile_interval(value(points), np.array([value(one) for one in draws]))

    def at(kind: int, time: int, state: int) -> Interval:
        return interval(lambda values: float(values[kind, time, state]))

    estimates = tuple(
        tuple((at(0, t, s), at(1, t, s), at(2, t, s)) for s in range(points.shape[2])) for t in range(points.shape[1])
    )
    return PatientStates(
        patient.patient_id,
        patient.not_given,
        models.occupation(patient.own, np.linspace(0.0, question.horizon_days, CURVE_DAYS)),
        estimates,
        at(1, -1, COMPLICATION),
        interval(lambda values: float(values[2, -1, list(BENEFICIAL)].sum())),
        interval(lambda values: float(values[2, -1] @ question.worth)),
        len(draws),
    )
