"""What may raise an alert at a visit: the model's risk, and the simpler rules that it has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from features.analytes import find
from features.baseline import impossible
from features.landmark import landmark_columns
from features.patients import FloatArray, Patients
from features.schema import Variable
from features.scores import computable, score_columns
from features.scores.icaht import icaht_columns
from features.scores.thrombocytopenia import t_icaht_columns
from features.units import same_dimension

MODEL = "risk of the model"
MOST_LABS = 40
"""Laboratory values that are tried alone, the first that the cohort declares."""


@dataclass(frozen=True, slots=True)
class Marker:
    """A number at each visit."""

    name: str
    values: FloatArray
    """(visits,), NaN where it is not known."""
    unit: str = ""
    either_way: bool = False
    """Whether low values may be the dangerous ones: which, is found on the patients on whom a rule is fixed."""


def markers_of(patients: Patients, variables: Mapping[str, Variable], risk: FloatArray) -> list[Marker]:
    """The model's risk first, then CAR-HEMATOTOX, grades of haematotoxicity so far, and the last value of each lab.

    Args:
        patients: One row a visit.
        variables: What the cohort declares.
        risk: (visits,), of the event of interest.
    """
    patients = impossible(patients, variables)[0]
    found = [Marker(MODEL, risk)]
    if "car_hematotox" in computable(variables):
        found.append(Marker("CAR-HEMATOTOX", score_columns(patients, variables, ["car_hematotox"])["car_hematotox"]))
    found += _grades(patients, variables)
    measured = [name for name in patients.measurements.names if variables[name].kind == "numeric"]
    for name, values in landmark_columns(patients, measured[:MOST_LABS], ("last",)).items():
        variable = name.removesuffix(":last")
        found.append(Marker(f"last {variable}", values, variables[variable].unit, either_way=True))
    return [one for one in found if np.isfinite(one.values).any()]


def _grades(patients: Patients, variables: Mapping[str, Variable]) -> list[Marker]:
    """ICAHT and T-ICAHT: the highest grade that counts until the visit give."""
    known = {name: variables[name] for name in patients.measurements.names}
    found = []
    for title, analyte, columns in (("ICAHT", "anc", icaht_columns), ("T-ICAHT", "platelets", t_icaht_columns)):
        name = find(analyte, known)
        if name is None or not same_dimension(known[name].unit, "10*9/L"):
            continue
        grades = np.stack(list(columns(patients, name, unit=known[name].unit).values()))
        highest = np.where(np.isfinite(grades), grades, -np.inf).max(axis=0)
        found.append(Marker(f"{title} grade", np.where(np.isfinite(highest), highest, np.nan)))
    return found
