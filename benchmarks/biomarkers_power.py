"""Screens of simulated patients whose true markers are known: false discoveries and power by number of patients.

Among 1,000 markers, half of them in correlated blocks as genes are, some go with the first of two causes. Markers of
the competing cause are false ones for the cause-specific test. Two centres have hazards of their own. In one more
setting most die of the competing cause, and markers, in panels of 50, are hardly measured in those who die soon.

    python -m benchmarks.biomarkers_power --cohorts 100
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.accuracy.page import markdown
from features.outcomes import Outcomes
from training.biomarkers.multiplicity import benjamini_hochberg
from training.biomarkers.permutation import permutation_tests
from training.biomarkers.score_test import cause_specific_scores, subdistribution_scores
from training.biomarkers.stability import stability

RESULTS = Path(__file__).parent / "results"
MARKERS, BLOCK, COMPETING = 1000, 50, 5
TRUE = np.repeat([0.3, 0.5, 0.8], 5)
"""Log hazard ratios for one SD of the markers that go with the cause."""
PATIENTS = (50, 100, 200, 400, 800)
UNMEASURED = 400
"""Patients where being measured goes with the outcome."""
SOON_DAYS, SHARE_SOON, SHARE = 60, 0.05, 0.9
"""There, the panels' share measured of those who die of the competing cause by then, and of the others."""
LEVEL = 0.1
PERMUTATIONS = 4000


@dataclass(frozen=True, slots=True)
class Drawn:
    """A cohort."""

    values: NDArray[np.float64]
    """(patients, markers): first those of `TRUE`, then `COMPETING` of the competing cause, then false ones."""
    outcomes: Outcomes
    centre: NDArray[np.int64]


def drawn(seed: int, n: int, *, null: bool, by_outcome: bool = False) -> Drawn:
    """Constant hazards, a third of the patients censored; nothing goes with anything if null.

    If by outcome, the competing hazard is five times as high, and who is measured goes with it.
    """
    rng = np.random.default_rng([seed, n])
    values = rng.normal(size=(n, MARKERS))
    for start in range(MARKERS // 2, MARKERS, BLOCK):
        values[:, start : start + BLOCK] = (
            0.6**0.5 * rng.normal(size=(n, 1)) + 0.4**0.5 * values[:, start : start + BLOCK]
        )
    centre = rng.integers(2, size=n)
    k = len(TRUE)
    event, other = values[:, :k] @ TRUE, values[:, k : k + COMPETING] @ np.full(COMPETING, 0.5)
    if null:
        event, other = np.zeros(n), np.zeros(n)
    deadly = 0.01 if by_outcome else 0.002
    rate = np.column_stack([np.full(n, 0.003), 0.004 * np.exp(event + 0.5 * centre), deadly * np.exp(other)])
    latent = rng.exponential(1 / rate)
    outcomes = Outcomes(np.ceil(latent.min(axis=1)), latent.argmin(axis=1), ("infection", "death"))
    if by_outcome:
        soon = (outcomes.cause == 2) & (outcomes.duration_days <= SOON_DAYS)
        measured = rng.random((n, MARKERS // BLOCK)) < np.where(soon, SHARE_SOON, SHARE)[:, None]
        values[~np.repeat(measured, BLOCK, axis=1)] = np.nan
    return Drawn(values, outcomes, centre)


def calls(cohort: Drawn, rng: np.random.Generator) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Which markers each way of judging calls found."""
    values, outcomes, centre = cohort.values, cohort.outcomes, cohort.centre
    p = cause_specific_scores(values, outcomes, 1, stratum=centre).p
    permuted = permutation_tests(values, outcomes, 1, stratum=centre, n_permutations=PERMUTATIONS, rng=rng)
    yield "q ≤ 0.1, score test", benjamini_hochberg(p) <= LEVEL
    yield "q ≤ 0.1, permuted", benjamini_hochberg(permuted.calibrated(p)) <= LEVEL
    yield "p of the largest ≤ 0.1", permuted.p_of_largest <= LEVEL
    stable = stability(values, outcomes, 1, stratum=centre, n_pairs=25, rng=rng)
    yield "stable", stable.frequency >= stable.threshold
    incidence = subdistribution_scores(values, outcomes, 1, stratum=centre).p
    yield "q ≤ 0.1, subdistribution", benjamini_hochberg(incidence) <= LEVEL


def study(n_cohorts: int) -> pd.DataFrame:
    """One line for each cohort and way of judging."""
    settings = [*((n, False) for n in PATIENTS), (UNMEASURED, True)]
    return pd.DataFrame(
        line
        for n, by_outcome in settings
        for null in (False, True)
        for seed in range(n_cohorts)
        for line in judged_lines(drawn(seed, n, null=null, by_outcome=by_outcome), seed, null=null)
    )


def judged_lines(cohort: Drawn, seed: int, *, null: bool) -> Iterator[dict[str, object]]:
    """A line for each way of judging a cohort."""
    n, events = len(cohort.outcomes), int((cohort.outcomes.cause == 1).sum())
    measured = "" if np.isfinite(cohort.values).all() else ", measured by outcome"
    for judged, found in calls(cohort, np.random.default_rng([seed, n, 1])):
        line: dict[str, object] = {"patients": n, "events": events, "judged": judged + measured, "null": null}
        yield line | {"any": bool(found.any())} | counts(found, judged, null=null)


def counts(found: NDArray[np.bool_], judged: str, *, null: bool) -> dict[str, float]:
    """Share of false ones among the found, and share of the true ones found, by effect."""
    k = len(TRUE)
    true = np.zeros(MARKERS, dtype=bool)
    if not null:
        true[: k + COMPETING * judged.endswith("subdistribution")] = True
    share = float((found & ~true).sum() / max(found.sum(), 1))
    power = {f"{effect:g}": float(found[:k][effect == TRUE].mean()) for effect in np.unique(TRUE)}
    return {"false": share, "n_false": float((found & ~true).sum())} | power


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Means over cohorts."""
    by = ["judged", "patients"]
    some, none = found[~found["null"]].groupby(by, sort=False), found[found["null"]].groupby(by, sort=False)
    table = pd.DataFrame({"events": some["events"].mean().map("{:.0f}".format)})
    error = some["false"].std() / np.sqrt(some.size())
    table["false among found"] = some["false"].mean().map("{:.3f}".format) + " ± " + error.map("{:.3f}".format)
    table["false ones"] = some["n_false"].mean().map("{:.2f}".format)
    for effect in np.unique(TRUE):
        table[f"power, HR {np.exp(effect):.2f}"] = some[f"{effect:g}"].mean().map("{:.2f}".format)
    table["any found where nothing is"] = none["any"].mean().map("{:.2f}".format)
    return table.reset_index()


def main() -> int:
    """Run all cohorts, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cohorts", type=int, default=100, help="simulated cohorts of each size, with and without markers"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    began = time.perf_counter()
    table = summary(study(options.cohorts))
    seconds = time.perf_counter() - began
    ratios = ", ".join(f"{np.exp(effect):.2f}" for effect in np.unique(TRUE))
    text = [
        "# Biomarkers planted in simulated cohorts: false discoveries and power",
        "",
        f"Simulated patients. {MARKERS:,} markers, half of them correlated in blocks of {BLOCK}; {len(TRUE)} go with",
        f"the cause (five each of a hazard ratio of {ratios} for one SD), {COMPETING} with the competing one.",
        f"{options.cohorts:,} cohorts of each size; ± is the standard error over cohorts. A marker of the competing",
        "cause is a false one for the cause-specific tests and a true one for the subdistribution's. Any found where",
        "nothing is: share of cohorts without a true marker in which a marker is found. Measured by outcome: the",
        f"competing hazard is five times as high, and a panel of {BLOCK} markers is measured in {SHARE:.0%} of",
        f"the patients, but in {SHARE_SOON:.0%} of those who meet the competing cause by day {SOON_DAYS}.",
        f"Made by `python -m benchmarks.biomarkers_power --cohorts {options.cohorts}` in {seconds:.0f} s",
        f"on {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, CPU.",
        "",
        markdown(table),
    ]
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "biomarkers_power.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    print((options.results / "biomarkers_power.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
