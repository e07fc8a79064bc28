"""Analytes: found in any cohort, and converted as pint converts them with the molar mass as a chemistry context."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations, product
from typing import Any

import numpy as np
import pint
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.analytes import ANALYTES, analyte_called, analyte_of, convert_analyte, find
from features.errors import SequelaError
from features.schema import Variable
from features.units import UnitError, convert, known

# IUPAC abridged standard atomic weights (Prohaska et al. 2022, Pure Appl Chem 94:573-600, table 2).
WEIGHTS = {"H": "1.008", "C": "12.011", "N": "14.007", "O": "15.999", "Na": "22.990", "Mg": "24.305", "P": "30.974"}
WEIGHTS |= {"K": "39.098", "Ca": "40.078"}
WEIGHED: dict[str, dict[str, int]] = {
    "creatinine": {"C": 4, "H": 7, "N": 3, "O": 1},
    "bilirubin": {"C": 33, "H": 36, "N": 4, "O": 6},
    "urea": {"C": 1, "H": 4, "N": 2, "O": 1},
    "bun": {"N": 2},
    "uric_acid": {"C": 5, "H": 4, "N": 4, "O": 3},
    "triglycerides": {"C": 57, "H": 104, "O": 6},
    "glucose": {"C": 6, "H": 12, "O": 6},
    "calcium": {"Ca": 1},
    "sodium": {"Na": 1},
    "potassium": {"K": 1},
    "magnesium": {"Mg": 1},
    "phosphate": {"P": 1},
}
"""The atoms that a mass unit of the analyte weighs, for each mole."""
MOLAR = sorted(name for name, analyte in ANALYTES.items() if analyte.molar_mass_g_per_mol is not None)
PINT_OF = {"g/L": "g/L", "g/dL": "g/dL", "mg/dL": "mg/dL", "ug/L": "ug/L", "ng/mL": "ng/mL"}
PINT_OF |= {"mol/L": "mol/L", "mmol/L": "mmol/L", "umol/L": "umol/L", "nmol/mL": "nmol/mL"}
CONCENTRATIONS = tuple(PINT_OF)


def numeric(unit: str = "1", **more: Any) -> Variable:
    return Variable(kind="numeric", unit=unit, **more)


# --- the table ------------------------------------------------------------------------------------


def test_the_analytes_of_the_scores_and_of_long_follow_up_are_there() -> None:
    needed = """anc alc wbc monocytes platelets haemoglobin crp ferritin ldh creatinine bilirubin albumin urea bun
        uric_acid ast alt alp ggt igg iga igm cd4 cd8 cd19 il6 ifn_gamma il2r d_dimer fibrinogen triglycerides glucose
        calcium sodium potassium magnesium phosphate troponin procalcitonin b2_microglobulin temperature car_copies
        blast_burden"""
    assert set(needed.split()) <= set(ANALYTES)


@pytest.mark.parametrize("name", ANALYTES)
def test_each_analyte_is_written_as_it_has_to_be(name: str) -> None:
    analyte = ANALYTES[name]
    assert analyte.name == name
    assert known(analyte.unit)
    assert analyte.title
    for spelling in (name, *analyte.aliases):
        assert analyte_called(spelling.upper().replace("_", "-")) is analyte, "no other analyte has the same alias"
    assert find(name, {name: numeric(analyte.unit)}) == name
    for code in analyte.loinc:
        assert analyte_of("x", numeric(loinc=code)) == name, "no other analyte has the same code"
        digits, check = code.split("-")
        assert luhn(digits) == int(check), f"{code} is no LOINC code: its check digit is wrong"


def luhn(digits: str) -> int:
    """The check digit of a LOINC code (mod 10; LOINC Users' Guide, appendix on the check digit)."""
    doubled = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits))]
    return -sum(value // 10 + value % 10 for value in doubled) % 10


@pytest.mark.parametrize("name", WEIGHED)
def test_molar_masses_are_those_of_the_formula(name: str) -> None:
    mass = sum(Fraction(WEIGHTS[element]) * n for element, n in WEIGHED[name].items())
    assert ANALYTES[name].molar_mass_g_per_mol == mass


def test_haemoglobin_is_the_monomer_and_every_molar_mass_is_tested() -> None:
    assert ANALYTES["haemoglobin"].molar_mass_g_per_mol == Fraction(64_458, 4)
    assert {*WEIGHED, "haemoglobin"} == set(MOLAR)


# --- conversion -----------------------------------------------------------------------------------

PRINTED = [
    # Factors as laboratories print them, correct to their last digit.
    ("creatinine", "mg/dL", "umol/L", "88.4"),
    ("glucose", "mg/dL", "mmol/L", "0.0555"),
    ("glucose", "mmol/L", "mg/dL", "18.02"),
    ("bilirubin", "mg/dL", "umol/L", "17.10"),
    ("bun", "mg/dL", "mmol/L", "0.357"),
    ("urea", "mmol/L", "mg/dL", "6.006"),
    ("uric_acid", "mg/dL", "umol/L", "59.48"),
    ("triglycerides", "mg/dL", "mmol/L", "0.0113"),
    ("calcium", "mg/dL", "mmol/L", "0.2495"),
    ("calcium", "meq/L", "mg/dL", "2.004"),
    ("magnesium", "mg/dL", "mmol/L", "0.411"),
    ("magnesium", "meq/L", "mmol/L", "0.5"),
    ("phosphate", "mg/dL", "mmol/L", "0.323"),
    ("sodium", "meq/L", "mmol/L", "1"),
    ("potassium", "meq/L", "mmol/L", "1"),
    ("haemoglobin", "mmol/L", "g/dL", "1.611"),
    ("haemoglobin", "g/dL", "mmol/L", "0.6206"),
    ("d_dimer", "ug/mL{DDU}", "ug/mL{FEU}", "2"),
    ("d_dimer", "ng/mL{FEU}", "ug/L{DDU}", "0.5"),
    ("d_dimer", "ng/mL{DDU}", "mg/L{FEU}", "0.002"),
    ("crp", "mg/dL", "mg/L", "10"),
    ("platelets", "/uL", "10*9/L", "0.001"),
    ("cd4", "10*9/L", "{cells}/uL", "1000"),
]


@pytest.mark.parametrize(("analyte", "source", "target", "printed"), PRINTED, ids=lambda text: str(text))
def test_factors_are_those_in_print(analyte: str, source: str, target: str, printed: str) -> None:
    decimals = len(printed.partition(".")[2])
    assert round(convert_analyte(1.0, source, target, analyte), decimals) == float(printed)


@pytest.fixture(scope="module")
def registry() -> pint.UnitRegistry[Any]:
    return pint.UnitRegistry()


@pytest.mark.parametrize("name", MOLAR)
def test_mass_and_moles_convert_as_pint_converts_them(name: str, registry: pint.UnitRegistry[Any]) -> None:
    molar_mass = ANALYTES[name].molar_mass_g_per_mol
    assert molar_mass is not None
    mw = registry.Quantity(float(molar_mass), "g/mol")
    for source, target in product(CONCENTRATIONS, CONCENTRATIONS):
        expected = registry.Quantity(7.3, PINT_OF[source]).to(PINT_OF[target], "chemistry", mw=mw).magnitude
        assert convert_analyte(7.3, source, target, name) == pytest.approx(expected, rel=1e-12), (source, target)


@given(
    name=st.sampled_from(MOLAR),
    units=st.tuples(*[st.sampled_from(CONCENTRATIONS)] * 3),
    value=st.floats(1e-9, 1e12),
)
def test_conversions_go_back_and_compose(name: str, units: tuple[str, str, str], value: float) -> None:
    a, b, c = units
    there = convert_analyte(value, a, b, name)
    assert convert_analyte(there, b, a, name) == pytest.approx(value, rel=1e-14)
    assert convert_analyte(there, b, c, name) == pytest.approx(convert_analyte(value, a, c, name), rel=1e-14)


@given(
    value=st.floats(1e-9, 1e12), pair=st.sampled_from(list(permutations(["ng/mL{FEU}", "ug/mL{DDU}", "mg/L{FEU}"], 2)))
)
def test_d_dimers_go_back(value: float, pair: tuple[str, str]) -> None:
    there = convert_analyte(value, *pair, "d_dimer")
    assert convert_analyte(there, pair[1], pair[0], "d_dimer") == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize("analyte", [None, "creatinine", "d_dimer", "ldh"])
def test_what_needs_no_analyte_is_converted_as_without_one(analyte: str | None) -> None:
    assert convert_analyte(1500.0, "/uL", "10*9/L", analyte) == convert(1500.0, "/uL", "10*9/L") == 1.5
    assert convert_analyte(60.0, "U/L", "ukat/L", analyte) == convert(60.0, "U/L", "ukat/L")
    assert convert_analyte(3.0, "furlong", "furlong", analyte) == 3.0


def test_the_factor_is_rounded_once() -> None:
    exact = Fraction(10_000) / Fraction("113.120")
    assert convert_analyte(1.0, "mg/dL", "umol/L", "creatinine") == float(exact)
    assert convert_analyte(1.0, "ng/mL{DDU}", "ng/mL{FEU}", "d_dimer") == 2.0
    assert convert_analyte(113.12, "umol/L", "mg/L", "creatinine") == pytest.approx(12.7961344, rel=1e-15)


def test_arrays_keep_shape_and_missing_values() -> None:
    values = np.array([[1.0, np.nan], [2.0, 0.0]])
    found = convert_analyte(values, "mmol/L", "g/L", "Glucose")
    np.testing.assert_allclose(found, [[0.180156, np.nan], [0.360312, 0.0]], rtol=1e-15)
    np.testing.assert_array_equal(values, [[1.0, np.nan], [2.0, 0.0]])


@pytest.mark.parametrize(
    ("analyte", "source", "target", "why"),
    [
        pytest.param(None, "mg/dL", "umol/L", "molar mass of the analyte, which is not known here", id="no-analyte"),
        pytest.param("ferritin", "pmol/L", "ng/mL", "no one molar mass is agreed for ferritin", id="protein"),
        pytest.param("albumin", "g/L", "umol/L", "no one molar mass is agreed for albumin", id="albumin"),
        pytest.param("crp", "meq/L", "mmol/L", "no one molar mass is agreed for C-reactive", id="no-charge"),
        pytest.param("il6", "[IU]/mL", "pg/mL", "between international units and mass is agreed", id="IL-6-IU"),
        pytest.param("igg", "[IU]/mL", "mg/dL", "between international units and mass is agreed", id="IgG-IU"),
        pytest.param("il2r", "pg/mL", "U/mL", "they measure different things", id="sIL-2R"),
        pytest.param("d_dimer", "ug/mL", "ug/mL{FEU}", r"measured in \{FEU\} or \{DDU\}, and the unit", id="plain"),
        pytest.param("d_dimer", "mL/ug{DDU}", "mL/ug{FEU}", r"in \{FEU\} or \{DDU\}", id="below-the-line"),
        pytest.param("ferritin", "ng/mL{DDU}", "ng/mL{FEU}", "their annotations differ", id="no-D-dimer"),
        pytest.param("glucose", "mg/dL", "U/L", "they measure different things", id="mass-to-enzyme"),
        pytest.param("glucose", "mg", "mmol/L", "they measure different things", id="amount-to-concentration"),
        pytest.param("car_copies", "{copies}/mL", "{copies}/ug", "they measure different things", id="copies"),
    ],
)
def test_what_has_no_agreed_factor_is_refused_with_the_reason(
    analyte: str | None, source: str, target: str, why: str
) -> None:
    with pytest.raises(UnitError, match=why) as error:
        convert_analyte(1.0, source, target, analyte)
    assert str(error.value).endswith(f"Give the value in {target!r}.")
    assert error.value.why in str(error.value)


def test_unknown_units_and_analytes_are_refused_with_the_nearest() -> None:
    with pytest.raises(UnitError, match=r"'mcg/l' is not a UCUM unit known here. Did you mean ug/L\?"):
        convert_analyte(1.0, "mcg/l", "umol/L", "creatinine")
    with pytest.raises(SequelaError, match=r"no analyte is called 'creatinin'; the nearest is creatinine\.$"):
        convert_analyte(1.0, "mg/dL", "umol/L", "creatinin")
    with pytest.raises(SequelaError, match=r"no analyte is called 'qqqqq'; known here are anc, alc, "):
        find("qqqqq", {})


# --- which variable -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"crp": numeric("mg/L")}, "crp", id="name"),
        pytest.param({"C-Reactive Protein": numeric("mg/L")}, "C-Reactive Protein", id="alias, in any case"),
        pytest.param({"x": numeric("mg/L", loinc="30522-7")}, "x", id="LOINC"),
        pytest.param({"x": numeric("mg/L", analyte="crp")}, "x", id="declared"),
        pytest.param({"crp": numeric("mg/L"), "x": numeric(loinc="1988-5")}, "x", id="LOINC before name"),
        pytest.param(
            {"y": numeric("mg/L", loinc="1988-5"), "x": numeric(analyte="crp")}, "x", id="declared before LOINC"
        ),
        pytest.param({"hs_crp": numeric("mg/L"), "CRP": numeric("mg/L")}, "CRP", id="name before alias"),
        pytest.param(
            {"a": numeric("mg/L", loinc="30522-7"), "b": numeric("mg/L", loinc="1988-5")}, "b", id="commoner code"
        ),
        pytest.param({"b": numeric(analyte="crp"), "a": numeric(analyte="crp")}, "a", id="the first by alphabet"),
        pytest.param({"crp": numeric("1"), "hs_crp": numeric("mg/dL")}, "hs_crp", id="the one whose unit converts"),
        pytest.param({"crp": numeric("1")}, "crp", id="one alone, whatever its unit"),
        pytest.param({"crp": numeric("furlong"), "hscrp": numeric("mg/L")}, "hscrp", id="a unit not known"),
        pytest.param({"crp": numeric("ng/mL", analyte="ferritin")}, None, id="declared as another"),
        pytest.param({"crp": numeric("ng/mL", loinc="2276-4")}, None, id="the LOINC code of another"),
        pytest.param({"crp": numeric("mg/L", loinc="99999-9")}, "crp", id="a LOINC code not known here"),
        pytest.param({"crp": Variable(kind="ordinal", levels=("low", "high"))}, None, id="not numeric"),
        pytest.param({"my_crp": numeric("mg/L")}, None, id="part of a name is no name"),
    ],
)
def test_the_variable_that_is_an_analyte_is_found(variables: dict[str, Variable], expected: str | None) -> None:
    assert find("crp", variables) == expected
    assert find("C-reactive protein", dict(reversed(variables.items()))) == expected, "in any order"


def test_a_molar_unit_fits_an_analyte_with_a_molar_mass() -> None:
    variables = {"crea": numeric("U/L"), "serum_creatinine": numeric("umol/L")}
    assert find("creatinine", variables) == "serum_creatinine"


@given(st.dictionaries(st.sampled_from(["crp", "CRP", "ferritin", "x", "y"]), st.sampled_from([None, "1988-5"])))
def test_what_is_found_is_the_analyte(codes: dict[str, str | None]) -> None:
    variables = {name: numeric("mg/L", loinc=code) for name, code in codes.items()}
    found = find("crp", variables)
    are_crp = [name for name, variable in variables.items() if analyte_of(name, variable) == "crp"]
    assert (found in are_crp) if are_crp else (found is None)


# --- in cohort.yaml -------------------------------------------------------------------------------


def test_a_variable_names_an_analyte_that_there_is() -> None:
    assert numeric("mg/L", analyte="crp").analyte == "crp"
    with pytest.raises(ValueError, match="no analyte has the name 'feritin'; the nearest is ferritin"):
        numeric(analyte="feritin")
    with pytest.raises(ValueError, match="no analyte has the name 'hgb'; the nearest is haemoglobin"):
        numeric(analyte="hgb")
    with pytest.raises(ValueError, match="only a numeric variable is an analyte"):
        Variable(kind="categorical", analyte="crp")
