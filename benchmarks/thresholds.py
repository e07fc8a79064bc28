"""Thresholds searched by net benefit: how often one is shown where nothing is predicted, and where something is.

    python -m benchmarks.thresholds --cohorts 300

Simulated cohorts with censoring, a competing event, and predictions at one or two landmarks; 32 thresholds are searched
at once, as those of the severe infection endpoint. Writes ``results/thresholds.md``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.outcomes import Outcomes
from training.evaluation.threshold_search import Predicted, searched_gains

RESULT = Path(__file__).parent / "results" / "thresholds.md"
GRID = tuple(k / 100 for k in (*range(5, 16), *range(20, 41)))
HORIZON = 90.0
RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class World:
    """Patients, and a model that knows something of them or nothing."""

    says: str
    n_patients: int
    risks: tuple[float, ...]
    """Mean risk within the horizon at each landmark."""
    signal: float = 0.0
    """Standard deviation of the log hazard, which the model knows."""
    spread: float = 1.0
    """Without a signal, that of the log odds that it says by chance."""


NULL = (
    World("nearly one risk for everyone", 160, (0.15,), spread=0.3),
    World("by chance, two landmarks", 160, (0.3, 0.1)),
    World("by chance, far apart, rare event", 160, (0.06,), spread=2.0),
    World("knows the landmark alone", 160, (0.35, 0.05), spread=0.2),
    World("by chance, far apart, 60 patients", 60, (0.2,), spread=2.0),
    World("by chance, very far apart", 100, (0.15,), spread=3.0),
)
TRUE = tuple(
    World(f"{says}, {n:,} patients", n, risks, signal=signal)
    for signal, says in ((0.7, "weak"), (1.2, "strong"))
    for risks in ((0.25,), (0.25, 0.2))
    for n in (200, 500, 1_000)
)


def cohort(rng: np.random.Generator, world: World) -> Predicted:
    """One cohort of a world."""
    n, true = world.n_patients, rng.normal(0, 1, world.n_patients)
    parts = []
    for landmark, mean in enumerate(world.risks):
        hazard = mean / HORIZON * np.exp(world.signal * true - world.signal**2 / 2)
        had, died, left = rng.exponential(1 / hazard), rng.exponential(HORIZON / 0.05, n), rng.uniform(30, 600, n)
        ended = np.minimum(np.minimum(had, died), left)
        cause = np.where(ended == had, 1, np.where(ended == died, 2, 0))
        logit = world.signal * true if world.signal else world.spread * rng.normal(0, 1, n)
        risk = 1 / (1 + np.exp(-(np.log(mean / (1 - mean)) + logit)))
        parts.append((risk, ended, cause, np.arange(n), np.full(n, landmark)))
    risk, ended, cause, patient, landmark_of = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Predicted(risk, Outcomes(ended, cause, ("infection", "death")), 1, HORIZON, patient, landmark_of)


def shown(world: World, cohorts: int) -> int:
    """In how many cohorts a threshold is shown to be of use."""
    found = 0
    for seed in range(cohorts):
        rng = np.random.default_rng(seed)
        gains = searched_gains(cohort(rng, world), GRID, rng=rng, n_bootstrap=RESAMPLES)
        found += any(gain.low > 0 for gain in gains)
    return found


def page(cohorts: int, fewer: int) -> str:
    """The result in Markdown."""
    head = ("| | risk by landmark | a threshold is shown |", "|---|---|---:|")

    def row(world: World, n: int) -> str:
        risks = " and ".join(f"{risk:.0%}" for risk in world.risks)
        return f"| {world.says} | {risks} | {shown(world, n)} of {n} |"

    return "\n".join(
        [
            "# Thresholds searched by net benefit",
            "",
            f"Made by `python -m benchmarks.thresholds --cohorts {cohorts}` on simulated cohorts: {len(GRID)}",
            f"thresholds at once, {RESAMPLES} resamples of patients.",
            "",
            "## Nothing is predicted: at most 5 % are borne",
            "",
            *head,
            *(row(world, cohorts) for world in NULL),
            "",
            "## Something is predicted",
            "",
            *head,
            *(row(world, fewer) for world in TRUE),
            "",
        ]
    )


def main() -> None:
    """Simulate, search, count, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=300)
    cohorts = parser.parse_args().cohorts
    RESULT.write_text(page(cohorts, max(1, cohorts // 5)), "utf-8")
    print(RESULT.read_text("utf-8"))


if __name__ == "__main__":
    main()
