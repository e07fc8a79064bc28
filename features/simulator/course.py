"""What happens to each patient after infusion.

Events happen in continuous time; an event in (d − 1, d] is reported on day d. So P(reported by day d) is exactly the
incidence at d, for whole d.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from features.patients import FloatArray, IntArray
from features.simulator.config import Effect, Hazard, SideEffect, SimulatorConfig
from features.simulator.hazards import draw_times, exposure, time_of
from features.simulator.population import Population


@dataclass(frozen=True, slots=True)
class Rates:
    """Hazards of every patient, (patients, periods), in events a day."""

    starts_days: FloatArray
    severe_infection: FloatArray
    relapse: FloatArray
    death: FloatArray
    """Death without relapse and not by infection."""
    mild_infection: FloatArray
    second_malignancy: FloatArray
    death_after_relapse: FloatArray
    """(patients,)."""
    fatal_share: float
    fatal_lag_days: int


@dataclass(frozen=True, slots=True)
class Infections:
    """Infections before relapse and death, ordered by patient and day; at most one a day."""

    patient: IntArray
    day: IntArray
    grade: IntArray


@dataclass(frozen=True, slots=True)
class Course:
    """Days of events since infusion, as if followed for ever (infinity: never), and the end of follow-up."""

    relapse_day: FloatArray
    death_day: FloatArray
    death_by_infection: NDArray[np.bool_]
    """Whether death follows a fatal infection."""
    second_malignancy_day: FloatArray
    infections: Infections
    crs_grade: IntArray
    crs_day: IntArray
    icans_grade: IntArray
    icans_day: IntArray
    follow_up_days: IntArray
    """Day of death, or of censoring before it."""

    def first_infection_day(self, min_grade: int) -> FloatArray:
        """(patients,): day of the first infection of at least a grade; infinity: none before relapse or death."""
        first = np.full(len(self.relapse_day), np.inf)
        counted = self.infections.grade >= min_grade
        np.minimum.at(first, self.infections.patient[counted], self.infections.day[counted].astype(float))
        return first


def patient_rates(config: SimulatorConfig, population: Population) -> Rates:
    """The hazards of every patient."""
    effects = population.effects(config)
    hazards = config.hazards

    def of(hazard: Hazard) -> FloatArray:
        return _rates(hazard, list(config.diseases), population.disease, effects)

    after_relapse = np.array([hazards.death_after_relapse_per_day[name] for name in config.diseases])
    return Rates(
        starts_days=np.array(hazards.period_starts_days),
        severe_infection=of(hazards.severe_infection),
        relapse=of(hazards.relapse),
        death=of(hazards.death),
        mild_infection=of(hazards.mild_infection),
        second_malignancy=of(hazards.second_malignancy),
        death_after_relapse=after_relapse[population.disease],
        fatal_share=hazards.fatal_share,
        fatal_lag_days=hazards.fatal_lag_days,
    )


def _rates(hazard: Hazard, diseases: list[str], disease: IntArray, effects: Mapping[Effect, FloatArray]) -> FloatArray:
    """(patients, periods): baseline · shape · Π hazard_ratio^effect (Cox, J R Stat Soc B 1972;34:187)."""
    log_rate = np.log([hazard.per_day[name] for name in diseases])[disease][:, None] + np.log(hazard.shape)
    exponent = np.array(hazard.frailty_exponent or (1.0,) * len(hazard.shape))
    for name, ratio in hazard.hazard_ratios.items():
        by_period = exponent if name == "frailty" else np.ones_like(exponent)
        log_rate = log_rate + np.log(ratio) * effects[name][:, None] * by_period
    return np.asarray(np.exp(log_rate))


def draw_course(config: SimulatorConfig, population: Population, rates: Rates, rng: np.random.Generator) -> Course:
    """Draw what happens to every patient."""
    n = len(population)
    starts = rates.starts_days
    relapse = draw_times(rates.relapse, starts, rng)
    other_death = draw_times(rates.death, starts, rng)
    fatal = draw_times(rates.severe_infection * rates.fatal_share, starts, rng)
    first = np.minimum(np.minimum(relapse, other_death), fatal)
    by_infection, relapsed = fatal == first, relapse == first
    lag = rng.integers(1, config.hazards.fatal_lag_days + 1, n)
    after_relapse = rng.standard_exponential(n) / rates.death_after_relapse
    death = np.where(by_infection, fatal + lag, np.where(relapsed, relapse + after_relapse, other_death))
    # No death on the day of relapse, so that the order of the two stays readable from whole days.
    death_day = np.maximum(np.ceil(death), np.where(relapsed, np.ceil(relapse) + 1, 1))
    malignancy = draw_times(rates.second_malignancy, starts, rng)
    crs, icans = (_side_effect(effect, population, rng) for effect in (config.crs, config.icans))
    return Course(
        relapse_day=np.where(relapsed, np.ceil(relapse), np.inf),
        death_day=death_day,
        death_by_infection=by_infection,
        second_malignancy_day=np.where(malignancy < death, np.ceil(malignancy), np.inf),
        infections=_infections(config, rates, first, by_infection, rng),
        crs_grade=crs[0],
        crs_day=crs[1],
        icans_grade=icans[0],
        icans_day=icans[1],
        follow_up_days=np.minimum(_censoring(config, n, rng), death_day).astype(np.int64),
    )


def _infections(
    config: SimulatorConfig, rates: Rates, end: FloatArray, fatal: NDArray[np.bool_], rng: np.random.Generator
) -> Infections:
    """Recurrent infections until `end`, at which the patients of `fatal` get their last one."""
    horizon = np.minimum(end, config.follow_up.most_days)
    survivable = rates.severe_infection * (1.0 - rates.fatal_share)
    severe_patient, severe_time = _recurrent(survivable, rates.starts_days, horizon, rng)
    mild_patient, mild_time = _recurrent(rates.mild_infection, rates.starts_days, horizon, rng)
    dying = np.flatnonzero(fatal)
    patient = np.concatenate([severe_patient, mild_patient, dying])
    day = np.ceil(np.concatenate([severe_time, mild_time, end[dying]])).astype(np.int64)
    severe_grade = 3 + (rng.random(len(severe_patient)) < config.severe_grade_4)
    mild_grade = 1 + (rng.random(len(mild_patient)) < config.mild_grade_2)
    grade = np.concatenate([severe_grade, mild_grade, np.full(len(dying), 5)]).astype(np.int64)
    order = np.lexsort((-grade, day, patient))
    patient, day, grade = patient[order], day[order], grade[order]
    worst = np.ones(len(day), dtype=bool)  # of several on one day, the worst is reported
    worst[1:] = (np.diff(patient) != 0) | (np.diff(day) != 0)
    return Infections(patient[worst], day[worst], grade[worst])


def _recurrent(
    rates: FloatArray, starts_days: FloatArray, end: FloatArray, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """Patients and times of a non-homogeneous Poisson process until `end`."""
    at_end = (rates * exposure(starts_days, end)).sum(axis=1)
    count = rng.poisson(at_end)
    patient = np.repeat(np.arange(len(end)), count)
    return patient, time_of(rates[patient], starts_days, rng.random(len(patient)) * at_end[patient])


def _side_effect(effect: SideEffect, population: Population, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Grade (0 to 4) by thresholds on a normal propensity (probit model), and day of onset."""
    n = len(population)
    shift = np.array([effect.product_shift.get(name, 0.0) for name in population.product_names])[population.product]
    rest = np.sqrt(1.0 - effect.activation_loading**2)
    propensity = effect.activation_loading * population.traits["activation"] + shift + rest * rng.standard_normal(n)
    grade = np.searchsorted(norm.isf(effect.shares), propensity)
    return grade.astype(np.int64), rng.integers(effect.onset_days[0], effect.onset_days[1] + 1, n)


def _censoring(config: SimulatorConfig, n: int, rng: np.random.Generator) -> IntArray:
    """Administrative censoring, uniform, and rarer drop-out, exponential: whole days, independent of everything."""
    follow_up = config.follow_up
    administrative = rng.integers(follow_up.least_days, follow_up.most_days + 1, n)
    drop_out = np.ceil(rng.standard_exponential(n) * 365.25 / follow_up.drop_out_per_year)
    return np.maximum(1, np.minimum(administrative, drop_out)).astype(np.int64)
