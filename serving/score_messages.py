"""What a request for scores and its answer may say: the pydantic models of ``/v1/scores``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import FailFast, Field

from features.records import Quantity
from features.schema import Frozen
from serving.messages import MAX_PATIENTS

MAX_COUNTS = 10_000
"""Counts of one kind of one patient."""
MAX_NAMES = 100
"""Names of scores in one request."""


class Count(Frozen):
    """One cell count."""

    day: float
    """Days since infusion; a count belongs to the whole day it falls in."""
    value: float
    unit: str = "10*9/L"
    """UCUM."""


class DailyCounts(Frozen):
    """Repeated counts, in any order, of which grades of haematotoxicity are made."""

    anc: Annotated[tuple[Count, ...], Field(max_length=MAX_COUNTS)] = ()
    """Neutrophils."""
    platelets: Annotated[tuple[Count, ...], Field(max_length=MAX_COUNTS)] = ()
    """Platelets."""


class CrsComponents(Frozen):
    """What was needed to treat cytokine release syndrome; what is absent is not known."""

    fever: bool | None = None
    """Whether the temperature was 38.0 °C or more."""
    hypotension: Literal["none", "fluids", "one_vasopressor", "multiple_vasopressors"] | None = None
    """What it was treated with; vasopressin does not count as a second vasopressor."""
    hypoxia: Literal["none", "low_flow", "high_flow", "positive_pressure"] | None = None
    """How oxygen was given."""
    fever_treated: bool = False
    """Whether antipyretics, tocilizumab or steroids had been given: fever is then no longer required."""


class IceItems(Frozen):
    """Points of the items of the ICE score; what is absent is not known."""

    orientation: Annotated[int, Field(ge=0, le=4)] | None = None
    """Year, month, city, hospital."""
    naming: Annotated[int, Field(ge=0, le=3)] | None = None
    """Three objects."""
    commands: Annotated[int, Field(ge=0, le=1)] | None = None
    """Following one."""
    writing: Annotated[int, Field(ge=0, le=1)] | None = None
    """A sentence."""
    attention: Annotated[int, Field(ge=0, le=1)] | None = None
    """Counting from 100 down by tens."""


class IcansComponents(Frozen):
    """The domains of neurotoxicity in an adult; what is absent is not known."""

    ice: Annotated[int, Field(ge=0, le=10)] | None = None
    """ICE score; or give its items."""
    ice_items: IceItems | None = None
    """Items of the ICE score, in place of `ice`."""
    consciousness: (
        Literal["alert", "awakens_spontaneously", "awakens_to_voice", "awakens_to_touch", "unarousable"] | None
    ) = None
    """Level of consciousness."""
    seizure: Literal["none", "resolving", "prolonged"] | None = None
    """Worst seizure."""
    motor: Literal["none", "deep_focal_weakness"] | None = None
    """Motor findings."""
    pressure: Literal["none", "focal_oedema", "diffuse_oedema_or_raised_pressure"] | None = None
    """Raised intracranial pressure, or oedema on imaging."""


class ScorePatient(Frozen):
    """What scores and grades of one patient are made of. All of it is optional; what is absent is not known."""

    patient_id: Annotated[str, Field(min_length=1, max_length=200)] = "patient"
    """Echoed in the answer; use a pseudonym."""
    inputs: dict[str, float | str | Quantity | None] = Field(default_factory=dict)
    """Inputs by the names of ``GET /v1/scores``: numbers in the unit said there or with a unit, findings as text."""
    daily_counts: DailyCounts = DailyCounts()
    """Repeated counts of neutrophils and platelets."""
    known_until_day: float | None = None
    """Days since infusion after which no count enters: the day of the question, or the last day of follow-up."""
    follow_up_ended: bool = False
    """Whether the patient died or was lost on `known_until_day`."""
    progression_day: float | None = None
    """Day of progression or next therapy; late ICAHT and T-ICAHT take no count after it."""
    crs: CrsComponents | None = None
    """Components of the grade of cytokine release syndrome."""
    icans: IcansComponents | None = None
    """Domains of the grade of neurotoxicity."""


class ScoreRequest(Frozen):
    """Patients of whom scores are wanted, many in one request."""

    patients: Annotated[tuple[ScorePatient, ...], Field(min_length=1, max_length=MAX_PATIENTS), FailFast()]
    """The patients; the same `patient_id` may occur more than once."""
    scores: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_NAMES)] | None = None
    """Names of scores and grades; absent: of each patient, all that can be computed."""


class ScoreResult(Frozen):
    """One score or grade of one patient."""

    value: float | None
    """None where it cannot be computed: `missing` says what for, and if that is empty the formula divides by 0."""
    log2: float | None
    """Logarithm to base 2, of scores whose papers analyse that."""
    group: str | None
    """The named range the value lies in; None where the paper gives no cut-off."""
    missing: tuple[str, ...]
    """What is not known, by its place in the patient. A score needs every input; a CRS or ICANS grade is the least that
    is implied by what is known."""


class PatientScores(Frozen):
    """One patient's answer, in the order of the request."""

    patient_id: str
    inputs: dict[str, Quantity | str]
    """The inputs as the formulas took them: numbers in the unit of the score."""
    scores: dict[str, ScoreResult]
    """Results by the name of the score or grade."""


class ScoreInput(Frozen):
    """Something a score or grade is made of."""

    given_as: str
    """Where in a patient it stands, e.g. ``inputs.ferritin``, ``daily_counts.anc``, ``crs.hypoxia``."""
    unit: str | None
    """UCUM unit of numbers given without one; None for what is no measured number."""
    range: tuple[float, float] | None
    """In that unit; values outside are refused as mistyped or in another unit."""
    levels: tuple[str, ...] | None
    """Allowed values of a finding."""


class ScoreGroup(Frozen):
    """A named range of a score, up to where the next one begins."""

    name: str
    low: float | None
    """Where it begins; None: at the lowest value."""
    low_included: bool
    """Whether `low` itself belongs to it."""


class ScoreCard(Frozen):
    """What a score or grade is."""

    name: str
    title: str
    kind: Literal["score", "grade"]
    inputs: tuple[ScoreInput, ...]
    """What it is made of."""
    lowest: float
    """Lowest possible value."""
    highest: float | None
    """Highest possible value; None: there is none."""
    groups: tuple[ScoreGroup, ...]
    """Ranges with names, ascending; empty where the paper gives no cut-off."""
    when: str
    """Which days it is made for."""
    citation: str
    docs: str
    """Where the formula and its verification are described."""


class ScoreList(Frozen):
    """Every score and grade that can be asked for."""

    scores: tuple[ScoreCard, ...]
    """In the order in which results are given."""


class ScoresAnswer(Frozen):
    """The answer to a `ScoreRequest`."""

    scores: tuple[ScoreCard, ...]
    """The scores and grades that occur below, each with its units and its citation."""
    patients: tuple[PatientScores, ...]
    """One a patient, in the order of the request."""
