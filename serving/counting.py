"""How many events to expect of a patient, beside the risk of the first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.encoder import Encoded
from features.patients import Patients
from features.records import PatientRecord
from serving.count_messages import CountsCard, said_of_counts
from serving.event_free import counting_ended
from training.artifact.folder import Artifact


def expected_events(
    artifact: Artifact, encoded: Encoded, patients: Patients, records: Sequence[PatientRecord], times: tuple[float, ...]
) -> list[tuple[float, ...] | None]:
    """For each patient, expected events by each time; None where it is not known, or the counting has ended before."""
    if artifact.counts is None:
        return [None] * len(records)
    endpoint = artifact.manifest.endpoint
    expected = artifact.counts.expected(encoded.x, patients.landmark_day, np.array(times))
    return [
        None if np.isnan(own).any() or counting_ended(record, endpoint) else tuple(map(float, own))
        for own, record in zip(expected, records, strict=True)
    ]


def counts_card(artifact: Artifact) -> CountsCard | None:
    """None where the artifact does not count."""
    block = artifact.manifest.counts
    if block is None:
        return None
    content = block.model_dump(exclude={"n_times", "example"})
    return CountsCard(**content, said=tuple(said_of_counts(block)))
