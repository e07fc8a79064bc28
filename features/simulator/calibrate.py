"""Baseline hazards that meet published rates.

``python -m features.simulator.calibrate`` prints the calibrated numbers, to be copied to the configuration. Sources of
the targets stand at the head of ``configs/cohort/simulated.yaml``.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import Field
from scipy.stats import norm

from features.patients import FloatArray
from features.schema import Frozen
from features.simulator import truth
from features.simulator.config import SimulatorConfig, load_simulator_config
from features.simulator.course import Rates, patient_rates
from features.simulator.hazards import incidence
from features.simulator.population import Population, draw_population

MYELOMA = "MM"


class Targets(Frozen):
    """Rates that a simulated cohort shows; incidences without censoring."""

    any_infection_lbcl_day_100: float = 0.22
    severe_infection_lbcl_day_100: float = 0.22 * 0.16 / 0.44
    severe_infection_lymphoma_day_700: float = 0.16
    severe_infection_myeloma_day_700: float = 0.19
    non_relapse_death_day_393: dict[str, float] = Field(
        default_factory=lambda: {"LBCL": 0.061, "MCL": 0.106, "MM": 0.080, "FL": 0.057}
    )
    infection_share_of_non_relapse_death: float = 0.509
    progression_free_day_365: dict[str, float] = Field(
        default_factory=lambda: {"LBCL": 0.30, "MCL": 0.45, "MM": 0.50, "FL": 0.70}
    )
    alive_lbcl_day_365: float = 0.52
    second_malignancy_day_660: float = 0.06
    hematotox_auc_day_90: float = 0.74


def car_hematotox(
    platelets: FloatArray, anc: FloatArray, haemoglobin: FloatArray, crp: FloatArray, ferritin: FloatArray
) -> FloatArray:
    """CAR-HEMATOTOX score, 0 to 7; high from 2 (Rejeski et al., Blood 2021;138:2499).

    The structure (five markers before lymphodepletion, platelets and ferritin weighing twice, high from 2) is as
    published; the cut-offs are those in common use and have not been checked against the paper.

    Args:
        platelets: 10³/µL; 1 point from 75 to 175, 2 below 75.
        anc: 10³/µL; 1 point below 1.2.
        haemoglobin: g/dL; 1 point below 9.
        crp: mg/L; 1 point above 30 (3 mg/dL).
        ferritin: ng/mL; 1 point from 650 to 2000, 2 above 2000.
    """
    points = (platelets <= 175).astype(float) + (platelets < 75)
    points += (anc < 1.2).astype(float) + (haemoglobin < 9) + (crp > 30)
    return np.asarray(points + (ferritin >= 650) + (ferritin > 2000))


def hematotox_of(population: Population) -> FloatArray:
    """(patients,): CAR-HEMATOTOX of simulated patients, from complete laboratory values."""
    names = ("platelets", "anc", "haemoglobin", "crp", "ferritin")
    return car_hematotox(*(population.labs[name] for name in names))


def expected_auc(marker: FloatArray, risk: FloatArray) -> float:
    """P(marker of a case > marker of a control), ties counting one half, when each patient is a case with `risk`.

    The Mann-Whitney statistic with expected instead of drawn outcomes, hence without their noise.
    """
    order = np.argsort(marker, kind="stable")
    _, start = np.unique(marker[order], return_index=True)
    cases, controls = (np.add.reduceat(weight[order], start) for weight in (risk, 1.0 - risk))
    below = np.cumsum(controls) - controls
    return float(cases @ (below + controls / 2.0) / (cases.sum() * controls.sum()))


def _mean(values: FloatArray, chosen: NDArray[np.bool_] | slice = slice(None)) -> float:
    return float(values[chosen].mean())


def measure(config: SimulatorConfig, population: Population) -> Targets:
    """What the configuration gives, averaged over true incidences of a population."""
    rates = patient_rates(config, population)
    of = {name: population.disease == i for i, name in enumerate(config.diseases)}
    severe = truth.severe_infection(rates, np.array([90.0, 100.0, 700.0]))[:, 0]
    by_infection, other, _ = (end[:, 0] for end in truth.ends_without_relapse(rates, np.array([393.0])))
    progression_free = 1.0 - np.sum([end[:, 0] for end in truth.ends_without_relapse(rates, np.array([365.0]))], axis=0)
    alive = truth.alive(rates, np.array([365.0]))[:, 0]
    return Targets(
        any_infection_lbcl_day_100=_mean(_any_infection(rates, 100.0), of["LBCL"]),
        severe_infection_lbcl_day_100=_mean(severe[:, 1], of["LBCL"]),
        severe_infection_lymphoma_day_700=_mean(severe[:, 2], ~of[MYELOMA]),
        severe_infection_myeloma_day_700=_mean(severe[:, 2], of[MYELOMA]),
        non_relapse_death_day_393={name: _mean(by_infection + other, rows) for name, rows in of.items()},
        infection_share_of_non_relapse_death=_mean(by_infection) / _mean(by_infection + other),
        progression_free_day_365={name: _mean(progression_free, rows) for name, rows in of.items()},
        alive_lbcl_day_365=_mean(alive, of["LBCL"]),
        second_malignancy_day_660=_mean(_second_malignancy(rates, 660.0)),
        hematotox_auc_day_90=expected_auc(hematotox_of(population), severe[:, 0]),
    )


def _any_infection(rates: Rates, day: float) -> FloatArray:
    """(patients,): incidence of the first infection of any grade, before relapse and death."""
    causes = np.stack([rates.severe_infection + rates.mild_infection, rates.death, rates.relapse], axis=1)
    return incidence(causes, rates.starts_days, np.array([day]))[:, 0, 0]


def _second_malignancy(rates: Rates, day: float) -> FloatArray:
    """(patients,): incidence of second malignancy by a day, a few patients at a time."""
    n = len(rates.death_after_relapse)
    blocks = np.array_split(np.arange(n), max(1, n // truth.PATIENTS_AT_ONCE))
    return np.concatenate(
        [truth.second_malignancy(truth.take(rates, rows), np.array([day]))[:, 0, 0] for rows in blocks]
    )


def calibrate(
    config: SimulatorConfig, targets: Targets, *, n_patients: int, n_rounds: int, rng: np.random.Generator
) -> SimulatorConfig:
    """Turn the calibrated numbers until the targets are met on a population, by fixed-point iteration.

    Each number moves one target most: a rate by the ratio of cumulative hazards −ln(1 − incidence), the hazard ratio of
    frailty by the ratio of normal deviates of the AUC.
    """
    population = draw_population(config, n_patients, rng)
    for _ in range(n_rounds):
        content = config.model_dump()
        _turn(content["hazards"], targets, measure(config, population))
        config = SimulatorConfig.model_validate(content)
    return config


def _more(target: float, measured: float) -> float:
    """Factor between the cumulative hazards behind two incidences."""
    return float(np.log1p(-target) / np.log1p(-measured))


def _turn(hazards: dict[str, Any], wanted: Targets, now: Targets) -> None:
    """One round of corrections, in place."""
    severe, mild = hazards["severe_infection"], hazards["mild_infection"]
    early = _more(wanted.severe_infection_lbcl_day_100, now.severe_infection_lbcl_day_100)
    lymphoma = _more(wanted.severe_infection_lymphoma_day_700, now.severe_infection_lymphoma_day_700)
    myeloma = _more(wanted.severe_infection_myeloma_day_700, now.severe_infection_myeloma_day_700)
    for name in severe["per_day"]:
        severe["per_day"][name] *= myeloma if name == MYELOMA else early
    later = severe["shape"][2] * lymphoma / early
    severe["shape"] = (*severe["shape"][:2], later, later)
    mild["shape"] = severe["shape"]
    beta = np.log(severe["hazard_ratios"]["frailty"])
    beta *= norm.ppf(wanted.hematotox_auc_day_90) / norm.ppf(now.hematotox_auc_day_90)
    severe["hazard_ratios"]["frailty"] = float(np.exp(beta))
    any_infection = _more(wanted.any_infection_lbcl_day_100, now.any_infection_lbcl_day_100)
    spared = _more(1.0 - wanted.alive_lbcl_day_365, 1.0 - now.alive_lbcl_day_365)
    malignancy = _more(wanted.second_malignancy_day_660, now.second_malignancy_day_660)
    for name in mild["per_day"]:
        mild["per_day"][name] *= any_infection
        hazards["second_malignancy"]["per_day"][name] *= malignancy
        hazards["death_after_relapse_per_day"][name] *= spared**2
        hazards["death"]["per_day"][name] *= _more(
            wanted.non_relapse_death_day_393[name], now.non_relapse_death_day_393[name]
        )
        hazards["relapse"]["per_day"][name] *= _more(
            1.0 - wanted.progression_free_day_365[name], 1.0 - now.progression_free_day_365[name]
        )
    hazards["fatal_share"] *= wanted.infection_share_of_non_relapse_death / now.infection_share_of_non_relapse_death


def main(n_patients: int = 60_000, n_rounds: int = 25) -> None:
    """Calibrate the default configuration; write its hazards, and what they give on other patients, as YAML."""
    config = load_simulator_config()
    rng = np.random.default_rng(20261123)
    config = calibrate(config, Targets(), n_patients=n_patients, n_rounds=n_rounds, rng=rng)
    fresh = measure(config, draw_population(config, n_patients, rng))
    content = {"hazards": config.hazards.model_dump(mode="json"), "measured": fresh.model_dump(mode="json")}
    sys.stdout.write(yaml.safe_dump(content, sort_keys=False))


if __name__ == "__main__":
    main()
