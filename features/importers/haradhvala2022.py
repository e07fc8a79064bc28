"""`sequela import haradhvala2022`: 32 lymphoma patients after axi-cel or tisa-cel (Haradhvala et al., Nat Med 2022).

The source is a folder with the clinical table, patients.csv, and, where they were downloaded, the expression matrices
of GEO GSE197268, each sample as 10x Genomics' matrix, barcodes and features. Without matrices the cohort has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.check import read_endpoint
from features.cohort import write_cohort
from features.importers.delimited import Delimited, read_delimited
from features.importers.haradhvala2022_cells import find_matrices, read_cells
from features.importers.spec import DAYS_PER_UNIT
from features.schema import CellsCard, CohortCard, Variable

ENDPOINTS = Path(__file__).parents[2] / "configs" / "endpoint"
CLASS_DAY = 8.0
"""Day of the authors' class of response, by convention: after the samples of day 7, and before anyone is censored."""
_SCANS = ("scan1", "scan2")
_NOTES = f"""\
Good for: telling the authors' responders from non-responders by clinic and cells of the product and of day 7
(haradhvala_non_response). Hardly good for time to event: outcomes are known from up to three scans. The class of
response (R 16, PR 1, NR 15) has no day; NR is the event no_durable_response on day {CLASS_DAY:g} by convention, so that
only landmarks before it and horizons beyond it mean anything, up to day 23, when the first patient is censored. The
risk there is the probability of class NR, at no particular time. The one patient of class PR counts as without it.
Progression is dated by the first scan with progressive disease, so that it happened earlier. Two patients of class NR
(Tisa-N-27, Tisa-N-29) have no such scan and are dated by their third, whose result is not published (detail says so).
Follow-up is the day of the last scan; that of most axi-cel responders is the first, at a month, though they were
responders later. Censoring therefore depends on the outcome, and estimates of progression over time
(haradhvala_progression) are too high: use them to try methods, not for incidences. Death and toxicity are not given.
Complete and partial responses are events on the day of the first scan that showed them. B-cell aplasia, published as
text, is a measurement (1 aplasia, 0 lost) on nominal days, months of 30.4375 days after infusion; what is told of a
second infusion is left out. Age is that at diagnosis, as the table's header says. CD19 at relapse is the detail of
progression. A tumour burden of 0 is of a patient in complete remission by PET before infusion.
Samples of the matrices: baseline (before infusion, day not published) is dated day 0, the infusion product day 0, D7,
D14 and D30 by their names; sorted CAR-T cells are of the material blood_car_t; samples of the second infusion of
patient 29 are left out, as their days count from it. The number in a sample's name is that of the patient."""

_YES_NO = {"no": "0", "yes": "1"}


class _Baseline(NamedTuple):
    """A baseline variable: its column in patients.csv, and names for the values there."""

    column: str
    variable: Variable
    names: Mapping[str, str] | None = None


_FLAG = Variable(kind="numeric", range=(0, 1))
_BASELINE: Mapping[str, _Baseline] = {
    "product": _Baseline(
        "product",
        Variable(kind="categorical", levels=("axi_cel", "tisa_cel")),
        {"Axi-cel": "axi_cel", "Tisa-cel": "tisa_cel"},
    ),
    "sex": _Baseline("sex", Variable(kind="categorical", levels=("female", "male")), {"F": "female", "M": "male"}),
    "age_at_diagnosis": _Baseline("age", Variable(kind="numeric", unit="a", range=(0, 120))),
    "stage": _Baseline("ann_arbor_stage", Variable(kind="ordinal", levels=("I", "II", "III", "IV"))),
    "ecog": _Baseline("ecog", Variable(kind="ordinal", levels=("0", "1", "2", "3", "4"))),
    "prior_lines": _Baseline("n_prior_therapies", Variable(kind="numeric", range=(0, 30))),
    "prior_imid": _Baseline("prior_imid", _FLAG, _YES_NO),
    "prior_autologous_transplant": _Baseline("prior_auto_transplant", _FLAG, _YES_NO),
    "tumour_burden": _Baseline(
        "baseline_tumor_burden_spd_cm2",
        Variable(kind="numeric", unit="cm2", range=(0, 1000), description="sum of products of diameters"),
    ),
}
_FROM_TEXT: Mapping[str, Variable] = {
    "bridging_therapy": _FLAG,
    "cell_of_origin": Variable(kind="categorical", levels=("gcb", "non_gcb")),
    "double_or_triple_hit": Variable(kind="numeric", range=(0, 1), description="as the molecular subtype says"),
}
_APLASIA = "b_cell_aplasia"
_APLASIA_BY_TEXT: Mapping[str, Mapping[int, int]] = {
    "not tested": {},
    "no data available": {},
    "aplasia at 1M": {1: 1},
    "aplasia at 6M": {6: 1},
    "aplasia M1, M2": {1: 1, 2: 1},
    "aplasia at 1M, 3M": {1: 1, 3: 1},
    "aplasia at 1M, 3M, 6M": {1: 1, 3: 1, 6: 1},
    "aplasia at 1M, lost at M2": {1: 1, 2: 0},
    "aplasia at 1M and 2 years": {1: 1, 24: 1},
    "aplasia at M1-6": dict.fromkeys(range(1, 7), 1),
    "aplasia at M1 after infusion 1 and M1 &M2 months after second infusion": {1: 1},
}
"""1 (aplasia) or 0 (lost) by month, for each text of the table."""


def import_haradhvala2022(source: Path, folder: Path) -> None:
    """Write the cohort folder of the study.

    Args:
        source: Folder with patients.csv and, in it or below it, any samples of GSE197268: files that end with
            matrix.mtx, barcodes.tsv and features.tsv, gzipped or not, in a folder named as the sample or with its name
            before theirs (``GSM5911991_Patient6-Baseline_matrix.mtx.gz``).
        folder: Where; must be absent or empty.

    Raises:
        SequelaError: A file is missing or damaged, or a value contradicts what the importer knows of the study.
    """
    clinic = read_delimited(source / "patients.csv")
    ids = clinic.present("sample_id")
    clinic.refuse_where(ids.duplicated(), "sample_id", "patients have one row each", "Remove the row.")
    tables = {"patients": _patients(clinic), "events": _events(clinic), "measurements": _measurements(clinic)}
    matrices = find_matrices(source, ids)
    cells = read_cells(matrices) if matrices else None
    if cells is not None:
        tables["samples"] = cells.samples
    aplasia = Variable(kind="numeric", range=(0, 1), description="1 B-cell aplasia, 0 B cells recovered")
    card = CohortCard(
        title="Haradhvala 2022, axi-cel and tisa-cel for large B-cell lymphoma: response, and cells where downloaded",
        citation="Haradhvala NJ et al., Distinct cellular dynamics associated with response to CAR-T therapy for "
        "refractory B cell lymphoma, Nature Medicine 2022, doi 10.1038/s41591-022-01959-0; cells: GEO GSE197268; "
        "clinical table: alice-y-wang/LBCL_CART19, commit d8bd5af",
        licence="not stated",
        provenance="real",
        variables={name: baseline.variable for name, baseline in _BASELINE.items()}
        | dict(_FROM_TEXT)
        | {_APLASIA: aplasia},
        cells=None if cells is None else CellsCard(values="counts", genes="genes"),
        notes=" ".join(_NOTES.split()),
    )
    names = ("haradhvala_non_response", "haradhvala_progression")
    endpoints = {name: read_endpoint(ENDPOINTS / f"{name}.yaml") for name in names}
    write_cohort(folder, card, tables, write_cells=None if cells is None else cells.write, endpoints=endpoints)


def _patients(clinic: Delimited) -> pd.DataFrame:
    """patient_id, follow_up_days and the baseline variables."""
    patients = pd.DataFrame({"patient_id": clinic.present("sample_id"), "follow_up_days": _last_scan(clinic)})
    for name, baseline in _BASELINE.items():
        table = clinic if baseline.names is None else clinic.recoded(baseline.column, baseline.names)
        patients[name] = table.values(baseline.column, baseline.variable)
    bridging, subtype = clinic.text("bridging_therapy"), clinic.text("molecular_subtype").str.lower()
    unclear = ~bridging.str.match("yes|no$|$")
    clinic.refuse_where(unclear, "bridging_therapy", "it is no, or begins with yes", "Correct the cell.")
    patients["bridging_therapy"] = bridging.str.startswith("yes").astype(float).where(bridging != "")
    origin = np.where(subtype.str.contains("non-?gcb"), "non_gcb", "gcb")
    patients["cell_of_origin"] = pd.Series(origin, index=subtype.index).where(subtype.str.contains("gcb"), None)
    hit = subtype.str.contains("(?:double|triple)[- ]hit").astype(float)
    patients["double_or_triple_hit"] = hit.where(subtype != "")
    return patients


def _scan_days(clinic: Delimited, scan: str) -> NDArray[np.float64]:
    days = clinic.values(f"{scan}_day", Variable(kind="numeric", unit="d", range=(1, 10_000)))
    return days.to_numpy(dtype=float)


def _last_scan(clinic: Delimited) -> NDArray[np.float64]:
    clinic.present("scan1_day")
    days = np.column_stack([_scan_days(clinic, scan) for scan in (*_SCANS, "scan3")])
    last: NDArray[np.float64] = np.nanmax(days, axis=1)
    rule = f"follow-up goes beyond day {CLASS_DAY:g}"
    clinic.refuse_where(last <= CLASS_DAY, "scan1_day", rule, "Take the table as published.")
    return last


def _events(clinic: Delimited) -> pd.DataFrame:
    """patient_id, day, event, detail."""
    ids, response = clinic.present("sample_id"), clinic.present("response_class")
    clinic.refuse_where(~response.isin(["R", "PR", "NR"]), "response_class", "it is R, PR or NR", "Correct the cell.")
    parts = [
        _progressions(clinic, response),
        pd.DataFrame(
            {"patient_id": ids, "day": CLASS_DAY, "event": "no_durable_response", "detail": "day not published"}
        )[response == "NR"],
    ]
    for event, code in (("complete_response", "CR"), ("partial_response", "PR")):
        day = _first_scan(clinic, code)
        found = np.isfinite(day)
        parts.append(pd.DataFrame({"patient_id": ids, "day": day, "event": event, "detail": ""})[found])
    return pd.concat(parts).sort_values(["patient_id", "day", "event"], ignore_index=True)


def _progressions(clinic: Delimited, response: pd.Series) -> pd.DataFrame:
    """Progression of everyone of class NR, dated by scan."""
    seen, third = _first_scan(clinic, "PD"), _scan_days(clinic, "scan3")
    remedy = "Take the table as published."
    responder = np.isfinite(seen) & (response != "NR")
    clinic.refuse_where(responder, "response_class", "a scan shows progressive disease, so it is NR", remedy)
    undated = (response == "NR") & ~np.isfinite(seen) & ~np.isfinite(third)
    clinic.refuse_where(undated, "response_class", "class NR has a scan with PD, or a third scan", remedy)
    status = clinic.text("cd19_at_relapse")
    inferred = "day of the third scan, whose result is not published"
    detail = np.where(np.isfinite(seen), status, inferred + (", " + status).where(status != "", ""))
    day = np.where(np.isfinite(seen), seen, third)
    columns = {"patient_id": clinic.present("sample_id"), "day": day, "event": "progression", "detail": detail}
    return pd.DataFrame(columns)[response == "NR"]


def _first_scan(clinic: Delimited, code: str) -> NDArray[np.float64]:
    """(patients,): day of the first scan with a result, NaN where there is none."""
    day = np.full(len(clinic.cells), np.nan)
    for scan in reversed(_SCANS):
        day = np.where(clinic.text(f"{scan}_response") == code, _scan_days(clinic, scan), day)
    return day


def _measurements(clinic: Delimited) -> pd.DataFrame:
    """patient_id, day, variable, value: B-cell aplasia."""
    ids, text = clinic.present("sample_id"), clinic.present("bcell_aplasia")
    unknown = ~text.isin(list(_APLASIA_BY_TEXT))
    rule = "the importer knows the texts of the published table"
    clinic.refuse_where(unknown, "bcell_aplasia", rule, "Take the table as published.")
    rows = [
        (patient, month * DAYS_PER_UNIT["months"], _APLASIA, float(value))
        for patient, words in zip(ids, text, strict=True)
        for month, value in _APLASIA_BY_TEXT[words].items()
    ]
    return pd.DataFrame(rows, columns=["patient_id", "day", "variable", "value"])
