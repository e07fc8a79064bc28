"""The operation $predict-risk, without HTTP: what its body asks, and faults named by where they lie in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError

from features.errors import InputError
from serving.fhir.entries import entries_of, require_plain
from serving.fhir.record import ReadRecord, read_record
from serving.fhir.times import day_of, not_ahead
from serving.messages import PredictAnswer, PredictRequest
from serving.today import today
from training.artifact.folder import Artifact

_JSON: TypeAdapter[Any] = TypeAdapter(JsonValue)
AnswerOf = Callable[[Artifact, str, PredictRequest], PredictAnswer]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a body asks."""

    read: ReadRecord

    @property
    def request(self) -> PredictRequest:
        """The same, as the plain API has it."""
        return PredictRequest(patients=(self.read.record,))

    def by(self, answer_of: AnswerOf) -> AnswerOf:
        """What answers, with faults named by the place in the Bundle."""

        def answered(artifact: Artifact, tag: str, request: PredictRequest) -> PredictAnswer:
            try:
                return answer_of(artifact, tag, request)
            except InputError as error:
                fault = InputError(_place(error.field, self.read), error.rule)
            raise fault

        return answered


def asked(artifact: Artifact, body: bytes) -> Asked:
    """Read a body: a Bundle, or Parameters that hold one.

    Raises:
        InputError: It is neither, or something in it breaks a rule.
    """
    content = parsed(body)
    wanted = _parameters(content) if _kind(content) == "Parameters" else _Wanted(content, "Bundle", None, None)
    model = artifact.model.encoder, artifact.manifest.endpoint
    entries = entries_of(wanted.bundle, wanted.place)
    when = wanted.asked_on or _stamped(wanted.bundle, wanted.place) or today()
    return Asked(read_record(entries, *model, asked_on=when, landmark_day=wanted.landmark_day))


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the parameters say."""

    bundle: Any
    place: str
    asked_on: date | None
    landmark_day: float | None


def parsed(body: bytes) -> Any:  # noqa: ANN401  (any JSON)
    """JSON; NaN is refused where it is read.

    Raises:
        InputError: It is none.
    """
    try:
        return _JSON.validate_json(body)
    except ValidationError as error:
        rule = str(error.errors(include_input=False, include_url=False)[0]["msg"])
    raise InputError("body", f"must be JSON: {rule}")


def _kind(content: object) -> object:
    return content.get("resourceType") if isinstance(content, dict) else None


def _parameters(content: dict[str, Any]) -> _Wanted:
    """Bundle, day of asking, landmark day."""
    require_plain(content, "Parameters")
    found: dict[str, tuple[Any, str]] = {}
    given = content.get("parameter")
    for i, one in enumerate(given if isinstance(given, list) else ()):
        place = f"Parameters.parameter[{i}]"
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(name, str) or name not in _VALUES:
            raise InputError(f"{place}.name", f"must be {', '.join(_VALUES)}")
        require_plain(one, place)
        if name in found:
            raise InputError(f"{place}.name", "must be given once")
        key = _VALUES[name]
        if key not in one:
            raise InputError(f"{place}.{key}", "is required")
        found[name] = one[key], f"{place}.{key}"
    if "bundle" not in found:
        raise InputError("Parameters.parameter", "must hold one named bundle")
    asked_on = _day_of_asking(*found["date"]) if "date" in found else None
    landmark = _number(*found["landmark-day"]) if "landmark-day" in found else None
    return _Wanted(*found["bundle"], asked_on, landmark)


_VALUES = {"bundle": "resource", "date": "valueDate", "landmark-day": "valueDecimal"}
"""Element that holds the value of each parameter."""


def _number(given: object, place: str) -> float:
    try:
        if isinstance(given, int | float) and not isinstance(given, bool):
            return float(given)
    except OverflowError:
        pass
    raise InputError(place, "must be a number of days after infusion")


def _stamped(bundle: dict[str, Any], place: str) -> date | None:
    """The day of a Bundle's timestamp."""
    found, own = bundle.get("timestamp"), f"{place}.timestamp"
    if found is not None and not isinstance(found, str):
        raise InputError(own, "must be text")
    day = day_of(found, own)
    return None if day is None else not_ahead(day, own)


def _day_of_asking(given: object, place: str) -> date:
    day = day_of(given, place) if isinstance(given, str) else None
    if day is None:
        raise InputError(place, "must be a date to the day, as 2026-05-17")
    return not_ahead(day, place)


def _place(field: str, read: ReadRecord) -> str:
    """Where in the Bundle a part of the record stood."""
    part = re.fullmatch(r"patients\[0\]\.((?:measurements|events)\[\d+\]|baseline\.[^.]+)(.*)", field)
    if part is None:
        return field
    return read.places.get(part[1], "Bundle")
