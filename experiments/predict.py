"""Batch scoring: a cohort folder in, a table of incidences out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.data import Progress, all_patients
from experiments.home import Home
from features.check import read_cohort
from features.errors import SequelaError
from features.patients import Patients
from features.schema import Variable
from features.units import convert
from training.artifact import Artifact, read_artifact


def predict_cohort(
    artifact: Artifact,
    cohort_folder: Path,
    *,
    landmark_day: float | None = None,
    horizons_days: tuple[float, ...] | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Predict every patient of a cohort from one landmark.

    Args:
        artifact: The model.
        cohort_folder: Outcomes may be absent.
        landmark_day: One of the endpoint's; default the first.
        horizons_days: Default the endpoint's.
        progress: Told how many samples of how many were read.

    Returns:
        patient_id, landmark_day, cause, horizon_days, incidence; one row a patient, cause and horizon.

    Raises:
        SequelaError: The cohort has findings, or the model was not trained for the landmark.
    """
    endpoint = artifact.manifest.endpoint
    day = endpoint.landmark_days[0] if landmark_day is None else landmark_day
    if day not in endpoint.landmark_days:
        known = ", ".join(f"{d:g}" for d in endpoint.landmark_days)
        msg = f"--landmark-day {day:g}: this model predicts from day {known}"
        raise SequelaError(msg)
    cohort = read_cohort(cohort_folder)
    patients = all_patients(cohort, cells=artifact.model.encoder.samples is not None, progress=progress)
    patients = in_units_of(artifact.model.encoder.variables, patients, cohort.card.variables)
    times: NDArray[np.float64] = np.array(horizons_days or endpoint.horizons_days, dtype=float)
    values = artifact.model.predict_incidence(patients.at_landmark(day), times).values
    n_patients, n_causes, n_times = values.shape
    return pd.DataFrame(
        {
            "patient_id": np.repeat(patients.patient_id, n_causes * n_times),
            "landmark_day": day,
            "cause": np.tile(np.repeat(np.array(endpoint.causes, dtype=object), n_times), n_patients),
            "horizon_days": np.tile(times, n_patients * n_causes),
            "incidence": values.reshape(-1),
        }
    )


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
        if name in baseline:
            baseline[name] = convert(baseline[name].astype(float), declared.unit, variable.unit)
        if name in measured.names:
            rows = measured.variable == measured.names.index(name)
            value[rows] = convert(value[rows], declared.unit, variable.unit)
    return replace(patients, baseline=baseline, measurements=replace(measured, value=value))


def resolve_model(reference: str, home: Home) -> Artifact:
    """The artifact that a reference means: a folder, ``champion[:ENDPOINT]``, or a run's name or id.

    Raises:
        SequelaError: There is none, or it is refused.
    """
    if Path(reference).is_dir():
        return read_artifact(Path(reference))
    from experiments import registry  # MLflow takes seconds to import
    from experiments.tracking import find_run, open_store

    client = open_store(home)
    name, _, endpoint = reference.partition(":")
    run = registry.find_champion(client, endpoint or None).run_id if name == registry.CHAMPION else reference
    return read_artifact(registry.run_artifact(client, find_run(client, run)))


def write_predictions(table: pd.DataFrame, path: Path) -> None:
    """Write a table as .csv or .parquet, beside and then renamed.

    Raises:
        SequelaError: The ending is another one.
    """
    if path.suffix not in {".csv", ".parquet"}:
        msg = f"--out {path}: must end in .csv or .parquet"
        raise SequelaError(msg)
    beside = path.with_name(f".{path.name}.part")
    if path.suffix == ".csv":
        table.to_csv(beside, index=False)
    else:
        table.to_parquet(beside, index=False)
    beside.rename(path)
