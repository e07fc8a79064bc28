"""Leak suspects of a run or a cohort, by the name that a person would give them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.data import at_landmarks
from features.cohort import Cohort, to_patients
from features.config import FeatureConfig
from features.encoder import PatientEncoder
from features.errors import SequelaError
from features.outcomes import Outcomes
from features.patients import Patients
from features.schema import CohortCard, Endpoint
from training.evaluation.leaks import LeakSuspect, leak_suspects

LEAKS = "sequela.leak_suspects"
"""Tag of a run: the sources that are suspected, or ``none``."""


@dataclass(frozen=True, slots=True)
class SourceSuspect:
    """A part of the patients' record that tells the outcome, in its strongest form."""

    source: str
    """As in `PatientEncoder.column_sources`: ``baseline.site``, ``measurements.il6``."""
    told: LeakSuspect

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"source": self.source} | asdict(self.told)

    def __str__(self) -> str:
        told = self.told
        what = f"whether {told.column} is missing" if told.missingness else told.column
        measure = "AUC" if told.measure == "auc" else "share of those with one of its values"
        return (
            f"{self.source}: {what} tells {told.event} by {told.horizon_days:g} days from day {told.landmark_day:g} "
            f"({measure} {told.point:.3f}, at least {told.low:.3f}); was it written down after the outcome? "
            "If so, leave it out"
        )


def suspects_in(
    patients: Patients, outcomes: Outcomes, endpoint: Endpoint, card: CohortCard, features: FeatureConfig
) -> list[SourceSuspect]:
    """Sources among a run's features that tell the outcome, the strongest first; see `training.evaluation.leaks`.

    Cells enter by the features made of them; those that a network looks at one by one are not examined.

    Args:
        patients: Rows, from each landmark day of the endpoint.
        outcomes: What happened to them.
        endpoint: Whose landmarks and horizons are looked at.
        card: Of the cohort.
        features: What a model is to see.

    Raises:
        SequelaError: The features cannot be computed from these patients.
    """
    encoder = PatientEncoder.fit(patients, card, features)
    columns = encoder.columns(patients)
    strongest: dict[str, LeakSuspect] = {}
    for day in endpoint.landmark_days:
        rows = np.flatnonzero((patients.landmark_day == day) & outcomes.from_landmark)
        seen = {name: values[rows] for name, values in columns.items()}
        for suspect in leak_suspects(seen, outcomes.take(rows), day, endpoint.horizons_days):
            source = encoder.source(suspect.column)
            if source not in strongest or suspect.low > strongest[source].low:
                strongest[source] = suspect
    found = [SourceSuspect(source, told) for source, told in strongest.items()]
    return sorted(found, key=lambda suspect: -suspect.told.low)


def named(suspects: Sequence[SourceSuspect]) -> str:
    """Their sources in one line, ``none`` where there are none."""
    return ", ".join(suspect.source for suspect in suspects) or "none"


def leak_warnings(cohort: Cohort, endpoint: Endpoint) -> list[str]:
    """A line for each suspect among everything of a cohort but its cells; none where nobody has the event."""
    with suppress(SequelaError):
        patients, outcomes = at_landmarks(cohort, endpoint, to_patients(cohort))
        found = suspects_in(patients, outcomes, endpoint, cohort.card, FeatureConfig(cells=()))
        return [f"warning [leak-suspect] {suspect}" for suspect in found]
    return []


def write_suspects(suspects: Sequence[SourceSuspect], path: Path) -> None:
    """All of them as JSON."""
    path.write_text(json.dumps([suspect.as_dict() for suspect in suspects], indent=1), "utf-8")
