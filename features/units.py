"""Units of measurement: the part of UCUM that laboratories use, converted exactly.

A unit is a product of factors over known symbols (``mg/dL``, ``10*9/L``, ``{copies}/ug``, ``kg/m2``). What it measures
is its dimension: exponents of base symbols, and the annotations in braces. UCUM (ucum.org, The Unified Code for Units
of Measure, §12) lets software ignore annotations; here they count, because dropping one can change what a value means:
a D-dimer in ``ug/mL{FEU}`` is about twice the same in ``ug/mL{DDU}``. Only annotations that say "cells" are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from features.errors import SequelaError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Value = TypeVar("Value", float, NDArray[np.float64])


class UnitError(SequelaError):
    """A unit that is not known, or two units that measure different things.

    Args:
        unit: What was given as a unit: any text.
        rule: What holds for it, without repeating it: so it can be said of a request, whose texts may name a patient.
        why: Two units do not convert; empty where one is not known.
    """

    def __init__(self, unit: str, rule: str, why: str = "") -> None:
        super().__init__(f"unit {unit[:_LONGEST]!r} {rule}")
        self.rule, self.why = rule, why


class Unit(NamedTuple):
    """A parsed unit: ``1 unit = factor`` in base symbols."""

    factor: Fraction
    exponents: tuple[tuple[str, int], ...]
    annotations: tuple[str, ...]


_DAY = Fraction(86_400)
_ATOMS: Mapping[str, tuple[Fraction, Mapping[str, int]]] = {
    # UCUM tables 1-4 and 6: value in metre, second, gram, mole and arbitrary bases. A year is the Julian year.
    "m": (Fraction(1), {"m": 1}),
    "s": (Fraction(1), {"s": 1}),
    "g": (Fraction(1), {"g": 1}),
    "mol": (Fraction(1), {"mol": 1}),
    "L": (Fraction(1, 1000), {"m": 3}),
    "l": (Fraction(1, 1000), {"m": 3}),
    "U": (Fraction(1, 60_000_000), {"mol": 1, "s": -1}),
    "kat": (Fraction(1), {"mol": 1, "s": -1}),
    "Pa": (Fraction(1000), {"g": 1, "m": -1, "s": -2}),
    "m[Hg]": (Fraction(133_322_000), {"g": 1, "m": -1, "s": -2}),
    "[IU]": (Fraction(1), {"[IU]": 1}),
    "[iU]": (Fraction(1), {"[IU]": 1}),
    "eq": (Fraction(1), {"eq": 1}),
    "osm": (Fraction(1), {"osm": 1}),
    "Gy": (Fraction(1), {"m": 2, "s": -2}),
    "min": (Fraction(60), {"s": 1}),
    "h": (Fraction(3600), {"s": 1}),
    "d": (_DAY, {"s": 1}),
    "wk": (7 * _DAY, {"s": 1}),
    "mo": (_DAY * Fraction("30.4375"), {"s": 1}),
    "a": (_DAY * Fraction("365.25"), {"s": 1}),
    "Cel": (Fraction(1), {"Cel": 1}),
    "[degF]": (Fraction(1), {"[degF]": 1}),
    "%": (Fraction(1, 100), {}),
    "[ppth]": (Fraction(1, 1000), {}),
    "[ppm]": (Fraction(1, 1_000_000), {}),
    "[pH]": (Fraction(1), {"[pH]": 1}),
}
_CELSIUS: Mapping[str, tuple[Fraction, Fraction]] = {
    # UCUM's special units on non-ratio scales: degrees Celsius of the zero, and of one step.
    "Cel": (Fraction(0), Fraction(1)),
    "[degF]": (Fraction(-160, 9), Fraction(5, 9)),
}
_METRIC = frozenset({"m", "s", "g", "mol", "L", "l", "U", "kat", "Pa", "m[Hg]", "[IU]", "[iU]", "eq", "osm", "Gy"})
_LARGE = frozenset({"U", "[IU]", "[iU]"})
"""Symbols that take M and G: a megagram in a laboratory is a misspelt milligram."""
_PREFIXES = {"G": 9, "M": 6, "k": 3, "d": -1, "c": -2, "m": -3, "u": -6, "n": -9, "p": -12, "f": -15}
_MEANS_CELLS = frozenset({"cells", "cell", "cell count"})

_TERM = re.compile(
    r"(?P<ten>10[*^](?P<power>[+-]?\d{1,2})|10[*^])|(?P<number>[1-9]\d{0,8})"
    r"|(?P<symbol>%|[A-Za-z]*\[[A-Za-z]+\]|[A-Za-z]+)(?P<exponent>[+-]?[1-9])?",
    re.ASCII,
)
_DECIMAL = re.compile(r"\d\.\d", re.ASCII)  # the point multiplies in UCUM: 1.5 would be 5
_NOTE = re.compile(r"\{([^{}]{0,40})\}")
_LONGEST = 64  # characters of a unit that is looked at: requests come from outside

_COMMON = (
    *("1", "%", "a", "mo", "wk", "d", "h", "min", "s", "m", "cm", "m2", "kg", "g", "mg", "ug", "ng", "pg", "kg/m2"),
    *("10*3/uL", "10*9/L", "10*6/L", "10*12/L", "10*6/uL", "/uL", "/mL", "/L", "{cells}/uL", "{cells}/mL", "10*6/kg"),
    *("g/L", "g/dL", "mg/dL", "mg/L", "ug/L", "ug/mL", "ng/mL", "ng/L", "ng/dL", "pg/mL", "mg/m2", "fL"),
    *("mol/L", "mmol/L", "umol/L", "nmol/L", "U/L", "kU/L", "U/mL", "[IU]/L", "[IU]/mL", "k[IU]/L"),
    *("Cel", "mm[Hg]", "mL/min", "mL/min/{1.73_m2}", "ug/mL{FEU}", "mg/L{FEU}", "ug/mL{DDU}"),
    *("{copies}/ug", "{copies}/mL", "{copies}/1000.{cells}", "{score}", "{ratio}"),
)
_SPELLED = (
    *(("a", "years", "year", "yr", "yrs", "y"), ("mo", "months", "month"), ("wk", "weeks", "week", "w")),
    *(("d", "days", "day"), ("h", "hours", "hour", "hr"), ("min", "minutes", "mins"), ("/min", "bpm")),
    ("10*9/L", "g/l", "giga/l", "10e9/l", "x10^9/l", "x10e9/l", "109/l"),  # G/L is written for giga a litre
    ("10*3/uL", "k/ul", "k/cumm", "thou/ul", "10e3/ul", "x10^3/ul", "x10e3/ul", "103/ul", "k/mm3"),
    *(("/uL", "/mm3", "/cumm"), ("{cells}/uL", "cells/ul", "cells/mm3")),
    *(("U/L", "iu/l", "units/l"), ("[IU]/mL", "iu/ml"), ("mm[Hg]", "mmhg")),
    *(("Cel", "c", "degc", "°c", "celsius"), ("[degF]", "f", "degf", "°f", "fahrenheit")),
    *(("%", "percent", "pct"), ("1", "fraction", "none", "ratio", "no unit")),
    *(("{copies}/ug", "copies/ug"), ("{copies}/mL", "copies/ml")),
    *(("m", "meters"), ("kg", "kilograms", "kgs"), ("ug/mL", "mcg/ml"), ("ug/L", "mcg/l")),
    *(("g/dL", "gm/dl"), ("mg/dL", "mg/100ml", "mg%"), ("meq/L", "meq/l")),
    *(("mg/L{FEU}", "mg/l feu"), ("ug/mL{FEU}", "ug/ml feu"), ("mg/L{DDU}", "mg/l ddu"), ("ug/mL{DDU}", "ug/ml ddu")),
)
_SPELLINGS = {spelling: unit for unit, *spellings in _SPELLED for spelling in spellings}
"""What people write, in small letters."""
_OURS = frozenset({*_COMMON, *_SPELLINGS.values()})
_IN_UCUM = "Write it in UCUM, e.g. mg/dL, 10*9/L, U/L, a (years), 1 (no unit)."


def known(unit: str) -> bool:
    """Whether the unit can be read."""
    return parse(unit) is not None


def same_dimension(first: str, second: str) -> bool:
    """Whether a value in one unit has a value in the other."""
    if first == second or {first, second} <= _CELSIUS.keys():
        return True
    a, b = parse(first), parse(second)
    return a is not None and b is not None and a[1:] == b[1:]


def convert(value: Value, source: str, target: str) -> Value:
    """Express a value, or an array of any shape, in another unit.

    Identical units convert by factor 1 even when they are not known. The factor is rational and is rounded once.

    Raises:
        UnitError: A unit is not known, or the two measure different things.
    """
    if source == target:
        return value
    if source in _CELSIUS and target in _CELSIUS:
        return _temperature(value, source, target)
    a, b = read(source), read(target)
    if a[1:] != b[1:]:
        why = _WHY_NOT[reason(a, b)]
        raise unlike(source, target, why)
    return scaled(value, a.factor / b.factor)


def scaled(value: Value, factor: Fraction) -> Value:
    """A value times a rational factor that is rounded once."""
    if factor == 1:
        return value
    if factor.numerator == 1:
        return value / float(factor.denominator)  # dividing by 1000 is exact where multiplying by 0.001 is not
    return value * float(factor)


def _temperature(value: Value, source: str, target: str) -> Value:
    """A temperature on another scale."""
    (zero, step), (zero_to, step_to) = _CELSIUS[source], _CELSIUS[target]
    return scaled(value, step / step_to) + float((zero - zero_to) / step_to)


def nearest(unit: str) -> str | None:
    """The common UCUM unit that an unknown spelling most likely means, or None."""
    lowered = unit.strip()[:_LONGEST].lower()
    plain = unit[:_LONGEST].replace("µ", "u").replace("μ", "u").replace(" ", "")
    spelled = _SPELLINGS.get(lowered) or _SPELLINGS.get(plain.lower())
    if spelled:
        return spelled
    if known(plain):
        return plain
    by_case = {common.lower(): common for common in _COMMON}
    found = get_close_matches(plain.lower(), by_case, n=1, cutoff=0.6)
    return by_case[found[0]] if found else None


def remedy(unit: str) -> str:
    """What to write instead of an unknown unit."""
    near = nearest(unit)
    return f"Did you mean {near}?" if near else _IN_UCUM


def read(unit: str) -> Unit:
    """The parsed unit.

    Raises:
        UnitError: It is not known.
    """
    parsed = parse(unit)
    if parsed is None:
        near = nearest(unit)
        hint = f"Did you mean {near}?" if near in _OURS else _IN_UCUM
        raise UnitError(unit, f"is not a UCUM unit known here. {hint}")
    return parsed


Reason = Literal["annotation", "molar mass", "international unit", "dimension"]
_WHY_NOT: Mapping[Reason, str] = {
    "annotation": "their annotations differ, and an annotation is part of what is measured",
    "molar mass": "mass and amount of substance convert by the molar mass of the analyte, which is not known here",
    "international unit": "international units are defined for each substance; an enzyme's IU is written U",
    "dimension": "they measure different things",
}


def reason(a: Unit, b: Unit) -> Reason:
    """What keeps two units of different dimension apart."""
    if a.annotations != b.annotations and a.exponents == b.exponents:
        return "annotation"
    if _per_mole(a) == _per_mole(b):
        return "molar mass"
    if "[IU]" in {*dict(a.exponents), *dict(b.exponents)}:
        return "international unit"
    return "dimension"


def unlike(source: str, target: str, why: str) -> UnitError:
    """The error that one unit does not convert to another."""
    return UnitError(source, f"does not convert to {target!r}: {why}. Give the value in {target!r}.", why)


def _per_mole(unit: Unit) -> tuple[object, ...]:
    """The dimension, with mass and equivalents read as amount of substance."""
    amount = ("g", "eq")
    return tuple(sorted(("mol" if base in amount else base, power) for base, power in unit.exponents)), unit.annotations


@lru_cache(maxsize=1024)
def parse(unit: str) -> Unit | None:
    """A unit as factor, dimension and annotations, or None when it is not known.

    A unit is evaluated from left to right, as UCUM has it (§7).
    """
    if not unit or len(unit) > _LONGEST or "\0" in unit:
        return None
    notes = [note for note in _NOTE.findall(unit) if note.lower() not in _MEANS_CELLS]
    plain = _NOTE.sub("\0", unit)
    if _DECIMAL.search(plain):
        return None
    parts = re.split(r"([/.])", plain)
    if parts[0] == "" and parts[1] == "/":
        parts[0] = "1"  # "/uL"
    factor, exponents = Fraction(1), dict[str, int]()
    for operator, text in zip([".", *parts[1::2]], parts[::2], strict=True):
        term = _term(text)
        if term is None:
            return None
        sign = -1 if operator == "/" else 1
        factor *= term[0] ** sign
        for base, power in term[1].items():
            exponents[base] = exponents.get(base, 0) + sign * power
    if not Fraction(1, 10**60) < factor < 10**60:
        return None
    kept = tuple(sorted((base, power) for base, power in exponents.items() if power))
    return Unit(factor, kept, tuple(sorted(notes)))


def _term(text: str) -> tuple[Fraction, dict[str, int]] | None:
    """Factor and exponents of one term, in which NUL stands for an annotation."""
    bare = text.rstrip("\0")
    if not bare:
        return (Fraction(1), {}) if text else None
    match = _TERM.fullmatch(bare)
    if match is None:
        return None
    if match["ten"]:
        return Fraction(10) ** int(match["power"] or 1), {}
    if match["number"]:
        return Fraction(int(match["number"])), {}
    atom = _atom(match["symbol"])
    if atom is None:
        return None
    power = int(match["exponent"] or 1)
    return atom[0] ** power, {base: exponent * power for base, exponent in atom[1].items()}


def _atom(symbol: str) -> tuple[Fraction, Mapping[str, int]] | None:
    """Factor and exponents of a symbol, with or without a metric prefix."""
    if symbol in _ATOMS:
        return _ATOMS[symbol]
    prefix, rest = symbol[:1], symbol[1:]
    if prefix in _PREFIXES and rest in (_LARGE if prefix in "MG" else _METRIC):
        factor, exponents = _ATOMS[rest]
        return factor * Fraction(10) ** _PREFIXES[prefix], exponents
    return None
