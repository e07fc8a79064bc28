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
from features.records import PatientRecord, Quantity
from features.schema import Endpoint
from serving.decision import event_title
from serving.fhir.codes import is_infusion
from serving.fhir.diagnoses import happened, read_diagnoses
from serving.fhir.entries import OTHER, Entry, Placed, by_kind, the_patient
from serving.fhir.gathered import Gathered
from serving.fhir.known import Known
from serving.fhir.observations import read_observations
from serving.fhir.resources import day_of


class NotApplicableError(InputError):
    """A record is sound, and the model has nothing to say of the patient: not treated, not yet, not any more."""


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
        lenient: Leave out values that cannot be read, and say so.

    Raises:
        NotApplicableError: There was no infusion, it is too early to predict, what is predicted has happened, or the
            patient has died.
        InputError: An element breaks a rule; names the element, never its value.
    """
    entries, known, gathered = by_kind(found), Known(encoder), Gathered()
    patient = the_patient(entries)
    infusion, infused = _infusion(entries["Procedure"], asked_on)
    landmark = _landmark(endpoint, (asked_on - infusion).days, landmark_day)
    _require_alive(patient, infusion, asked_on, landmark_day)
    gathered.parts["infusion"] = infused
    _read_patient(patient, infusion, known, gathered)
    read_diagnoses(entries["Condition"], entries["Procedure"], infused, infusion, landmark, endpoint, known, gathered)
    _require_free(endpoint, gathered)
    read_observations(entries["Observation"], infusion, landmark, known, gathered, lenient=lenient)
    gathered.left("of kinds that are not read", len(entries[OTHER]))
    _say_when(landmark, (asked_on - infusion).days, gathered)
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


def _infusion(procedures: Sequence[Placed], asked_on: date) -> tuple[date, Placed]:
    """The latest infusion that is over, and not after the day on which it is asked."""
    found = []
    for one in procedures:
        if one.resource.status != "completed" or not is_infusion(one.resource.codes):
            continue
        day = day_of(one.resource.when, f"{one.place}.performedDateTime")
        if day is None:
            raise InputError(f"{one.place}.performedDateTime", "must be a date to the day: it is day 0")
        if day <= asked_on:
            found.append((day, one))
    if not found:
        rule = "must hold a completed Procedure whose code is an infusion of CAR-T cells, until the day of asking"
        raise NotApplicableError("Bundle.entry", f"{rule}; codes are listed in the OperationDefinition")
    return max(found, key=lambda infused: infused[0])


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


def _require_alive(patient: Placed, infusion: date, asked_on: date, landmark_day: float | None) -> None:
    """Of whom it is not certain that he lives on the day of asking, or on an earlier day that is asked about."""
    said = patient.resource.deceased_date_time
    died = day_of(said, f"{patient.place}.deceasedDateTime")
    until = asked_on if landmark_day is None else infusion + timedelta(days=round(landmark_day))
    if patient.resource.deceased_boolean or (said is not None and (died is None or died <= until)):
        raise NotApplicableError(f"{patient.place}.deceased", "nothing is predicted for a patient who has died")


def _require_free(endpoint: Endpoint, gathered: Gathered) -> None:
    certain, perhaps = happened(endpoint, gathered.course)
    if certain is not None:
        rule = f"{event_title(certain)} has happened since infusion: {endpoint.name} is predicted for those without"
        raise NotApplicableError("Bundle.entry", rule)
    if perhaps is not None:
        gathered.notes.append(
            f"{perhaps.name.replace('_', ' ').capitalize()} without a grade is in the record: if it was "
            f"{event_title(perhaps)}, this prediction is not for the patient."
        )


def _read_patient(patient: Placed, infusion: date, known: Known, gathered: Gathered) -> None:
    """Age in completed years on the day of infusion, and sex."""
    resource, place = patient.resource, patient.place
    born = day_of(resource.birth_date, f"{place}.birthDate")
    if "age" in known.baseline and resource.birth_date is not None:
        if born is None:
            born = date(int(resource.birth_date[:4]), 7, 1)
            gathered.notes.append("The age is counted from the year of birth, of which the day is not known.")
        before = (infusion.month, infusion.day) < (born.month, born.day)
        gathered.baseline["age"] = Quantity(value=infusion.year - born.year - before, unit="a")
        gathered.parts["baseline.age"] = patient
    for name in ("sex", "gender"):
        level = known.sex(name, resource.gender)
        if level is not None:
            gathered.baseline[name] = level
            gathered.parts[f"baseline.{name}"] = patient


def _say_when(landmark: float, day: int, gathered: Gathered) -> None:
    if day > landmark:
        gathered.notes.append(
            f"Predicted as of day {landmark:g} after infusion, not of day {day}: what came later does not enter."
        )
