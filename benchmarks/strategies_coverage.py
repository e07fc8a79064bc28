"""Strategies that say when treatment starts, emulated in simulated cohorts whose truth is known: bias, and coverage.

A laboratory value decides who is treated when, goes with the outcome, and is changed by the treatment
(`benchmarks.strategies_world`). The truth comes from a million patients treated as each strategy says. Beside the
emulated trial stands what is not offered: those who ever started against those who never did, as they are.

    python -m benchmarks.strategies_coverage --cohorts 500 --resamples 100
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.accuracy.page import markdown
from benchmarks.coverage_table import coverage_table, judged
from benchmarks.strategies_world import (
    CAUSES,
    EFFECTS,
    FORCED,
    GRACE_DAYS,
    N_DAYS,
    N_TRUTH,
    FloatArray,
    World,
    truth,
    world,
)
from features.outcomes import Outcomes
from training.effects.arms import Arms
from training.effects.risks import RISK, by_arm, differences
from training.effects.time_lost import TIME_LOST
from training.strategies.contrasts import contrasts
from training.strategies.emulation import PERCENTILE, Trial, emulate, resampled
from training.strategies.incidence import incidence_at, time_lost_to

RESULTS = Path(__file__).parent / "results"
HORIZON = np.array([float(N_DAYS)])
MEASURES = {"risk": (RISK, incidence_at), "time lost": (TIME_LOST, time_lost_to)}
NAMES = tuple(FORCED)
TOLD = 25
NOT_WEIGHTED = "emulated, losses not weighted"
WORLDS = {"effect": ("effect", False), "no effect": ("no effect", False), "effect, the ill leave": ("effect", True)}
"""Kinds of cohorts: of which effect, and whether losses go with the value."""
Line = dict[str, object]


def emulated(
    one: World, percentile: float, n_resamples: int, rng: np.random.Generator, method: str = "emulated"
) -> Iterator[Line]:
    """Every strategy less the first, with its interval, by measure and cause."""
    trial = Trial.of(one.followed, one.strategies, one.baseline, one.changing, percentile)
    if method == NOT_WEIGHTED:
        trial = replace(trial, losses=None)
    found = emulate(trial)
    drawn = resampled(trial, found, n_resamples, rng)
    worth = np.stack([one.effective_at(HORIZON) for one in found.weights])
    for measure, (kind, at) in MEASURES.items():
        _, less, _ = contrasts(at(found.incidence, HORIZON), at(drawn, HORIZON), kind, worth)
        for name, table in zip(NAMES[1:], less, strict=True):
            for cause, (estimate,) in zip(CAUSES, table, strict=True):
                yield {"measure": measure, "strategy": name, "cause": cause, "method": method, "estimate": estimate}


def ever_never(one: World) -> Iterator[Line]:
    """Those who ever started less those who never did; stands beside an early start."""
    own = one.followed
    day = np.minimum(own.end_day, N_DAYS)
    outcomes = Outcomes(day.astype(float), np.where(own.end_day <= N_DAYS, own.cause, 0), CAUSES)
    arms = Arms(outcomes, (own.start_day < N_DAYS).astype(np.int64), ("never", "ever"))
    for measure, (kind, _) in MEASURES.items():
        (table,) = differences(by_arm(arms, kind, HORIZON))
        for cause, (estimate,) in zip(CAUSES, table, strict=True):
            yield {
                "measure": measure,
                "strategy": "early",
                "cause": cause,
                "method": "ever / never",
                "estimate": estimate,
            }


def study(n: int, n_cohorts: int, n_resamples: int, *, untruncated: bool) -> Iterator[tuple[int, pd.DataFrame]]:
    """One line for each estimate, after every `TOLD` cohorts of each kind, and after all; with their number."""
    known = {}
    for name in {effect for effect, _ in WORLDS.values()}:
        true = truth(EFFECTS[name])
        known[name] = {measure: at(true[1:] - true[:1], HORIZON)[..., 0] for measure, (_, at) in MEASURES.items()}
    lines: list[Line] = []
    for seed in range(n_cohorts):
        for name, (effect, ill_leave) in WORLDS.items():
            rng = np.random.default_rng([seed, n])
            one = world(n, rng, EFFECTS[effect], ill_leave=ill_leave)
            found = [*ever_never(one), *emulated(one, PERCENTILE, n_resamples, rng)]
            if untruncated:
                found += emulated(one, 100.0, n_resamples, rng, "emulated, not truncated")
            if ill_leave:
                found += emulated(one, PERCENTILE, n_resamples, rng, NOT_WEIGHTED)
            lines += [{"truth": name} | _judged(line, known[effect]) for line in found]
        if not (seed + 1) % TOLD or seed + 1 == n_cohorts:
            print(f"{seed + 1} of {n_cohorts} cohorts of each kind", file=sys.stderr)
            yield seed + 1, pd.DataFrame(lines)


def _judged(line: Line, known: dict[str, FloatArray]) -> Line:
    estimate = line.pop("estimate")
    measure = str(line["measure"])
    value = known[measure][NAMES.index(str(line["strategy"])) - 1, CAUSES.index(str(line["cause"]))]
    return line | judged(estimate, value, 100 if measure == "risk" else 1)


def main() -> int:
    """Run all cohorts, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=500)
    parser.add_argument("--cohorts", type=int, default=500, help="simulated cohorts of each kind")
    parser.add_argument("--resamples", type=int, default=100)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--untruncated", action="store_true", help="also without truncating the weights")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    for n_cohorts, found in study(
        options.patients, options.cohorts, options.resamples, untruncated=options.untruncated
    ):  # what is done is kept, should the rest be stopped
        text = page(found, n_cohorts, options.patients, options.resamples)
        (options.results / "strategies_coverage.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def page(found: pd.DataFrame, n_cohorts: int, n_patients: int, n_resamples: int) -> str:
    """The table."""
    table = coverage_table(found, ["truth", "measure", "strategy", "cause", "method"])
    return "\n".join(
        [
            "# Strategies that say when treatment starts, in simulated cohorts",
            "",
            f"Each strategy less never starting, by day {N_DAYS}: risk in percentage points, time lost in days.",
            f"`early`: a start within {GRACE_DAYS} days of time zero; `when low`: within {GRACE_DAYS} days of a low",
            "value; `the ill leave`: who was last seen with a low value is lost to follow-up sooner; `emulated`:",
            f"cloned, censored, weighted for starts and losses, truncated at the {PERCENTILE:g}th percentile;",
            "`ever / never`: those who ever started against those who never did, which is not offered.",
            f"{n_cohorts:,} cohorts of {n_patients} patients of each kind; {n_resamples} resamples each; ± is the",
            "standard error over cohorts, spread the standard deviation of the estimates, standard error the mean of",
            "the estimated ones; 95 % intervals, coverage in per cent. Truth:",
            f"{N_TRUTH:,} patients for each strategy.",
            f"Made by `python -m benchmarks.strategies_coverage` on {platform.machine()}, {os.cpu_count()} cores,",
            f"Python {platform.python_version()}, CPU.",
            "",
            markdown(table),
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
