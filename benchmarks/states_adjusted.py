"""Groups that chance did not make, weighted to be alike, as `sequela benefit-risk --adjust` has it: bias, and coverage.

Who is severely ill is in the second group more often, and moves on faster in either; the second group has more
infections and fewer relapses besides. The truth is of two whole populations, each in one group.

    python -m benchmarks.states_adjusted --cohorts 1000
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from benchmarks.accuracy.page import markdown
from benchmarks.coverage_table import coverage_table, judged
from benchmarks.states_coverage import DAILY, HORIZON_DAYS, OTHER, WORTH, draw, estimates, true_values
from training.effects.estimates import Estimate, difference_of
from training.effects.propensity import propensities, stabilised_weights
from training.states.occupation import occupation

RESULTS = Path(__file__).parent / "results"
SEVERE = 0.6
"""Standard deviation of the logarithm of what severity multiplies all hazards by."""
CHOSEN = 1.0
"""Logarithm of the odds ratio of being in the second group, for one standard deviation of severity."""


def study(sizes: list[int], n_cohorts: int) -> Iterator[dict[str, object]]:
    """One line for each difference of each cohort, as the groups are and made alike."""
    truth, other = (true_values(daily, SEVERE) for daily in (DAILY, OTHER))
    for n in sizes:
        for seed in range(n_cohorts):
            found = cohort(np.random.default_rng([seed, n, 3]), n)
            for method, (first, second) in found.items():
                for what in truth:
                    scale, true = 1 if "days" in what else 100, other[what] - truth[what]
                    one = difference_of(second[what], first[what])
                    yield {"patients": n, "what": what, "method": method} | judged(one, true, scale)


def cohort(rng: np.random.Generator, n: int) -> dict[str, tuple[dict[str, Estimate], ...]]:
    """Estimates of both groups of a cohort, by method."""
    x = rng.normal(size=n)
    arm = (rng.random(n) < expit(CHOSEN * x)).astype(np.int64)
    weights = stabilised_weights(propensities(x[:, None], arm), arm)
    histories = [
        draw(rng, int((arm == k).sum()), (DAILY, OTHER)[k], frailty=SEVERE, severity=x[arm == k]) for k in (0, 1)
    ]
    by_method: dict[str, NDArray[np.float64] | None] = {"as they are": None, "made alike": weights}
    return {
        method: tuple(
            estimates(occupation(one, HORIZON_DAYS, None if w is None else w[arm == k]))
            for k, one in enumerate(histories)
        )
        for method, w in by_method.items()
    }


def main() -> int:
    """Run all cohorts, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[80, 200, 600], help="patients of both groups")
    parser.add_argument("--cohorts", type=int, default=1000, help="simulated cohorts of each size")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    table = coverage_table(pd.DataFrame(study(options.sizes, options.cohorts)), ["patients", "what", "method"])
    text = "\n".join(
        [
            "# Groups weighted to be alike, in simulated cohorts",
            "",
            f"Second group less the first by day {HORIZON_DAYS[0]:g}: probabilities in percentage points, times in",
            f"days; a day is worth {WORTH[0]:g} event-free and {WORTH[1]:g} with infection. {options.cohorts:,}",
            f"cohorts of each size. The odds of being in the second group are {np.exp(CHOSEN):.1f} times, and all",
            f"hazards {np.exp(SEVERE):.1f} times as high for one standard deviation of severity, which is known. ± is",
            "the standard error over cohorts, spread the standard deviation of the estimates, standard error the mean",
            "of the estimated ones, which take the weights as known; 95 % intervals, coverage in per cent.",
            f"Made by `python -m benchmarks.states_adjusted` on {platform.machine()},",
            f"Python {platform.python_version()}, CPU.",
            "",
            markdown(table),
            "",
        ]
    )
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "states_adjusted.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
