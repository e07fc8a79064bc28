"""Repeated laboratory values: baseline, passing waves, lasting shift, noise."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.patients import FloatArray
from features.simulator.clinic import Clinic
from features.simulator.config import SimulatorConfig, Trajectory, Wave
from features.simulator.population import Population, loaded

LYMPHODEPLETION_DAY = -5.0
JITTER = 0.1
"""Visits after day 28 happen up to this share of the planned day earlier or later."""


def course_of(
    config: SimulatorConfig, name: str, population: Population, days: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """True values of a laboratory variable, before measurement noise.

    Args:
        config: The numbers of the simulator.
        name: The variable.
        population: The patients.
        days: (patients, days) or (days,).
        rng: For the variation of wave amplitudes between patients.

    Returns:
        (patients, days), in the unit of the variable.
    """
    lab, trajectory = config.labs[name], config.trajectories[name]
    change = _shift(trajectory, population, days)
    for wave in trajectory.waves:
        amplitude = wave.amplitude + loaded(wave.loadings, population.traits)
        amplitude = amplitude + wave.sd * rng.standard_normal(len(population))
        change = change + amplitude[:, None] * _bell(wave, days)
    start = population.labs[name][:, None]
    value = start * np.exp(change) if lab.log else start + change
    return np.asarray(np.clip(value, *_bounds(config, name)))


def _shift(trajectory: Trajectory, population: Population, days: FloatArray) -> FloatArray:
    lasting = trajectory.shift + loaded(trajectory.shift_loadings, population.traits)
    return np.asarray(lasting[:, None] * -np.expm1(-np.maximum(days, 0.0) / trajectory.shift_days))


def _bell(wave: Wave, days: FloatArray) -> FloatArray:
    """exp(−(ln((d + 5)/(p + 5)) / w)² / 2): rises fast and falls slowly, as counts do after lymphodepletion."""
    since = np.maximum(days - LYMPHODEPLETION_DAY, 1e-3)
    return np.asarray(np.exp(-0.5 * (np.log(since / (wave.peak_day - LYMPHODEPLETION_DAY)) / wave.width) ** 2))


def _bounds(config: SimulatorConfig, name: str) -> tuple[float, float]:
    return config.variables[name].range or (-np.inf, np.inf)


def measurements(config: SimulatorConfig, clinic: Clinic, rng: np.random.Generator) -> pd.DataFrame:
    """The measurements table: patient_id, day, variable, value, unit, up to the end of each patient's follow-up."""
    blocks = [_measured(config, name, clinic, rng) for name in config.trajectories]
    table = pd.concat(blocks, ignore_index=True)
    return table.sort_values(["patient_id", "day", "variable"], kind="stable", ignore_index=True)


def _measured(config: SimulatorConfig, name: str, clinic: Clinic, rng: np.random.Generator) -> pd.DataFrame:
    """One variable: planned days with jitter, values with noise, some missing."""
    trajectory, lab = config.trajectories[name], config.labs[name]
    planned = np.array(trajectory.days, dtype=float)
    jitter = rng.uniform(-JITTER, JITTER, (len(clinic), len(planned))) * np.where(planned > 28, planned, 0.0)
    days = np.rint(planned + jitter)
    truth = course_of(config, name, clinic.population, days, rng)
    noise = trajectory.noise_sd * rng.standard_normal(days.shape)
    value = np.clip(truth * np.exp(noise) if lab.log else truth + noise, *_bounds(config, name))
    taken = (rng.random(days.shape) >= trajectory.missing) & (days <= clinic.course.follow_up_days[:, None])
    row, column = np.nonzero(taken)
    return pd.DataFrame(
        {
            "patient_id": np.array(clinic.patient_ids, dtype=object)[row],
            "day": days[row, column].astype(np.int64),
            "variable": name,
            "value": np.round(value[row, column], lab.decimals),
            "unit": config.variables[name].unit,
        }
    )
