"""The answer to a request for scores, without HTTP and without a model: published arithmetic on what is given."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

import numpy as np

from features.analytes import analyte_called, convert_analyte
from features.errors import InputError, SequelaError
from features.patients import FloatArray
from features.records import Quantity
from features.scores import SCORES, Score
from features.scores.crs import crs_grade
from features.scores.icans import icans_grade, ice_score
from features.units import UnitError
from serving.score_cards import CARDS, RANGES
from serving.score_counts import count_grades
from serving.score_messages import (
    IcansComponents,
    PatientScores,
    ScoreList,
    ScorePatient,
    ScoreRequest,
    ScoreResult,
    ScoresAnswer,
)

UNITS: Mapping[str, str] = {name: unit for score in SCORES.values() for name, unit in score.inputs.items()}
"""Unit of each measured input, which is the same in all scores."""
LEVELS: Mapping[str, tuple[str, ...]] = {name: lv for score in SCORES.values() for name, lv in score.coded.items()}
"""Allowed values of each finding."""
Known = dict[str, Quantity | str]
"""Inputs of one patient, checked and in the units of the scores."""


def score_answer(request: ScoreRequest) -> ScoresAnswer:
    """Compute scores and grades of every patient of a request.

    Raises:
        InputError: A name or a patient's field breaks a rule; names the field, never the value.
    """
    names = _requested(request.scores)
    patients = request.patients
    known = [_checked(patient, f"patients[{i}]") for i, patient in enumerate(patients)]
    columns = {name: list(_scores(SCORES[name], known)) for name in names if name in SCORES}
    columns |= {name: _plain(*column) for name, column in count_grades(patients).items() if name in names}
    columns |= {name: _plain(*column) for name, column in _bedside(patients).items() if name in names}
    answers = []
    for i, patient in enumerate(patients):
        results = {name: columns[name][i] for name in names}
        if request.scores is None:
            results = {name: result for name, result in results.items() if result.value is not None}
        answers.append(PatientScores(patient_id=patient.patient_id, inputs=known[i], scores=results))
    given = {name for answer in answers for name in answer.scores}
    return ScoresAnswer(scores=tuple(CARDS[name] for name in names if name in given), patients=tuple(answers))


def score_list() -> ScoreList:
    """Every score and grade that can be asked for."""
    return ScoreList(scores=tuple(CARDS.values()))


def _requested(names: Sequence[str] | None) -> tuple[str, ...]:
    """The names asked for, each once, in the order of `CARDS`."""
    for i, name in enumerate(names or ()):
        if name not in CARDS:
            near = get_close_matches(name[:64], list(CARDS), n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(CARDS)}."
            raise InputError(f"scores[{i}]", f"is no score or grade. {hint}")
    return tuple(name for name in CARDS if names is None or name in names)


def _checked(patient: ScorePatient, place: str) -> Known:
    """The inputs that are known, in the units of the scores."""
    known: Known = {}
    for name, value in patient.inputs.items():
        field = f"{place}.inputs.{name}"
        if name not in UNITS and name not in LEVELS:
            raise InputError(field, _no_input(name))
        if isinstance(value, str):
            known[name] = _finding(name, value, field)
        elif value is not None:
            known[name] = _number(name, value, field)
    icans = patient.icans
    if icans is not None and icans.ice is not None and icans.ice_items is not None:
        raise InputError(f"{place}.icans.ice_items", "must not stand beside ice: give the score, or its items")
    if patient.follow_up_ended and patient.known_until_day is None:
        raise InputError(f"{place}.known_until_day", "is required where follow_up_ended: the day on which it ended")
    return known


def _no_input(name: str) -> str:
    """What is wrong with a name that is no input, and which was meant."""
    try:
        meant = [analyte_called(name[:64]).name]
    except SequelaError:
        meant = get_close_matches(name[:64], [*UNITS, *LEVELS], n=1)
    meant = [known for known in meant if known in UNITS or known in LEVELS]
    return "is no input of a score" + (f". Did you mean {meant[0]}?" if meant else "; GET /v1/scores lists them")


def _finding(name: str, value: str, field: str) -> str:
    if name in UNITS:
        raise InputError(field, f"is text; it is a number, in {UNITS[name]}")
    if value not in LEVELS[name]:
        raise InputError(field, f"is not one of the levels {', '.join(LEVELS[name])}")
    return value


def _number(name: str, value: float | Quantity, field: str) -> Quantity:
    """The value in the unit of the scores."""
    if name in LEVELS:
        raise InputError(field, f"is a number; it takes one of {', '.join(LEVELS[name])}")
    unit = UNITS[name]
    given = value if isinstance(value, Quantity) else Quantity(value=value, unit=unit)
    try:
        number = float(convert_analyte(given.value, given.unit, unit, name))
    except UnitError as error:
        raise InputError(f"{field}.unit", error.rule) from None
    low, high = RANGES[name]
    if not low <= number <= high:
        raise InputError(field, f"is outside the possible range [{low:g}, {high:g}] {unit}; check its unit")
    return Quantity(value=number, unit=unit)


def _scores(score: Score, known: Sequence[Known]) -> Iterator[ScoreResult]:
    """One score of every patient."""
    names = (*score.inputs, *score.coded)
    values = score.compute({name: _column(name, known) for name in names})
    logs = score.log2(values) if score.ratio else np.full(len(values), np.nan)
    groups = score.group(values)
    for own, value, log, group in zip(known, values, logs, groups, strict=True):
        missing = tuple(f"inputs.{name}" for name in names if name not in own)
        yield ScoreResult(value=_finite(value), log2=_finite(log), group=group, missing=missing)


def _column(name: str, known: Sequence[Known]) -> FloatArray:
    """One input of every patient as the formula takes it; NaN where it is not known."""
    numbers = np.full(len(known), np.nan)
    for i, own in enumerate(known):
        value = own.get(name)
        if isinstance(value, Quantity):
            numbers[i] = value.value
        elif value is not None:
            numbers[i] = LEVELS[name].index(value)
    return numbers


def _bedside(patients: Sequence[ScorePatient]) -> dict[str, tuple[list[float], list[tuple[str, ...]]]]:
    """CRS grade, ICE score and ICANS grade of every patient, with what is not known."""
    columns: dict[str, tuple[list[float], list[tuple[str, ...]]]] = {n: ([], []) for n in ("crs", "ice_score", "icans")}
    for patient in patients:
        for name, (value, missing) in (("crs", _crs(patient)), *_icans(patient.icans or IcansComponents())):
            columns[name][0].append(value)
            columns[name][1].append(missing)
    return columns


def _crs(patient: ScorePatient) -> tuple[float, tuple[str, ...]]:
    signs = {} if patient.crs is None else patient.crs.model_dump()
    parts = ("fever", "hypotension", "hypoxia")
    return crs_grade(**signs), tuple(f"crs.{part}" for part in parts if signs.get(part) is None)


def _icans(given: IcansComponents) -> Iterator[tuple[str, tuple[float, tuple[str, ...]]]]:
    """The ICE score from its items where they are given, and the grade."""
    domains = given.model_dump(exclude={"ice", "ice_items"})
    items = given.ice_items.model_dump() if given.ice_items else {}
    ice = float(given.ice) if given.ice is not None else math.nan
    unknown: tuple[str, ...] = ("icans.ice",)
    if items:
        ice = ice_score(**items)
        unknown = tuple(f"icans.ice_items.{item}" for item, points in items.items() if points is None)
    missing_ice = unknown if math.isnan(ice) else ()
    yield "ice_score", (ice, missing_ice)
    missing = (f"icans.{domain}" for domain, level in domains.items() if level is None)
    yield "icans", (icans_grade(ice, **domains), (*missing_ice, *missing))


def _plain(values: Iterable[float], missing: Sequence[tuple[str, ...]]) -> list[ScoreResult]:
    """Results without groups."""
    pairs = zip(values, missing, strict=True)
    return [ScoreResult(value=_finite(value), log2=None, group=None, missing=lacks) for value, lacks in pairs]


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
