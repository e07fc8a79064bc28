"""Events seen at visits: how near models come to the true incidence that take them for events of the day, or do not.

    python -m benchmarks.interval_censoring --sizes 300 1000 --cohorts 15 6

Each simulated patient comes about every 90 days, and an infection is seen at the first visit after it, or at the end of
follow-up, where everybody is looked at; death is known to the day. Hazards of infection fall with time. A second world
has no last look: an infection between the last visit and death, or loss, is never seen.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.accuracy.page import markdown
from benchmarks.cohorts import t_interval
from benchmarks.made import made_by
from features.outcomes import Outcomes
from features.patients import FloatArray
from training.config import NetworkConfig, TrainerConfig
from training.fitting.network import fit_network
from training.models.cox import CauseSpecificCox

RESULTS = Path(__file__).parent / "results"
N_TEST = 1000
EVERY_DAYS, JITTER_DAYS = 90.0, 10.0
CAUSES = ("infection", "death")
SCALE_DAYS, SHAPE = (300.0, 900.0), (0.7, 1.0)
EFFECTS = np.array([[0.8, -0.5, 0.0], [0.4, 0.0, 0.3]])
"""(causes, features): log hazard ratios; Weibull hazards with `SCALE_DAYS` and `SHAPE`."""
BETWEEN = np.array([45.0, 135.0, 225.0, 315.0])
AT_VISITS = np.array([90.0, 180.0, 270.0, 360.0])
FIRST_SEED = 1000
"""Cohorts from this seed on; what is fitted before training was settled on the first five, from 0."""


@dataclass(frozen=True, slots=True)
class Visited:
    """A simulated cohort, as it was and as it was seen."""

    x: FloatArray
    """(rows, 3)."""
    exact: Outcomes
    """To the day."""
    between: Outcomes
    """With the last day known to be free."""

    @property
    def seen(self) -> Outcomes:
        """With the day it was seen for the day it happened."""
        return replace(self.between, after_days=None)


def visited(rng: np.random.Generator, n: int, *, last_look: bool = True) -> Visited:
    """A cohort; without a last look, what happens after the last visit is never seen."""
    x = rng.normal(size=(n, 3))
    unit = rng.exponential(size=(n, 2)) / np.exp(x @ EFFECTS.T)
    infection, death = (np.array(SCALE_DAYS) * unit ** (1 / np.array(SHAPE))).T
    lost = rng.uniform(180.0, 720.0, n)
    last = np.minimum(death, lost)
    visits = EVERY_DAYS * np.arange(1, 10) + rng.uniform(-JITTER_DAYS, JITTER_DAYS, (n, 9))
    looks = np.column_stack([np.zeros(n), visits, np.where(last_look, last, np.inf)])
    looks = np.where(looks <= last[:, None], looks, np.inf)
    day = np.where(looks >= infection[:, None], looks, np.inf).min(axis=1)
    free = np.where(looks < infection[:, None], looks, 0.0).max(axis=1)
    ended = np.where(death <= lost, 2, 0)
    is_seen, happened = np.isfinite(day), infection <= last
    exact = Outcomes(np.where(happened, infection, last), np.where(happened, 1, ended), CAUSES)
    after = np.where(is_seen, free, np.nan)
    between = Outcomes(np.where(is_seen, day, last), np.where(is_seen, 1, ended), CAUSES, None, after)
    return Visited(x, exact, between)


def true_incidence(x: FloatArray, times_days: FloatArray) -> FloatArray:
    """(rows, causes, times): whole days, integrated by quarters of a day."""
    grid = np.arange(0.0, times_days.max() + 0.25, 0.25)
    ratio = np.exp(x @ EFFECTS.T)
    total = [ratio[:, [k]] * (grid / SCALE_DAYS[k]) ** SHAPE[k] for k in range(2)]
    free = np.exp(-total[0] - total[1])
    middle = (free[:, 1:] + free[:, :-1]) / 2
    steps = np.stack([middle * np.diff(hazard, axis=1) for hazard in total], axis=1).cumsum(axis=2)
    found: FloatArray = steps[:, :, np.searchsorted(grid, times_days) - 1]
    return found


def predictions(
    cohort: Visited, new: FloatArray, times_days: FloatArray, seed: int
) -> Iterator[tuple[str, FloatArray]]:
    """What each model tells of new patients."""
    ids = np.arange(len(cohort.x)).astype(str).astype(object)
    landmark, cpu = np.zeros(len(new)), TrainerConfig(accelerator="cpu")
    taught = {
        "network, infections known to the day": cohort.exact,
        "network, infections between two visits": cohort.between,
        "network, day of the visit": cohort.seen,
    }
    for name, outcomes in taught.items():
        network = fit_network(cohort.x, outcomes, ids, NetworkConfig(), cpu, seed=seed)
        yield name, network.incidence(new, landmark, times_days)
    for name, outcomes in {
        "day of the visit": cohort.seen,
        "middle between the visits": cohort.between.in_the_middle(),
    }.items():
        cox = CauseSpecificCox.fit(cohort.x, outcomes, penalty=None, patient_id=ids, seed=seed)
        yield f"Cox, {name}", cox.incidence(new, landmark, times_days)


def errors(n: int, seed: int, *, last_look: bool) -> list[dict[str, object]]:
    """Root mean squared errors in percentage points, by model, times and cause."""
    rng = np.random.default_rng([seed, n])
    cohort, new = visited(rng, n, last_look=last_look), rng.normal(size=(N_TEST, 3))
    times = np.concatenate([BETWEEN, AT_VISITS])
    truth, found = true_incidence(new, times), []
    for name, predicted in predictions(cohort, new, times, seed):
        squared = (predicted - truth) ** 2
        for where, columns in (("between visits", slice(0, 4)), ("at visits", slice(4, 8))):
            error = 100 * np.sqrt(squared[:, :, columns].mean(axis=(0, 2)))
            for k, cause in enumerate(CAUSES):
                found.append({"model": name, "seed": seed, "what": f"{cause}, {where}", "error": error[k]})
    return found


def section(title: str, found: pd.DataFrame) -> list[str]:
    """Mean error of each model, and of the intervals less that of others, over the same cohorts."""
    wide = found.pivot_table(index="seed", columns=["what", "model"], values="error", sort=False)
    models, columns = found["model"].unique(), found["what"].unique()
    lines = [[name, *(_shown(wide[what][name].to_numpy()) for what in columns)] for name in models]
    for place, name in {2: "the second less the third", 4: "the second less the last"}.items():
        less = [(wide[what][models[1]] - wide[what][models[place]]).to_numpy() for what in columns]
        lines.append([name, *(_shown(values, sign="+") for values in less)])
    return [f"## {title}", "", markdown(pd.DataFrame(lines, columns=["model", *columns])), ""]


def _shown(values: FloatArray, sign: str = "") -> str:
    mean, low, high = t_interval(values)
    return f"{mean:{sign}.1f} [{low:{sign}.1f}, {high:{sign}.1f}]"


def main() -> int:
    """Simulate, fit, write the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[300, 1000])
    parser.add_argument("--cohorts", nargs="+", type=int, default=[15, 6], help="of each size")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    text = [
        "# Events seen at visits",
        "",
        "Simulated patients, visited about every 90 days; infections are seen at the first visit after them, deaths on",
        f"their day. Root mean squared error against the true incidence, of {N_TEST:,} other patients, in percentage",
        f"points, with 95 % t intervals over cohorts: between visits (days {_listed(BETWEEN)}) and about the days of",
        f"visits ({_listed(AT_VISITS)}).",
        made_by("benchmarks.interval_censoring"),
        "",
    ]
    for last_look in (True, False):
        for n, n_cohorts in list(zip(options.sizes, options.cohorts, strict=True))[: None if last_look else 1]:
            seeds = range(FIRST_SEED, FIRST_SEED + n_cohorts)
            found = pd.DataFrame([row for seed in seeds for row in errors(n, seed, last_look=last_look)])
            look = "looked at once more when follow-up ends" if last_look else "not looked at when follow-up ends"
            text += section(f"{n_cohorts} cohorts of {n:,}, {look}", found)
            print("\n".join(text[-4:]), flush=True)
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "interval_censoring.md").write_text("\n".join(text), encoding="utf-8")
    return 0


def _listed(days: FloatArray) -> str:
    return ", ".join(f"{day:g}" for day in days)


if __name__ == "__main__":
    sys.exit(main())
