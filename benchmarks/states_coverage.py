"""Coverage of the intervals of states, times and differences, in simulated cohorts whose truth is known.

In one kind of cohort the process is Markov; in the other patients differ in all hazards alike by what nobody knows
(frailty), so that when a state was entered tells how fast it is left.

    python -m benchmarks.states_coverage --cohorts 1000
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.accuracy.page import markdown
from benchmarks.coverage_table import coverage_table, judged
from features.states import STAYS, StateHistories
from training.effects.estimates import Estimate, difference_of
from training.effects.risks import risk
from training.states.occupation import Occupation, occupation
from training.states.weighted_time import days_within, expected_days

RESULTS = Path(__file__).parent / "results"
STATES = ("event-free", "infection", "relapse", "death")
DAILY = np.array(
    [[0.0, 0.002, 0.0015, 0.0005], [0.0, 0.0, 0.0025, 0.002], [0.0, 0.0, 0.0, 0.004], [0.0, 0.0, 0.0, 0.0]]
)
"""Hazards of the moves, a day."""
OTHER = DAILY * np.array([1.0, 2.0, 0.5, 1.0])
"""Of the second group: more infections, fewer relapses."""
FRAILTY = {"Markov": 0.0, "frailty": 0.8}
"""Standard deviation of the logarithm of what multiplies all hazards of a patient."""
WORTH = (1.0, 0.5, 0.0, 0.0)
HORIZON_DAYS = np.array([365.0])
N_TRUTH = 400_000
CENSORED_DAYS = (50.0, 900.0)


def draw(
    rng: np.random.Generator,
    n: int,
    daily: NDArray[np.float64] = DAILY,
    *,
    frailty: float = 0.0,
    severity: NDArray[np.float64] | None = None,
    censored_days: tuple[float, float] = CENSORED_DAYS,
    late: float = 0.0,
    whole_days: bool = False,
) -> StateHistories:
    """Stays of patients who move forward through states, censored evenly.

    Args:
        rng: Of everything.
        n: Patients, of whom those who end before they are observed are left out.
        daily: (states, states): hazards of the moves, above the diagonal.
        frailty: Standard deviation of the logarithm of what multiplies all hazards of a patient.
        severity: (patients,): that logarithm, standardised; None: drawn.
        censored_days: From when to when.
        late: Share of patients that is observed only from a day up to 100 on.
        whole_days: Whether days are counted, so that moves tie.
    """
    rounded = np.ceil if whole_days else np.asarray
    factor = np.exp(frailty * (rng.normal(size=n) if severity is None else severity))
    end = rounded(rng.uniform(*censored_days, n))
    entry = np.floor(rng.uniform(0, 100, n)) * (rng.random(n) < late)
    state, now = np.zeros(n, dtype=np.int64), np.zeros(n)
    parts = []
    for _ in range(len(daily)):
        total = daily[state].sum(axis=1)
        active = np.flatnonzero((total > 0) & (now < end))
        moved = np.full(n, np.inf)
        moved[active] = now[active] + rng.exponential(1 / (factor * total)[active])
        moved = np.maximum(np.ceil(moved), now + 1) if whole_days else moved
        shares = np.cumsum(daily[state] / np.where(total > 0, total, 1.0)[:, None], axis=1)
        target = np.minimum((rng.random(n)[:, None] > shares).sum(axis=1), len(daily) - 1)
        following = np.where(moved <= end, target, STAYS)
        stop = np.minimum(moved, end)
        seen = active[stop[active] > entry[active]]
        start = np.maximum(now, entry)
        parts.append(np.stack([seen, state[seen], start[seen], stop[seen], following[seen], now[seen]]))
        state[active], now[active] = target[active], moved[active]
    patient, state, start, stop, following, entered = np.concatenate(parts, axis=1)
    order = np.lexsort((start, patient))
    names, position = np.unique(patient[order], return_inverse=True)
    whole = (column[order].astype(np.int64) for column in (state, following))
    own, goes = whole
    return StateHistories(
        position, own, start[order], stop[order], goes, entered[order], STATES[: len(daily)], len(names)
    )


def true_values(daily: NDArray[np.float64], frailty: float) -> dict[str, float]:
    """Of the whole population at the horizon, from patients who are never censored."""
    many = draw(np.random.default_rng(0), N_TRUTH, daily, frailty=frailty, censored_days=(366.0, 366.0))
    day = float(HORIZON_DAYS[0])
    stay = np.clip(many.stop_days, 0, day) - np.clip(many.start_days, 0, day)
    days = np.bincount(many.state, weights=stay, minlength=len(STATES)) / N_TRUTH
    inside = many.stop_days <= day
    came = np.bincount(many.next_state[inside & (many.next_state >= 0)], minlength=len(STATES)) / N_TRUTH
    left = np.bincount(many.state[inside & (many.next_state >= 0)], minlength=len(STATES)) / N_TRUTH
    probability = came - left
    days[3] = day - days[:3].sum()
    return {
        "in infection": probability[1],
        "ever infected": came[1],
        "dead": probability[3],
        "days with infection": days[1],
        "days before relapse or death": days[0] + days[1],
        "weighted days": float(np.array(WORTH) @ days),
    }


def estimates(found: Occupation) -> dict[str, Estimate]:
    """The same from a cohort."""
    probability, entered, days = (one[0] for one in found.errors())
    return {
        "in infection": risk(float(found.probability[0, 1]), float(probability[1])),
        "ever infected": risk(float(found.entered[0, 1]), float(entered[1])),
        "dead": risk(float(found.probability[0, 3]), float(probability[3])),
        "days with infection": days_within(float(found.days[0, 1]), float(days[1]), float(HORIZON_DAYS[0])),
        "days before relapse or death": expected_days(found, 0, (1, 1, 0, 0)),
        "weighted days": expected_days(found, 0, WORTH),
    }


def study(sizes: list[int], n_cohorts: int) -> pd.DataFrame:
    """One line for each estimate of each cohort: a group, and another less it."""
    lines = []
    for kind, frailty in FRAILTY.items():
        truth, other_truth = true_values(DAILY, frailty), true_values(OTHER, frailty)
        for n in sizes:
            for seed in range(n_cohorts):
                rng = np.random.default_rng([seed, n])
                one = estimates(occupation(draw(rng, n, frailty=frailty), HORIZON_DAYS))
                other = estimates(occupation(draw(rng, n, OTHER, frailty=frailty), HORIZON_DAYS))
                for name, value in truth.items():
                    difference = difference_of(other[name], one[name])
                    for of, found, true in (
                        ("one group", one[name], value),
                        ("difference", difference, other_truth[name] - value),
                    ):
                        scale = 1 if "days" in name else 100
                        line = {"process": kind, "patients": n, "what": name, "of": of}
                        lines.append(line | judged(found, true, scale))
    return pd.DataFrame(lines)


def main() -> int:
    """Run all cohorts, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 150, 500], help="patients of each group")
    parser.add_argument("--cohorts", type=int, default=1000, help="simulated cohorts of each kind and size")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    began = time.perf_counter()
    table = coverage_table(study(options.sizes, options.cohorts), ["process", "patients", "what", "of"])
    seconds = time.perf_counter() - began
    text = [
        "# States, expected times and their differences, in simulated cohorts",
        "",
        f"By day {HORIZON_DAYS[0]:g}: probabilities in per cent, times in days; a day is worth {WORTH[0]:g} event-free",
        f"and {WORTH[1]:g} with infection. {options.cohorts:,} cohorts of each kind and size, evenly censored between",
        f"days {CENSORED_DAYS[0]:g} and {CENSORED_DAYS[1]:g}; the truth from {N_TRUTH:,} patients. ± is the standard",
        "error over cohorts, spread the standard deviation of the estimates, standard error the mean of the estimated",
        "ones (infinitesimal jackknife); 95 % intervals, coverage in per cent.",
        f"Made by `python -m benchmarks.states_coverage` in {seconds:.0f} s on {platform.machine()},",
        f"{os.cpu_count()} cores, Python {platform.python_version()}, CPU.",
        "",
        markdown(table),
    ]
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "states_coverage.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    print((options.results / "states_coverage.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
