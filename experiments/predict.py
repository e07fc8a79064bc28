"""Batch scoring: a cohort folder in, a table of incidences out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.data import Progress, all_patients
from experiments.home import Home
from features.analytes import analyte_of, convert_analyte
from features.cells.processing import CellProcessing
from features.check import read_cohort
from features.cohort import Cohort, outcomes_at, qualifying
from features.encoder import PatientEncoder
from features.errors import SequelaError
from features.files import written_beside
from features.patients import Patients
from features.request import requested_horizons
from features.schema import CellsCard, Endpoint, Variable
from features.units import UnitError
from training.artifact.folder import Artifact, read_artifact

MINIMUM_PANEL = 0.5
"""Smallest share of the model's genes that a cohort's cells must have."""


def predict_cohort(
    artifact: Artifact,
    cohort_folder: Path,
    store: Path,
    *,
    landmark_day: float | None = None,
    horizons_days: tuple[float, ...] | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Predict every patient of a cohort from one landmark.

    Args:
        artifact: The model.
        cohort_folder: Events may be absent.
        store: Folder of the feature stores.
        landmark_day: From the endpoint's first to its last; default the first.
        horizons_days: Default the endpoint's.
        progress: Told how many samples of how many were read.

    Returns:
        patient_id, landmark_day, cause, horizon_days, incidence, at_risk (whether the patient was followed beyond the
        landmark without an event of the endpoint), n_missing (sources imputed), n_outside_range (features outside the
        training range); one row a patient, cause and horizon. Of a model with counts also expected_events (number of
        events of interest by the horizon; empty in rows of other causes, and where a competing event came before).

    Raises:
        SequelaError: The cohort has findings or does not fit the model, or the model does not answer from the landmark
            or at a horizon.
    """
    endpoint = artifact.manifest.endpoint
    day = endpoint.landmark_days[0] if landmark_day is None else landmark_day
    if not endpoint.predicts_from(day):
        msg = f"--landmark-day {day:g}: this model predicts from {endpoint.landmark_range}"
        raise SequelaError(msg)
    times: NDArray[np.float64] = np.array(requested_horizons(horizons_days, endpoint))
    cohort = read_cohort(cohort_folder)
    encoder = artifact.model.encoder
    processing = None if encoder.samples is None else encoder.processor or CellProcessing()
    patients = all_patients(cohort, processing, store, progress=progress)
    require_fit(encoder, cohort, patients)
    patients = in_units_of(encoder.variables, patients, cohort.card.variables).at_landmark(day)
    incidence, encoded = artifact.model.explain_input(patients, times)
    n_patients, n_causes, n_times = incidence.values.shape
    per_patient = n_causes * n_times
    table = pd.DataFrame(
        {
            "patient_id": np.repeat(patients.patient_id, per_patient),
            "landmark_day": day,
            "cause": np.tile(np.repeat(np.array(endpoint.causes, dtype=object), n_times), n_patients),
            "horizon_days": np.tile(times, n_patients * n_causes),
            "incidence": incidence.values.reshape(-1),
            "at_risk": np.repeat(at_risk(cohort, endpoint, day), per_patient),
            "n_missing": np.repeat([len(names) for names in encoded.missing], per_patient),
            "n_outside_range": np.repeat([len(names) for names in encoded.outside], per_patient),
        }
    )
    if artifact.counts is not None:
        expected = artifact.counts.expected(encoded.x, patients.landmark_day, times)
        expected[counting_ended(cohort, endpoint, day)] = np.nan
        of_event = (table["cause"] == endpoint.event.name).to_numpy()
        table["expected_events"] = np.nan
        table.loc[of_event, "expected_events"] = expected.reshape(-1)
    return table


def counting_ended(cohort: Cohort, endpoint: Endpoint, landmark_day: float) -> NDArray[np.bool_]:
    """(patients,): whose counting of events a competing one ended by the landmark."""
    ended = np.zeros(len(cohort.patients), dtype=bool)
    for rule in endpoint.competing:
        events = qualifying(cohort.events, rule)
        ended |= cohort.patients["patient_id"].isin(events.loc[events["day"] <= landmark_day, "patient_id"]).to_numpy()
    return ended


def at_risk(cohort: Cohort, endpoint: Endpoint, landmark_day: float) -> NDArray[np.bool_]:
    """(patients,): who is at risk from the landmark."""
    mask = np.zeros(len(cohort.patients), dtype=bool)
    with suppress(SequelaError):  # nobody is
        mask[outcomes_at(cohort, endpoint, landmark_day)[0]] = True
    return mask


def require_fit(encoder: PatientEncoder, cohort: Cohort, patients: Patients) -> None:
    """Refuse a cohort about which the model can say nothing.

    Raises:
        SequelaError: The cohort shares no variable with the model; or its cells are measured otherwise, of other
            materials, or share too few of the model's genes.
    """
    have = {*patients.baseline, *patients.measurements.names}
    if encoder.variables and not have & set(encoder.variables):
        msg = f"{cohort.folder}: none of the model's variables is there, e.g. {', '.join(list(encoder.variables)[:5])}"
        raise SequelaError(msg + "; name them in cohort.yaml as the model does")
    if encoder.samples is None or patients.samples is None or not encoder.samples.genes:
        return
    model, cells = encoder.samples, cohort.card.cells or CellsCard()
    if (cells.values == "counts") != model.counts:
        wanted = "counts" if model.counts else "intensities"
        msg = f"{cohort.folder}: cells.values = {cells.values}; the model was trained on {wanted}"
        raise SequelaError(msg + ", correct cohort.yaml or give such cells")
    if not set(patients.samples.material) & set(model.materials):
        msg = f"{cohort.folder}: samples.material knows none of {', '.join(model.materials)}; name materials likewise"
        raise SequelaError(msg)
    shared = len(set(patients.samples.summary.genes) & set(model.genes)) / len(model.genes)
    if shared < MINIMUM_PANEL:
        msg = f"{cohort.folder}: the cells have {shared:.0%} of the model's {len(model.genes)} genes"
        raise SequelaError(msg + f"; at least {MINIMUM_PANEL:.0%} are needed, absent ones count as not expressed")


def in_units_of(model: Mapping[str, Variable], patients: Patients, cohort: Mapping[str, Variable]) -> Patients:
    """The patients with numeric variables in the units that the model was trained in.

    Raises:
        SequelaError: A variable is of another kind, or its unit measures something else.
    """
    baseline = dict(patients.baseline)
    measured = patients.measurements
    value = measured.value.copy()
    for name, variable in model.items():
        declared = cohort.get(name)
        if declared is None:
            continue
        if declared.kind != variable.kind:
            msg = (
                f"variable {name}: is {declared.kind} in the cohort, {variable.kind} in the model; correct cohort.yaml"
            )
            raise SequelaError(msg)
        if variable.kind != "numeric" or declared.unit == variable.unit:
            continue
        units = (declared.unit, variable.unit, analyte_of(name, variable))
        try:
            if name in baseline:
                baseline[name] = convert_analyte(baseline[name].astype(float), *units)
            if name in measured.names:
                rows = measured.variable == measured.names.index(name)
                value[rows] = convert_analyte(value[rows], *units)
        except UnitError as error:
            msg = f"cohort.yaml: variables.{name}.unit: {error}"
            raise SequelaError(msg) from error
    return replace(patients, baseline=baseline, measurements=replace(measured, value=value))


def resolve_model(reference: str, home: Home) -> Artifact:
    """The artifact that a reference means: a folder, ``champion[:ENDPOINT]``, or a run's name or id.

    Raises:
        SequelaError: There is none, or it is refused.
    """
    if Path(reference).is_dir():
        return read_artifact(Path(reference))
    from experiments.promotion import registry  # MLflow takes seconds to import
    from experiments.promotion.history import CHAMPION
    from experiments.store import find_run, open_store

    client = open_store(home)
    name, _, endpoint = reference.partition(":")
    run = registry.find_champion(client, endpoint or None).run_id if name == CHAMPION else reference
    return read_artifact(registry.run_artifact(client, find_run(client, run)))


def write_predictions(table: pd.DataFrame, path: Path) -> None:
    """Write a table as .csv or .parquet, beside and then renamed.

    Raises:
        SequelaError: The ending is another one.
    """
    if path.suffix not in {".csv", ".parquet"}:
        msg = f"--out {path}: must end in .csv or .parquet"
        raise SequelaError(msg)
    with written_beside(path) as beside:
        if path.suffix == ".csv":
            table.to_csv(beside, index=False)
        else:
            table.to_parquet(beside, index=False)
