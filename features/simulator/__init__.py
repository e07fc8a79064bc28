"""Simulated cohorts with a known truth.

The simulator draws patients, their clinical courses and their cells from one generative model, whose numbers stand in
``configs/cohort/simulated.yaml``, and writes a cohort folder with every patient's true cumulative incidence beside it.

    config       the numbers: rates, effects, laboratory values, gene panel (pydantic, YAML)
    population   latent traits, covariates, baseline laboratory values, composition of the infusion product
    hazards      piecewise-constant cause-specific hazards: sampling and closed-form incidence
    course       what happens to each patient: infections, relapse, death, second malignancy, CRS, ICANS
    clinic       population, hazards and course together: `simulate_clinic`, without cells
    truth        true cumulative incidence of every patient
    tables       the tables of the cohort folder      trajectories   repeated measurements
    treatments   treatments that start during follow-up, and what they prevent
    expression   cells of a sample: types and counts
    folder       `simulate`: the whole cohort folder
    calibrate    the baseline hazards that meet the published rates, and the check that they do
"""

from features.simulator.clinic import Clinic, simulate_clinic
from features.simulator.config import SimulatorConfig, load_simulator_config
from features.simulator.folder import simulate
from features.simulator.treatments import Treatments, load_treatments

__all__ = [
    "Clinic",
    "SimulatorConfig",
    "Treatments",
    "load_simulator_config",
    "load_treatments",
    "simulate",
    "simulate_clinic",
]
