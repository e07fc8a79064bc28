"""Screens of simulated patients in whom no marker goes with anything: how often one is found all the same.

What markers tell beyond the clinic, with few events and markers that go with the clinic; whether they act differently
in two arms; and markers that are measured in dependence on the outcome.

    python -m benchmarks.biomarkers_null --cohorts 200
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.accuracy.page import markdown
from features.outcomes import Outcomes
from training.biomarkers.effect import within_arms
from training.biomarkers.multiplicity import benjamini_hochberg
from training.biomarkers.permutation import permutation_tests
from training.biomarkers.score_test import cause_specific_scores, subdistribution_scores
from training.effects.arms import Arms

RESULTS = Path(__file__).parent / "results"
KINDS = ("normal", "log-normal", "unequal variances", "two values")
BY_ARM = ("normal", "two values", "log-normal")
MARKERS, IN_ARMS = 200, 40
"""Of each search; of those by arm."""
LEVEL = 0.1
PERMUTATIONS = 4000
Values = NDArray[np.float64]
P = dict[str, Values]
"""p-values of all markers by test."""


def until(n_events: int, rate: Values, rng: np.random.Generator) -> Outcomes:
    """Hazards (patients, censoring and causes) followed until so many have met the first cause."""
    while True:
        latent = rng.exponential(1 / rate)
        day, cause = np.ceil(10 * latent.min(axis=1)), latent.argmin(axis=1)
        if (cause == 1).sum() >= n_events:
            end = np.sort(day[cause == 1])[n_events - 1]
            return Outcomes(np.minimum(day, end), np.where(day > end, 0, cause), ("infection", "death"))


def beyond_the_clinic(kind: str, n_events: int, rng: np.random.Generator) -> P:
    """60 patients; a clinic of two columns raises the hazard of both causes, and markers go with the clinic."""
    n = 60
    z = rng.normal(size=(n, 2))
    z[:, 1] = z[:, 1] > 0.5
    rate = np.column_stack([np.full(n, 0.003), 0.004 * np.exp(z @ np.array([0.8, 0.7])), 0.003 * np.exp(0.4 * z[:, 0])])
    outcomes = until(n_events, rate, rng)
    noise = rng.normal(size=(n, MARKERS))
    values = {
        "normal": 0.7 * z[:, :1] + noise,
        "log-normal": 0.7 * z[:, :1] + np.exp(noise) / 2,
        "unequal variances": 0.7 * z[:, :1] + noise * np.exp(0.5 * z[:, :1]),
        "two values": (z[:, :1] + noise > 1.0).astype(float),
    }[kind]
    found: P = {}
    for name, test in (("cause-specific", cause_specific_scores), ("subdistribution", subdistribution_scores)):
        p = test(values, outcomes, 1, covariates=z).p
        permuted = permutation_tests(
            values, outcomes, 1, covariates=z, kept=name == "subdistribution", n_permutations=PERMUTATIONS, rng=rng
        )
        found |= {f"{name}, score test": p, f"{name}, as judged": permuted.calibrated(p)}
    return found


def by_arm(kind: str, log_ratio: float, n_events: int, rng: np.random.Generator) -> P:
    """Two arms, one with twice the hazard and twice the events; a prognosis in markers raises it in both alike."""
    n = 24 * n_events
    arm = np.sort((rng.random(n) < 0.4).astype(np.int64))
    prognosis = rng.normal(size=n)
    rate = np.column_stack([np.full(n, 0.003), 0.004 * np.exp(log_ratio * prognosis) * (1 + arm), np.full(n, 0.003)])
    outcomes = Outcomes.concatenate([until(n_events * (1 + k), rate[arm == k], rng) for k in range(2)])
    arms = Arms(outcomes, arm, ("first", "second"))
    share = 0.8 if log_ratio else 0.0
    values = share * prognosis[:, None] + np.sqrt(1 - share**2) * rng.normal(size=(n, IN_ARMS))
    if kind != "normal":
        values = np.exp(values) if kind == "log-normal" else (values > 0.5).astype(float)
    return {"as judged": np.array([within_arms(values[:, j], arms, 1).interaction.p for j in range(IN_ARMS)])}


def measured_by_outcome(who: str, rng: np.random.Generator) -> P:
    """150 patients; those who die soon are hardly measured, or those with the event more than others."""
    n = 150
    rate = np.tile([0.002, 0.002, 0.01] if who == "deaths hardly" else [0.001, 0.002, 0.003], (n, 1))
    latent = rng.exponential(1 / rate)
    day, cause = latent.min(axis=1), latent.argmin(axis=1)
    soon = (cause == 2) & (day < 70)
    share = np.where(soon, 0.05, 0.9) if who == "deaths hardly" else np.where(cause == 1, 0.8, 0.25)
    outcomes = Outcomes(np.ceil(day), cause, ("infection", "death"))
    values = rng.normal(size=(n, MARKERS))
    values[rng.random(n) > share] = np.nan
    p = cause_specific_scores(values, outcomes, 1).p
    permuted = permutation_tests(values, outcomes, 1, n_permutations=PERMUTATIONS, rng=rng)
    return {"score test": p, "as judged": permuted.calibrated(p)}


def settings() -> Iterator[tuple[str, str, str, Callable[[np.random.Generator], P]]]:
    """What is searched, what the markers are, how many events there are, and the p-values of a cohort."""
    for n in (8, 15):
        for kind in KINDS:
            yield "beyond the clinic", kind, f"{n}", partial(beyond_the_clinic, kind, n)
    for n, log_ratio, kind in product((5, 10, 20), (0.0, 0.8), BY_ARM):
        which = f"{kind}, prognostic in both arms" if log_ratio else kind
        yield "by arm", which, f"{n} and {2 * n}", partial(by_arm, kind, log_ratio, n)
    yield "measured by outcome", "hardly in early deaths", "about 22", partial(measured_by_outcome, "deaths hardly")
    yield "measured by outcome", "more in events", "about 25", partial(measured_by_outcome, "events more")


def study(n_cohorts: int) -> Iterator[dict[str, str]]:
    """A line for each setting and test."""
    for place, (what, markers, events, p_of) in enumerate(settings()):
        by_test: dict[str, list[Values]] = {}
        for seed in range(n_cohorts):
            for test, p in p_of(np.random.default_rng([seed, place])).items():
                by_test.setdefault(test, []).append(p)
        for test, every in by_test.items():
            found = [int((benjamini_hochberg(p) <= LEVEL).sum()) for p in every]
            yield (
                {"searched": what, "markers": markers, "events": events, "test": test}
                | {
                    f"p < {level:g}": f"{np.nanmean([np.mean(p[np.isfinite(p)] < level) for p in every]):.4f}"
                    for level in (0.05, 0.01)
                }
                | {"any at q ≤ 0.1": f"{np.mean(np.array(found) > 0):.3f}", "found": f"{np.mean(found):.2f}"}
            )
            print(what, markers, events, test, flush=True)


def main() -> int:
    """Run all cohorts, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=200, help="simulated cohorts of each setting")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    began = time.perf_counter()
    table = pd.DataFrame(study(options.cohorts))
    seconds = time.perf_counter() - began
    text = [
        "# Biomarkers where nothing is: how often one is found all the same",
        "",
        f"Simulated patients. None of their {MARKERS} markers ({IN_ARMS} by arm) goes with the cause; or with it",
        "beyond the clinic, or differently in two arms. All that are found are false. Shares of markers with p below",
        "a level, share of cohorts in which some marker passes q ≤ 0.1, and markers found in a cohort; of each",
        f"setting {options.cohorts:,} cohorts. Score test: its p-values under Benjamini and Hochberg's rule. As",
        f"judged by `sequela biomarkers`: p-values of {PERMUTATIONS:,} permutations, beyond the clinic the larger of",
        "these and the score test's; by arm, those of Cochran's test. The prognosis is normal, so that the hazard does",
        "not rise in a straight line with log-normal markers that go with it. Beyond the clinic: 60 patients, until so",
        "many events; by arm: each arm until its own number; measured by outcome: 150 patients.",
        f"Made by `python -m benchmarks.biomarkers_null --cohorts {options.cohorts}` in {seconds:.0f} s",
        f"on {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, CPU.",
        "",
        markdown(table),
    ]
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "biomarkers_null.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    print((options.results / "biomarkers_null.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
