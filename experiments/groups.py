"""Groups of patients by a baseline variable or by the site, as options of commands name them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from features.cohort import Cohort
from features.errors import SequelaError, nearest_or_all
from features.patients import IntArray, TextArray
from features.schema import Variable

MOST_GROUPS = 6
SITE = "site"


def variables_of(cohort: Cohort) -> dict[str, Variable]:
    """What patients can be grouped by and adjusted for: the baseline variables, and the site where there is one."""
    site = {SITE: Variable(kind="categorical")} if SITE in cohort.patients else {}
    return site | cohort.baseline_variables


def check_variable(cohort: Cohort, option: str, name: str | None) -> None:
    """Refuse an option that names no variable of the patients; None is no name.

    Raises:
        SequelaError: There is none of this name.
    """
    variables = variables_of(cohort)
    if name is None or name in variables:
        return
    remedy = nearest_or_all(name, variables)
    msg = f"{option} {name}: no baseline variable of {cohort.folder} has this name; {remedy}"
    raise SequelaError(msg)


def labels_of(cohort: Cohort, name: str) -> TextArray:
    """(patients,): the variable's values as text; empty where not known."""
    values = cohort.patients[name]
    return np.array(["" if pd.isna(v) else f"{v:g}" if isinstance(v, float) else str(v) for v in values], dtype=object)


def codes_of(cohort: Cohort, name: str) -> IntArray:
    """(patients,): a number for each value; what is not known is a value of its own."""
    return pd.factorize(labels_of(cohort, name))[0].astype(np.int64)


def places_of(label: TextArray, names: Sequence[str]) -> IntArray:
    """(patients,): number of the group that each is in; −1: in none."""
    place = {name: k for k, name in enumerate(names)}
    return np.array([place.get(one, -1) for one in label], dtype=np.int64)


def group_names(cohort: Cohort, by: str, label: TextArray, reference: str | None) -> tuple[str, ...]:
    """The groups that occur, in the order declared, the reference first.

    Args:
        cohort: The cohort.
        by: The variable that `--by` names.
        label: (patients,): its values among those compared, as text.
        reference: The group that others are compared with; None: the first.

    Raises:
        SequelaError: There are fewer than two, or more than `MOST_GROUPS`, or the reference is none of them.
    """
    declared = variables_of(cohort)[by]
    found = {str(one) for one in label if one}
    numeric = declared.kind == "numeric"
    names = [level for level in declared.levels or () if level in found]
    names += sorted(found - set(names), key=(lambda one: (float(one), one)) if numeric else (lambda one: (0.0, one)))
    if len(names) < 2:
        msg = f"--by {by}: all patients at risk are in one arm; name a variable with two or more values"
        raise SequelaError(msg)
    if len(names) > MOST_GROUPS:
        msg = f"--by {by}: has {len(names)} values, and at most {MOST_GROUPS} arms are compared; group its values first"
        raise SequelaError(msg)
    if reference is not None and reference not in names:
        msg = f"--reference {reference}: is no arm; {by} has {', '.join(names)}"
        raise SequelaError(msg)
    first = reference or names[0]
    return (first, *(name for name in names if name != first))
