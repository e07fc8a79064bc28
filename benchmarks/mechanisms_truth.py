"""Does `sequela mechanisms` name the genes that carry the risk, from how many patients on, and nothing of nothing?

    python -m benchmarks.mechanisms_truth --sizes 100 200 --cohorts 5 --null 20

Simulated patients (`benchmarks.planted`), a small attention network, half of the patients read by a network fitted to
the other half, cells exchanged between patients as the command has it. Where no cell matters, age does, strongly.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.accuracy.page import markdown
from benchmarks.planted import CARD, LOG_HAZARD_RATIO, N_GENES, N_MARKERS, Cohort, Effect, planted
from features.config import FeatureConfig
from features.outcomes import Outcomes
from features.patients import Patients
from training.config import AttentionConfig, TrainerConfig
from training.evaluation.permutation import proportion_interval
from training.fit import fit_risk_model
from training.mechanisms.exchanged import mechanisms
from training.mechanisms.perturbation import SILENCED, Perturbation
from training.mechanisms.reading import Asked
from training.mechanisms.states import CellState
from training.models.risk_model import FittedRiskModel

RESULTS = Path(__file__).parent / "results"
CPU = TrainerConfig(accelerator="cpu")
NETWORK = AttentionConfig(members=2, max_epochs=20)
N_CELLS, SHARE, EXCHANGES, LEVEL = 40, 0.15, 19, 0.05
AGE = 1.5
PRODUCT = CellState("infusion_product", None)
MARKERS = tuple(f"gene{i}" for i in range(N_MARKERS))
OTHERS = tuple(f"gene{i}" for i in range(N_GENES - N_MARKERS, N_GENES))


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found in one simulated cohort."""

    leading: int
    """Markers among as many leading genes."""
    markers_named: int
    """Markers whose moves agree with what happened better than of any gene of exchanged cells."""
    others_named: int
    cells_help: bool
    """The cells' gain passes the test."""
    anything: bool
    """Some gene passes."""
    silenced: float
    """Mean change of the risk, points, with the markers silenced."""
    others_silenced: float


def carry_out(trial: tuple[Effect, int, int]) -> Answer:
    """Simulate a cohort and ask."""
    effect, n, seed = trial
    cohort = planted(n, seed, effect, n_cells=N_CELLS, share=SHARE)
    if effect == "nothing":
        cohort = with_strong_age(cohort, seed)

    def fit(patients: Patients, outcomes: Outcomes) -> FittedRiskModel:
        return fit_risk_model(patients, outcomes, CARD, FeatureConfig(cells=()), NETWORK, CPU, seed=seed)

    changes = tuple(Perturbation("", genes, PRODUCT, SILENCED) for genes in (MARKERS, OTHERS))
    asked = Asked((PRODUCT,), changes, 1, 180.0, counts=True)
    found = mechanisms(cohort.patients, cohort.outcomes, fit, asked, n_folds=2, n_exchanges=EXCHANGES, seed=seed)
    is_marker = np.isin(np.array(found.genes), MARKERS)
    passing = found.gene_agreement.p_of_largest(np.ones(len(found.genes), dtype=bool)) <= LEVEL
    leading = np.argsort(-found.gene_agreement.observed)[:N_MARKERS]
    return Answer(
        int(is_marker[leading].sum()),
        int(passing[is_marker].sum()),
        int(passing[~is_marker].sum()),
        bool(found.gain.p[0] <= LEVEL and found.gain_interval[0].low > 0),
        bool(passing.any()),
        100 * found.effect_interval[0].point,
        100 * found.effect_interval[1].point,
    )


def with_strong_age(cohort: Cohort, seed: int) -> Cohort:
    """The same patients, whose age alone decides on relapse: hazard ratio e^1.5 for each ten years."""
    rng = np.random.default_rng([seed, 1])
    decades = (np.asarray(cohort.patients.baseline["age"], dtype=float) - 60) / 10
    relapse = rng.exponential(1 / (0.004 * np.exp(AGE * decades)))
    other = rng.exponential(500.0, len(decades))
    days, cause = np.ceil(np.minimum(relapse, other)), np.where(relapse < other, 1, 0)
    return replace(cohort, outcomes=Outcomes(days, cause, cohort.outcomes.causes))


def main() -> int:
    """Run all cohorts, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 200])
    parser.add_argument("--cohorts", type=int, default=5, help="simulated cohorts of each size")
    parser.add_argument("--null", type=int, default=20, help="cohorts of the first size where nothing is planted")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # the workers are the parallelism
    null = [("nothing", options.sizes[0], 1000 + seed) for seed in range(options.null)]
    planted_ones = [("alone", n, seed) for n in options.sizes for seed in range(options.cohorts)]
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        found = dict(zip(planted_ones + null, pool.map(carry_out, planted_ones + null), strict=True))
    text = page([(n, [found["alone", n, seed] for seed in range(options.cohorts)]) for n in options.sizes])
    text += null_part([found[one] for one in null], options.sizes[0])
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "mechanisms_truth.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def page(by_size: Sequence[tuple[int, Sequence[Answer]]]) -> str:
    """The table of what was found where something is planted."""
    lines = [
        [
            n,
            len(found),
            f"{np.mean([one.leading for one in found]):.1f} of {N_MARKERS}",
            f"{np.mean([one.markers_named for one in found]):.1f} of {N_MARKERS}",
            f"{np.mean([one.others_named for one in found]):.1f} of {N_GENES - N_MARKERS}",
            f"{sum(one.cells_help for one in found)} of {len(found)}",
            f"{np.mean([one.silenced for one in found]):+.1f}",
            f"{np.mean([one.others_silenced for one in found]):+.1f}",
        ]
        for n, found in by_size
    ]
    columns = [
        "patients", "cohorts", "markers that lead", "markers that pass", "other genes that pass", "cells help",
        "markers silenced", "others silenced",
    ]  # fmt: skip
    return "\n".join(
        [
            "# What carries the risk",
            "",
            f"Simulated. In half of the patients {SHARE:.0%} of {N_CELLS} cells, of any type, express {N_MARKERS} of",
            f"{N_GENES} genes; hazard ratio {np.exp(LOG_HAZARD_RATIO):.1f} of those patients. Means over cohorts: the",
            f"markers among the {N_MARKERS} genes whose moves of the risk agree best with what happened (first-order",
            f"gain); the genes that agree better than any gene of {EXCHANGES} times exchanged cells (p ≤ {LEVEL:g});",
            "in how many cohorts cells pass the test of help in patients never seen; the mean change of the risk, in",
            "points, with the markers, or as many other genes, silenced. Made by",
            "`python -m benchmarks.mechanisms_truth` on",
            f"{platform.machine()}, {os.cpu_count()} cores, CPU.",
            "",
            markdown(pd.DataFrame(lines, columns=columns)),
            "",
        ]
    )


def null_part(found: Sequence[Answer], n: int) -> str:
    """How often anything is found of nothing."""
    told = []
    for name, hits in (
        ("some gene passes", sum(one.anything for one in found)),
        ("the cells' help passes", sum(one.cells_help for one in found)),
    ):
        low, high = proportion_interval(hits, len(found))
        told.append(f"{name} in {hits} [{100 * low:.0f} %, {100 * high:.0f} %]")
    return "\n".join(
        [
            "",
            "## Age matters, and no cell",
            "",
            f"Of {len(found)} cohorts of {n} patients in whom age matters (log hazard ratio {AGE:g} for ten years) and",
            f"no cell does, {told[0]}, and {told[1]};",
            f"by the level {LEVEL:g} it would be in {LEVEL * len(found):g}.",
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
