"""Whether patients can be adjusted for: enough of them for the columns, and arms that share patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.covariates import Covariates
from experiments.groups import labels_of
from features.cohort import Cohort
from features.errors import SequelaError
from features.patients import IntArray
from training.effects.propensity import LEAST, Overlap

FEWEST_ADJUSTED = 20
"""Of an arm, if covariates are adjusted for."""
FEWEST_PER_COLUMN = 10
"""Of an arm, for each column adjusted for (Peduzzi et al., J Clin Epidemiol 1996;49:1373)."""
OUT_OF_BALANCE = 0.1
"""Standardised mean difference, above which covariates are commonly called out of balance (Austin, Stat Med
2009;28:3083)."""
LEAST_EFFECTIVE = 20
"""Patients that those who are weighted are worth, below which a sentence warns."""
MOST_HARDLY = 0.1
"""Share of patients who could hardly have been in some arm, above which nothing is adjusted."""


def check_columns(cohort: Cohort, found: Covariates, rows: IntArray, arm: IntArray, whom: str = "") -> None:
    """Refuse covariates that do not vary, or make too many columns for the smallest arm.

    Args:
        cohort: The cohort.
        found: Covariates of the patients compared.
        rows: Positions of these in ``cohort.patients``.
        arm: (patients,): number of each patient's arm.
        whom: Of what these patients are at risk, to be said; nothing for the event of interest.

    Raises:
        SequelaError: One of the two.
    """
    smallest = int(np.bincount(arm).min())
    needed = max(FEWEST_ADJUSTED, FEWEST_PER_COLUMN * len(found.columns))
    if not found.columns or smallest < needed:
        msg = f"--adjust {','.join(found.names)}: "
        msg += (
            f"makes {len(found.columns)} columns, for which every arm needs {needed} patients{whom} "
            f"({FEWEST_PER_COLUMN} a column, at least {FEWEST_ADJUSTED}), and one has {smallest}; adjust for fewer "
            "variables"
            if found.columns
            else f"does not vary among these patients{whom}{_where_known(cohort, found.names, rows)}; name variables "
            "that do"
        )
        raise SequelaError(msg)


def _where_known(cohort: Cohort, names: Sequence[str], rows: IntArray) -> str:
    unknown = any((labels_of(cohort, name)[rows] == "").any() for name in names)
    return " where it is known" if unknown else ""


def check_overlap(names: Sequence[str], overlaps: Sequence[Overlap], whom: str = "") -> None:
    """Refuse arms in which many of the patients could hardly have been.

    Args:
        names: Variables adjusted for.
        overlaps: Of each arm.
        whom: As in `check_columns`.

    Raises:
        SequelaError: There is such an arm.
    """
    for one in overlaps:
        if one.hardly > MOST_HARDLY:
            msg = (
                f"--adjust {','.join(names)}: {one.hardly:.0%} of the patients{whom} could hardly have been in "
                f"arm {one.arm} (probability below {LEAST:g}), so nobody in it stands for them; compare patients for "
                "whom each arm could have been chosen, or leave out a variable that decides the arm alone"
            )
            raise SequelaError(msg)
