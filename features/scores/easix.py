"""EASIX, s-EASIX and m-EASIX: activation of the endothelium, from routine laboratory values.

They are ratios that differ between patients by factors, so the papers analyse them as logarithms to base 2: odds ratios
are per doubling. `Score.compute` gives the ratio, `Score.log2` its logarithm.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from features.patients import FloatArray
from features.scores.score import Group, Score

_PENNISI = "Pennisi et al., Blood Adv 2021;5(17):3397-3406, doi:10.1182/bloodadvances.2020003885"
_LUFT = "Luft et al., Lancet Haematol 2017 (definition)"
_KORELL = "Korell et al., Front Immunol 2022, doi:10.3389/fimmu.2022.877477 (CAR-T cells, cut-off)"
_BEFORE = "immediately before lymphodepletion"


def _easix(values: Mapping[str, FloatArray]) -> FloatArray:
    return values["ldh"] * values["creatinine"] / values["platelets"]


def _s_easix(values: Mapping[str, FloatArray]) -> FloatArray:
    return values["ldh"] / values["platelets"]


def _m_easix(values: Mapping[str, FloatArray]) -> FloatArray:
    return values["ldh"] * values["crp"] / values["platelets"]


EASIX = Score(
    name="easix",
    title="EASIX",
    citation=f"{_LUFT}; {_KORELL}",
    inputs={"ldh": "U/L", "creatinine": "mg/dL", "platelets": "10*9/L"},
    formula=_easix,
    range=(0.0, np.inf),
    when=_BEFORE,
    groups=(Group("low"), Group("high", 4.67, low_included=False)),
    ratio=True,
)
"""LDH (U/L) × creatinine (mg/dL) / platelets (10⁹/L): Luft et al., Lancet Haematol 2017.

High above 4.67 before lymphodepletion: odds of CRS or ICANS of grade 3 and more 4.3 times those below (Korell 2022).
"""

S_EASIX = Score(
    name="s_easix",
    title="s-EASIX (simplified EASIX)",
    citation=_PENNISI,
    inputs={"ldh": "U/L", "platelets": "10*9/L"},
    formula=_s_easix,
    range=(0.0, np.inf),
    when=_BEFORE,
    ratio=True,
)
"""LDH (U/L) / platelets (10⁹/L): EASIX without creatinine (Pennisi et al., Blood Adv 2021;5:3397)."""

M_EASIX = Score(
    name="m_easix",
    title="m-EASIX (modified EASIX)",
    citation=_PENNISI,
    inputs={"ldh": "U/L", "crp": "mg/dL", "platelets": "10*9/L"},
    formula=_m_easix,
    range=(0.0, np.inf),
    when=_BEFORE,
    ratio=True,
)
"""LDH (U/L) × CRP (**mg/dL**) / platelets (10⁹/L): CRP in place of creatinine (Pennisi 2021)."""
