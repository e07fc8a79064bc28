"""Several rows of a patient, as at several landmarks, are one patient: counts and sums by patient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def event_patients(patient_id: NDArray[Any], event: NDArray[np.bool_]) -> int:
    """Patients with an event in one of their rows.

    Args:
        patient_id: (rows,).
        event: (rows,): whether the row has one.
    """
    return len(np.unique(patient_id[event].astype(str)))


def independent_share(patient_id: NDArray[Any], event: NDArray[np.bool_]) -> float:
    """Patients with an event over rows with one, by which a likelihood of all rows is weighed: 1 where nothing repeats.

    A row copied tells nothing new. Arguments as in `event_patients`.
    """
    return event_patients(patient_id, event) / max(1, int(event.sum()))


def sums_by_patient(values: NDArray[np.float64], patient_id: NDArray[Any]) -> NDArray[np.float64]:
    """Sums (patients, …) of values (rows, …) over the rows of each patient, in the order of the patients' names.

    Patients are independent, their rows are not: the variance of a sum over rows is that of a sum over patients of
    these (Lin & Wei, J Am Stat Assoc 1989;84:1074, for scores).
    """
    names, patient = np.unique(patient_id.astype(str), return_inverse=True)
    total = np.zeros((len(names), *values.shape[1:]))
    np.add.at(total, patient, values)
    return total
