"""Cytokine release syndrome: its ASTCT grade from what was needed to treat it.

ASTCT consensus, Lee et al., Biol Blood Marrow Transplant 2019;25:625-638. Grade 1 is fever (≥ 38.0 °C) alone. With it,
the worse of hypotension and hypoxia decides: hypotension without vasopressors 2, with one vasopressor (with or without
vasopressin) 3, with several (vasopressin not counted) 4; oxygen by low-flow nasal cannula (≤ 6 L/min) or blow-by 2, by
high-flow cannula, facemask, non-rebreather or Venturi mask 3, by positive pressure (CPAP, BiPAP, ventilation) 4. Only
what is not attributable to another cause counts. Grade 5, death of CRS, is an event and is not graded here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from features.errors import SequelaError
from features.patients import FloatArray

HYPOTENSION: Final[Mapping[str, int]] = {"none": 0, "fluids": 2, "one_vasopressor": 3, "multiple_vasopressors": 4}
HYPOXIA: Final[Mapping[str, int]] = {"none": 0, "low_flow": 2, "high_flow": 3, "positive_pressure": 4}


def crs_grade(
    *,
    fever: bool | None = None,
    hypotension: str | None = None,
    hypoxia: str | None = None,
    fever_treated: bool = False,
) -> float:
    """CRS grade, 0 to 4, from its components; None where a component is not known.

    An unknown component counts as absent, so that the grade is the least that what is known implies. When fever is not
    known, hypotension and hypoxia imply their grade (they are recorded because they were attributed to CRS), but
    their absence implies none: grades 0 and 1 differ by fever alone.

    Args:
        fever: Whether the temperature was ≥ 38.0 °C.
        hypotension: ``none``, ``fluids``, ``one_vasopressor`` or ``multiple_vasopressors``.
        hypoxia: ``none``, ``low_flow``, ``high_flow`` or ``positive_pressure``.
        fever_treated: Whether antipyretics, tocilizumab or steroids had been given for CRS: fever is then no longer
            required, and hypotension and hypoxia decide.

    Returns:
        The grade, or NaN when nothing known implies one.

    Raises:
        SequelaError: A component is none of its levels.
    """
    known = [
        level(name, value, levels)
        for name, value, levels in (("hypotension", hypotension, HYPOTENSION), ("hypoxia", hypoxia, HYPOXIA))
        if value is not None
    ]
    signs = max(known, default=0)
    if fever:
        return float(max(1, signs))
    if fever is None:
        return float(signs) if signs else math.nan
    return float(signs) if fever_treated else 0.0


def crs_grades(
    fever: Sequence[bool | None],
    hypotension: Sequence[str | None],
    hypoxia: Sequence[str | None],
    fever_treated: Sequence[bool] | None = None,
) -> FloatArray:
    """`crs_grade` of each row, (rows,); of a patient's days, the grade is the worst.

    Raises:
        SequelaError: A component is none of its levels.
    """
    treated = [False] * len(fever) if fever_treated is None else fever_treated
    rows = zip(fever, hypotension, hypoxia, treated, strict=True)
    return np.array(
        [crs_grade(fever=f, hypotension=bp, hypoxia=o2, fever_treated=t) for f, bp, o2, t in rows], dtype=np.float64
    )


def level(component: str, value: str, levels: Mapping[str, int]) -> int:
    """The grade that one level of a component implies.

    Raises:
        SequelaError: The component has no such level. The message does not repeat the value: it may be a patient's.
    """
    if value not in levels:
        msg = f"{component}: not one of its levels. Write one of {', '.join(levels)}."
        raise SequelaError(msg)
    return levels[value]
