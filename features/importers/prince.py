"""`sequela import prince`: the PRINCE trial of pancreatic cancer, with repeated blood immune profiles (not CAR-T).

108 patients on chemotherapy with sotigalimab, nivolumab or both. The source is the folder of the trial's public tables.
What is known only after treatment began (response, progression, survival) becomes an event or is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.check import read_endpoint
from features.cohort import write_cohort
from features.errors import SequelaError
from features.importers.delimited import Delimited, read_delimited
from features.schema import CohortCard, Variable

ENDPOINTS = Path(__file__).parents[2] / "configs" / "endpoint"
NOMINAL_DAYS: Mapping[str, float] = {"C1D1": 0.0, "C1D15": 14.0, "C2D1": 28.0, "C3D1": 56.0, "C4D1": 84.0}
"""Days after the first dose of the visits, in cycles of 28 days (ClinicalTrials.gov NCT03214250)."""
_ID, _VISIT = "Deidentified.ID", "timepoint.id"
_NOT_POPULATIONS = frozenset({_ID, _VISIT, "sample.id"})
_REASONS = {
    ":clinical-observation.event-reason/progressed": "progressed",
    ":clinical-observation.event-reason/dead": "dead",
    ":clinical-observation.event-reason/censored-study-period-incomplete": "censored",
}
_NOTES = """\
Not CAR-T cells: metastatic pancreatic cancer, treated first-line with gemcitabine, nab-paclitaxel and sotigalimab,
nivolumab or both. Day 0 is cycle 1 day 1. It is here because it has repeated immune profiles and competing events.
Days of blood samples are nominal, from cycles of 28 days: C1D1 day 0, C1D15 day 14, C2D1 day 28, C3D1 day 56, C4D1 day
84; the true days are not published, and delayed doses move them. The baseline sample counts as known on day 0.
Events: progression on the day of progression-free survival (59 patients); death on the day of overall survival (80, of
which 37 without progression). In those 37, overall survival is one day longer than progression-free survival, by the
way in which days were counted; both are as published. Twelve patients were censored for progression, mostly long before
the end of their overall survival: their follow-up ends there, because afterwards nobody looked for progression (one of
them on day 0, who is at risk at no landmark). Everyone else is followed for overall survival, or to progression where
that is dated later (5 patients, alive).
Values of cytometry (cytof_, x50_) are fractions of the population in the name, of flow cytometry and CyTOF gates, not
cells; those of Olink (olink_) are normalised protein expression (NPX, log2). Many populations and most proteins were
published at baseline only. Two patients have two aliquots on some days: both values are kept. Left out: best response,
which is known only later; arm as treated (the arm is as assigned); race and ethnicity; tumour immunohistochemistry and
RNA sequencing; laboratory values were not available."""


class _Baseline(NamedTuple):
    """A baseline variable: its column in clinical.csv, and names for the values there."""

    column: str
    variable: Variable
    names: Mapping[str, str] | None = None


def _named(column: str, kind: str, names: Mapping[str, str]) -> _Baseline:
    return _Baseline(column, Variable.model_validate({"kind": kind, "levels": tuple(names.values())}), names)


def _flag(column: str) -> _Baseline:
    return _Baseline(column, Variable(kind="numeric", range=(0, 1)), {"N": "0", "Y": "1"})


_STAGES = {"Stage 1": "I", "Stage 2": "II", "Stage 3": "III", "Stage 4": "IV"}
_BASELINE: Mapping[str, _Baseline] = {
    "age": _Baseline("Age", Variable(kind="numeric", unit="a", range=(18, 120))),
    "sex": _named("Sex", "categorical", {"F": "female", "M": "male"}),
    "arm": _named("Arm", "categorical", {"A1": "nivolumab", "B2": "sotigalimab", "C2": "sotigalimab_nivolumab"}),
    "phase": _named("Phase", "categorical", {"PHASE 1B": "1b", "PHASE II": "2"}),
    "ecog": _named("ECOG at Screening", "ordinal", {"0": "0", "1": "1"}),
    "tumour_location": _named(
        "Cancer Location", "categorical", {"Pancreas Head": "head", "Pancreas Body": "body", "Pancreas Tail": "tail"}
    ),
    "stage_at_diagnosis": _named("Stage at Initial Diagnosis", "ordinal", _STAGES),
    "prior_surgery": _flag("Prior Cancer Surgery"),
    "prior_chemotherapy": _flag("Prior Chemo"),
    "tobacco": _named("Tobacco History", "categorical", {"Never": "never", "Former": "former", "Current": "current"}),
}


class _Profile(NamedTuple):
    """A table of repeated values: one column a population or protein."""

    file: str
    prefix: str
    range: tuple[float, float] | None
    what: str


_PROFILES = (
    _Profile("cytof_populations.csv", "cytof", (0, 1), "CyTOF, fraction"),
    _Profile("flow_x50_populations.csv", "x50", (0, 1), "flow cytometry X50, fraction"),
    _Profile("olink_proteins.csv", "olink", None, "Olink NPX, log2"),
)


def import_prince(source: Path, folder: Path) -> None:
    """Write the cohort folder of the PRINCE trial.

    Args:
        source: Folder with clinical.csv, cytof_populations.csv, flow_x50_populations.csv and olink_proteins.csv.
        folder: Where; must be absent or empty.

    Raises:
        SequelaError: A file is missing, or a value contradicts what the importer knows of the trial.
    """
    clinic = read_delimited(source / "clinical.csv").recoded("clinical.observation.pfs.reason", _REASONS)
    ids = _ids(clinic)
    clinic.refuse_where(ids.duplicated(), _ID, "patients have one row each", "Remove the row.")
    measurements, measured = _measurements(source, ids)
    tables = {"patients": _patients(clinic), "events": _events(clinic), "measurements": measurements}
    card = CohortCard(
        title="PRINCE, chemotherapy with sotigalimab and/or nivolumab for metastatic pancreatic cancer (not CAR-T)",
        citation="Padrón LJ et al., Sotigalimab and/or nivolumab with chemotherapy in first-line metastatic pancreatic "
        "cancer: clinical and immunologic analyses from the randomized phase 2 PRINCE trial, Nature Medicine "
        "2022;28:1167; data: ParkerICI/prince-trial-data, commit c01cf27",
        licence="not stated",
        provenance="real",
        variables={name: baseline.variable for name, baseline in _BASELINE.items()} | measured,
        notes=" ".join(_NOTES.split()),
    )
    endpoints = {"prince_progression": read_endpoint(ENDPOINTS / "prince_progression.yaml")}
    write_cohort(folder, card, tables, endpoints=endpoints)


def _ids(table: Delimited) -> pd.Series:
    return "PRINCE-" + table.present(_ID)


def _days(clinic: Delimited, column: str) -> NDArray[np.float64]:
    clinic.present(column)
    return clinic.values(column, Variable(kind="numeric", unit="d", range=(0, 10_000))).to_numpy(dtype=float)


def _survival(clinic: Delimited) -> tuple[pd.Series, NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Reason of the end of progression-free survival, its days, days of overall survival, and who died."""
    reason, pfs = clinic.present("clinical.observation.pfs.reason"), _days(clinic, "clinical.observation.pfs")
    survival, names = _days(clinic, "clinical.observation.os"), {"False": "0", "True": "1"}
    died = clinic.recoded("clinical.observation.os.event", names).numbers("clinical.observation.os.event") == 1
    ended = clinic.recoded("clinical.observation.pfs.event", names).numbers("clinical.observation.pfs.event") == 1
    remedy = "Take the table as published, or correct it."
    column = "clinical.observation.pfs.event"
    clinic.refuse_where(ended != (reason != "censored"), column, "it is True for progression and death", remedy)
    alive = (reason == "dead") & ~died
    clinic.refuse_where(alive, "clinical.observation.os.event", "pfs.reason says that the patient died", remedy)
    late = died & (pfs > survival)
    clinic.refuse_where(late, "clinical.observation.pfs", "it ends by the day of death", remedy)
    return reason, pfs, survival, died


def _patients(clinic: Delimited) -> pd.DataFrame:
    """patient_id, follow_up_days and the baseline variables."""
    reason, pfs, survival, died = _survival(clinic)
    contradicts = (reason == "censored") & died
    rule = "whoever died without progression is not censored for it"
    clinic.refuse_where(contradicts, "clinical.observation.pfs.reason", rule, "Take the table as published.")
    follow_up = np.where(reason == "censored", pfs, np.maximum(pfs, survival))
    patients = pd.DataFrame({"patient_id": _ids(clinic), "follow_up_days": follow_up})
    for name, baseline in _BASELINE.items():
        table = clinic if baseline.names is None else clinic.recoded(baseline.column, baseline.names)
        patients[name] = table.values(baseline.column, baseline.variable)
    return patients


def _events(clinic: Delimited) -> pd.DataFrame:
    """patient_id, day, event."""
    reason, pfs, survival, died = _survival(clinic)
    ids, progressed = _ids(clinic), (reason == "progressed").to_numpy()
    parts = [
        pd.DataFrame({"patient_id": ids, "day": pfs, "event": "progression"})[progressed],
        pd.DataFrame({"patient_id": ids, "day": survival, "event": "death"})[died],
    ]
    return pd.concat(parts).sort_values(["patient_id", "day", "event"], ignore_index=True)


def _measurements(source: Path, ids: pd.Series) -> tuple[pd.DataFrame, dict[str, Variable]]:
    """patient_id, day, variable, value of all profiles, and what the variables are."""
    parts, variables = [], {}
    for profile in _PROFILES:
        table = read_delimited(source / profile.file)
        patients = _ids(table)
        rule = "every patient is in clinical.csv"
        table.refuse_where(~patients.isin(list(ids)), _ID, rule, "Take the tables as published.")
        visit = table.present(_VISIT)
        rule = f"known visits are {', '.join(NOMINAL_DAYS)}"
        table.refuse_where(~visit.isin(list(NOMINAL_DAYS)), _VISIT, rule, "Correct the cell.")
        for column in (column for column in table.cells.columns if column not in _NOT_POPULATIONS):
            variable = Variable(kind="numeric", range=profile.range, description=f"{profile.what}: {column}")
            name = f"{profile.prefix}_{slug(column)}"
            if name in variables:
                msg = f"{profile.file}: column {column!r} has the same name as another, {name!r}. Rename one of them."
                raise SequelaError(msg)
            variables[name] = variable
            values = {"variable": name, "value": table.values(column, variable)}
            parts.append(pd.DataFrame({"patient_id": patients, "day": visit.map(NOMINAL_DAYS), **values}))
    measured = pd.concat(parts).dropna(subset=["value"])
    return measured.sort_values(["patient_id", "variable", "day", "value"], ignore_index=True), variables


def slug(name: str) -> str:
    """A population's name in lower case and underscores, without what it is a fraction of: CD38+ is cd38_pos."""
    name = re.sub(r"\s*\(%[^)]*\)", "", name).replace("γ", "gamma")
    name = re.sub(r"(?<=\w)\+", " pos ", name)
    name = re.sub(r"(?<=\w)-(?=\s|CD|PD|\Z)", " neg ", name)
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
