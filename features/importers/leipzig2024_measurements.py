"""Repeated measurements of the Leipzig study: daily laboratory, flow cytometry, CAR copies, T-cell receptors, BCMA."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from features.importers.delimited import Delimited, read_delimited
from features.importers.leipzig2024_visits import FLOW_MISSING, Visits
from features.patients import FloatArray
from features.schema import Variable

_CELLS, _PERCENT = "{cells}/uL", "%"
_FLOW: Mapping[str, tuple[str, str]] = {
    "CD3_abs": ("cd3_count", _CELLS),
    "CD3_PD1_%": ("cd3_pd1_percent", _PERCENT),
    "CD3_CAR_%": ("cd3_car_percent", _PERCENT),
    "CD3_CAR_abs": ("cd3_car_count", _CELLS),
    "CD4_abs": ("cd4_count", _CELLS),
    "CD4_activated": ("cd4_activated_percent", _PERCENT),
    "CD4_PD1_%": ("cd4_pd1_percent", _PERCENT),
    "CD4_CAR_%": ("cd4_car_percent", _PERCENT),
    "CD4_CAR_abs": ("cd4_car_count", _CELLS),
    "CD4_CAR_activated": ("cd4_car_activated_percent", _PERCENT),
    "CD8_abs": ("cd8_count", _CELLS),
    "CD8_activated": ("cd8_activated_percent", _PERCENT),
    "CD8_PD1_%": ("cd8_pd1_percent", _PERCENT),
    "CD8_CAR_%": ("cd8_car_percent", _PERCENT),
    "CD8_CAR_abs": ("cd8_car_count", _CELLS),
    "CD8_CAR_activated": ("cd8_car_activated_percent", _PERCENT),
    "B_cells_abs": ("b_cell_count", _CELLS),
    "NK_abs": ("nk_cell_count", _CELLS),
    "Mono_abs": ("monocyte_count", "10*9/L"),
}
_SUBSETS: Mapping[str, str] = {
    "CD4 central Memory": "cd4_central_memory",
    "CD4 Eff-Memory": "cd4_effector_memory",
    "CD4 Effektorzellen": "cd4_effector",
    "CD4 Thymusemi": "cd4_thymic_emigrant",
    "naive CD4": "cd4_naive",
    "CD8 central Memory": "cd8_central_memory",
    "CD8 Eff-Memory": "cd8_effector_memory",
    "CD8 Effektorzellen": "cd8_effector",
    "CD8 Thymusemigrants": "cd8_thymic_emigrant",
    "naive CD8": "cd8_naive",
    "Tregs": "treg",
    "Memory Tregs": "treg_memory",
    "naive Tregs": "treg_naive",
}
_DIVERSITY: Mapping[str, str] = {
    "shannon": "tcr_shannon",
    "inv.simpson": "tcr_inverse_simpson",
    "norm.entropy": "tcr_normalised_entropy",
    "chao1": "tcr_chao1",
}
_LINEAGES = ("CD4", "CD8")
_DAILY: Mapping[str, str] = {"CRP": "crp", "il6": "il6", "PCT": "procalcitonin"}
_DAILY_COLUMN = re.compile(r"(?P<analyte>CRP|il6|PCT)_d(?P<day>-?\d+)(-(?P<hour>\d\d)(?P<minute>\d\d))?")
_INCONSISTENT_SUBSETS = frozenset({"Patient044_1_5"})
"""Rows of t_cells.csv whose subsets do not add up to the CD4 and CD8 cells that they are fractions of."""


AFTER_INFUSION_DAY = 0.5
"""Day given to IL-6 and procalcitonin of day 0. Only patients who went on to CRS have such values: they were taken for
symptoms, hence after the infusion, and a prediction from day 0 must not see them."""
_TAKEN_FOR_SYMPTOMS = frozenset({"il6", "PCT"})


def _variables() -> dict[str, Variable]:
    def numeric(unit: str, **more: object) -> Variable:
        return Variable.model_validate({"kind": "numeric", "unit": unit, "range": (0, 1e9), **more})

    percent = numeric(_PERCENT, range=(0, 100))
    variables = {
        "crp": numeric("mg/L", loinc="1988-5"),
        "il6": numeric("pg/mL", loinc="26881-3"),
        "procalcitonin": numeric("ng/mL"),
        "car_copies": numeric("{copies}/1000.{cells}", description="CAR transgene in blood"),
        "soluble_bcma": numeric("ng/mL"),
    }
    variables |= {name: percent if unit == _PERCENT else numeric(unit) for name, unit in _FLOW.values()}
    variables |= {f"{name}_percent": percent for name in _SUBSETS.values()}
    variables |= {f"{name}_count": numeric(_CELLS) for name in _SUBSETS.values()}
    of_lineage = [f"{name}_{lineage.lower()}" for name in _DIVERSITY.values() for lineage in _LINEAGES]
    return variables | {name: numeric("1", description="diversity of T-cell receptors") for name in of_lineage}


VARIABLES: Mapping[str, Variable] = _variables()


def read_measurements(source: Path, visits: Visits) -> pd.DataFrame:
    """patient_id, day, variable, value of every repeated measurement, in the units of `VARIABLES`.

    Raises:
        SequelaError: A table is missing, or a value is no number.
    """
    parts = [
        *_daily(read_delimited(source / "crs.csv")),
        *_flow(read_delimited(source / "immune_df.csv", missing=FLOW_MISSING), visits),
        *_t_cell_subsets(read_delimited(source / "t_cells.csv"), visits),
        *_car_copies(read_delimited(source / "pcr_data.csv"), visits),
        *_diversity(read_delimited(source / "tcr_diversity.csv"), visits),
        *_soluble_bcma(read_delimited(source / "elisa_df.csv"), visits),
    ]
    table = pd.concat(parts).dropna(subset=["day", "value"])
    return table.sort_values(["patient_id", "variable", "day"], ignore_index=True)


def _part(patients: pd.Series, days: object, variable: str, values: object) -> pd.DataFrame:
    return pd.DataFrame({"patient_id": patients, "day": days, "variable": variable, "value": values})


def _daily(table: Delimited) -> list[pd.DataFrame]:
    """Columns such as ``CRP_d-3`` and ``il6_d1-1500`` (day 1, 15:00)."""
    parts, patients = [], table.present("patient_id")
    for column in table.cells.columns:
        match = _DAILY_COLUMN.fullmatch(column)
        if match:
            day = int(match["day"]) + int(match["hour"] or 0) / 24 + int(match["minute"] or 0) / 1440
            if day == 0 and match["analyte"] in _TAKEN_FOR_SYMPTOMS:
                day = AFTER_INFUSION_DAY
            parts.append(_part(patients, day, _DAILY[match["analyte"]], table.numbers(column)))
    return parts


def _flow(table: Delimited, visits: Visits) -> list[pd.DataFrame]:
    patients = table.present("patient_id")
    days = visits.days(patients, table.present("Day"))
    return [_part(patients, days, name, table.numbers(column)) for column, (name, _) in _FLOW.items()]


def _t_cell_subsets(table: Delimited, visits: Visits) -> list[pd.DataFrame]:
    """Percentages stand in the source as fractions."""
    kept = table.cells[~table.text("tcell_id").isin(list(_INCONSISTENT_SUBSETS))]
    table = Delimited(table.name, kept, table.decimal_comma)
    patients = table.present("patient_id")
    days = visits.days(patients, table.present("Day"))
    parts = []
    for column, name in _SUBSETS.items():
        parts.append(_part(patients, days, f"{name}_percent", 100 * table.numbers(f"{column} %")))
        parts.append(_part(patients, days, f"{name}_count", table.numbers(f"{column} abs")))
    return parts


def _car_copies(table: Delimited, visits: Visits) -> list[pd.DataFrame]:
    """Copies per 1000 cells; rows named ``copies_100`` are in another unit and repeat day 100."""
    part = _part(
        table.present("patient_id"),
        visits.days(table.present("patient_id"), table.present("Day")),
        "car_copies",
        table.numbers("no_copies"),
    )
    return [part[table.text("sample").str.startswith("cart_copies_")]]


def _diversity(table: Delimited, visits: Visits) -> list[pd.DataFrame]:
    patients = table.present("PATIENT_ID")
    days = visits.days(patients, table.present("GROUP"))
    lineage = table.present("LIN")
    return [
        _part(patients, days, f"{name}_{of.lower()}", _diversity_values(table, column))[lineage == of]
        for column, name in _DIVERSITY.items()
        for of in _LINEAGES
    ]


def _diversity_values(table: Delimited, column: str) -> FloatArray:
    """Chao1 of 0 stands where it was not estimated: richness is at least the number of clones seen."""
    values = table.numbers(column)
    return np.where(values > 0, values, np.nan) if column == "chao1" else values


def _soluble_bcma(table: Delimited, visits: Visits) -> list[pd.DataFrame]:
    """From pg/mL, because the column in ng/mL is rounded."""
    patients = table.present("patient_id")
    days = visits.days(patients, table.present("Day"))
    return [_part(patients, days, "soluble_bcma", table.numbers("BCMA [pg/mL]") / 1000)]
