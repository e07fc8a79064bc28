"""Simulated cohorts in which patients at high risk get one arm more often, and what is true in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.outcomes import Outcomes
from features.recurrence import Recurrences
from training.effects.arms import Arms
from training.effects.propensity import standardised

Floats = NDArray[np.float64]
CAUSES = ("infection", "death")
HORIZON_DAYS = np.array([365.0])
DAILY = np.array([0.0015, 0.0008])
EFFECTS = {"effect": np.array([-0.7, 0.3]), "no effect": np.zeros(2)}
"""Logarithms of the hazard ratios of arm 1."""
DEPENDENT = "effect, censoring by covariates"
KINDS = {name: (effect, False) for name, effect in EFFECTS.items()} | {DEPENDENT: (EFFECTS["effect"], True)}
"""Effect, and whether censoring depends on the covariates."""
COUNT_DAILY = np.array([0.006, 0.0008])
"""Of events that come back, and of death."""
COUNT_EFFECT = np.array([-0.5, 0.3])
N_TRUTH = 400_000


@dataclass(frozen=True, slots=True)
class Confounded:
    """A cohort whose arms differ in what its outcomes depend on."""

    arms: Arms
    x: Floats
    """(patients, covariates), standardised."""


@dataclass(frozen=True, slots=True)
class ConfoundedCounts:
    """The same, of events that come back."""

    recurrences: Recurrences
    arm: NDArray[np.int64]
    x: Floats


def hazards(x: Floats, arm: NDArray[np.int64], effect: Floats) -> Floats:
    """Daily hazards (patients, causes)."""
    return DAILY * np.exp(np.column_stack([0.7 * x[:, 0] + 0.6 * x[:, 1], 0.5 * x[:, 0]]) + np.outer(arm, effect))


def count_hazards(x: Floats, arm: NDArray[np.int64]) -> Floats:
    """Daily rate of events that come back, and hazard of death, (patients, 2)."""
    log = np.column_stack([0.5 * x[:, 0] + 0.4 * x[:, 1], 0.5 * x[:, 0]]) + np.outer(arm, COUNT_EFFECT)
    return COUNT_DAILY * np.exp(log)


def covariates(rng: np.random.Generator, n: int) -> Floats:
    """(patients, 2): one normal, one of 0 and 1."""
    return np.column_stack([rng.normal(size=n), rng.integers(2, size=n)])


def arm_of(rng: np.random.Generator, x: Floats) -> NDArray[np.int64]:
    """Arm 1 rather at high risk."""
    return (rng.random(len(x)) < 1 / (1 + np.exp(0.6 - 0.8 * x[:, 0] - 0.8 * x[:, 1]))).astype(np.int64)


def confounded(rng: np.random.Generator, n: int, effect: Floats, *, dependent: bool = False) -> Confounded:
    """Constant hazards, censored evenly between days 100 and 900; or at a rate that, in arm 1, rises with risk."""
    x = covariates(rng, n)
    arm = arm_of(rng, x)
    daily = hazards(x, arm, effect)
    happened, censored = rng.exponential(1 / daily.sum(axis=1)), rng.uniform(100, 900, n)
    if dependent:
        censored = rng.exponential(1 / (0.0008 * np.exp(arm * (0.9 * x[:, 0] + 0.5 * x[:, 1]))))
    cause = 1 + (rng.random(n) > daily[:, 0] / daily.sum(axis=1))
    outcomes = Outcomes(np.minimum(happened, censored), np.where(happened <= censored, cause, 0), CAUSES)
    return Confounded(Arms(outcomes, arm, ("0", "1")), standardised(x))


def confounded_counts(rng: np.random.Generator, n: int) -> ConfoundedCounts:
    """Rates that a gamma factor of each patient multiplies, until death or an even censoring between 100 and 900."""
    x = covariates(rng, n)
    arm = arm_of(rng, x)
    daily = count_hazards(x, arm)
    death, censored = rng.exponential(1 / daily[:, 1]), rng.uniform(100, 900, n)
    end = np.minimum(death, censored)
    row = np.repeat(np.arange(n), rng.poisson(daily[:, 0] * rng.gamma(1.0, 1.0, n) * end))
    day = rng.uniform(0, 1, len(row)) * end[row]
    dead = (death < censored).astype(np.int64)
    return ConfoundedCounts(Recurrences(end, dead, row, day, "infection", ("death",)), arm, standardised(x))


def true_values(effect: Floats) -> dict[str, Floats]:
    """Risk and time lost had each of many patients been in each arm: (patients, arms, causes) by measure."""
    x = covariates(np.random.default_rng(0), N_TRUTH)
    tau = HORIZON_DAYS[0]
    risks, lost = [], []
    for arm in (0, 1):
        daily = hazards(x, np.full(N_TRUTH, arm), effect)
        total = daily.sum(axis=1, keepdims=True)
        gone = -np.expm1(-total * tau)
        risks.append(daily / total * gone)
        lost.append(daily / total * (tau - gone / total))
    return {"risk": np.stack(risks, axis=1), "time lost": np.stack(lost, axis=1)}


def true_differences(effect: Floats) -> dict[str, Floats]:
    """Arm 1 less arm 0 of the whole population, by measure: (causes,)."""
    return {name: (one[:, 1] - one[:, 0]).mean(axis=0) for name, one in true_values(effect).items()}


def true_line(effect: Floats) -> Floats:
    """The difference of risks of the first cause as a line in the covariates: mean, slopes a standard deviation."""
    values = true_values(effect)["risk"][..., 0]
    x = covariates(np.random.default_rng(0), N_TRUTH)
    design = np.column_stack([np.ones(len(x)), x[:, 0], 2 * x[:, 1] - 1])
    found, *_ = np.linalg.lstsq(design, values[:, 1] - values[:, 0], rcond=None)
    return np.asarray(found)


def true_counts() -> Floats:
    """(arms,): mean number of events by the horizon, had everyone been in each arm."""
    x = covariates(np.random.default_rng(0), N_TRUTH)
    found = []
    for arm in (0, 1):
        rate, dying = count_hazards(x, np.full(N_TRUTH, arm)).T
        found.append(float((rate * -np.expm1(-dying * HORIZON_DAYS[0]) / dying).mean()))
    return np.array(found)
