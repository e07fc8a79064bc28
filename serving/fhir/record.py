"""A record in FHIR as the one that the plain API takes, with where each part of it stood.

Days are counted between calendar dates, the infusion's being day 0. What is not to be used (entered in error, refuted,
later than the landmark, without a day) is left out and said; what cannot be read is refused, by its place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from features.encoder import PatientEncoder
from features.errors import InputError
from features.records import EventRecord, MeasurementRecord, PatientRecord
from features.records import Quantity as Value
from features.schema import Endpoint
from serving.fhir.codes import Code, event_of, is_infusion
from serving.fhir.known import Known
from serving.fhir.resources import (
    CodeableConcept,
    Condition,
    Element,
    Observation,
    Patient,
    Procedure,
    Reference,
    day_of,
    read_as,
)
from serving.refusals import TooLargeError

MOST_ENTRIES = 50_000
LONGEST_DAYS = 36_500
LONGEST_REFERENCE = 200
"""Characters of a patient's id in a request."""
_READ: Mapping[str, type[Element]] = {
    "Patient": Patient,
    "Observation": Observation,
    "Condition": Condition,
    "Procedure": Procedure,
}
_USABLE = ("preliminary", "final", "amended", "corrected")
"""Statuses of an Observation, each better than those before it."""
_UNTRUE = ("entered-in-error", "refuted")
_GRADES = {**{str(grade): grade for grade in range(1, 6)}, "255604002": 1, "6736007": 2, "24484000": 3}
"""Of a Condition's severity: ours, and mild, moderate and severe of SNOMED CT."""


class NotApplicableError(InputError):
    """A record is sound, and the model has nothing to say of the patient: not treated, not yet, or dead."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A resource as it came."""

    content: Any
    """Any JSON."""
    place: str
    """As faults name it."""
    full_url: str


@dataclass(frozen=True, slots=True)
class Placed:
    """A resource, and where in the Bundle it is."""

    resource: Any
    place: str
    reference: str
    """By which answers name it; empty where it has neither an id nor an address."""
    full_url: str


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """A patient's record, read."""

    record: PatientRecord
    subject: str
    infusion: date
    asked_on: date
    places: Mapping[str, str]
    """For parts of the record, as ``measurements[3]``, where they stood in the Bundle."""
    basis: tuple[str, ...]
    """References to what entered."""
    notes: tuple[str, ...]
    preliminary: bool
    """Whether a preliminary value entered."""

    def day(self, days: float) -> date:
        """The date that lies so many days after infusion."""
        return self.infusion + timedelta(days=round(days))


@dataclass(slots=True)
class _Reading:
    """What is gathered on the way."""

    baseline: dict[str, float | str | Value | None] = field(default_factory=dict)
    measurements: list[MeasurementRecord] = field(default_factory=list)
    events: list[EventRecord] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    basis: dict[str, None] = field(default_factory=dict)
    left: Counter[str] = field(default_factory=Counter)
    """Why resources were left out, and how many."""
    notes: list[str] = field(default_factory=list)
    preliminary: bool = False

    def used(self, placed: Placed, part: str, *, preliminary: bool = False) -> None:
        self.places[part] = placed.place
        if placed.reference:
            self.basis[placed.reference] = None
        self.preliminary = self.preliminary or preliminary


def entries_of(bundle: Any, place: str = "Bundle") -> list[Entry]:  # noqa: ANN401  (any JSON)
    """What a Bundle holds.

    Raises:
        InputError: It is none.
    """
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise InputError(f"{place}.resourceType", "must be Bundle")
    found = bundle.get("entry", [])
    if not isinstance(found, list):
        raise InputError(f"{place}.entry", "must be a list")
    entries = []
    for i, entry in enumerate(found):
        own = f"{place}.entry[{i}].resource"
        if not isinstance(entry, dict):
            raise InputError(own, "must be a resource")
        entries.append(Entry(entry.get("resource"), own, str(entry.get("fullUrl") or "")[:LONGEST_REFERENCE]))
    return entries


def read_record(
    found: Sequence[Entry],
    encoder: PatientEncoder,
    endpoint: Endpoint,
    *,
    asked_on: date,
    landmark_day: float | None = None,
) -> ReadRecord:
    """Read what is known of one patient.

    Args:
        found: The patient, the infusion, and all else.
        encoder: Of the model that is asked.
        endpoint: Likewise.
        asked_on: The day on which it is asked.
        landmark_day: The day from which the prediction looks ahead; None: the last one from which the model predicts
            that is not after `asked_on`.

    Raises:
        NotApplicableError: There was no infusion, it is too early to predict, or the patient has died.
        InputError: An element breaks a rule; names the element, never its value.
    """
    entries = _by_kind(found)
    patient = _patient(entries["Patient"])
    own = [one for kind in ("Observation", "Condition", "Procedure") for one in entries[kind]]
    _require_one_patient(own, patient)
    infusion, infused = _infusion(entries["Procedure"], asked_on)
    landmark = _landmark(endpoint, (asked_on - infusion).days, landmark_day)
    _require_alive(patient, infusion, landmark)
    known, reading = Known(encoder), _Reading()
    reading.used(infused, "infusion")
    _read_patient(patient, infusion, known, reading)
    _read_procedures(entries["Procedure"], known, reading)
    _read_conditions(entries["Condition"], infusion, landmark, known, reading)
    _read_observations(entries["Observation"], infusion, landmark, known, reading)
    _say_what_was_left(entries["other"], landmark, (asked_on - infusion).days, reading)
    record = PatientRecord(
        patient_id=patient.reference,
        landmark_day=landmark,
        baseline=reading.baseline,
        measurements=tuple(reading.measurements),
        events=tuple(reading.events),
    )
    return ReadRecord(
        record,
        patient.reference,
        infusion,
        asked_on,
        reading.places,
        tuple(reading.basis),
        tuple(reading.notes),
        reading.preliminary,
    )


def _by_kind(found: Sequence[Entry]) -> dict[str, list[Placed]]:
    """What is read, by kind; under ``other`` what is not."""
    if len(found) > MOST_ENTRIES:
        raise TooLargeError("Bundle.entry", f"may hold at most {MOST_ENTRIES:,} resources")
    entries: dict[str, list[Placed]] = {kind: [] for kind in (*_READ, "other")}
    for entry in found:
        if not isinstance(entry.content, dict):
            raise InputError(entry.place, "must be a resource")
        kind = str(entry.content.get("resourceType"))
        read = read_as(_READ[kind], entry.content, entry.place) if kind in _READ else None
        own_id = getattr(read, "id", None)
        reference = f"{kind}/{own_id}" if own_id else entry.full_url
        entries[kind if read is not None else "other"].append(Placed(read, entry.place, reference, entry.full_url))
    return entries


def _patient(found: Sequence[Placed]) -> Placed:
    if len(found) != 1:
        raise InputError("Bundle.entry", f"must hold one Patient; it holds {len(found)}")
    if not 0 < len(found[0].reference) <= LONGEST_REFERENCE:
        raise InputError(f"{found[0].place}.id", f"must be there, and with its kind at most {LONGEST_REFERENCE} long")
    return found[0]


def _require_one_patient(own: Sequence[Placed], patient: Placed) -> None:
    """Refuse what says to be of another patient."""
    for one in own:
        said = (one.resource.subject or Reference()).reference
        same = said in (None, patient.reference, patient.full_url) or str(said).endswith(f"/{patient.reference}")
        if not same:
            raise InputError(f"{one.place}.subject.reference", "must be the Patient of this Bundle, or be left out")


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
    if wanted is not None:
        if wanted > day:
            raise InputError("Parameters.landmark-day", "must not be after the day of asking")
        return wanted
    first, last = endpoint.landmark_days[0], endpoint.landmark_days[-1]
    if day < first:
        raise InputError(
            "Parameters.date", f"must be day {first:g} after infusion or later: from there it is predicted"
        )
    return min(float(day), last)


def _require_alive(patient: Placed, infusion: date, landmark: float) -> None:
    died = day_of(patient.resource.deceased_date_time, f"{patient.place}.deceasedDateTime")
    if patient.resource.deceased_boolean or (died is not None and (died - infusion).days <= landmark):
        raise NotApplicableError(f"{patient.place}.deceased", "nothing is predicted for a patient who has died")


def _read_patient(patient: Placed, infusion: date, known: Known, reading: _Reading) -> None:
    """Age in completed years on the day of infusion, and sex."""
    resource, place = patient.resource, patient.place
    born = day_of(resource.birth_date, f"{place}.birthDate")
    if "age" in known.baseline and resource.birth_date is not None:
        if born is None:
            born = date(int(resource.birth_date[:4]), 7, 1)
            reading.notes.append("The age is counted from the year of birth, of which the day is not known.")
        before = (infusion.month, infusion.day) < (born.month, born.day)
        reading.baseline["age"] = Value(value=infusion.year - born.year - before, unit="a")
        reading.used(patient, "baseline.age")
    for name in ("sex", "gender"):
        level = known.sex(name, resource.gender)
        if level is not None:
            reading.baseline[name] = level
            reading.used(patient, f"baseline.{name}")


def _read_procedures(procedures: Sequence[Placed], known: Known, reading: _Reading) -> None:
    """Levels that codes of procedures stand for, as the product that was infused."""
    for one in procedures:
        if one.resource.status == "completed":
            _take_levels(one, one.resource.codes, known, reading)


def _take_levels(one: Placed, codes: Sequence[Code], known: Known, reading: _Reading) -> None:
    for name, level in known.levels_of(codes):
        if reading.baseline.setdefault(name, level) != level:
            raise InputError(f"{one.place}.code", f"says another {name} than {reading.places[f'baseline.{name}']}")
        reading.used(one, f"baseline.{name}")


def _read_conditions(
    conditions: Sequence[Placed], infusion: date, landmark: float, known: Known, reading: _Reading
) -> None:
    """Events up to the landmark, and levels that diagnoses until infusion stand for."""
    for one in conditions:
        if any(code in _UNTRUE for _, code in one.resource.verification_status.codes):
            reading.left["refuted or entered in error"] += 1
            continue
        codes = one.resource.code.codes
        on = day_of(one.resource.when, f"{one.place}.onsetDateTime")
        day = None if on is None else _days(on, infusion, one.place)
        if day is None or day <= 0:
            _take_levels(one, codes, known, reading)
        event = event_of(codes)
        if event is None or event[0] not in known.events:
            continue
        if day is None:
            reading.left["without a day"] += 1
        elif day > landmark:
            reading.left["after the landmark"] += 1
        else:
            grade = event[1] or _grade(one.resource.severity)
            reading.used(one, f"events[{len(reading.events)}]")
            reading.events.append(EventRecord(event=event[0], day=day, grade=grade))


def _grade(severity: CodeableConcept) -> int | None:
    return next((_GRADES[code] for _, code in severity.codes if code in _GRADES), None)


def _days(on: date, infusion: date, place: str) -> float:
    days = (on - infusion).days
    if abs(days) > LONGEST_DAYS:
        raise InputError(place, "must lie within a century of the infusion")
    return float(days)


def _read_observations(
    observations: Sequence[Placed], infusion: date, landmark: float, known: Known, reading: _Reading
) -> None:
    """Measured values until the landmark, and as baseline the latest until infusion."""
    for names, on, one in _current(observations, known, reading):
        day = _days(on, infusion, one.place)
        if day > landmark:
            reading.left["after the landmark"] += 1
            continue
        preliminary = one.resource.status == "preliminary"
        for name in names:
            value = known.value_of(name, one.resource, one.place)
            if value is None:
                reading.left["without a value"] += 1
                continue
            if one.resource.value_quantity is not None and one.resource.value_quantity.comparator:
                reading.notes.append(f"{one.reference}: the limit of {name} is taken for its value.")
            if name in known.baseline and day <= 0:
                reading.baseline[name] = value
                reading.used(one, f"baseline.{name}", preliminary=preliminary)
            if name in known.measured and isinstance(value, Value):
                reading.used(one, f"measurements[{len(reading.measurements)}]", preliminary=preliminary)
                reading.measurements.append(
                    MeasurementRecord(variable=name, day=day, value=value.value, unit=value.unit or None)
                )


def _current(
    observations: Sequence[Placed], known: Known, reading: _Reading
) -> Iterator[tuple[tuple[str, ...], date, Placed]]:
    """What is known and holds, in order of time: of several of one time, the one that corrects the others."""
    latest: dict[tuple[tuple[str, ...], str], tuple[date, Placed]] = {}
    for one in observations:
        names = known.variables_of(one.resource.code.codes)
        if not names:
            reading.left["of which the model knows nothing"] += 1
            continue
        if one.resource.status not in _USABLE:
            reading.left["not final"] += 1
            continue
        on = day_of(one.resource.when, f"{one.place}.effectiveDateTime")
        if on is None or one.resource.when is None:
            reading.left["without a day"] += 1
            continue
        key = names, one.resource.when
        if key in latest:
            reading.left["repeated or replaced"] += 1
        if key not in latest or _newer(one.resource, latest[key][1].resource):
            latest[key] = on, one
    for (names, _), (on, one) in sorted(latest.items(), key=lambda item: (item[1][0], item[0][1])):
        yield names, on, one


def _newer(one: Observation, other: Observation) -> bool:
    def rank(resource: Observation) -> tuple[int, str]:
        updated = resource.meta.last_updated if resource.meta else None
        return _USABLE.index(resource.status or ""), resource.issued or updated or ""

    return rank(one) > rank(other)


def _say_what_was_left(other: Sequence[Placed], landmark: float, day: int, reading: _Reading) -> None:
    reading.left["of kinds that are not read"] += len(other)
    left = [f"{number} {why}" for why, number in sorted(reading.left.items()) if number]
    if left:
        reading.notes.append(f"Not used of the Bundle: {', '.join(left)}.")
    if day > landmark:
        reading.notes.append(
            f"Predicted as of day {landmark:g} after infusion, not of day {day}: what came later does not enter."
        )
