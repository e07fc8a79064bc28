"""The worked example of an artifact: a patient made of training medians, hence nobody."""

from __future__ import annotations

import numpy as np

from features.encoder import PatientEncoder
from features.records import MeasurementRecord, PatientRecord, Quantity


def example_patient(encoder: PatientEncoder, landmark_day: float) -> PatientRecord:
    """A patient with every baseline variable at its training median or first level, and every analyte measured once."""
    medians = {c.name: float(np.exp(c.median)) if c.logarithm else c.median for c in encoder.scaler.kept}
    baseline: dict[str, float | str | Quantity | None] = {}
    for name in encoder.baseline.names:
        kind = encoder.baseline.kinds[name]
        if kind == "numeric":
            value = medians.get(name)
            unit = encoder.variables[name].unit
            baseline[name] = None if value is None else Quantity(value=round_sensibly(value), unit=unit)
        elif kind == "ordinal":
            levels = encoder.baseline.levels[name]
            baseline[name] = levels[int(np.clip(round(medians.get(name, 0.0)), 0, len(levels) - 1))]
        else:
            baseline[name] = next(iter(encoder.baseline.levels[name]), None)
    measurements = tuple(
        MeasurementRecord(
            variable=name,
            day=landmark_day - max(0.0, round(medians.get(f"{name}:age", 0.0))),
            value=round_sensibly(medians[f"{name}:last"]),
            unit=encoder.variables[name].unit,
        )
        for name in encoder.measured
        if f"{name}:last" in medians
    )
    return PatientRecord(patient_id="example", landmark_day=landmark_day, baseline=baseline, measurements=measurements)


def round_sensibly(value: float) -> float:
    """Three significant digits."""
    return float(f"{value:.3g}")
