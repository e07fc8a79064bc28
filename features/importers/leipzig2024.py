"""`sequela import leipzig2024`: 52 myeloma patients after BCMA CAR-T cells (Fandrei et al., Blood Cancer Discovery).

The source is the folder of CSV files with the authors' tables. What is known only after infusion (response, CRS, day
of progression) becomes an event or is left out; a baseline variable was measured or decided by day 0.
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
from features.errors import SequelaError
from features.importers.delimited import Delimited, read_delimited
from features.importers.leipzig2024_cells import MARKERS, read_plasma_cells
from features.importers.leipzig2024_measurements import AFTER_INFUSION_DAY, VARIABLES, read_measurements
from features.importers.leipzig2024_visits import Visits
from features.patients import FloatArray
from features.schema import CellsCard, CohortCard, Variable

CRS_DAY = 14.0
"""Day of CRS and ICANS, whose days are not published: by then they nearly always have begun."""
ENDPOINTS = Path(__file__).parents[2] / "configs" / "endpoint"
_NOTES = f"""\
CRS and ICANS are published without days. They are dated day {CRS_DAY:g} by convention (detail "day not published"), or
the end of follow-up where that is earlier. Valid are therefore only endpoints from landmark 0 with horizons of
{CRS_DAY:g} days or more; incidence before day {CRS_DAY:g}, and any later landmark, says nothing about CRS or ICANS.
ICANS is not graded.
Consistent in the source: progression-free survival never exceeds overall survival, its status is progression or death,
and it equals overall survival where there was no progression. Patients 011, 013 and 038 progressed on their last day.
Follow-up is overall survival as published, which for some patients ends before their last laboratory value (051: day
15, flow cytometry until day 73; 011 and 037 likewise).
Days of blood samples are those of the flow-cytometry table where it has the visit, else the nominal day, and for
leukapheresis the published time to infusion; a visit after infusion that is dated day 0 (041, day 7) has its nominal
day. Samples before bispecific therapy are dated its first day, the latest they can be; where that is unknown (soluble
BCMA of 040, 041 and 051) they are left out.
IL-6 and procalcitonin of day 0 are dated day {AFTER_INFUSION_DAY:g}: only patients who went on to CRS have them, so
they were taken for symptoms, after the infusion; dated day 0 they would tell a prediction from landmark 0 its outcome.
Left out as well: CAR copies per ug DNA on day 100 (about 292 times the copies per 1000 cells, which are kept), flow
values that are not numbers ("n.d.", "Teclistamab", where the drug disturbs the staining, "2 ???"), and the first of
two T-cell tables of patient 044 for day 30, whose subsets do not add up to its T cells. The published number of
cytogenetic abnormalities differs by one from the published flags in two patients. Monocytes are in 10*9/L, unlike the
other counts. T cells were not published: the cells are plasma cells, with BCMA (TNFRSF17) as RNA and as protein."""

_FLAG = Variable(kind="numeric", range=(0, 1))


class _Baseline(NamedTuple):
    """A baseline variable: its column in clin_data.csv, and names for the values there."""

    column: str
    variable: Variable
    names: Mapping[str, str] | None = None


def _flag(column: str, description: str = "") -> _Baseline:
    return _Baseline(column, _FLAG.model_copy(update={"description": description}))


def _named(column: str, kind: str, names: Mapping[str, str]) -> _Baseline:
    levels = tuple(dict.fromkeys(names.values()))
    return _Baseline(column, Variable.model_validate({"kind": kind, "levels": levels}), names)


_BISPECIFIC = "Bispecific Ab"
_BASELINE: Mapping[str, _Baseline] = {
    "age": _Baseline("age_cart", Variable(kind="numeric", unit="a", range=(18, 120))),
    "sex": _named("sex", "categorical", {"w": "female", "m": "male"}),
    "product": _named("Product", "categorical", {"Ide-cel": "ide_cel", "Cilta-cel": "cilta_cel"}),
    "r_iss": _named("R-ISS", "ordinal", {"1": "I", "2": "II", "3": "III"}),
    "extramedullary_disease": _flag("EMD"),
    "gain_1q": _flag("gain_1q"),
    "del_1p": _flag("del_1p"),
    "del_13q": _flag("del_13q"),
    "del_17p": _flag("del_17p"),
    "t_4_14": _flag("t(4;14)"),
    "t_11_14": _flag("t(11;14)"),
    "cytogenetic_abnormalities": _Baseline("sum_cytogen", Variable(kind="numeric", range=(0, 30))),
    "prior_lines": _Baseline(
        "n_lines_treatment", Variable(kind="numeric", range=(0, 30), description="lines of therapy before CAR-T cells")
    ),
    "refractoriness": _named(
        "refractoriness_group",
        "ordinal",
        {"TCexposed": "triple_class_exposed", "TCRRMM": "triple_class_refractory", "PentaRRMM": "penta_refractory"},
    ),
    "had_bispecific": _flag("had_bispecific", "bispecific antibody at any time before infusion"),
    "bridging_therapy": _named(
        "therapy_before_cart",
        "categorical",
        {"CD38": "anti_cd38", "SLAMF7": "anti_slamf7", _BISPECIFIC: "bispecific", "Chemotherapy": "chemotherapy"},
    ),
    "response_before_infusion": _named(
        "all_groups_before_cart", "ordinal", {name: name for name in ("PD", "SD", "PR", "VGPR", "CR")}
    ),
    "ferritin": _Baseline("Ferritin", Variable(kind="numeric", unit="ng/mL", range=(0, 100_000), loinc="2276-4")),
    "time_since_diagnosis_months": _Baseline("time_diag_cart", Variable(kind="numeric", unit="mo", range=(0, 600))),
    "vein_to_vein_days": _Baseline(
        "time_apheresis_cart",
        Variable(kind="numeric", unit="d", range=(0, 1000), description="from leukapheresis to infusion"),
    ),
    "out_of_specification": _flag("OOS_binary", "a manufactured product was out of specification"),
}


def import_leipzig2024(source: Path, folder: Path) -> None:
    """Write the cohort folder of the Leipzig study.

    Args:
        source: Folder with clin_data.csv, crs.csv, immune_df.csv, t_cells.csv, pcr_data.csv, tcr_diversity.csv,
            elisa_df.csv, bite_admin.csv and plasma_cells_single_cell.csv.gz.
        folder: Where; must be absent or empty.

    Raises:
        SequelaError: A file is missing, or a value contradicts what the importer knows of the study.
    """
    clinic = read_delimited(source / "clin_data.csv")
    visits = Visits.read(source, clinic)
    cells = read_plasma_cells(source / "plasma_cells_single_cell.csv.gz", visits)
    tables = {
        "patients": _patients(clinic),
        "events": _events(clinic, read_delimited(source / "crs.csv")),
        "measurements": read_measurements(source, visits),
        "samples": cells.samples,
    }
    card = CohortCard(
        title="Leipzig, BCMA CAR-T cells for relapsed or refractory myeloma, with and without bispecific bridging",
        citation="Fandrei D et al., Bispecific Antibodies as Bridging to BCMA CAR-T Cell Therapy for "
        "Relapsed/Refractory Myeloma, Blood Cancer Discovery 2024/25; data: fraunhofer-izi/Fandrei_et_al_2024",
        licence="not stated",
        provenance="real",
        variables={name: baseline.variable for name, baseline in _BASELINE.items()} | dict(VARIABLES),
        cells=CellsCard(values="intensities", genes="markers"),
        notes=" ".join(_NOTES.split()) + f" Markers: {', '.join(MARKERS)}.",
    )
    endpoints = {name: read_endpoint(ENDPOINTS / f"{name}.yaml") for name in ("leipzig_progression", "leipzig_crs2")}
    write_cohort(folder, card, tables, write_cells=cells.write, endpoints=endpoints)


def _patients(clinic: Delimited) -> pd.DataFrame:
    """patient_id, follow_up_days and the baseline variables."""
    ids = clinic.present("patient_id")
    clinic.refuse_where(ids.duplicated(), "patient_id", "patients have one row each", "Remove the row.")
    patients = pd.DataFrame({"patient_id": ids, "follow_up_days": _overall_survival(clinic)})
    for name, baseline in _BASELINE.items():
        table = clinic if baseline.names is None else clinic.recoded(baseline.column, baseline.names)
        patients[name] = table.values(baseline.column, baseline.variable)
    return patients


def _overall_survival(clinic: Delimited) -> pd.Series:
    clinic.present("os")
    return clinic.values("os", Variable(kind="numeric", unit="d", range=(0, 10_000)))


def _events(clinic: Delimited, crs: Delimited) -> pd.DataFrame:
    """patient_id, day, event, grade, detail."""
    ids = clinic.present("patient_id")
    survival, pfs = _overall_survival(clinic), clinic.numbers("pfs")
    progressed, died = (clinic.numbers(column) == 1 for column in ("progression", "death"))
    _check_survival(clinic, survival, pfs, progressed, died)
    grade = clinic.recoded("crs_grade", {"no CRS": "0", "Grade 1": "1", "Grade 2": "2"}).numbers("crs_grade")
    icans = _icans(crs, ids)
    conventional = np.minimum(survival, CRS_DAY)
    happened = {
        "progression": (progressed, pfs, np.nan, ""),
        "death": (died, survival, np.nan, ""),
        "crs": (grade > 0, conventional, grade, "day not published"),
        "icans": (icans, conventional, np.nan, "day not published"),
    }
    parts = [
        pd.DataFrame({"patient_id": ids, "day": day, "event": event, "grade": graded, "detail": detail})[mask]
        for event, (mask, day, graded, detail) in happened.items()
    ]
    events: pd.DataFrame = pd.concat(parts).sort_values(["patient_id", "day", "event"], ignore_index=True)
    events["grade"] = events["grade"].astype("Int64")
    return events


def _icans(crs: Delimited, ids: pd.Series) -> NDArray[np.bool_]:
    """(patients,): whether the patient had ICANS; crs.csv must list the same patients as clin_data.csv."""
    crs_ids = crs.present("patient_id")
    rule = "each patient of clin_data.csv stands here once"
    wrong = crs_ids.duplicated() | ~crs_ids.isin(ids)
    crs.refuse_where(wrong, "patient_id", rule, "Take the table as published.")
    if len(crs_ids) < len(ids):
        missing = ids[~ids.isin(crs_ids)].iloc[0]
        msg = f"{crs.name}: patient {missing!r} of clin_data.csv is missing; every patient needs a row. Add it."
        raise SequelaError(msg)
    of_patient = pd.Series(crs.numbers("ICANS"), index=crs_ids)
    return np.asarray(of_patient[ids] == 1, dtype=bool)


def _check_survival(
    clinic: Delimited, survival: pd.Series, pfs: FloatArray, progressed: NDArray[np.bool_], died: NDArray[np.bool_]
) -> None:
    """Overall and progression-free survival must agree, or the events would be wrong."""
    remedy = "Take the table as published, or correct it."
    clinic.refuse_where(~(pfs <= survival), "pfs", "progression-free survival ends by os, overall survival", remedy)
    status = clinic.numbers("status") == 1
    clinic.refuse_where(status != (progressed | died), "status", "1 means progression or death", remedy)
    apart = ~progressed & (pfs != survival)
    clinic.refuse_where(apart, "pfs", "without progression it equals os, overall survival", remedy)
