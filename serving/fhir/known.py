"""Which variables of a model the codes of a health record mean, and what their values are to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from features.analytes import ANALYTES, analyte_of
from features.encoder import PatientEncoder
from features.errors import InputError
from features.records import Quantity
from features.request import checked_number
from features.schema import Variable
from serving.fhir.codes import LOINC, UCUM, VARIABLES, Code, matches, parted, ucum
from serving.fhir.resources import CodeableConcept, Observation

_SEXES = {"female": ("female", "f", "woman", "w"), "male": ("male", "m", "man")}
_TRUTHS = {True: ("yes", "true", "1"), False: ("no", "false", "0")}
DIMENSIONLESS = "1"
"""UCUM unit of counts and ratios: only a number of these may come without its unit."""


class Known:
    """What one model knows.

    Args:
        encoder: Of the model.
    """

    def __init__(self, encoder: PatientEncoder) -> None:
        self.baseline = frozenset(encoder.baseline_inputs)
        self.measured = frozenset(encoder.measured_inputs)
        self.events = frozenset(encoder.events)
        self._variables = {n: v for n, v in encoder.variables.items() if n in self.baseline | self.measured}
        self._levels = {
            name: variable.levels or tuple(encoder.baseline.levels.get(name, ()))
            for name, variable in self._variables.items()
        }
        self._by_code: dict[Code, list[str]] = {}
        for name, variable in self._variables.items():
            for code in ((VARIABLES, name), *((LOINC, code) for code in loinc_codes(name, variable))):
                self._by_code.setdefault(code, []).append(name)

    def variables_of(self, codes: Sequence[Code]) -> tuple[str, ...]:
        """Names of the variables that an Observation with these codes measures."""
        return tuple(dict.fromkeys(name for code in codes for name in self._by_code.get(code, ())))

    def levels_of(self, codes: Sequence[Code]) -> Iterator[tuple[str, str]]:
        """Baseline variables, with the level that codes of a diagnosis or a procedure stand for."""
        for name in self.baseline:
            for level, known in self._variables[name].level_codes.items():
                if any(matches(code, parted(one)) for code in codes for one in known):
                    yield name, level

    def sex(self, name: str, gender: str | None) -> str | None:
        """The level of a baseline variable that an administrative gender is; None: it is none of them."""
        if name not in self.baseline:
            return None
        spelt = _SEXES.get(gender or "", ())
        return next((level for level in self._levels[name] if level.lower() in spelt), None)

    def value_of(self, name: str, observation: Observation, place: str) -> float | str | Quantity | None:
        """The value of a variable, a number with its unit; None where the Observation has none.

        Raises:
            InputError: It is of another kind, comes without its unit, or is no level of the variable.
        """
        variable = self._variables[name]
        if variable.kind == "numeric":
            found = _number(variable, observation, place)
            if found is not None:  # refused here, where it is known by which resource
                self.in_own_unit(name, found, f"{place}.valueQuantity")
            return found
        said = list(_said(observation))
        if not said:
            return None
        level = next((level for code in said for level in self._levels[name] if _is_level(code, level, variable)), None)
        if level is None and self._levels[name]:
            some = ", ".join(self._levels[name][:8])
            raise InputError(f"{place}.value", f"is none of the levels of {name}, in text or in {VARIABLES}: {some}")
        return level

    def in_own_unit(self, name: str, value: Quantity, place: str) -> float:
        """A number in the unit that the model takes.

        Raises:
            InputError: Its unit is another kind's, or it cannot be.
        """
        return checked_number(value.value, value.unit, name, self._variables[name], place)


def loinc_codes(name: str, variable: Variable) -> tuple[str, ...]:
    """LOINC codes of a variable: what it declares, then all others of its analyte, whatever the unit."""
    analyte = analyte_of(name, variable)
    others = ANALYTES[analyte].loinc if analyte is not None else ()
    return tuple(dict.fromkeys((*((variable.loinc,) if variable.loinc else ()), *others)))


def _number(variable: Variable, observation: Observation, place: str) -> Quantity | None:
    if observation.value_integer is not None and variable.unit == DIMENSIONLESS:
        return Quantity(value=float(observation.value_integer), unit=variable.unit)
    found = observation.value_quantity
    if found is None or found.value is None:
        return None
    unit = ucum((found.code if found.system in (None, UCUM) else None) or found.unit or "")
    if not unit and variable.unit != DIMENSIONLESS:
        raise InputError(f"{place}.valueQuantity.code", f"is required, in UCUM; the model takes {variable.unit}")
    return Quantity(value=found.value, unit=unit or variable.unit)


def _said(observation: Observation) -> Iterator[Code]:
    """Ways in which a value that is no number may be given; a system of "" is text."""
    concept = observation.value_codeable_concept or CodeableConcept()
    yield from concept.codes
    yield from (("", text) for text in (concept.text, *(one.display for one in concept.coding)) if text)
    if observation.value_string:
        yield "", observation.value_string
    if observation.value_integer is not None:
        yield "", str(observation.value_integer)
    if observation.value_boolean is not None:
        yield from (("", text) for text in _TRUTHS[observation.value_boolean])
    if observation.value_quantity is not None and observation.value_quantity.value is not None:
        yield "", f"{observation.value_quantity.value:g}"


def _is_level(said: Code, level: str, variable: Variable) -> bool:
    if said[0] in ("", VARIABLES):
        return said[1] == level
    return any(matches(said, parted(one)) for one in variable.level_codes.get(level, ()))
