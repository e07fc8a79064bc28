"""Repeated measurements of the CTL019/CART19 patients: CAR kinetics, indices of integration sites, best response."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from features.importers.delimited import read_delimited
from features.importers.upenn_cart19_specimens import BLOOD, MARROW, PRODUCT, Specimens
from features.schema import Variable

AFTER_INFUSION_DAY = 0.5
"""Day of a sample of day 0 that was taken after the infusion."""
_MATERIALS = {"PB": "blood", "BM": "marrow"}
_KINETICS = {"copies_per_ug_dna": "car_copies", "vcn_per_cell": "car_vcn"}
_SHORT = {PRODUCT: "product", BLOOD: "blood", MARROW: "marrow"}
_SITES: Mapping[str, tuple[str, Variable]] = {
    "numUniqSites": ("richness", Variable(kind="numeric", range=(1, 1e6))),
    "ShannonIndex": ("shannon", Variable(kind="numeric", range=(0, 20))),
    "GiniIndex": ("gini", Variable(kind="numeric", range=(0, 1))),
    "Chao1": ("chao1_jackknife", Variable(kind="numeric", range=(0, 1e9))),
    "UC50": ("uc50", Variable(kind="numeric", range=(1, 1e6))),
    "maxRelAbund": ("top_share", Variable(kind="numeric", range=(0, 1))),
    "pctInOnco": (
        "near_oncogene_percent",
        Variable(kind="numeric", unit="%", range=(0, 100), description="sites within 5 kb of an oncogene"),
    ),
}
"""The authors' indices of a specimen: names, and plausible values."""
_RESPONSES = {"PD": 1.0, "NR": 2.0, "SD": 2.0, "PR": 3.0, "CR": 4.0}
_NO_RESPONSE_KNOWN = ("Unk", "ND")


def _variables() -> dict[str, Variable]:
    copies = Variable(kind="numeric", unit="{copies}/ug", range=(0, 1e7), description="CAR transgene per ug of DNA")
    per_cell = Variable(kind="numeric", unit="1", range=(0, 100), description="vector copies per cell")
    variables = {
        f"{of}_{name}": v
        for of in _MATERIALS.values()
        for name, v in zip(_KINETICS.values(), (copies, per_cell), strict=True)
    }
    variables |= {f"{of}_site_{name}": variable for of in _SHORT.values() for name, variable in _SITES.values()}
    best = "1 progression, 2 no response or stable disease, 3 partial, 4 complete remission"
    return variables | {"best_response": Variable(kind="numeric", range=(1, 4), description=best)}


VARIABLES: Mapping[str, Variable] = _variables()


def read_measurements(source: Path, specimens: Specimens, patients: set[str]) -> pd.DataFrame:
    """patient_id, day, variable, value of every repeated measurement, in the units of `VARIABLES`.

    Raises:
        SequelaError: A table is missing, a value is no number, or a patient is not one of `patients`.
    """
    parts = [*_kinetics(source, patients), *_sites(specimens), _best_response(source, patients)]
    table = pd.concat(parts).dropna(subset=["day", "value"])
    return table.sort_values(["patient_id", "variable", "day", "value"], ignore_index=True)


def _part(patients: object, days: object, variable: object, values: object) -> pd.DataFrame:
    return pd.DataFrame({"patient_id": patients, "day": days, "variable": variable, "value": values})


def _kinetics(source: Path, patients: set[str]) -> list[pd.DataFrame]:
    """CAR copies and vector copies per cell in blood and marrow."""
    table = read_delimited(source / "car_kinetics_vcn.csv")
    ids, name = table.present("patient"), table.present("sample_timepoint")
    table.refuse_where(~ids.isin(list(patients)), "patient", "every patient is in patients_merged.csv", "Remove it.")
    table.present("day")
    day = table.numbers("day")
    after = name.str.strip().str.endswith("post").to_numpy() & (day == 0)
    day = np.where(after, AFTER_INFUSION_DAY, day)
    material = table.present("sample_type").map(_MATERIALS)
    parts = []
    for column, variable in _KINETICS.items():
        values = table.numbers(column)
        table.refuse_where(values < 0, column, "a copy number is at least 0", "Correct the cell.")
        parts.append(_part(ids, day, material + f"_{variable}", values)[material.notna()])
    return parts


def _sites(specimens: Specimens) -> list[pd.DataFrame]:
    """The authors' indices of unsorted specimens; an index outside its range (a negative Chao1) is left out."""
    samples, material = specimens.samples, specimens.samples["material"].map(_SHORT)
    parts = []
    for column, (name, variable) in _SITES.items():
        values = specimens.table.numbers(column)
        low, high = variable.range or (-np.inf, np.inf)
        kept = np.where((values >= low) & (values <= high), values, np.nan)
        part = _part(samples["patient_id"], samples["day"], material + f"_site_{name}", kept)
        parts.append(part[material.notna()])
    return parts


def _best_response(source: Path, patients: set[str]) -> pd.DataFrame:
    """Best response to the first infusion."""
    table = read_delimited(source / "best_overall_response.csv")
    ids, response = table.present("patient_key"), table.present("best_response")
    table.refuse_where(
        ~ids.isin(list(patients)), "patient_key", "every patient is in patients_merged.csv", "Remove it."
    )
    known = [*_RESPONSES, *_NO_RESPONSE_KNOWN]
    table.refuse_where(~response.isin(known), "best_response", f"known are {', '.join(known)}", "Correct the cell.")
    first = table.text("repeat_infusion") == ""
    return _part(ids, table.numbers("response_day"), "best_response", response.map(_RESPONSES))[first]
