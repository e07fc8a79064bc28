"""What is wrong with a request: the field and the rule, never the value.

Everything here ends in an `InputError`; the messages of pydantic are kept only where they cannot hold a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from features.errors import InputError
from features.records import CloneRecord, EventRecord, MeasurementRecord, PatientRecord, Quantity, SampleRecord
from serving.messages import Fault, OutcomesRequest, PatientOutcome, PredictRequest
from serving.monitor_messages import MonitorRequest
from serving.score_messages import (
    Count,
    CrsComponents,
    DailyCounts,
    IcansComponents,
    IceItems,
    ScorePatient,
    ScoreRequest,
)
from serving.state_messages import StatesRequest

Message = TypeVar("Message", PredictRequest, MonitorRequest, StatesRequest, ScoreRequest, OutcomesRequest)


class TooLargeError(InputError):
    """A request is sound in form, and more than is answered at once."""


Entry = Mapping[str, Any]
"""One entry of pydantic's `ValidationError.errors()`."""
LONGEST_FIELD = 200
"""Characters of a field's name that are said back: names come from outside."""
_BRANCHES = ("float", "str", "Quantity")
"""Names that pydantic gives the alternatives of a named value; no part of the field's name."""
_NAMED_VALUES = ("baseline", "inputs")
"""Fields of a patient that hold numbers, texts and quantities by name."""
_OF_PATIENTS = (PatientRecord, MeasurementRecord, EventRecord, SampleRecord, CloneRecord, Quantity)
_PARTS: Mapping[type[BaseModel], tuple[type[BaseModel], ...]] = {
    **dict.fromkeys((PredictRequest, MonitorRequest, StatesRequest), _OF_PATIENTS),
    ScoreRequest: (ScorePatient, DailyCounts, Count, CrsComponents, IcansComponents, IceItems, Quantity),
    OutcomesRequest: (PatientOutcome, EventRecord),
}
_KNOWN = {
    message: tuple(dict.fromkeys(name for model in (message, *parts) for name in model.model_fields))
    for message, parts in _PARTS.items()
}
"""Names of all fields of a request, from which the nearest is suggested."""
_ANY_VALUE = 'must be a number, text, null, or {"value": number, "unit": text}'


def parse(body: bytes) -> PredictRequest:
    """Read a request for predictions: see `parse_as`.

    Raises:
        InputError: Naming the first field at fault, never its value.
    """
    return parse_as(PredictRequest, body)


def parse_as(message: type[Message], body: bytes) -> Message:
    """Read a request strictly: no unknown field, no NaN, no text for a number.

    Raises:
        InputError: Naming the first field at fault, never its value.
    """
    try:
        return message.model_validate_json(body, strict=True)
    except ValidationError as error:
        fault = refused(error, _KNOWN[message])
    raise fault  # outside the handler: pydantic's error holds the input, and must not hang on as the context


def fault_of(error: InputError) -> Fault:
    """What is said of a request that cannot be answered."""
    return Fault(field=error.field[:LONGEST_FIELD], rule=error.rule)


def refused(error: ValidationError, known: Sequence[str]) -> InputError:
    """The first fault, in our words; the nearest of the known names is suggested for one that is not."""
    details = cast("list[Entry]", error.errors(include_input=False, include_url=False, include_context=True))
    first = details[0]
    if first["type"] == "json_invalid":
        return InputError("body", f"must be JSON: {first['ctx']['error']}")
    if first["type"] == "too_long" and first["loc"] == ("patients",):
        return TooLargeError(
            "patients", f"may hold at most {first['ctx']['max_length']:,} in one request; send several"
        )
    where, branch = _split(first["loc"])
    if branch:
        alternatives = [d for d in details if _split(d["loc"])[0] == where]
        return _value_fault(where, alternatives, known)
    if first["type"] == "value_error":  # of a whole object; our messages begin with the field
        name, _, rule = str(first["ctx"]["error"]).partition(" ")
        if name in known:
            return InputError(_field((*where, name)), rule)
    return InputError(_field(where) or "body", _rule(first, known))


def _split(loc: tuple[int | str, ...]) -> tuple[tuple[int | str, ...], tuple[int | str, ...]]:
    """A named value's place, and what follows it: the alternative that was tried, and the place within it."""
    if len(loc) > 4 and loc[2] in _NAMED_VALUES and loc[4] in _BRANCHES:
        return loc[:4], loc[4:]
    return loc, ()


def _value_fault(where: tuple[int | str, ...], alternatives: Sequence[Entry], known: Sequence[str]) -> InputError:
    """A named value may be several things; say what is wrong with the one that was most likely meant."""
    for fault in alternatives:
        within = _split(fault["loc"])[1][1:]
        if within:  # an object was given: a fault inside it
            return InputError(_field((*where, *within)), _rule(fault, known))
        if fault["type"] == "finite_number":
            return InputError(_field(where), _rule(fault, known))
    return InputError(_field(where), _ANY_VALUE)


def _field(loc: tuple[int | str, ...]) -> str:
    """``patients[0].baseline.age``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".")


def _rule(fault: Entry, known: Sequence[str]) -> str:
    if fault["type"] == "extra_forbidden":
        near = get_close_matches(str(fault["loc"][-1])[:LONGEST_FIELD], known, n=1)
        return "is not a field of a request" + (f". Did you mean {near[0]}?" if near else "")
    if fault["type"] == "missing":
        return "is required"
    message = str(fault["msg"]).replace(" after validation", "").replace("Tuple", "Array")
    for subject in ("Input should ", "Array should ", "String should "):
        message = message.replace(subject, "should ")
    return message.replace("should ", "must ", 1)
