"""Alerts by a model's risk beside those of an oracle, on simulated patients whose true risks are known.

The oracle's risk is the simulator's own, at the two landmarks at which it is written; the model, CAR-HEMATOTOX and the
oracle are asked at those visits alone, with rules fixed on other patients.

    python -m benchmarks.alerts --patients 2000
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.accuracy.page import markdown
from experiments.config import RunConfig, load_run
from experiments.crossval import held_out_models
from experiments.data import all_patients, rows_of_run
from experiments.home import CONFIGS, Home
from experiments.monitoring.markers import Marker, markers_of
from experiments.monitoring.rules import Rule, rules_of
from experiments.monitoring.sentences import text_of
from experiments.monitoring.visits import VisitRows, held_out_risks, rows_on, visits_of
from features.simulator import simulate

RESULT = Path(__file__).parent / "results" / "alerts.md"
HORIZON = 90.0
BORNE = (0.05, 0.1, 0.2, 0.5)
SHOWN = ("oracle", "risk of the model", "CAR-HEMATOTOX")


def true_risk(cohort: Path, rows: VisitRows, endpoint: str) -> np.ndarray:
    """(rows,): of the event within the horizon, from each row's landmark."""
    truth = pd.read_parquet(cohort / "truth.parquet")
    own = truth[(truth["endpoint"] == endpoint) & (truth["cause"] == 1) & (truth["time_days"] == HORIZON)]
    risk = own.set_index(["patient_id", "landmark_day"])["incidence"]
    keys = list(zip(rows.patients.patient_id, rows.patients.landmark_day, strict=True))
    return risk.reindex(keys).to_numpy(dtype=float)


def compared(cohort: Path, config: RunConfig, folder: Path) -> list[Rule]:
    """Rules of the oracle, the model and the score at the same visits."""
    home = Home(folder / "home")
    trained = rows_of_run(config, home)
    models = held_out_models(trained, config, folder, {})
    patients = all_patients(trained.cohort, None, home.features)
    rows = rows_on(trained.cohort, trained.endpoint, patients, list(trained.endpoint.landmark_days))
    rows, risk, fold = held_out_risks(rows, trained, models, HORIZON)
    markers = [Marker("oracle", true_risk(cohort, rows, trained.endpoint.name))]
    markers += markers_of(rows.patients, trained.cohort.card.variables, risk[:, 0])
    chosen = [one for one in markers if one.name in SHOWN]
    visits = visits_of(rows, trained.endpoint, HORIZON)
    return rules_of(chosen, rows, visits, fold, BORNE, seed=0, n_bootstrap=500)


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=7)
    words = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cohort = folder / "cohort"
        simulate(cohort, n_patients=words.patients, cells_per_sample=5, seed=words.seed)
        clinic = "features={cells: []}"
        config = load_run(CONFIGS / "run" / "cox.yaml", [f"cohort={cohort}", clinic, "model={kind: cox, penalty: 50}"])
        rules = compared(cohort, config, folder)
    columns = ["borne", "rule", "alerts a month", "events caught %", "days before (median)", "risk after alert %"]
    rows = [
        [
            f"{rule.borne:g}",
            rule.marker,
            text_of(rule.performance.per_patient_month),
            text_of(rule.performance.caught, percent=True),
            text_of(rule.performance.lead_days, digits=0),
            text_of(rule.after_first_alert, percent=True),
        ]
        for rule in rules
    ]
    table = markdown(pd.DataFrame(rows, columns=columns))
    text = (
        "# Alerts against an oracle\n\n"
        f"{words.patients:,} simulated patients (seed {words.seed}), {rules[0].performance.n_events} events of severe "
        f"infection within {HORIZON:g} days of a visit; visits on the landmark days alone. Ridge Cox on clinic and "
        "measurements, cross-validated; thresholds fixed on other patients than those they are tried on; 95 % "
        f"intervals over patients. `python -m benchmarks.alerts --patients {words.patients}`, "
        f"{time.perf_counter() - began:.0f} s, {platform.machine()}.\n\n{table}\n"
    )
    RESULT.write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
