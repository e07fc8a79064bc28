"""Distance to the truth: error of predicted against true incidence, in simulated cohorts of growing size.

Each model is fitted on n simulated patients and predicts 1,000 others of the same cohort, whose true incidence the
simulator knows. The truth is conditional on all traits, measured or not, so no model can reach an error of 0. The
integrated calibration index (ICI; Austin & Steyerberg, Stat Med 2019;38:4051) can: it is the mean distance between a
predicted risk and the mean true risk of patients with that prediction.

    python -m benchmarks.truth --sizes 100 300 1000 --cohorts 3
    python -m benchmarks.truth --models in_context --add
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import ttest_1samp

from benchmarks.accuracy import models, peers
from benchmarks.accuracy.models import OURS
from benchmarks.accuracy.page import markdown
from benchmarks.accuracy.peers import PEERS
from benchmarks.cohorts import t_interval
from benchmarks.kept_trials import carry_out
from benchmarks.made import made_by
from experiments.data import TrainingRows, load_rows
from features.check import read_endpoint
from features.config import FeatureConfig
from features.simulator import simulate
from training.evaluation.calibration_curve import calibration_distances
from training.evaluation.comparison import holm
from training.splits import Fold

REPOSITORY = Path(__file__).parents[1]
ENDPOINT = REPOSITORY / "configs" / "endpoint" / "severe_infection.yaml"
RESULTS = Path(__file__).parent / "results"
N_TEST = 1000
TIMES_DAYS = np.linspace(30.0, 360.0, 12)
CHAMPION = "mixture"
SLOW = ("hazardous SurvivalBoost",)
"""Run up to `SLOW_UP_TO` patients only."""
SLOW_UP_TO = 300


@dataclass(frozen=True, slots=True)
class Trial:
    """One simulated cohort under one model."""

    model: str
    n_train: int
    seed: int


def cohort(n_train: int, seed: int) -> tuple[TrainingRows, NDArray[np.float64]]:
    """Rows from landmark day 0, and their true incidence (rows, causes, times)."""
    with TemporaryDirectory() as folder:
        where = Path(folder) / "cohort"
        simulate(where, n_patients=n_train + N_TEST, cells_per_sample=0, seed=seed)
        endpoint = read_endpoint(ENDPOINT).model_copy(update={"landmark_days": (0.0,)})
        rows = load_rows(where, endpoint, FeatureConfig(measurements=(), cells=()), Path(folder))
        truth = pd.read_parquet(where / "truth.parquet")
    known = truth[(truth["endpoint"] == endpoint.name) & (truth["landmark_day"] == 0)]
    wide = known.pivot_table(index=["patient_id", "cause"], columns="time_days", values="incidence")
    held = wide.columns.to_numpy(dtype=float)
    n_causes = len(rows.outcomes.causes)
    values = wide.loc[list(rows.patients.patient_id)].to_numpy().reshape(len(rows.patients), n_causes, -1)
    at = [[np.interp(TIMES_DAYS, held, cause) for cause in patient] for patient in values]
    return rows, np.array(at)


def errors(trial: Trial) -> list[dict[str, object]]:
    """Root mean squared error of each cause's incidence, over test patients and times, and ICI at the last time."""
    rows, truth = cohort(trial.n_train, trial.seed)
    order = np.random.default_rng(trial.seed).permutation(len(rows.patients))
    fold = Fold(trial.seed, 0, np.sort(order[: trial.n_train]), np.sort(order[trial.n_train :]))
    if trial.model in OURS:
        predicted = models.predict(OURS[trial.model], rows, fold, TIMES_DAYS)
    else:
        predicted = peers.predict(PEERS[trial.model], rows, fold, TIMES_DAYS)
    true = truth[fold.test]
    error = np.sqrt(((predicted - true) ** 2).mean(axis=(0, 2)))
    at = {"model": trial.model, "n": trial.n_train, "seed": trial.seed}
    return [
        at
        | {"cause": cause, "rmse": float(error[k])}
        | {"ici": float(calibration_distances(predicted[:, k, -1], true[:, k, -1]).ici)}
        for k, cause in enumerate(rows.outcomes.causes)
    ]


def main() -> int:
    """Run all trials, write the table and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[100, 300, 1000, 5000])
    parser.add_argument("--cohorts", type=int, default=5, help="simulated cohorts of each size")
    parser.add_argument("--models", nargs="+", default=[*OURS, *PEERS], choices=[*OURS, *PEERS], metavar="MODEL")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--add", action="store_true", help="run only what truth.csv lacks")
    options = parser.parse_args()
    options.results.mkdir(parents=True, exist_ok=True)
    table = options.results / "truth.csv"
    trials = [
        Trial(model, n, seed)
        for n in options.sizes
        for seed in range(options.cohorts)
        for model in options.models
        if model not in SLOW or n <= SLOW_UP_TO
    ]
    found = carry_out(
        trials,
        errors,
        table,
        ("model", "n", "seed"),
        ("n", "model", "seed", "cause"),
        workers=options.workers,
        add=options.add,
    )
    made = made_by("benchmarks.truth") + (
        " What `truth.csv` held from earlier runs is shown too." if options.add else ""
    )
    (options.results / "truth.md").write_text(page(found, made), encoding="utf-8")
    print((options.results / "truth.md").read_text(encoding="utf-8"))
    return 0


def page(found: pd.DataFrame, made: str) -> str:
    """Mean error and ICI by cause, model and size, ± the standard error over cohorts; the champion against peers."""
    n_cohorts = found.groupby("n")["seed"].nunique()
    sizes = n_cohorts.index[n_cohorts > 1]
    found = found[found["n"].isin(sizes)]
    of_size = ", ".join(f"{n_cohorts[n]} of {n}" for n in sizes)
    text = [
        "# Distance to the truth, in simulated cohorts",
        "",
        f"Simulated patients, clinic at day 0; cohorts by size: {of_size};",
        f"{N_TEST:,} test patients each; percentage points ± standard error over cohorts.",
        "Root mean squared error of the incidence by days",
        f"{TIMES_DAYS[0]:g} to {TIMES_DAYS[-1]:g} against the true one, which knows unmeasured traits: 0 is out of",
        "reach.",
        f"Integrated calibration index at day {TIMES_DAYS[-1]:g} against the true risk: 0 is within reach.",
        made,
        "",
        *_against_peers(found),
    ]
    for cause, part in found.groupby("cause", sort=False):
        for title, values in (("error", "rmse"), ("calibration index", "ici")):
            text += ["", f"## {cause}: {title}", "", _mean_table(part, values)]
    return "\n".join(text) + "\n"


def _against_peers(found: pd.DataFrame) -> list[str]:
    """The champion less the peer with the smallest mean, over the same cohorts; lower is better."""
    lines, p_values, behind = [], [], []
    for (cause, n), part in found.groupby(["cause", "n"]):
        for title, values in (("error", "rmse"), ("calibration index", "ici")):
            by_model = 100 * part.pivot_table(index="seed", columns="model", values=values)
            best = str(by_model[by_model.columns.intersection(list(PEERS))].mean().idxmin())
            difference = (by_model[CHAMPION] - by_model[best]).dropna().to_numpy()
            point, low, high = t_interval(difference)
            lines.append([cause, n, title, best, f"{point:+.2f} [{low:+.2f}, {high:+.2f}]"])
            p_values.append(float(ttest_1samp(difference, 0.0).pvalue))
            behind += [f"{cause}, {n} patients, {title} (by {point:.2f})"] if point > 0 else []
    columns = ["cause", "patients", "what", "best peer", "difference, 95 %"]
    table = pd.DataFrame(lines, columns=columns).assign(p=holm(p_values))
    table["p"] = table["p"].map("{:.3f}".format)
    return [
        f"## {CHAMPION} less the best peer",
        "",
        "Percentage points, over the same cohorts, with the t interval of so few cohorts, each by itself; p is Holm's,",
        f"for all {len(table)}. The best peer is the one with the smallest mean here, which favours the peer.",
        f"In the mean the {CHAMPION} is behind the best peer in {len(behind)} of {len(table)}:",
        *(f"- {one}" for one in behind),
        "",
        markdown(table),
    ]


def _mean_table(part: pd.DataFrame, values: str) -> str:
    by = {"index": "model", "columns": "n", "values": values}
    mean, error = (100 * part.pivot_table(**by, aggfunc=how) for how in ("mean", "sem"))
    cells = mean.map("{:.2f}".format) + " ± " + error.map("{:.2f}".format)
    order = mean.mean(axis=1).sort_values().index
    return markdown(cells.where(mean.notna(), "–").loc[order].reset_index())


if __name__ == "__main__":
    sys.exit(main())
