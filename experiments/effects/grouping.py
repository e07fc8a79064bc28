"""Baseline variables that put patients into groups: arms, strata."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
import pandas as pd

from experiments.effects.covariates import variables_of
from features.cohort import Cohort
from features.errors import SequelaError
from features.patients import IntArray, TextArray

MOST_ARMS = 6


def require_variable(cohort: Cohort, option: str, name: str | None) -> None:
    """Refuse a name that no baseline variable has, nor the site.

    Raises:
        SequelaError: It says which option has it, and the nearest name.
    """
    variables = variables_of(cohort)
    if name is None or name in variables:
        return
    near = get_close_matches(name, variables, n=1)
    remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(variables) or 'none'}"
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
    """(patients,): place of each patient's label among names; −1 where it is none of them."""
    place = {name: k for k, name in enumerate(names)}
    return np.array([place.get(one, -1) for one in label], dtype=np.int64)


def arm_names(cohort: Cohort, by: str, label: TextArray, reference: str | None) -> tuple[str, ...]:
    """The arms that occur, in the order declared, the reference first.

    Args:
        cohort: The cohort.
        by: The variable that they are made by.
        label: (patients at risk,): its values as text.
        reference: The arm that others are compared with; None: the first.

    Raises:
        SequelaError: There is one arm, or too many, or the reference is none of them.
    """
    declared = variables_of(cohort)[by]
    found = {str(one) for one in label if one}
    numeric = declared.kind == "numeric"
    names = [level for level in declared.levels or () if level in found]
    names += sorted(found - set(names), key=(lambda one: (float(one), one)) if numeric else (lambda one: (0.0, one)))
    if len(names) < 2:
        msg = f"--by {by}: all patients at risk are in one arm; name a variable with two or more values"
        raise SequelaError(msg)
    if len(names) > MOST_ARMS:
        msg = f"--by {by}: has {len(names)} values, and at most {MOST_ARMS} arms are compared; group its values first"
        raise SequelaError(msg)
    if reference is not None and reference not in names:
        msg = f"--reference {reference}: is no arm; {by} has {', '.join(names)}"
        raise SequelaError(msg)
    first = reference or names[0]
    return (first, *(name for name in names if name != first))
