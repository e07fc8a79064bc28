"""Units: known conversions, round trips, and what must never convert."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ucumvert import PintUcumRegistry

from features import units
from features.units import UnitError, convert, known, nearest, same_dimension

# Each group measures one thing; the number is how much of the group's first unit one of this unit is.
GROUPS: list[dict[str, float]] = [
    {
        "10*3/uL": 1,
        "10*9/L": 1,
        "10^9/L": 1,
        "/uL": 1e-3,
        "{cells}/uL": 1e-3,
        "10*6/L": 1e-3,
        "10*6/uL": 1e3,
        "/L": 1e-9,
    },
    {"mg/dL": 1, "g/L": 100, "g/dL": 1000, "mg/L": 0.1, "mg/l": 0.1, "ug/mL": 0.1, "ng/mL": 1e-4}
    | {"ug/L": 1e-4, "pg/mL": 1e-7, "ng/L": 1e-7, "fg/uL": 1e-7, "ng/dL": 1e-6},
    {"U/L": 1, "kU/L": 1000, "U/mL": 1000, "ukat/L": 60, "umol/min/L": 1},
    {"[IU]/L": 1, "[iU]/L": 1, "k[IU]/L": 1000, "m[IU]/mL": 1},
    {"d": 1, "wk": 7, "h": 1 / 24, "a": 365.25, "mo": 30.4375, "min": 1 / 1440},
    {"1": 1, "%": 0.01, "[ppm]": 1e-6, "10*-3": 1e-3, "10*": 10},
    {"{copies}/1000.{cells}": 1, "{copies}/{cells}": 1000, "{copies}/10*6.{cells}": 1e-3},
    {"{copies}/ug": 1, "{copies}/ng": 1000},
    {"kg": 1, "g": 1e-3},
    {"cm": 1, "m": 100, "mm": 0.1},
    {"kg/m2": 1, "g/cm2": 10},
    {"mmol/L": 1, "umol/L": 1e-3, "nmol/mL": 1e-3},
    {"mm[Hg]": 1, "Pa": 1 / 133.322, "kPa": 1000 / 133.322},
    {"ug/mL{FEU}": 1, "mg/L{FEU}": 1, "ng/mL{FEU}": 1e-3},
    {"mL/min/{1.73_m2}": 1, "L/min/{1.73_m2}": 1000},
    {"Cel": 1},
    {"eq": 1, "meq": 1e-3},
    {"10*6/kg": 1, "{cells}/kg": 1e-6},
]
ALL_UNITS = sorted({unit for group in GROUPS for unit in group})


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: next(iter(group)))
def test_known_conversions(group: dict[str, float]) -> None:
    first = next(iter(group))
    for unit, factor in group.items():
        assert convert(1.0, unit, first) == pytest.approx(factor, rel=1e-14)
        assert same_dimension(unit, first)


def test_laboratory_values_are_exact() -> None:
    assert convert(1500.0, "/uL", "10*9/L") == 1.5
    assert convert(0.5, "mg/L", "ng/mL") == 500.0
    assert convert(11.4, "g/dL", "g/L") == 114.0
    assert convert(600.0, "mg/dL", "g/L") == 6.0
    assert convert(2.0, "a", "d") == 730.5


@given(
    group=st.sampled_from(GROUPS),
    pick=st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20)),
    value=st.floats(-1e12, 1e12).filter(lambda v: v == 0 or abs(v) > 1e-12),
)
def test_conversions_go_back_and_compose(group: dict[str, float], pick: tuple[int, int, int], value: float) -> None:
    units = list(group)
    a, b, c = (units[i % len(units)] for i in pick)
    there = convert(value, a, b)
    assert convert(there, b, a) == pytest.approx(value, rel=1e-14)
    assert convert(there, b, c) == pytest.approx(convert(value, a, c), rel=1e-14)


@given(a=st.sampled_from(ALL_UNITS), b=st.sampled_from(ALL_UNITS))
def test_only_units_of_one_group_convert(a: str, b: str) -> None:
    together = any(a in group and b in group for group in GROUPS)
    assert same_dimension(a, b) == together
    if not together:
        with pytest.raises(UnitError, match="does not convert to"):
            convert(1.0, a, b)


@pytest.mark.parametrize(
    ("fahrenheit", "celsius"), [(98.6, 37.0), (32.0, 0.0), (212.0, 100.0), (-40.0, -40.0), (100.4, 38.0)], ids=str
)
def test_temperatures_have_a_zero_of_their_own(fahrenheit: float, celsius: float) -> None:
    assert convert(fahrenheit, "[degF]", "Cel") == pytest.approx(celsius, rel=2e-16, abs=0), "to the last bit or two"
    assert convert(celsius, "Cel", "[degF]") == pytest.approx(fahrenheit, abs=1e-13)
    np.testing.assert_array_equal(convert(np.array([212.0, np.nan]), "[degF]", "Cel"), [100.0, np.nan])
    assert same_dimension("[degF]", "Cel")
    assert not same_dimension("[degF]/min", "Cel/min"), "a step of one scale is no step of the other"


# --- an independent implementation ----------------------------------------------------------------


@pytest.fixture(scope="module")
def registry() -> Any:
    return PintUcumRegistry()


def every_unit() -> list[str]:
    """Whatever the tables of units.py know: atoms with each prefix, and every common unit."""
    prefixed = [prefix + atom for prefix in units._PREFIXES for atom in units._METRIC if known(prefix + atom)]
    return sorted({*units._ATOMS, *prefixed, *units._COMMON, *ALL_UNITS} - {"Cel", "[degF]"})


def told_apart(unit: str) -> list[str]:
    """What ucumvert drops and we keep: annotations, and that IU, equivalents and osmoles are neither 1 nor mol."""
    return sorted(text.lower() for text in re.findall(r"\{(?!cells\})[^}]*\}|\[[Ii]U\]|eq$|osm$", unit))


def quantity_of(unit: str, registry: Any) -> Any:
    """One of a unit, as ucumvert reads it; it takes an annotation alone, which is 1 (UCUM §12), for a name."""
    read = registry.from_ucum(f"1{unit}" if unit.startswith("{") else unit)
    return registry.Quantity(read, "") if isinstance(read, float) else read.to_base_units()


def test_factors_agree_with_ucumvert(registry: Any) -> None:
    """Every pair of units of one dimension, to 1e-12; ucumvert takes a column of mercury from pint, not from UCUM."""
    essence = (files("ucumvert") / "vendor" / "ucum-essence.xml").read_text(encoding="ascii")
    mercury = re.search(r'Code="m\[Hg\]".*?Unit="kPa" UNIT="KPAL" value="([0-9.]+)"', essence, re.DOTALL)
    assert mercury is not None
    correction = float(mercury[1]) / registry.from_ucum("m[Hg]").to("kPa").magnitude
    assert correction == pytest.approx(1, abs=3e-6)
    ours = every_unit()
    assert len(ours) > 200
    base = {unit: quantity_of(unit, registry) for unit in ours if unit != "[pH]"}  # which no other unit measures
    n_pairs = 0
    for a, b in product(base, base):
        one_dimension = base[a].units == base[b].units and told_apart(a) == told_apart(b)
        assert same_dimension(a, b) == one_dimension, (a, b)
        if one_dimension:
            n_pairs += 1
            expected = base[a].magnitude / base[b].magnitude
            expected *= correction ** (("[Hg]" in a) - ("[Hg]" in b))
            assert convert(1.0, a, b) == pytest.approx(expected, rel=1e-12), (a, b)
    assert n_pairs > 2500


@pytest.mark.parametrize(("source", "target"), [("Cel", "[degF]"), ("[degF]", "Cel")], ids=str)
def test_temperatures_agree_with_ucumvert(source: str, target: str, registry: Any) -> None:
    for value in (-40.0, 0.0, 36.6, 39.4, 104.0):
        expected = registry.Quantity(value, registry.from_ucum(source).units).to(registry.from_ucum(target).units)
        assert convert(value, source, target) == pytest.approx(expected.magnitude, rel=1e-12, abs=1e-12)


def test_arrays_keep_shape_and_missing_values() -> None:
    values = np.array([[1.0, np.nan], [2.5, 0.0]])
    np.testing.assert_array_equal(convert(values, "g/L", "mg/dL"), [[100.0, np.nan], [250.0, 0.0]])
    np.testing.assert_array_equal(values, [[1.0, np.nan], [2.5, 0.0]])


def test_identical_units_convert_even_when_unknown() -> None:
    assert not known("furlong")
    assert convert(3.0, "furlong", "furlong") == 3.0


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        pytest.param("ug/mL{FEU}", "ug/mL", "annotations differ", id="FEU-to-plain"),
        pytest.param("ug/mL{FEU}", "ug/mL{DDU}", "annotations differ", id="FEU-to-DDU"),
        pytest.param("{copies}/ug", "/ug", "annotations differ", id="copies-to-plain"),
        pytest.param("umol/L", "mg/dL", "molar mass of the analyte", id="molar-to-mass"),
        pytest.param("g/L", "mmol/L", "molar mass of the analyte", id="mass-to-molar"),
        pytest.param("[IU]/L", "U/L", "an enzyme's IU is written U", id="IU-to-U"),
        pytest.param("mg/dL", "U/L", "different things", id="mass-to-enzyme"),
        pytest.param("d", "kg", "different things", id="time-to-mass"),
        pytest.param("/uL", "%", "different things", id="count-to-share"),
    ],
)
def test_incommensurable_units_say_why(source: str, target: str, reason: str) -> None:
    with pytest.raises(UnitError, match=reason):
        convert(1.0, source, target)


@pytest.mark.parametrize(
    ("spelling", "unit"),
    [
        ("G/L", "10*9/L"),
        ("K/uL", "10*3/uL"),
        ("10e9/L", "10*9/L"),
        ("x10^9/L", "10*9/L"),
        ("years", "a"),
        ("Days", "d"),
        ("µg/L", "ug/L"),
        ("mg / dL", "mg/dL"),
        ("MG/DL", "mg/dL"),
        ("Mg/dL", "mg/dL"),
        ("IU/L", "U/L"),
        ("cells/uL", "{cells}/uL"),
        ("mmHg", "mm[Hg]"),
        ("°C", "Cel"),
        ("°F", "[degF]"),
        ("mEq/L", "meq/L"),
        ("ng/mL FEU", "ug/mL{FEU}"),
        ("ug/mL FEU", "ug/mL{FEU}"),
    ],
)
def test_spellings_are_unknown_and_the_remedy_names_the_unit(spelling: str, unit: str) -> None:
    assert not known(spelling)
    assert known(unit)
    assert nearest(spelling) == unit
    with pytest.raises(UnitError, match="is not a UCUM unit known here") as error:
        convert(1.0, spelling, "kg")
    assert f"Did you mean {unit}?" in str(error.value)


def test_a_remedy_without_a_near_unit_shows_examples() -> None:
    assert nearest("qqqqqqqqqqqq") is None
    with pytest.raises(UnitError, match=r"Write it in UCUM, e\.g\. mg/dL"):
        convert(1.0, "mg/dL", "qqqqqqqqqqqq")


@pytest.mark.parametrize("text", ["Jane Doe", "{Jane Doe}", "mg/dL{Jane Doe}", "mg / dL {Jane Doe}", "Jane Doe" * 20])
def test_a_rule_repeats_nothing_of_what_was_given(text: str) -> None:
    with pytest.raises(UnitError) as error:
        convert(1.0, text, "kg")
    assert "Jane" not in error.value.rule
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("unit", ["mg/dL", "/uL", "10*", "%", "{score}", "kg.m2/s2", "1", "100", "m-2"], ids=repr)
def test_what_is_a_unit_is_known(unit: str) -> None:
    assert known(unit)


NO_UNITS = ["", " ", "/", ".", "mg/", "mg//dL", ".mg", "mg/dL/", "{", "}", "{a}}", "mg{a", "10*999/L", "10*99.10*99"]
NO_UNITS += ["Mg/dL", "0", "01", "1.5", "m0", "m10", "mg dL", "mg\0", "\0", "dmin", "(mg)/dL", "٣", "²", "g" * 65]


@pytest.mark.parametrize("unit", NO_UNITS, ids=repr)
def test_what_is_no_unit_is_unknown(unit: str) -> None:
    assert not known(unit)


@given(st.text(alphabet="mgdLu/{}.*^10-+ %[]IUa\0é", max_size=80) | st.text(max_size=80))
def test_any_text_is_judged_without_a_failure(text: str) -> None:
    suggestion = nearest(text)
    assert suggestion is None or known(suggestion)
    if not known(text):
        with pytest.raises(UnitError, match="is not a UCUM unit known here"):
            convert(1.0, text, "kg")
    else:
        assert convert(1.0, text, text) == 1.0
