"""A rare population that carries the risk: who finds it, from how many patients on; and what is found of nothing.

    python -m benchmarks.cells_truth --sizes 100 300 1000 --cohorts 4

Each arm is fitted on simulated patients (`benchmarks.planted`) and predicts 500 others. Where nothing is planted, the
permutation test of a whole pipeline of cells is to reject as often as its level says.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.accuracy.page import markdown
from benchmarks.planted import CARD, LOG_HAZARD_RATIO, N_CELLS, N_MARKERS, SHARE, Cohort, Effect, planted
from features.config import FeatureConfig
from features.outcomes import Outcomes
from features.patients import Patients
from training.config import AttentionConfig, CoxConfig, ModelConfig, NetworkConfig, SetTransformerConfig, TrainerConfig
from training.evaluation.brier import brier_score, integrate
from training.evaluation.ipcw import scoring_weights
from training.evaluation.permutation import permutation_test, proportion_interval
from training.fit import fit_risk_model
from training.models.risk_model import FittedRiskModel
from training.splits import patient_folds

RESULTS = Path(__file__).parent / "results"
N_TEST, HORIZON_DAYS, RESAMPLES = 500, 180.0, 1000
CPU = TrainerConfig(accelerator="cpu")
CLINIC = FeatureConfig(cells=())
TYPES = FeatureConfig(cells=("composition", "pseudobulk"), pseudobulk_components=30)
SCORE = FeatureConfig(baseline=(), cells=(), scores=("car_hematotox",))
RIDGE, HEMATOTOX = "composition + pseudobulk, ridge Cox", "CAR-HEMATOTOX, Cox"
ARMS: dict[str, tuple[FeatureConfig, ModelConfig]] = {
    HEMATOTOX: (SCORE, CoxConfig()),
    "clinic, ridge Cox": (CLINIC, CoxConfig()),
    RIDGE: (TYPES, CoxConfig()),
    "composition + pseudobulk, network": (TYPES, NetworkConfig()),
    "attention": (CLINIC, AttentionConfig()),
    "set transformer": (CLINIC, SetTransformerConfig()),
}
EFFECTS: dict[Effect, str] = {
    "alone": "The population carries the risk",
    "with age": "The population harms above the mean age, and protects below",
}
NULL_SIZE, NULL_PERMUTATIONS, NULL_LEVEL = 60, 19, 0.05


@dataclass(frozen=True, slots=True)
class Trial:
    """One simulated cohort under one arm."""

    effect: Effect
    n: int
    seed: int
    arm: str


def carry_out(trial: Trial) -> NDArray[np.float64]:
    """(test patients,): risk of relapse at the horizon."""
    cohort = planted(trial.n + N_TEST, trial.seed, trial.effect)
    train, test = np.arange(trial.n), np.arange(trial.n, trial.n + N_TEST)
    features, config = ARMS[trial.arm]
    outcomes = cohort.outcomes.take(train)
    model = fit_risk_model(cohort.patients.take(train), outcomes, CARD, features, config, CPU, seed=trial.seed)
    return risk(model, cohort.patients.take(test))


def risk(model: FittedRiskModel, patients: Patients) -> NDArray[np.float64]:
    """(rows,): risk of relapse at the horizon."""
    values: NDArray[np.float64] = model.predict_incidence(patients, np.array([HORIZON_DAYS])).values[:, 0, 0]
    return values


def truth(effect: Effect, n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(test patients,): the true log hazard, and who relapsed by the horizon."""
    cohort = planted(n + N_TEST, seed, effect)
    outcomes = cohort.outcomes.take(np.arange(n, n + N_TEST))
    return cohort.log_hazard[n:], (outcomes.cause == 1) & (outcomes.duration_days <= HORIZON_DAYS)


def auc(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve (Hanley & McNeil, Radiology 1982;143:29)."""
    n = positive.sum()
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * (len(positive) - n)))


def mean_aucs(scores: Sequence[NDArray[np.float64]], relapsed: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """(1 + resamples,): mean AUC over cohorts; then with cohorts, and patients within them, drawn with replacement."""
    rng = np.random.default_rng(0)  # the same draws for every arm: differences are paired
    found = [np.mean([auc(*pair) for pair in zip(scores, relapsed, strict=True)])]
    for _ in range(RESAMPLES):
        drawn = []
        for cohort in rng.integers(len(scores), size=len(scores)):
            rows = rng.integers(len(scores[cohort]), size=len(scores[cohort]))
            drawn.append(auc(scores[cohort][rows], relapsed[cohort][rows]))
        found.append(np.mean(drawn))
    return np.array(found)


def null_p_value(seed: int) -> float:
    """Of the permutation test of ridge Cox on composition and pseudobulks, where no cell matters."""
    cohort = planted(NULL_SIZE, seed, "nothing")
    features = FeatureConfig(baseline=(), cells=TYPES.cells)
    times = np.linspace(30.0, HORIZON_DAYS, 6)

    def pipeline(outcomes: Outcomes) -> NDArray[np.float64]:
        return out_of_fold(cohort, outcomes, features, times)

    def statistic(incidence: NDArray[np.float64], outcomes: Outcomes) -> float:
        weights = scoring_weights(outcomes, times)
        return -float(integrate(brier_score(incidence, times, outcomes, weights), times)[0])

    rng = np.random.default_rng(seed)
    ids, outcomes = cohort.patients.patient_id, cohort.outcomes
    return permutation_test(pipeline, statistic, outcomes, ids, rng=rng, n_permutations=NULL_PERMUTATIONS).p


def out_of_fold(
    cohort: Cohort, outcomes: Outcomes, features: FeatureConfig, times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(patients, causes, times): by models that never saw the patient."""
    patients = cohort.patients
    values = np.full((len(patients), len(outcomes.causes), len(times)), np.nan)
    for fold in patient_folds(
        patients.patient_id, np.zeros(len(patients), dtype=np.int64), n_folds=3, n_repeats=1, seed=0
    ):
        train = patients.take(fold.train), outcomes.take(fold.train)
        model = fit_risk_model(*train, CARD, features, CoxConfig(), CPU, seed=0)
        values[fold.test] = model.predict_incidence(patients.take(fold.test), times).values
    return values


def main() -> int:
    """Run all trials, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 300, 1000])
    parser.add_argument("--cohorts", type=int, default=4, help="simulated cohorts of each size")
    parser.add_argument("--null", type=int, default=200, help="cohorts where nothing is planted")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # the workers are the parallelism
    trials = [Trial(*one) for one in product(EFFECTS, options.sizes, range(options.cohorts), ARMS)]
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        p_values = pool.map(null_p_value, range(options.null))
        risks = dict(zip(trials, pool.map(carry_out, trials), strict=True))
        text = page(risks, options.sizes, options.cohorts, np.array(list(p_values)))
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "cells_truth.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def page(
    risks: dict[Trial, NDArray[np.float64]], sizes: Sequence[int], n_cohorts: int, p_values: NDArray[np.float64]
) -> str:
    """A table for each place where the population acts, and the share of tests that reject where it does not."""
    text = [
        "# A rare population that carries the risk",
        "",
        f"Simulated. In half of the patients {SHARE:.0%} of {N_CELLS} cells, of any type, express {N_MARKERS}",
        f"markers; hazard ratio {np.exp(LOG_HAZARD_RATIO):.1f} of those patients. Age and the values of CAR-HEMATOTOX",
        f"tell the rest. AUC of relapse by day {HORIZON_DAYS:g} in {N_TEST} held-out patients, mean of {n_cohorts}",
        f"cohorts a size, and differences from {RIDGE}, and from {HEMATOTOX},",
        "with 95 % intervals (cohorts, and patients within them, drawn with replacement). **Bold**: better by 0.05,",
        "the interval above 0. Made by",
        f"`python -m benchmarks.cells_truth` on {platform.machine()}, {os.cpu_count()} cores, CPU.",
    ]
    for effect, title in EFFECTS.items():
        lines = []
        for n in sizes:
            known = [truth(effect, n, seed) for seed in range(n_cohorts)]
            relapsed = [positive for _, positive in known]
            best = np.mean([auc(*pair) for pair in known])
            found = {
                arm: mean_aucs([risks[Trial(effect, n, seed, arm)] for seed in range(n_cohorts)], relapsed)
                for arm in ARMS
            }
            lines.append([n, "the truth", f"{best:.3f}", "", ""])
            lines += [
                [n, arm, f"{aucs[0]:.3f}", *(_shown(aucs - found[other]) for other in (RIDGE, HEMATOTOX))]
                for arm, aucs in found.items()
            ]
        columns = ["patients", "model", "AUC", "against ridge", "against the score"]
        text += ["", f"## {title}", "", markdown(pd.DataFrame(lines, columns=columns))]
    rejected = int((p_values <= NULL_LEVEL).sum())
    low, high = proportion_interval(rejected, len(p_values))
    text += [
        "",
        "## No cell matters",
        "",
        f"Permutation test ({NULL_PERMUTATIONS} permutations, three folds) of ridge Cox on composition and",
        f"pseudobulks, {len(p_values)} cohorts of {NULL_SIZE} patients in whom no cell matters: it rejects at the",
        f"level {NULL_LEVEL:g} in {rejected / len(p_values):.1%} of them [{low:.1%}, {high:.1%}].",
    ]
    return "\n".join(text) + "\n"


def _shown(difference: NDArray[np.float64]) -> str:
    low, high = np.quantile(difference[1:], (0.025, 0.975))
    text = f"{difference[0]:+.3f} [{low:+.3f}, {high:+.3f}]"
    return f"**{text}**" if difference[0] >= 0.05 and low > 0 else text


if __name__ == "__main__":
    sys.exit(main())
