"""The clinical part of a simulated cohort: population, hazards and course, without cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.simulator.config import SimulatorConfig
from features.simulator.course import Course, Rates, draw_course, patient_rates
from features.simulator.population import Population, draw_population


@dataclass(frozen=True, slots=True)
class Clinic:
    """Simulated patients with their true hazards and what happened to them."""

    population: Population
    rates: Rates
    course: Course

    def __len__(self) -> int:
        return len(self.population)

    @property
    def patient_ids(self) -> tuple[str, ...]:
        """Identifiers, ascending."""
        width = max(4, len(str(len(self))))
        return tuple(f"P{i:0{width}d}" for i in range(1, len(self) + 1))


def simulate_clinic(config: SimulatorConfig, n_patients: int, rng: np.random.Generator) -> Clinic:
    """Draw patients and their courses; vectorised, no cells.

    Args:
        config: The numbers of the simulator.
        n_patients: How many.
        rng: Owned by the caller; the same state gives the same patients.
    """
    population = draw_population(config, n_patients, rng)
    rates = patient_rates(config, population)
    return Clinic(population, rates, draw_course(config, population, rates, rng))
