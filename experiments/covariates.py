"""What a comparison is adjusted for, as columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments.groups import SITE, variables_of
from features.baseline import BaselineEncoder
from features.cohort import Cohort, to_patients
from features.patients import FloatArray, IntArray
from features.scaling import ColumnScaler


@dataclass(frozen=True, slots=True)
class Covariates:
    """Covariates of the patients compared."""

    names: tuple[str, ...]
    """Of the variables."""
    columns: tuple[str, ...]
    """Of the columns: one for a number or a rank, one a level otherwise, one for what is not known of many."""
    x: FloatArray
    """(patients, columns), standardised as for models: skewed numbers in logarithms, at the median if not known."""


def covariates_of(cohort: Cohort, names: Sequence[str], rows: IntArray) -> Covariates:
    """Encode variables of a cohort.

    Args:
        cohort: The cohort.
        names: Variables, each in `variables_of`.
        rows: Positions of the patients compared in ``cohort.patients``.
    """
    variables = variables_of(cohort)
    patients = to_patients(cohort)
    if SITE in names:
        site = cohort.patients[SITE]
        text = site.astype(object).where(site.notna(), None).to_numpy(dtype=object)
        patients = replace(patients, baseline=dict(patients.baseline) | {SITE: text})
    encoded = BaselineEncoder.fit(patients, variables, names).columns(patients)
    columns = {name: values[rows] for name, values in encoded.items()}
    scaler = ColumnScaler.fit(columns, minimum_observed=0.0)
    return Covariates(tuple(names), scaler.output_names, scaler.transform(columns))
