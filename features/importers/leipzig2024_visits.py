"""On which day the visits of the Leipzig study were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.importers.delimited import Delimited, read_delimited

LEUKAPHERESIS, BEFORE_BISPECIFIC = "leukapheresis", "before bispecific"
FLOW_MISSING = ("n.d.", "n.d", "n.d..", "n.a.", "Teclistamab", "Teclistamab?", "0 ???", "2 ???")
"""What stands in the flow-cytometry table where there is no usable value."""
_VISITS: Mapping[str, str] = {
    "leukapheresis": LEUKAPHERESIS,
    "apheresis": LEUKAPHERESIS,
    "la": LEUKAPHERESIS,
    "pre bite": BEFORE_BISPECIFIC,
    "pre bt": BEFORE_BISPECIFIC,
}


@dataclass(frozen=True, slots=True)
class Visits:
    """Days of visits, in the order of what is trusted more."""

    known: Mapping[tuple[str, str], float]
    """By patient and visit."""

    @classmethod
    def read(cls, source: Path, clinic: Delimited) -> Visits:
        """Days from the flow-cytometry table, the time from leukapheresis and the first bispecific dose.

        Raises:
            SequelaError: A table is missing or holds no numbers where days are expected.
        """
        apheresis = zip(clinic.present("patient_id"), -clinic.numbers("time_apheresis_cart"), strict=True)
        known = {(patient, LEUKAPHERESIS): day for patient, day in apheresis}
        flow = read_delimited(source / "immune_df.csv", missing=FLOW_MISSING)
        for patient, text, day in zip(
            flow.present("patient_id"), flow.present("Day"), flow.numbers("cum_days"), strict=True
        ):
            visit = visit_name(text)
            if np.isfinite(day) and not (nominal_day(visit) > 0 >= day):  # a visit after infusion cannot be on day 0
                known[patient, visit] = day
        doses = read_delimited(source / "bite_admin.csv")
        given = pd.Series(doses.numbers("days_bite"), index=doses.present("patient_id"))
        first = given.groupby(level=0).min()
        known |= {(str(patient), BEFORE_BISPECIFIC): float(day) for patient, day in first.items() if day < 0}
        return cls(known)

    def days(self, patients: pd.Series, visits: pd.Series) -> NDArray[np.float64]:
        """(rows,): day of each patient's visit, nominal where no better is known; NaN where there is none at all."""
        names = [visit_name(text) for text in visits]
        pairs = zip(patients, names, strict=True)
        return np.array([self.known.get(pair, nominal_day(pair[1])) for pair in pairs], dtype=np.float64)


def visit_name(text: str) -> str:
    """The study's names for a visit (``LA``, ``PBMC | Apheresis``, ``Day 30``) as one."""
    name = text.rpartition("|")[2].strip().lower()
    return _VISITS.get(name, name)


def nominal_day(visit: str) -> float:
    """30 for ``day 30``, NaN for a visit without a number."""
    number = visit.removeprefix("day ")
    return float(number) if number.isdecimal() else np.nan
