"""Laboratory analytes: which variable of a cohort is one, and how its mass, moles and other units convert.

Molar masses are sums of the abridged standard atomic weights of IUPAC (Prohaska et al. 2022, Pure Appl Chem
94:573-600) over the formula that PubChem gives. Where laboratories follow a convention, `Analyte.convention` names it.
A conversion for which no one factor is agreed is refused: proteins whose molar mass depends on the reference (albumin,
CRP, ferritin, fibrinogen, immunoglobulins, troponins), units of the soluble interleukin-2 receptor (assays differ), and
international units against mass (interleukin-6, ferritin, immunoglobulins).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from typing import TYPE_CHECKING

from features.errors import SequelaError
from features.units import Unit, convert, parse, read, reason, same_dimension, scaled, unlike

if TYPE_CHECKING:
    from features.schema import Variable
    from features.units import Value


@dataclass(frozen=True, slots=True)
class Analyte:
    """A measured substance, cell or quantity."""

    name: str
    title: str
    unit: str
    """Canonical UCUM unit."""
    loinc: tuple[str, ...] = ()
    """LOINC codes of the analyte in blood, serum or plasma, the commonest first, whatever the unit."""
    aliases: tuple[str, ...] = ()
    """Other names of variables, in small letters with underscores, the likeliest first."""
    molar_mass_g_per_mol: Fraction | None = None
    """Grams of what a mass unit weighs, per mole of what a molar unit counts; None: no such conversion."""
    charge: int | None = None
    """Equivalents per mole of an ion."""
    annotations: tuple[tuple[str, Fraction], ...] = ()
    """Annotations that have to be there, with the factor to the first of them."""
    convention: str = ""
    """What laboratories agreed on and a formula alone does not say."""


def _cells(name: str, title: str, loinc: tuple[str, ...], *aliases: str, unit: str = "10*9/L") -> Analyte:
    return Analyte(name, title, unit, loinc, aliases)


def _molar(
    name: str,
    title: str,
    grams: str,
    loinc: tuple[str, ...],
    *aliases: str,
    unit: str = "mg/dL",
    charge: int | None = None,
    convention: str = "",
) -> Analyte:
    return Analyte(name, title, unit, loinc, aliases, Fraction(grams), charge, convention=convention)


_ALL = (
    _cells("anc", "absolute neutrophil count", ("751-8", "26499-4"), "neutrophils", "neutrophil_count", "neut"),
    _cells("alc", "absolute lymphocyte count", ("731-0",), "lymphocytes", "lymphocyte_count"),
    _cells("wbc", "leucocytes", ("6690-2",), "leucocytes", "leukocytes", "white_blood_cells", "leucocyte_count"),
    _cells("monocytes", "monocytes", ("742-7",), "monocyte_count", "amc"),
    _cells("platelets", "platelets", ("777-3",), "platelet_count", "plt", "thrombocytes"),
    _cells("cd4", "CD4 T cells", ("24467-3",), "cd4_count", "cd4_t_cells", "cd4_abs", unit="{cells}/uL"),
    _cells("cd8", "CD8 T cells", ("14135-8", "8137-2"), "cd8_count", "cd8_t_cells", "cd8_abs", unit="{cells}/uL"),
    _cells("cd19", "CD19 B cells", ("8116-6",), "cd19_count", "cd19_b_cells", "b_cell_count", unit="{cells}/uL"),
    _molar(
        *("haemoglobin", "haemoglobin", "16114.5", ("718-7", "59260-0"), "hemoglobin", "hb", "hgb"),
        unit="g/dL",
        convention="A mole is of the monomer, a quarter of the tetramer's 64,458 g/mol: 1 mmol/L = 1.611 g/dL.",
    ),
    Analyte("crp", "C-reactive protein", "mg/L", ("1988-5", "30522-7"), ("c_reactive_protein", "hs_crp", "hscrp")),
    Analyte("ferritin", "ferritin", "ng/mL", ("2276-4",), ("serum_ferritin",)),
    Analyte("ldh", "lactate dehydrogenase", "U/L", ("2532-0", "14804-9"), ("lactate_dehydrogenase",)),
    _molar(
        *("creatinine", "creatinine", "113.120", ("2160-0", "14682-9"), "serum_creatinine", "crea", "creat"),
        convention="C4H7N3O.",
    ),
    _molar(
        *("bilirubin", "total bilirubin", "584.673", ("1975-2", "14631-6")),
        *("total_bilirubin", "bilirubin_total", "tbil"),
        convention="Unconjugated bilirubin, C33H36N4O6.",
    ),
    Analyte("albumin", "albumin", "g/dL", ("1751-7",), ("serum_albumin",)),
    _molar(
        *("urea", "urea", "60.056", ("22664-7",), "serum_urea"),
        unit="mmol/L",
        convention="CH4N2O; a mass is of urea, not of its nitrogen: that is bun.",
    ),
    _molar(
        *("bun", "blood urea nitrogen", "28.014", ("3094-0",), "urea_nitrogen", "blood_urea_nitrogen"),
        convention="A mass is of the two nitrogen atoms of urea, a mole is of urea: 1 mmol/L = 2.801 mg/dL.",
    ),
    _molar("uric_acid", "uric acid", "168.112", ("3084-1",), "urate", convention="C5H4N4O3."),
    Analyte("ast", "aspartate aminotransferase", "U/L", ("1920-8",), ("got", "sgot", "asat")),
    Analyte("alt", "alanine aminotransferase", "U/L", ("1742-6",), ("gpt", "sgpt", "alat")),
    Analyte("alp", "alkaline phosphatase", "U/L", ("6768-6",), ("alkaline_phosphatase",)),
    Analyte("ggt", "gamma-glutamyl transferase", "U/L", ("2324-2",), ("gamma_gt", "gamma_glutamyl_transferase")),
    Analyte("igg", "immunoglobulin G", "mg/dL", ("2465-3",), ("immunoglobulin_g",)),
    Analyte("iga", "immunoglobulin A", "mg/dL", ("2458-8",), ("immunoglobulin_a",)),
    Analyte("igm", "immunoglobulin M", "mg/dL", ("2472-9",), ("immunoglobulin_m",)),
    Analyte("il6", "interleukin-6", "pg/mL", ("26881-3",), ("il_6", "interleukin_6")),
    Analyte("ifn_gamma", "interferon gamma", "pg/mL", ("27415-9",), ("ifng", "ifn_g", "interferon_gamma")),
    Analyte("il2r", "soluble interleukin-2 receptor", "U/mL", (), ("sil2r", "sil_2r", "soluble_il2r", "scd25")),
    Analyte(
        *("d_dimer", "D-dimer", "ug/mL{FEU}", ("48065-7", "48066-5"), ("ddimer", "d_dimers")),
        annotations=(("FEU", Fraction(1)), ("DDU", Fraction(2))),
        convention="A fibrinogen-equivalent unit (FEU) weighs twice the D-dimer unit (DDU) it holds: 1 DDU = 2 FEU.",
    ),
    Analyte("fibrinogen", "fibrinogen", "mg/dL", ("3255-7",), ("plasma_fibrinogen",)),
    _molar(
        *("triglycerides", "triglycerides", "885.453", ("2571-8",), "triglyceride", "trigs"),
        convention="A mole is of triolein, C57H104O6: 1 mmol/L = 88.55 mg/dL.",
    ),
    _molar("glucose", "glucose", "180.156", ("2345-7", "14749-6"), "blood_glucose", convention="C6H12O6."),
    _molar("calcium", "total calcium", "40.078", ("17861-6",), "total_calcium", "serum_calcium", charge=2),
    _molar("sodium", "sodium", "22.990", ("2951-2",), "serum_sodium", unit="mmol/L", charge=1),
    _molar("potassium", "potassium", "39.098", ("2823-3",), "serum_potassium", unit="mmol/L", charge=1),
    _molar("magnesium", "magnesium", "24.305", ("19123-9",), "serum_magnesium", charge=2),
    _molar(
        *("phosphate", "inorganic phosphate", "30.974", ("2777-1",), "phosphorus", "inorganic_phosphate"),
        convention="A mass is of phosphorus: 1 mmol/L = 3.097 mg/dL.",
    ),
    Analyte("troponin", "cardiac troponin, T or I not said", "ng/L", (), ("cardiac_troponin",)),
    Analyte("troponin_t", "cardiac troponin T", "ng/L", ("6598-7", "67151-1"), ("tnt", "hs_tnt", "hs_troponin_t")),
    Analyte("troponin_i", "cardiac troponin I", "ng/L", ("10839-9", "49563-0"), ("tni", "hs_tni", "hs_troponin_i")),
    Analyte("procalcitonin", "procalcitonin", "ng/mL", ("33959-8",), ("pct",)),
    Analyte("b2_microglobulin", "beta-2-microglobulin", "mg/L", ("1952-1",), ("beta2_microglobulin", "b2m")),
    Analyte("temperature", "body temperature", "Cel", ("8310-5",), ("body_temperature",)),
    Analyte("car_copies", "CAR transgene copies", "{copies}/ug", (), ("car_transgene", "vcn_blood")),
    Analyte("blast_burden", "blasts in the bone marrow", "%", (), ("marrow_blasts", "bone_marrow_blasts", "blasts")),
)
ANALYTES: Mapping[str, Analyte] = {analyte.name: analyte for analyte in _ALL}
"""Every analyte known here, by name."""
_BY_NAME = {name: analyte.name for analyte in _ALL for name in (analyte.name, *analyte.aliases)}
_BY_LOINC = {code: analyte.name for analyte in _ALL for code in analyte.loinc}


def analyte_called(name: str) -> Analyte:
    """The analyte of this name or alias, in capital or small letters.

    Raises:
        SequelaError: There is none; the nearest is named.
    """
    found = _BY_NAME.get(_plain(name))
    if found is None:
        msg = f"no analyte is called {name[:64]!r}; {nearest_analyte(name)}."
        raise SequelaError(msg)
    return ANALYTES[found]


def nearest_analyte(name: str) -> str:
    """What may have been meant by an unknown name of an analyte."""
    found = get_close_matches(_plain(name[:64]), list(_BY_NAME), n=1)
    return f"the nearest is {_BY_NAME[found[0]]}" if found else f"known here are {', '.join(ANALYTES)}"


def analyte_of(name: str, variable: Variable) -> str | None:
    """Name of the analyte that a variable is: what it declares, else what its LOINC code means, else its own name."""
    match = _match(name, variable)
    return None if match is None else match[0]


def find(analyte: str, variables: Mapping[str, Variable]) -> str | None:
    """Name of the variable that is an analyte, or None.

    Of several, one that declares the analyte goes before one with its LOINC code, and that before one of its name;
    then one whose unit converts to the analyte's; then the commoner code or likelier name; then the first by alphabet.

    Args:
        analyte: Name or alias of an analyte.
        variables: What the cohort declares.

    Raises:
        SequelaError: No analyte has this name.
    """
    wanted = analyte_called(analyte)
    ranked = []
    for name, variable in variables.items():
        match = _match(name, variable)
        if match is not None and match[0] == wanted.name:
            ranked.append((match[1], not _fits(variable, wanted), match[2], name))
    return min(ranked)[-1] if ranked else None


def convert_analyte(values: Value, source: str, target: str, analyte: str | None) -> Value:
    """Express values of an analyte in another unit: `features.units.convert`, and what needs the analyte.

    mass = amount of substance · molar mass; equivalents = amount of ions · charge; a D-dimer in DDU is twice as much in
    FEU. The factor is rational and is rounded once.

    Args:
        values: A value, or an array of any shape; NaN stays.
        source: UCUM unit of `values`.
        target: UCUM unit wanted.
        analyte: Name or alias of the analyte; None when it is not known.

    Raises:
        UnitError: A unit is not known, or no factor between the two is agreed for this analyte.
        SequelaError: No analyte has this name.
    """
    if analyte is None or same_dimension(source, target):
        return convert(values, source, target)
    known = analyte_called(analyte)
    a, b = _in_grams(read(source), known), _in_grams(read(target), known)
    if a[1:] != b[1:]:
        why = _why_not(a, b, known)
        raise unlike(source, target, why)
    return scaled(values, a.factor / b.factor)


def _in_grams(unit: Unit, analyte: Analyte) -> Unit:
    """The unit with moles, equivalents and annotations turned into grams of the analyte, as far as that is agreed."""
    factor, exponents = unit.factor, dict(unit.exponents)
    if analyte.charge is not None and "eq" in exponents:
        power = exponents.pop("eq")
        factor /= Fraction(analyte.charge) ** power
        exponents["mol"] = exponents.get("mol", 0) + power
    if analyte.molar_mass_g_per_mol is not None and "mol" in exponents:
        power = exponents.pop("mol")
        factor *= analyte.molar_mass_g_per_mol**power
        exponents["g"] = exponents.get("g", 0) + power
    kept = tuple(sorted((base, power) for base, power in exponents.items() if power))
    notes = unit.annotations
    weight = dict(analyte.annotations).get(notes[0].upper()) if len(notes) == 1 else None
    if weight is not None and kept == read(analyte.unit).exponents:  # elsewhere it may stand below the line
        return Unit(factor * weight, kept, (analyte.annotations[0][0],))
    return Unit(factor, kept, notes)


def _why_not(a: Unit, b: Unit, analyte: Analyte) -> str:
    what = reason(a, b)
    if what == "annotation" and analyte.annotations:
        names = " or ".join(f"{{{note}}}" for note, _ in analyte.annotations)
        return f"{analyte.title} is measured in {names}, and the unit has to say in which"
    if what == "molar mass":
        return f"no one molar mass is agreed for {analyte.title}"
    if what == "international unit":
        return f"no one factor between international units and mass is agreed for {analyte.title}"
    return "their annotations differ" if what == "annotation" else "they measure different things"


def _match(name: str, variable: Variable) -> tuple[str, int, int] | None:
    """Analyte of a variable, with how it was told (0 declared, 1 LOINC, 2 name) and the place of that code or name."""
    if variable.kind != "numeric":
        return None
    if variable.analyte is not None:
        return variable.analyte, 0, 0
    if variable.loinc in _BY_LOINC:
        found = _BY_LOINC[variable.loinc]
        return found, 1, ANALYTES[found].loinc.index(variable.loinc)
    plain = _plain(name)
    if plain not in _BY_NAME:
        return None
    found = _BY_NAME[plain]
    return found, 2, (found, *ANALYTES[found].aliases).index(plain)


def _fits(variable: Variable, analyte: Analyte) -> bool:
    """Whether the variable's unit converts to that of the analyte."""
    unit = parse(variable.unit)
    return unit is not None and (
        same_dimension(variable.unit, analyte.unit)
        or _in_grams(unit, analyte)[1:] == _in_grams(read(analyte.unit), analyte)[1:]
    )


def _plain(name: str) -> str:
    """A name in small letters, with underscores for spaces, hyphens and points."""
    return name.strip().lower().replace(" ", "_").replace("-", "_").replace(".", "_")
