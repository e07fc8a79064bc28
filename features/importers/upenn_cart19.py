"""`sequela import upenn_cart19`: CTL019/CART19 cells of leukaemia and lymphoma patients (UPenn and CHOP).

The source is the folder of tables that join the authors' repositories by patient_key. Follow-up exists for the 130
children with ALL; whatever was learnt after infusion becomes an event, or a measurement dated when it was known.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from features.check import read_endpoint
from features.cohort import write_cohort
from features.importers.delimited import Delimited, read_delimited
from features.importers.upenn_cart19_measurements import VARIABLES as MEASURED
from features.importers.upenn_cart19_measurements import read_measurements
from features.importers.upenn_cart19_sites import read_clones
from features.importers.upenn_cart19_specimens import Specimens, of_first_infusion
from features.schema import CohortCard, Variable

ENDPOINTS = Path(__file__).parents[2] / "configs" / "endpoint"
REMISSION_DAY = 28.0
"""Day on which patients without remission are counted as such; its days are not published."""
_RELAPSES: Mapping[str, str] = {
    "1": "relapse_cd19_negative",
    "2": "relapse_cd19_partial",
    "3": "relapse_cd19_positive",
    "4": "relapse_lineage_switch",
}
_CENSORED, _SECONDARY_MDS, _NO_REMISSION = "0", "5", "9"
_NO_FOLLOW_UP = 0.0
_NOTES = f"""\
DEATH IS NOT CODED in the source, so that "censored" may hide deaths, and incidences are those of a world without death
as far as it was not preceded by relapse. No endpoint with death can be built from this cohort.
Follow-up is published for 130 children with ALL, to their last contact. The other 79 patients (CLL, adult ALL, and two
children with other lymphomas) have follow-up of 0 days: they are at risk at no landmark and enter no analysis of
events, while their specimens, clones and kinetics are here. Expect the warning zero-follow-up for them. Three of the
212 keys of the source are later infusions of patients who have a key already (03712-51R, 959-158-I2 and -I3): they are
no patients of their own, and their seven specimens, whose days count from those infusions, are left out.
Every relapse stands twice, as relapse (with its type as detail) and by its type: relapse_cd19_negative,
relapse_cd19_partial, relapse_cd19_positive, relapse_lineage_switch (to acute myeloid leukaemia). An endpoint uses the
one or the other. The patient with secondary myelodysplastic syndrome, which the source counts among relapses, has
second_malignancy instead. Six children were never in remission, so that they are not at risk of relapse: five without
response, and one who was not evaluable (text "NE (TRM)", treatment-related mortality, last contact day 19). They have
the event no_remission on day {REMISSION_DAY:g} by convention, or at last contact where that is earlier: it competes
with relapse from landmark 0, and takes them out at landmark {REMISSION_DAY:g}.
Reinfusions are events. Left out: duration of B-cell aplasia (whether it ended is published for ten children only) and
the code of response of the paediatric table (its codes 4 and 5 are not documented). best_response (1 progression, 2 no
response or stable disease, 3 partial, 4 complete) is a measurement on the day on which it was reached.
Blood and marrow CAR copies and vector copies per cell (vcn) are dated by the source; a sample named "post" on day 0 is
dated day 0.5, so that a prediction from day 0 does not see it. Values of cerebrospinal fluid, lymph nodes, other
biopsies and apheresis are left out.
Specimens are dated by their time points: d28 is day 28, months have 30.4375 and years 365.25 days; the infusion product
is dated day 0. Five time points of one patient (04409-10) count days differently in the sample list (d121 there is day
51 after a second infusion); the time point is used. Clones are integration sites, abundance is the number of distinct
fragments. Sites are published for 224 of 562 specimens, without genes, so that near_oncogene is not known by clone. The
authors' own indices of all 562 specimens are measurements: <material>_site_* (near_oncogene is the percentage of sites
within 5 kb of an oncogene). Their Chao1 is a jackknife, larger than ours and negative for a few, which are left out.
Vector copies of that table are left out: missing and 0 are not told apart. Sorted cells are specimens of their own
material without measurements. Age and product features exist for 40 patients, 7 of them with follow-up."""

_BASELINE: Mapping[str, tuple[str, Variable]] = {
    "disease": ("disease", Variable(kind="categorical", levels=("pediatric ALL", "adult ALL", "CLL/SLL"))),
    "age": ("Age_at_CAR_Tcell_Infusion", Variable(kind="numeric", unit="a", range=(0, 120))),
    "product_car_percent": (
        "pct_CAR_Tcell_Frequency_in_Infusion_Product",
        Variable(kind="numeric", unit="%", range=(0, 100), description="CAR+ among T cells of the infusion product"),
    ),
    "apheresis_cd8_central_memory_percent": (
        "pct_CD8posCCR7posCD45ROpos_Tcell_Frequency_at_Apheresis_by_pretransduction",
        Variable(kind="numeric", unit="%", range=(0, 100), description="CD8+CCR7+CD45RO+ among T cells at apheresis"),
    ),
}
_TRIALS = {
    "p959": "CHP959",
    "p03712": "UPCC03712",
    "p04409": "UPCC04409",
    "p18415": "UPCC18415",
    "16CT022": "16CT022",
}
_TRIAL = Variable(kind="categorical", levels=tuple(_TRIALS.values()))


def import_upenn_cart19(source: Path, folder: Path) -> None:
    """Write the cohort folder of the CTL019/CART19 patients.

    Args:
        source: Folder with patients_merged.csv, ped_all_ctl019_relapse.csv, best_overall_response.csv,
            car_kinetics_vcn.csv, specimen_ml_features_569.csv.gz and integration_sites.parquet.
        folder: Where; must be absent or empty.

    Raises:
        SequelaError: A file is missing or damaged, or a value contradicts what the importer knows of the study.
    """
    merged = of_first_infusion(read_delimited(source / "patients_merged.csv"))
    course = read_delimited(source / "ped_all_ctl019_relapse.csv")
    ids = _patient_ids(merged)
    _refuse_strangers(course, "patient_key", ids)
    specimens = Specimens.read(source / "specimen_ml_features_569.csv.gz")
    _refuse_strangers(specimens.table, "patient_key", ids)
    samples, clones = read_clones(source / "integration_sites.parquet", specimens)
    tables = {
        "patients": _patients(merged, course),
        "events": _events(course),
        "measurements": read_measurements(source, specimens, set(ids)),
        "samples": samples,
        "clones": clones,
    }
    card = CohortCard(
        title="UPenn and CHOP, CD19 CAR-T cells (CTL019): relapse by type in children with ALL, kinetics and clones",
        citation="Nobles CL et al., CD19-targeting CAR T cell immunotherapy outcomes correlate with genomic "
        "modification by vector integration, J Clin Invest 2020;130:673; data: Adrian-Cantu/"
        "CART19_intsite_manuscript_analysis, commit 9a0528d, and Adrian-Cantu/CART19_ML, commit 89dcea5",
        licence="GPL-3.0 (CART19_intsite_manuscript_analysis); not stated (CART19_ML)",
        provenance="real",
        variables={"trial": _TRIAL} | {name: variable for name, (_, variable) in _BASELINE.items()} | dict(MEASURED),
        notes=" ".join(_NOTES.split()),
    )
    names = ("upenn_relapse", "upenn_relapse_cd19_negative")
    endpoints = {name: read_endpoint(ENDPOINTS / f"{name}.yaml") for name in names}
    write_cohort(folder, card, tables, endpoints=endpoints)


def _patient_ids(merged: Delimited) -> pd.Series:
    ids = merged.present("patient_key")
    merged.refuse_where(ids.duplicated(), "patient_key", "patients have one row each", "Remove the row.")
    unknown = ~ids.map(_prefix).isin(list(_TRIALS))
    rule = f"a key begins with its trial ({', '.join(_TRIALS)}) and ends with a number"
    merged.refuse_where(unknown, "patient_key", rule, "Take the table as published.")
    return ids


def _prefix(patient: str) -> str:
    return patient.rpartition("-")[0]


def _refuse_strangers(table: Delimited, column: str, ids: pd.Series) -> None:
    stranger = ~table.present(column).isin(list(ids))
    table.refuse_where(stranger, column, "every patient is in patients_merged.csv", "Take the tables as published.")


def _patients(merged: Delimited, course: Delimited) -> pd.DataFrame:
    """patient_id, follow_up_days and the baseline variables."""
    ids = _patient_ids(merged)
    known = course.present("patient_key")
    course.refuse_where(known.duplicated(), "patient_key", "patients have one row each", "Remove the row.")
    last_contact = pd.Series(_days(course, "lastcontact_days", required=True).to_numpy(), index=known)
    patients = pd.DataFrame(
        {
            "patient_id": ids,
            "follow_up_days": ids.map(last_contact).fillna(_NO_FOLLOW_UP),
            "trial": ids.map(_prefix).map(_TRIALS),
        }
    )
    for name, (column, variable) in _BASELINE.items():
        patients[name] = merged.values(column, variable)
    return patients


def _days(table: Delimited, column: str, *, required: bool = False) -> pd.Series:
    if required:
        table.present(column)
    return table.values(column, Variable(kind="numeric", unit="d", range=(0, 10_000)))


def _events(course: Delimited) -> pd.DataFrame:
    """patient_id, day, event, detail."""
    ids, code = course.present("patient_key"), course.present("event")
    day, last_contact = _days(course, "time_days", required=True), _days(course, "lastcontact_days", required=True)
    known = [_CENSORED, *_RELAPSES, _SECONDARY_MDS, _NO_REMISSION]
    remedy = "Take the table as published."
    course.refuse_where(~code.isin(known), "event", f"the codes are {', '.join(known)}", remedy)
    course.refuse_where(day > last_contact, "time_days", "an event comes by lastcontact_days", remedy)
    censored = (code == _CENSORED) & (day != last_contact)
    course.refuse_where(censored, "time_days", "without an event it equals lastcontact_days", remedy)
    evaluable = _days(course, "note_trm", required=True) == 0
    no_remission = np.where(evaluable, "no response", "not evaluable, treatment-related mortality")
    relapsed = code.isin(list(_RELAPSES))
    parts = [
        _part(ids, day, "relapse", code.map(_RELAPSES), relapsed),
        _part(ids, day, code.map(_RELAPSES), "", relapsed),
        _part(ids, day, "second_malignancy", "myelodysplastic syndrome", code == _SECONDARY_MDS),
        _part(ids, np.minimum(last_contact, REMISSION_DAY), "no_remission", no_remission, code == _NO_REMISSION),
    ]
    for column in ("reinfusion1_day", "reinfusion2_day"):
        again = _days(course, column)
        course.refuse_where(again > last_contact, column, "a reinfusion comes by lastcontact_days", remedy)
        parts.append(_part(ids, again, "reinfusion", "", again.notna()))
    return pd.concat(parts).sort_values(["patient_id", "day", "event"], ignore_index=True)


def _part(ids: pd.Series, day: object, event: object, detail: object, where: pd.Series) -> pd.DataFrame:
    part: pd.DataFrame = pd.DataFrame({"patient_id": ids, "day": day, "event": event, "detail": detail})[where]
    return part
