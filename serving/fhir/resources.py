"""The parts of FHIR R4 resources that are read. Records hold much more: what is not named here is left unread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, Strict, StrictBool, StrictInt, ValidationError
from pydantic.alias_generators import to_camel

from features.errors import InputError
from serving.fhir.codes import Code

Read = TypeVar("Read", bound=BaseModel)
ID = r"^[A-Za-z0-9\-.]{1,64}$"
_FORMS: Mapping[str, str] = {ID: "must be an id of FHIR: 1 to 64 letters, digits, hyphens and full stops"}
"""Rules of elements that have a form, in words."""
Id = Annotated[str, Field(pattern=ID)]
DateText = Annotated[str, Field(max_length=40)]


class Element(BaseModel):
    """Base: silent about values in faults."""

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, hide_input_in_errors=True, allow_inf_nan=False)


class Coding(Element):
    """A code of a system."""

    system: str | None = None
    code: str | None = None
    display: str | None = None


class CodeableConcept(Element):
    """One thing, in several systems."""

    coding: list[Coding] = []
    text: str | None = None

    @property
    def codes(self) -> tuple[Code, ...]:
        """Codings that have both a system and a code."""
        return tuple((one.system, one.code) for one in self.coding if one.system and one.code)


class Quantity(Element):
    """A measured value."""

    value: Annotated[float, Strict()] | None = None
    comparator: Literal["<", "<=", ">=", ">"] | None = None
    unit: str | None = None
    system: str | None = None
    code: str | None = None


class Identifier(Element):
    """By which others know somebody."""

    system: str | None = None
    value: str | None = None


class Reference(Element):
    """To another resource: by its address, or by what it is known by."""

    reference: str | None = None
    identifier: Identifier | None = None


class Period(Element):
    """From, and to."""

    start: DateText | None = None
    end: DateText | None = None


class Meta(Element):
    """Of a resource."""

    last_updated: DateText | None = None


class Resource(Element):
    """Base of what a Bundle holds."""

    id: Id | None = None
    meta: Meta | None = None
    status: str | None = None
    subject: Reference | None = None
    code: CodeableConcept = CodeableConcept()


class Patient(Element):
    """Whose record it is."""

    id: Id | None = None
    identifier: list[Identifier] = []
    gender: str | None = None
    birth_date: DateText | None = None
    deceased_boolean: StrictBool | None = None
    deceased_date_time: DateText | None = None


class Observation(Resource):
    """One measured value."""

    effective_date_time: DateText | None = None
    effective_instant: DateText | None = None
    effective_period: Period | None = None
    issued: DateText | None = None
    value_quantity: Quantity | None = None
    value_integer: Annotated[StrictInt, Field(ge=-(2**31), lt=2**31)] | None = None
    value_string: str | None = None
    value_boolean: StrictBool | None = None
    value_codeable_concept: CodeableConcept | None = None

    @property
    def when(self) -> str | None:
        """As written: the end of a period, or its start."""
        period = self.effective_period or Period()
        return self.effective_date_time or self.effective_instant or period.end or period.start


class Condition(Resource):
    """A diagnosis, or what happened."""

    clinical_status: CodeableConcept = CodeableConcept()
    verification_status: CodeableConcept | None = None
    severity: CodeableConcept = CodeableConcept()
    onset_date_time: DateText | None = None
    onset_period: Period | None = None
    abatement_date_time: DateText | None = None
    recorded_date: DateText | None = None

    @property
    def onset(self) -> str | None:
        """As written."""
        return self.onset_date_time or (self.onset_period or Period()).start


class Procedure(Resource):
    """Something done to the patient."""

    used_code: list[CodeableConcept] = []
    performed_date_time: DateText | None = None
    performed_period: Period | None = None

    @property
    def when(self) -> str | None:
        """As written: the start of a period."""
        return self.performed_date_time or (self.performed_period or Period()).start

    @property
    def codes(self) -> tuple[Code, ...]:
        """Of what was done, and of what it was done with."""
        return (*self.code.codes, *(code for used in self.used_code for code in used.codes))


def read_as(model: type[Read], content: Any, place: str) -> Read:  # noqa: ANN401  (any JSON)
    """Read a resource.

    Raises:
        InputError: Naming the first element at fault, never its value.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"])
    rule = _rule(fault)
    raise InputError(place + where, rule)  # outside the handler: pydantic's error holds the input


def _rule(fault: Mapping[str, Any]) -> str:
    """In our words; none of pydantic's that are kept can hold a value."""
    if fault["type"] == "string_pattern_mismatch":
        return _FORMS.get(fault["ctx"]["pattern"], "must have the form that the standard gives it")
    return str(fault["msg"]).replace("Input should", "must", 1).replace("String should", "must", 1)
