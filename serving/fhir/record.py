"""A record in FHIR as the one that the plain API takes, with where each part of it stood.

Days are counted between calendar dates, the infusion's being day 0. What is not to be used (entered in error, refuted,
later than the landmark, without a day) is left out and said; what cannot be read is refused, by its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from features.encoder import PatientEncoder
from features.errors import InputError
from features.records import PatientRecord
from features.schema import Endpoint
from serving.decision import event_title
from serving.fhir.diagnoses import read_diagnoses
from serving.fhir.entries import Entry, Placed
from serving.fhir.gathered import Gathered
from serving.fhir.happened import Happening, certain, perhaps
from serving.fhir.infusions import NotApplicableError, infusion_of
from serving.fhir.known import Known
from serving.fhir.levels import levels_of_procedures, take_levels
from serving.fhir.observations import read_observations
from serving.fhir.person import read_patient, require_alive
from serving.fhir.reading import by_kind
from serving.fhir.times import Timeline
from serving.fhir.whose import own, the_patient

__all__ = ["NotApplicableError", "ReadRecord", "read_record"]


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """A patient's record, read."""

    record: PatientRecord
    subject: str
    """Reference to the patient."""
    infusion: date
    asked_on: date
    places: Mapping[str, str]
    """For parts of the record, as ``measurements[3]``, where they stood."""
    basis: tuple[str, ...]
    """References to what entered."""
    notes: tuple[str, ...]
    preliminary: bool
    """Whether a preliminary value entered."""

    def day(self, days: float) -> date:
        """The date that lies so many days after infusion."""
        return self.infusion + timedelta(days=round(days))

    @property
    def days_asked(self) -> int:
        """Days from infusion to the day of asking."""
        return (self.asked_on - self.infusion).days


def read_record(
    found: Sequence[Entry],
    encoder: PatientEncoder,
    endpoint: Endpoint,
    *,
    asked_on: date,
    landmark_day: float | None = None,
    lenient: bool = False,
) -> ReadRecord:
    """Read what is known of one patient.

    Args:
        found: The patient, the infusion, and all else.
        encoder: Of the model that is asked.
        endpoint: Likewise.
        asked_on: The day on which it is asked.
        landmark_day: The day from which the prediction looks ahead; None: the last one from which the model predicts
            that is not after `asked_on`.
        lenient: Leave out resources that cannot be read, and say so.

    Raises:
        NotApplicableError: There was no infusion, it is too early to predict, what is predicted has happened, or the
            patient has died.
        InputError: An element breaks a rule; names the element, never its value.
    """
    known, gathered = Known(encoder), Gathered()
    read = by_kind(found, known, gathered, lenient=lenient)
    patient = the_patient(read["Patient"], gathered, lenient=lenient)
    read = own(read, patient, gathered, lenient=lenient)
    infusion, infused = infusion_of(read["Procedure"], asked_on, gathered, lenient=lenient)
    asked_day = (asked_on - infusion).days
    landmark = _landmark(endpoint, asked_day, landmark_day)
    timeline = Timeline(infusion, landmark, asked_day if landmark_day is None else landmark)
    require_alive(patient, timeline, lenient=lenient)
    gathered.parts["infusion"] = infused
    read_patient(patient, infusion, known, gathered, lenient=lenient)
    levels = levels_of_procedures(read["Procedure"], infused, timeline, known, gathered, lenient=lenient)
    more, happenings = read_diagnoses(read["Condition"], timeline, endpoint, known, gathered, lenient=lenient)
    take_levels([*levels, *more], gathered)
    _require_free(endpoint, happenings, timeline, gathered)
    read_observations(read["Observation"], timeline, known, gathered, lenient=lenient)
    _say_when(landmark, asked_day, gathered)
    return _whole(patient, infusion, asked_on, landmark, gathered)


def _whole(patient: Placed, infusion: date, asked_on: date, landmark: float, gathered: Gathered) -> ReadRecord:
    record = PatientRecord(
        patient_id=(patient.resource.id or patient.reference)[:200],
        landmark_day=landmark,
        baseline=gathered.baseline,
        measurements=tuple(gathered.measurements),
        events=tuple(gathered.events),
    )
    return ReadRecord(
        record=record,
        subject=patient.reference,
        infusion=infusion,
        asked_on=asked_on,
        places={part: one.place for part, one in gathered.parts.items()},
        basis=gathered.basis,
        notes=tuple(gathered.told()),
        preliminary=gathered.preliminary,
    )


def _landmark(endpoint: Endpoint, day: int, wanted: float | None) -> float:
    first, last = endpoint.landmark_days[0], endpoint.landmark_days[-1]
    if wanted is not None:
        if not endpoint.predicts_from(wanted) or wanted > day:
            rule = f"landmark-day must be {endpoint.landmark_range}, and not after the day of asking"
            raise InputError("Parameters.parameter", rule)
        return wanted
    if day < first:
        rule = f"{endpoint.name} is predicted from day {first:g} after infusion on, and it is asked on day {day}"
        raise NotApplicableError("Bundle.entry", rule)
    return min(float(day), last)


def _require_free(endpoint: Endpoint, happenings: Sequence[Happening], timeline: Timeline, gathered: Gathered) -> None:
    happened = certain(endpoint, happenings, timeline)
    if happened is not None:
        rule = f"{event_title(happened)} has happened since infusion: {endpoint.name} is predicted for those without"
        raise NotApplicableError("Bundle.entry", rule)
    gathered.notes += perhaps(endpoint, happenings, timeline)


def _say_when(landmark: float, day: int, gathered: Gathered) -> None:
    if day > landmark:
        gathered.notes.append(
            f"Predicted as of day {landmark:g} after infusion, not of day {day}: what came later does not enter."
        )
