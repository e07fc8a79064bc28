"""Specimens of the CTL019/CART19 patients: what each is, whose, and of which day."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from features.importers.delimited import Delimited, read_delimited
from features.importers.spec import DAYS_PER_UNIT

PRODUCT, BLOOD, MARROW = "infusion_product", "blood", "bone_marrow"
_MATERIALS: Mapping[str, str] = {
    "T cells": BLOOD,
    "T-Cells": BLOOD,
    "Whole blood": BLOOD,
    "Whole Blood": BLOOD,
    "PBL": BLOOD,
    "PBMC": BLOOD,
    "Bone Marrow": MARROW,
    "BM": MARROW,
    "Tcells:CAR+": "blood_car_positive",
    "Tcells:CAR+CD8+": "blood_car_positive_cd8",
    "Tcells:CAR+CD8-": "blood_car_positive_cd8_negative",
    "BM:CAR+": "bone_marrow_car_positive",
    "alpha-beta T cells": "blood_alpha_beta",
    "gamma-delta T cells": "blood_gamma_delta",
}
"""Materials by the source's cell types, after infusion."""
_TIME_POINT = re.compile(r"(?P<unit>[dmy])(?P<number>\d+(\.\d+)?)")
_UNITS = {"d": "days", "m": "months", "y": "years"}
_LATER_INFUSION = re.compile(r"\d(?:R|-I\d)$")


@dataclass(frozen=True, slots=True)
class Specimens:
    """The table of all specimens with their indices, and what each specimen is."""

    table: Delimited
    samples: pd.DataFrame
    """sample_id, patient_id, day, material, assay; in the rows of `table`."""

    @classmethod
    def read(cls, path: Path) -> Specimens:
        """Read specimen_ml_features_569.csv.gz.

        Raises:
            SequelaError: The file is missing, or a specimen, time point or cell type is not known.
        """
        table = of_first_infusion(read_delimited(path))
        specimen = table.present("specimen")
        table.refuse_where(specimen.duplicated(), "specimen", "specimens have one row each", "Remove the row.")
        time_point, cells = table.present("timepoint").str.lower(), table.present("cell_type")
        unreadable = ~time_point.map(lambda text: bool(_TIME_POINT.fullmatch(text)))
        table.refuse_where(unreadable, "timepoint", "time points look like d28, m3 or y1.5", "Correct the cell.")
        unknown = ~cells.isin(list(_MATERIALS))
        table.refuse_where(unknown, "cell_type", f"known are {', '.join(_MATERIALS)}", "Correct the cell.")
        day = time_point.map(day_of)
        samples = pd.DataFrame(
            {
                "sample_id": specimen,
                "patient_id": table.present("patient_key"),
                "day": day,
                "material": [material_of(name, number) for name, number in zip(cells, day, strict=True)],
                "assay": "vector integration sites, " + cells,
            }
        )
        return cls(table, samples)


def of_first_infusion(table: Delimited) -> Delimited:
    """A table without the keys of later infusions, such as ``p959-158-I2``: those patients have a key already.

    Raises:
        SequelaError: The column patient_key is absent.
    """
    later = table.text("patient_key").str.contains(_LATER_INFUSION)
    return Delimited(table.name, table.cells[~later], table.decimal_comma)


def day_of(time_point: str) -> float:
    """Days of a time point such as ``d28``, ``m3`` or ``y1.5``."""
    match = _TIME_POINT.fullmatch(time_point)
    if match is None:
        msg = f"no time point: {time_point!r}"
        raise ValueError(msg)
    return float(match["number"]) * (1.0 if match["unit"] == "d" else DAYS_PER_UNIT[_UNITS[match["unit"]]])


def material_of(cell_type: str, day: float) -> str:
    """The material of a specimen; T cells of day 0 are the infusion product, sorted or whole."""
    material = _MATERIALS[cell_type]
    return material.replace(BLOOD, PRODUCT, 1) if day == 0 else material
