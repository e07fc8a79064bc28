"""Coverage: how often intervals hold the true risk, and how often patients outlast their bounds, in simulated cohorts.

Each model is fitted, with intervals, on many simulated cohorts; for 500 new patients of each the true risk is known. In
one kind of cohort hazards are log-linear in the features, as the Cox model assumes; in the other they are not.

    python -m benchmarks.coverage --sizes 100 300 1000 --cohorts 100
    python -m benchmarks.coverage --models network --cohorts 10 --add
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.accuracy.page import markdown
from benchmarks.kept_trials import carry_out
from benchmarks.made import made_by
from features.config import FeatureConfig
from features.outcomes import Outcomes
from features.patients import Measurements, Patients
from features.schema import CohortCard, Variable
from training.config import (
    AalenJohansenConfig,
    BoostingConfig,
    CoxConfig,
    ForestConfig,
    InContextConfig,
    MixtureConfig,
    ModelConfig,
    NetworkConfig,
    RecalibratedConfig,
    TrainerConfig,
    WithIntervalsConfig,
)
from training.fit import fit_risk_model
from training.models.conformal import WithIntervals

RESULTS = Path(__file__).parent / "results"
N_NEW = 500
N_FEATURES = 4
HORIZONS_DAYS = np.array([90.0, 365.0])
LEVEL = 0.9
DAILY = np.array([0.004, 0.002])
STACKED = MixtureConfig(members=(CoxConfig(penalty=3.0), CoxConfig(), AalenJohansenConfig()), weights="stacked")
MODELS: dict[str, ModelConfig] = {
    "Cox, penalty 3": CoxConfig(penalty=3.0),
    "Cox, penalty chosen": CoxConfig(),
    "Cox, penalty 100": CoxConfig(penalty=100.0),
    "Cox, penalty 100, recalibrated": RecalibratedConfig(model=CoxConfig(penalty=100.0)),
    "Cox, penalty chosen, recalibrated": RecalibratedConfig(model=CoxConfig()),
    "stacked Cox and Aalen–Johansen": STACKED,
    "network": NetworkConfig(),
    "forest": ForestConfig(),
    "boosting": BoostingConfig(),
    "in_context": InContextConfig(),
}
CARD = CohortCard(
    title="Four traits",
    citation="none",
    licence="CC0-1.0",
    provenance="simulated",
    variables={f"x{i}": Variable(kind="numeric") for i in range(N_FEATURES)},
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One simulated cohort under one model."""

    truth: str
    model: str
    n: int
    seed: int


def hazards(x: NDArray[np.float64], truth: str) -> NDArray[np.float64]:
    """Daily hazards (rows, causes)."""
    infection = 0.8 * x[:, 0] - 0.5 * x[:, 1]
    if truth == "interaction":
        infection = 0.5 * x[:, 0] - 0.4 * x[:, 1] + 0.5 * x[:, 0] * x[:, 1]
    return DAILY * np.exp(np.column_stack([infection, 0.4 * x[:, 0]]))


def patients_of(x: NDArray[np.float64]) -> Patients:
    """Patients with nothing but these features."""
    names = np.array([f"p{i}" for i in range(len(x))], dtype=object)
    columns = {f"x{i}": x[:, i] for i in range(N_FEATURES)}
    return Patients(names, np.zeros(len(x)), columns, Measurements.empty(len(x)))


def measure(trial: Trial) -> list[dict[str, object]]:
    """Shares of true risks inside intervals and of patients who outlast their bounds; the intervals' width."""
    rng = np.random.default_rng([trial.seed, trial.n])
    x = rng.normal(size=(trial.n, N_FEATURES))
    daily = hazards(x, trial.truth)
    time, censored = rng.exponential(1 / daily.sum(axis=1)), rng.uniform(0, 900, trial.n)
    cause = 1 + (rng.random(trial.n) > daily[:, 0] / daily.sum(axis=1))
    outcomes = Outcomes(np.minimum(time, censored), np.where(time <= censored, cause, 0), ("infection", "death"))
    config = WithIntervalsConfig(model=MODELS[trial.model])
    clinic, cpu = FeatureConfig(measurements=(), cells=()), TrainerConfig(accelerator="cpu")
    model = fit_risk_model(patients_of(x), outcomes, CARD, clinic, config, cpu, seed=trial.seed)
    new = rng.normal(size=(N_NEW, N_FEATURES))
    rate = hazards(new, trial.truth)
    total = rate.sum(axis=1, keepdims=True)
    true = (rate / total)[:, :, None] * -np.expm1(-total * HORIZONS_DAYS)[:, None]
    predictor = model.predictor
    assert isinstance(predictor, WithIntervals)
    encoded = model.encoder.transform(patients_of(new))
    low, high = predictor.interval(encoded, np.zeros(N_NEW), HORIZONS_DAYS, LEVEL)
    inside = ((low <= true) & (true <= high)).mean(axis=(0, 2))
    outlasted = rng.exponential(1 / total[:, 0]) > predictor.event_free_days(encoded, np.zeros(N_NEW), LEVEL)
    row = {
        "truth": trial.truth,
        "model": trial.model,
        "n": trial.n,
        "seed": trial.seed,
        "infection": inside[0],
        "death": inside[1],
        "both": inside.mean(),
        "width": (high - low).mean(),
        "outlasted": outlasted.mean(),
    }
    return [row]


def main() -> int:
    """Run all trials, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 300, 1000])
    parser.add_argument("--cohorts", type=int, default=100, help="simulated cohorts of each size")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS), metavar="MODEL")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--add", action="store_true", help="run only what coverage.csv lacks")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    table = options.results / "coverage.csv"
    grid = product(("log-linear", "interaction"), options.models, options.sizes, range(options.cohorts))
    key = ("truth", "model", "n", "seed")
    trials = [Trial(*one) for one in grid]
    found = carry_out(trials, measure, table, key, key, workers=options.workers, add=options.add)
    made = made_by("benchmarks.coverage") + (" What `coverage.csv` held from earlier runs is shown too." * options.add)
    (options.results / "coverage.md").write_text(page(found, made), encoding="utf-8")
    print((options.results / "coverage.md").read_text(encoding="utf-8"))
    return 0


def page(found: pd.DataFrame, made: str) -> str:
    """Mean shares in percent ± the standard error over cohorts."""
    text = [
        "# Coverage of intervals and bounds, in simulated cohorts",
        "",
        f"Intervals of {LEVEL:.0%} for the true risk by days 90 and 365, and days that {LEVEL:.0%} of the patients are",
        f"to outlast without any event; {N_NEW} new patients a cohort; per cent ± standard error over cohorts. `both`",
        "is the mean of the causes; width in percentage points. Where hazards hold an interaction, the Cox models are",
        "wrong in kind, and others find little of it among so few patients. What no model finds no interval shows: no",
        "procedure covers each such risk by intervals that narrow with n (Barber, Electron J Stat 2020;14:3487).",
        made,
    ]
    columns = ["infection", "death", "both", "width", "outlasted"]
    for truth, part in found.groupby("truth", sort=False):
        by = part.groupby(["model", "n"])[columns]
        mean, error = 100 * by.mean(), 100 * by.sem()
        cells = mean.map("{:.1f}".format) + " ± " + error.map("{:.1f}".format)
        cells.insert(0, "cohorts", by.size())
        text += ["", f"## Hazards: {truth}", "", markdown(cells.reset_index())]
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    sys.exit(main())
