"""Predictions as the service makes them: small requests that wait are answered together, and what comes is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from features.encoder import Encoded
from serving.answer import answer
from serving.batching import Together
from serving.counts import counts
from serving.messages import PredictAnswer, PredictRequest
from serving.use import Use
from training.artifact.folder import Artifact
from training.models.incidence import CumulativeIncidence

SMALL_PATIENTS = 16
"""Requests of up to so many patients without samples are gathered; larger ones would keep others waiting."""


@dataclass(frozen=True, slots=True)
class _Asked:
    artifact: Artifact
    version: str
    request: PredictRequest


class Predicting:
    """Answers requests of several threads.

    Args:
        use: Counts what comes; None: it is not counted.
    """

    def __init__(self, use: Use | None) -> None:
        self._use = use
        self._together = Together(self._answer_all, _kind)

    def __call__(self, artifact: Artifact, version: str, request: PredictRequest) -> PredictAnswer:
        """Predict for every patient of a request; see `serving.answer.answer`."""
        patients = request.patients
        if len(patients) > SMALL_PATIENTS or any(record.samples for record in patients):
            return self._answer(artifact, version, request)
        return self._together.ask(_Asked(artifact, version, request))

    def _answer_all(self, batch: Sequence[_Asked]) -> list[PredictAnswer]:
        """Requests to one model for the same horizons, as one."""
        first = batch[0]
        patients = tuple(record for asked in batch for record in asked.request.patients)
        whole = self._answer(first.artifact, first.version, first.request.model_copy(update={"patients": patients}))
        predictions = iter(whole.predictions)
        return [
            PredictAnswer.model_construct(
                model=whole.model, predictions=tuple(islice(predictions, len(asked.request.patients)))
            )
            for asked in batch
        ]

    def _answer(self, artifact: Artifact, version: str, request: PredictRequest) -> PredictAnswer:
        seen: list[tuple[Encoded, CumulativeIncidence]] = []
        given = answer(artifact, version, request, lambda *block: seen.append(block))
        counts().predicted(given)
        reference, last = artifact.manifest.reference, artifact.manifest.endpoint.horizons_days[-1]
        if self._use is not None and reference is not None:  # only what was answered, and not what was refused in part
            for encoded, incidence in seen:
                asked = incidence.times_days[-1] == last
                self._use.add(version, reference, encoded.values, incidence.values[:, :, -1] if asked else None)
        return given


def _kind(asked: _Asked) -> object:
    return asked.version, asked.request.horizons_days
