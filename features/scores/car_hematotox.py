"""CAR-HEMATOTOX: haematological toxicity after CAR-T cells, from five laboratory values before lymphodepletion."""

from __future__ import annotations

from collections.abc import Mapping

from features.patients import FloatArray
from features.scores.score import Group, Score


def _points(values: Mapping[str, FloatArray]) -> FloatArray:
    """Sum of points: 0-2 for platelets and ferritin, 0-1 for each of the others."""
    platelets, ferritin = values["platelets"], values["ferritin"]
    return (
        (platelets <= 175).astype(float)
        + (platelets < 75)
        + (values["anc"] <= 1.2)
        + (values["haemoglobin"] <= 9.0)
        + (values["crp"] >= 3.0)
        + (ferritin >= 650)
        + (ferritin > 2000)
    )


CAR_HEMATOTOX = Score(
    name="car_hematotox",
    title="CAR-HEMATOTOX",
    citation="Rejeski et al., Blood 2021;138(24):2499-2513, doi:10.1182/blood.2020010543",
    inputs={"platelets": "10*9/L", "anc": "10*9/L", "haemoglobin": "g/dL", "crp": "mg/dL", "ferritin": "ng/mL"},
    formula=_points,
    range=(0.0, 7.0),
    when="before lymphodepletion, about day -5",
    groups=(Group("low"), Group("high", 2.0)),
)
"""Rejeski et al., Blood 2021;138:2499: severe neutropenia of 14 days or more in large B-cell lymphoma.

| | 0 points | 1 point | 2 points |
|---|---|---|---|
| platelets, 10⁹/L | > 175 | 75-175 | < 75 |
| neutrophils, /µL | > 1200 | ≤ 1200 | |
| haemoglobin, g/dL | > 9.0 | ≤ 9.0 | |
| CRP, **mg/dL** | < 3.0 | ≥ 3.0 | |
| ferritin, ng/mL | < 650 | 650-2000 | > 2000 |

Low 0-1, high 2 and more. Most laboratories report CRP in mg/L: there the limit is 30.
"""
