"""Who the patient is: alive, of which age, of which sex."""

from __future__ import annotations

from datetime import date, timedelta

from features.errors import InputError
from features.records import Quantity
from serving.fhir.entries import Placed
from serving.fhir.gathered import Gathered
from serving.fhir.infusions import NotApplicableError
from serving.fhir.known import Known
from serving.fhir.observations import unless_unreadable
from serving.fhir.times import Timeline, day_of


def require_alive(patient: Placed, timeline: Timeline, *, lenient: bool) -> None:
    """Refuse one of whom it is not certain that he lives on the day of asking, or on an earlier day asked about.

    Args:
        patient: The Patient.
        timeline: Of the question.
        lenient: A day of death that cannot be read is one all the same; else it is refused.

    Raises:
        NotApplicableError: The patient has died.
        InputError: The day of death is no date.
    """
    said, died = patient.resource.deceased_date_time, None
    try:
        died = day_of(said, f"{patient.place}.deceasedDateTime")
    except InputError:
        if not lenient:
            raise
    until = timeline.infusion + timedelta(days=round(timeline.until))
    if patient.resource.deceased_boolean or (said is not None and (died is None or died <= until)):
        raise NotApplicableError(f"{patient.place}.deceased", "nothing is predicted for a patient who has died")


def read_patient(patient: Placed, infusion: date, known: Known, gathered: Gathered, *, lenient: bool) -> None:
    """Age in completed years on the day of infusion, and sex.

    Args:
        patient: The Patient.
        infusion: Day 0.
        known: What the model knows.
        gathered: Takes what enters.
        lenient: Name a date of birth that cannot be read; else it is refused.

    Raises:
        InputError: The date of birth is no date, or makes an age that the model takes nobody of.
    """
    if "age" in known.baseline and patient.resource.birth_date is not None:
        with unless_unreadable(patient, gathered, lenient=lenient):
            age = Quantity(value=_age(patient, infusion, gathered), unit="a")
            known.in_own_unit("age", age, f"{patient.place}.birthDate")
            gathered.baseline["age"] = age
            gathered.parts["baseline.age"] = patient
    for name in ("sex", "gender"):
        level = known.sex(name, patient.resource.gender)
        if level is not None:
            gathered.baseline[name] = level
            gathered.parts[f"baseline.{name}"] = patient


def _age(patient: Placed, infusion: date, gathered: Gathered) -> int:
    said = patient.resource.birth_date
    born = day_of(said, f"{patient.place}.birthDate")
    if born is None:
        born = date(int(said[:4]), 7, 1)
        gathered.notes.append("The age is counted from the year of birth, of which the day is not known.")
    return infusion.year - born.year - ((infusion.month, infusion.day) < (born.month, born.day))
