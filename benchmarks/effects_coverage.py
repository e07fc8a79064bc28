"""Effects of an arm under confounding, in simulated cohorts whose truth is known: bias, and coverage of intervals.

Who is at high risk gets arm 1 more often, so that the arms cannot be compared as they are. The arm has an effect on
both causes, or on none; or it has, and in it those at high risk are followed for less long. Effects on risks and times
lost, the line of effects in the covariates with its test, and mean numbers of events that come back.

    python -m benchmarks.effects_coverage --cohorts 1000
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.accuracy.page import markdown
from benchmarks.coverage_table import coverage_table
from benchmarks.effects_cohorts import (
    CAUSES,
    COUNT_EFFECT,
    HORIZON_DAYS,
    KINDS,
    Confounded,
    confounded,
    confounded_counts,
    true_counts,
    true_differences,
    true_line,
)
from training.effects.adjusted import Standardised, doubly_robust, weighted
from training.effects.counted import MeanNumbers
from training.effects.estimates import Estimate
from training.effects.individual import individual_effects
from training.effects.risks import RISK, by_arm, differences
from training.effects.targeted import nuisances_of, targeted
from training.effects.time_lost import TIME_LOST

RESULTS = Path(__file__).parent / "results"
MEASURES = {"risk": RISK, "time lost": TIME_LOST}
TERMS = ("mean", "slope of the normal one", "slope of the one of 0 and 1")
LEVEL = 0.05


def estimates(cohort: Confounded, rng: np.random.Generator) -> tuple[list[dict[str, object]], Standardised]:
    """Differences by method, measure and cause, with their intervals; and the targeted risks."""
    found = []
    nuisances = nuisances_of(cohort.arms, cohort.x, HORIZON_DAYS, rng=rng)
    aimed = {name: targeted(nuisances, measure, HORIZON_DAYS) for name, measure in MEASURES.items()}
    for name, measure in MEASURES.items():
        by_method = {
            "as they are": differences(by_arm(cohort.arms, measure, HORIZON_DAYS)),
            "weighted": weighted(cohort.arms, cohort.x, measure, HORIZON_DAYS).differences(),
            "doubly robust": doubly_robust(cohort.arms, cohort.x, measure, HORIZON_DAYS, rng=rng).differences(),
            "targeted": aimed[name].differences(),
        }
        for method, (table,) in by_method.items():
            for cause, (one,) in zip(CAUSES, table, strict=True):
                found.append({"measure": name, "cause": cause, "method": method, "estimate": one})
    return found, aimed["risk"]


def study(n: int, n_cohorts: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every method's estimates, one line for each question; and lines of effects, one line a term."""
    lines, terms = [], []
    for truth, (effect, dependent) in KINDS.items():
        true, line_of = true_differences(effect), true_line(effect)
        for seed in range(n_cohorts):
            rng = np.random.default_rng([seed, n])
            cohort = confounded(rng, n, effect, dependent=dependent)
            found, aimed = estimates(cohort, rng)
            for line in found:
                one, value = line.pop("estimate"), true[str(line["measure"])][CAUSES.index(str(line["cause"]))]
                assert isinstance(one, Estimate)
                scale = 100.0 if line["measure"] == "risk" else 1.0
                lines.append({"truth": truth} | line | judged(one, float(value), scale))
            (own,) = individual_effects(aimed, cohort.x, 0, 0)
            for name, one, value in zip(TERMS, (own.mean, *own.slopes), line_of, strict=True):
                terms.append(
                    {"truth": truth, "term": name, "rejected": own.test.p < LEVEL} | judged(one, float(value), 100.0)
                )
    return pd.DataFrame(lines), pd.DataFrame(terms)


def judged(one: Estimate, value: float, scale: float) -> dict[str, float]:
    """An estimate against what is true."""
    return {
        "true": scale * value,
        "found": scale * one.point,
        "error": scale * one.standard_error,
        "covered": 100.0 * (one.low <= value <= one.high),
    }


def counts_study(n: int, n_cohorts: int) -> pd.DataFrame:
    """Mean numbers of events that come back, arm 1 against arm 0, ratios on the logarithm."""
    true = true_counts()
    lines = []
    for seed in range(n_cohorts):
        cohort = confounded_counts(np.random.default_rng([seed, n, 1]), n)
        given = (cohort.recurrences, cohort.arm, 2)
        for name, own in (
            ("as they are", MeanNumbers.plain(*given, HORIZON_DAYS)),
            ("weighted", MeanNumbers.weighted(*given, cohort.x, HORIZON_DAYS)),
        ):
            ((less,),), ((over,),) = own.differences, own.ratios
            ratio = judged(over, float(true[1] / true[0]), 1.0)
            ratio |= {"true": float(np.log(true[1] / true[0])), "found": float(np.log(over.point))}
            lines.append({"quantity": "difference", "method": name} | judged(less, float(true[1] - true[0]), 1.0))
            lines.append({"quantity": "logarithm of the ratio", "method": name} | ratio)
    return pd.DataFrame(lines)


def tests_of(terms: pd.DataFrame) -> Iterator[str]:
    """How often Wald's test found that the effect differs, by kind of cohort."""
    once = terms[terms["term"] == TERMS[0]]
    for truth, own in once.groupby("truth", sort=False)["rejected"]:
        share = 100 * own.mean()
        yield f"- {truth}: {share:.1f} ± {np.sqrt(share * (100 - share) / len(own)):.1f} % of cohorts"


def page(options: argparse.Namespace) -> str:
    """All studies as text."""
    began = time.perf_counter()
    lines, terms = study(options.patients, options.cohorts)
    counts = counts_study(options.patients, options.cohorts)
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
        markdown(coverage_table(lines, ["truth", "measure", "cause", "method"])),
        "",
        "## Effects patient by patient",
        "",
        f"The difference of risks of {CAUSES[0]} as the best line in the two covariates, percentage points.",
        "",
        markdown(coverage_table(terms, ["truth", "term"])),
        "",
        f"Wald's test that it does not change with the covariates, at {LEVEL:g}, found that it does in",
        *tests_of(terms),
        "",
        "of which with no effect every one is false.",
        "",
        "## Events that come back",
        "",
        f"Mean numbers by day {HORIZON_DAYS[0]:g} under confounding; rates vary between patients by a gamma factor of",
        f"variance 1, and death ends them. Arm 1 has exp({COUNT_EFFECT[0]:g}) times the rate.",
        "",
        markdown(coverage_table(counts, ["quantity", "method"])),
    ]
    return "\n".join(text) + "\n"


def main() -> int:
    """Run all cohorts, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=500)
    parser.add_argument("--cohorts", type=int, default=1000, help="simulated cohorts of each kind")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "effects_coverage.md").write_text(page(options), encoding="utf-8")
    print((options.results / "effects_coverage.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
