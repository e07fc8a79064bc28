"""Effects of an arm under confounding, in simulated cohorts whose truth is known: bias, and coverage of intervals.

Who is at high risk gets arm 1 more often, so that the arms cannot be compared as they are. The arm has an effect on
both causes, or on none; or it has, and in it those at high risk are followed for less long.

    python -m benchmarks.effects_coverage --cohorts 1000
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.accuracy.page import markdown
from benchmarks.coverage_table import coverage_table
from features.outcomes import Outcomes
from training.effects.adjusted import doubly_robust, weighted
from training.effects.arms import Arms
from training.effects.propensity import standardised
from training.effects.risks import RISK, by_arm, differences
from training.effects.targeted import nuisances_of, targeted
from training.effects.time_lost import TIME_LOST

RESULTS = Path(__file__).parent / "results"
CAUSES = ("infection", "death")
HORIZON_DAYS = np.array([365.0])
DAILY = np.array([0.0015, 0.0008])
EFFECTS = {"effect": np.array([-0.7, 0.3]), "no effect": np.zeros(2)}
"""Logarithms of the hazard ratios of arm 1."""
DEPENDENT = "effect, censoring by covariates"
KINDS = {name: (effect, False) for name, effect in EFFECTS.items()} | {DEPENDENT: (EFFECTS["effect"], True)}
"""Effect, and whether censoring depends on the covariates."""
MEASURES = {"risk": RISK, "time lost": TIME_LOST}
N_TRUTH = 400_000


@dataclass(frozen=True, slots=True)
class Confounded:
    """A cohort whose arms differ in what its outcomes depend on."""

    arms: Arms
    x: NDArray[np.float64]
    """(patients, covariates), standardised."""


def hazards(x: NDArray[np.float64], arm: NDArray[np.int64], effect: NDArray[np.float64]) -> NDArray[np.float64]:
    """Daily hazards (patients, causes)."""
    return DAILY * np.exp(np.column_stack([0.7 * x[:, 0] + 0.6 * x[:, 1], 0.5 * x[:, 0]]) + np.outer(arm, effect))


def covariates(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """(patients, 2): one normal, one of 0 and 1."""
    return np.column_stack([rng.normal(size=n), rng.integers(2, size=n)])


def confounded(rng: np.random.Generator, n: int, effect: NDArray[np.float64], *, dependent: bool = False) -> Confounded:
    """Constant hazards, censored evenly between days 100 and 900; or at a rate that, in arm 1, rises with risk."""
    x = covariates(rng, n)
    arm = (rng.random(n) < 1 / (1 + np.exp(0.6 - 0.8 * x[:, 0] - 0.8 * x[:, 1]))).astype(np.int64)
    daily = hazards(x, arm, effect)
    happened, censored = rng.exponential(1 / daily.sum(axis=1)), rng.uniform(100, 900, n)
    if dependent:
        censored = rng.exponential(1 / (0.0008 * np.exp(arm * (0.9 * x[:, 0] + 0.5 * x[:, 1]))))
    cause = 1 + (rng.random(n) > daily[:, 0] / daily.sum(axis=1))
    outcomes = Outcomes(np.minimum(happened, censored), np.where(happened <= censored, cause, 0), CAUSES)
    return Confounded(Arms(outcomes, arm, ("0", "1")), standardised(x))


def true_differences(effect: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Arm 1 less arm 0 of the whole population, by measure: (causes,). Means of exact values over many patients."""
    x = covariates(np.random.default_rng(0), N_TRUTH)
    tau = HORIZON_DAYS[0]
    means = []
    for arm in (0, 1):
        daily = hazards(x, np.full(N_TRUTH, arm), effect)
        total = daily.sum(axis=1, keepdims=True)
        gone = -np.expm1(-total * tau)
        means.append((((daily / total) * gone).mean(axis=0), (daily / total * (tau - gone / total)).mean(axis=0)))
    return {name: means[1][i] - means[0][i] for i, name in enumerate(MEASURES)}


def estimates(cohort: Confounded, rng: np.random.Generator) -> list[dict[str, object]]:
    """Differences by method, measure and cause, with their intervals."""
    found = []
    nuisances = nuisances_of(cohort.arms, cohort.x, HORIZON_DAYS, rng=rng)
    for name, measure in MEASURES.items():
        by_method = {
            "as they are": differences(by_arm(cohort.arms, measure, HORIZON_DAYS)),
            "weighted": weighted(cohort.arms, cohort.x, measure, HORIZON_DAYS).differences(),
            "doubly robust": doubly_robust(cohort.arms, cohort.x, measure, HORIZON_DAYS, rng=rng).differences(),
            "targeted": targeted(nuisances, measure, HORIZON_DAYS).differences(),
        }
        for method, (table,) in by_method.items():
            for cause, (one,) in zip(CAUSES, table, strict=True):
                found.append({"measure": name, "cause": cause, "method": method, "estimate": one})
    return found


def study(n: int, n_cohorts: int) -> pd.DataFrame:
    """Bias, spread, mean standard error and coverage of every method; one line for each question."""
    lines = []
    for truth, (effect, dependent) in KINDS.items():
        true = true_differences(effect)
        for seed in range(n_cohorts):
            rng = np.random.default_rng([seed, n])
            for line in estimates(confounded(rng, n, effect, dependent=dependent), rng):
                one, value = line.pop("estimate"), true[str(line["measure"])][CAUSES.index(str(line["cause"]))]
                scale = 100 if line["measure"] == "risk" else 1
                lines.append(
                    {"truth": truth}
                    | line
                    | {
                        "true": scale * value,
                        "found": scale * one.point,
                        "error": scale * one.standard_error,
                        "covered": 100.0 * (one.low <= value <= one.high),
                    }
                )
    return pd.DataFrame(lines)


def main() -> int:
    """Run all cohorts, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=500)
    parser.add_argument("--cohorts", type=int, default=1000, help="simulated cohorts of each kind")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    began = time.perf_counter()
    table = coverage_table(study(options.patients, options.cohorts), ["truth", "measure", "cause", "method"])
    seconds = time.perf_counter() - began
    text = [
        "# Effects of an arm under confounding, in simulated cohorts",
        "",
        f"Arm 1 less arm 0 by day {HORIZON_DAYS[0]:g}: risk in percentage points, time lost in days.",
        f"{options.cohorts:,} cohorts of {options.patients} patients of each kind; ± is the standard error over",
        "cohorts, spread the standard deviation of the estimates, standard error the mean of the estimated ones;",
        f"95 % intervals, coverage in per cent. Made by `python -m benchmarks.effects_coverage` in {seconds:.0f} s",
        f"on {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, CPU.",
        "",
        markdown(table),
    ]
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "effects_coverage.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    print((options.results / "effects_coverage.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
