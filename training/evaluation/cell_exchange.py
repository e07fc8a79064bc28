"""Patients with one another's cells: who may exchange them, and the rows that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import SequelaError
from features.patients import Patients


@dataclass(frozen=True, slots=True)
class CellExchange:
    """All samples of a patient (cells and clones) go as one to another; clinic and outcomes stay where they are.

    Cells go only to a patient who has samples of the same materials at the same landmarks, so that who was sampled, and
    when, is not what is tested. A test that does so is exact if cells depend neither on the outcome nor on the clinic;
    where they go with the clinic, it is the usual approximation for one group of variables among others (permutation of
    raw data: Anderson & Legendre, J Stat Comput Simul 1999;62:271–303).
    """

    patient: NDArray[np.int64]
    """(rows,): number of each row's patient."""
    first_row: NDArray[np.int64]
    """(patients,): the first row of each."""
    groups: list[NDArray[np.int64]]
    """Patients that may exchange cells; all groups together name each once."""

    @classmethod
    def of(
        cls, patients: Patients, landmark_days: Sequence[float], sites: NDArray[np.object_] | None = None
    ) -> CellExchange:
        """Who may exchange with whom.

        Args:
            patients: With their samples; a patient's rows at all landmarks hold the same samples.
            landmark_days: By which samples are known, or not yet.
            sites: (rows,), within which cells are exchanged; None: everywhere.

        Raises:
            SequelaError: No two patients can exchange cells.
        """
        _, first_row, patient = np.unique(patients.patient_id.astype(str), return_index=True, return_inverse=True)
        samples = patients.samples
        members: dict[tuple[frozenset[tuple[str, float]], object], list[int]] = {}
        for number, row in enumerate(first_row):
            own = slice(0) if samples is None else slice(samples.offsets[row], samples.offsets[row + 1])
            known = {
                (material, day)
                for material, taken in (
                    [] if samples is None else zip(samples.material[own], samples.day[own], strict=True)
                )
                for day in landmark_days
                if taken <= day
            }
            members.setdefault((frozenset(known), None if sites is None else sites[row]), []).append(number)
        if all(len(group) < 2 for (sampled, _), group in members.items() if sampled):
            msg = (
                "permutation of cells: no two patients have samples of the same materials at the same landmarks "
                "(within a centre), so no cells can be exchanged; use an endpoint with one landmark, or no such test"
            )
            raise SequelaError(msg)
        return cls(patient, first_row, [np.array(group) for group in members.values()])

    def exchanged(self, patients: Patients, source: NDArray[np.int64]) -> Patients:
        """The rows with the samples of other patients: (patients,), whose each gets."""
        return patients.with_samples_of(self.first_row[source][self.patient])
