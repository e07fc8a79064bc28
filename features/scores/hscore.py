"""HScore: the probability of reactive haemophagocytic syndrome, from nine findings."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from features.patients import FloatArray, IntArray
from features.scores.score import Group, Score

_ORGANOMEGALY: FloatArray = np.array([0.0, 23.0, 38.0])
_LINEAGES: FloatArray = np.array([0.0, 0.0, 24.0, 34.0])


def _points(values: Mapping[str, FloatArray]) -> FloatArray:
    """Sum of the points of the nine findings."""
    points: FloatArray = (
        _steps(values["temperature"], 38.4, 33, 39.4, 49)
        + _steps(values["ferritin"], 2000, 35, 6000, 50)
        + _steps(values["triglycerides"], 1.5, 44, 4.0, 64)
        + 30.0 * (values["fibrinogen"] <= 2.5)
        + 19.0 * (values["ast"] >= 30)
        + _LINEAGES[_cytopenias(values)]
        + _ORGANOMEGALY[_index(values["organomegaly"], len(_ORGANOMEGALY))]
        + 18.0 * (values["immunosuppression"] == 1)
        + 35.0 * (values["haemophagocytosis"] == 1)
    )
    return points


def _steps(values: FloatArray, low: float, from_low: float, high: float, above_high: float) -> FloatArray:
    """0 points below `low`, `from_low` from `low` to `high` with both ends, `above_high` above."""
    return np.where(values > high, above_high, np.where(values >= low, from_low, 0.0))


def _cytopenias(values: Mapping[str, FloatArray]) -> IntArray:
    """How many of the three lineages are low: haemoglobin, leucocytes, platelets."""
    low = [values["haemoglobin"] <= 9.2, values["wbc"] <= 5.0, values["platelets"] <= 110]
    lineages: IntArray = np.sum(low, axis=0, dtype=np.int64)
    return lineages


def _index(codes: FloatArray, n_codes: int) -> IntArray:
    """Codes as indices; what is no code becomes 0, and `Score.compute` makes its result missing."""
    return np.where(np.isin(codes, np.arange(n_codes)), codes, 0).astype(np.int64)


HSCORE = Score(
    name="hscore",
    title="HScore",
    citation="Fardet et al., Arthritis Rheumatol 2014;66(9):2613-2620, doi:10.1002/art.38690",
    inputs={
        "temperature": "Cel",
        "ferritin": "ng/mL",
        "triglycerides": "mmol/L",
        "fibrinogen": "g/L",
        "ast": "U/L",
        "haemoglobin": "g/dL",
        "wbc": "10*9/L",
        "platelets": "10*9/L",
    },
    coded={
        "organomegaly": ("none", "hepatomegaly or splenomegaly", "hepatomegaly and splenomegaly"),
        "immunosuppression": ("no", "yes"),
        "haemophagocytosis": ("no", "yes"),
    },
    formula=_points,
    range=(0.0, 337.0),
    when="when haemophagocytic syndrome is suspected, all findings of the same days",
    groups=(Group("below the cut-off"), Group("at the cut-off or above", 169.0)),
    of_its_day=True,
)
"""Fardet et al., Arthritis Rheumatol 2014;66:2613. Best cut-off 169: sensitivity 93 %, specificity 86 %.

| | points |
|---|---|
| known immunosuppression (HIV, or long-term immunosuppressive treatment) | no 0, yes 18 |
| temperature, °C | < 38.4: 0; 38.4-39.4: 33; > 39.4: 49 |
| organomegaly | none 0; liver or spleen 23; both 38 |
| lineages low: haemoglobin ≤ 9.2 g/dL, leucocytes ≤ 5, platelets ≤ 110 × 10⁹/L | up to one 0; two 24; three 34 |
| ferritin, ng/mL | < 2000: 0; 2000-6000: 35; > 6000: 50 |
| triglycerides, mmol/L | < 1.5: 0; 1.5-4: 44; > 4: 64 |
| fibrinogen, g/L | > 2.5: 0; ≤ 2.5: 30 |
| AST, U/L | < 30: 0; ≥ 30: 19 |
| haemophagocytosis in the bone marrow aspirate | no 0, yes 35 |

A marrow that was not looked at is missing here, not "no". Immunosuppression means that before the suspicion; after
CAR-T cells most patients have it by treatment, and the score was not developed in them.
"""
