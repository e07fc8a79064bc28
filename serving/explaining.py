"""Why these risks: what each part of a patient's record adds to the risk of the average patient, without HTTP."""

from __future__ import annotations

import numpy as np

from features.errors import SequelaError
from features.patients import FloatArray, Patients
from features.records import PatientRecord
from serving.answer import checked, floats, known_patients, served_model
from serving.messages import MAX_EXPLAINED, ExplainAnswer, Explanation, PredictRequest
from serving.refusals import TooLargeError
from training.artifact.folder import Artifact
from training.models.explanation import ROUNDING, Contributions, explain_patients

SEED = 0
"""Of the orders that are drawn for each patient: the same patient gets the same explanation."""


def explain_request(artifact: Artifact, version: str, request: PredictRequest) -> ExplainAnswer:
    """Explain the risk of every patient of a request.

    Args:
        artifact: The model.
        version: Its tag in the model store.
        request: Patients, and days after the landmark.

    Raises:
        InputError: As `serving.answer.answer`; or there are more patients than are explained at once.
    """
    if len(request.patients) > MAX_EXPLAINED:
        raise TooLargeError("patients", f"may hold at most {MAX_EXPLAINED} patients to explain; send several requests")
    times = checked(artifact, request)
    explanations = [
        _explanation(artifact, record, known_patients(artifact, [record], i), times)
        for i, record in enumerate(request.patients)
    ]
    return ExplainAnswer(model=served_model(artifact.manifest, version), explanations=tuple(explanations))


def _explanation(artifact: Artifact, record: PatientRecord, patient: Patients, times: tuple[float, ...]) -> Explanation:
    found = _contributions(artifact, patient, times)
    causes = artifact.model.causes
    moved = np.flatnonzero((np.abs(found.values[0]) > ROUNDING).any(axis=(0, 1)))
    sampled = bool(found.standard_error.any())

    def by_source(values: FloatArray) -> dict[str, dict[str, tuple[float, ...]]]:
        """Of (causes, horizons, sources)."""
        return {cause: {found.sources[j]: floats(values[k, :, j]) for j in moved} for k, cause in enumerate(causes)}

    return Explanation(
        patient_id=record.patient_id,
        landmark_day=record.landmark_day,
        horizons_days=times,
        incidence=dict(zip(causes, map(floats, found.risk[0]), strict=True)),
        average=dict(zip(causes, map(floats, found.reference[0]), strict=True)),
        contributions=by_source(found.values[0]),
        standard_error=by_source(found.standard_error[0]) if sampled else None,
    )


def _contributions(artifact: Artifact, patient: Patients, times: tuple[float, ...]) -> Contributions:
    """By the path where it adds up, else over orders, which always do."""
    try:
        return explain_patients(artifact.model, patient, times, rng=np.random.default_rng(SEED))
    except SequelaError:
        rng = np.random.default_rng(SEED)
        return explain_patients(artifact.model, patient, times, rng=rng, method="permutation")
