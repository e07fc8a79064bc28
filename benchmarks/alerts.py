"""Alerts by a model's risk beside those of an oracle and of every simpler rule, on simulated patients.

The oracle's risk is the simulator's own, from its hazards: at every visit it knows what no model can, each patient's
latent traits. Everyone is asked at the same visits, with rules fixed on other patients; cohorts differ by their seed.

    python -m benchmarks.alerts
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from benchmarks.accuracy.page import markdown
from experiments.config import RunConfig, load_run
from experiments.crossval import held_out_models
from experiments.data import all_patients, rows_of_run
from experiments.home import CONFIGS, Home
from experiments.interval_text import interval_text
from experiments.monitoring.markers import Marker, markers_of
from experiments.monitoring.rules import Rule, rules_of
from experiments.monitoring.visits import VisitRows, visits_of, watched_risks
from features.simulator import simulate
from features.simulator.clinic import simulate_clinic
from features.simulator.config import load_simulator_config
from features.simulator.truth import severe_infection, take

RESULT = Path(__file__).parent / "results" / "alerts.md"
HORIZON = 90.0
BORNE = (0.05, 0.1, 0.2, 0.5)
ORACLE = "oracle"
COLUMNS = ("alerts a month", "events caught %", "less than the oracle, points", "days before", "risk after alert %")

ASKED = (
    "Asked at every visit from day 0 to 30, a day on which something came to be known: an oracle that has the "
    "simulator's hazards, a ridge Cox model of clinic and measurements of two landmarks, cross-validated, "
    "CAR-HEMATOTOX, grades of haematotoxicity and the last value of each laboratory variable. Thresholds and "
    "directions were fixed on other patients than those they are tried on; which rule is best was seen on the same. "
    "Means over cohorts with 95 % intervals (Student's t); the lead is the median of a cohort."
)


def true_risk(rows: VisitRows, n_patients: int, seed: int) -> NDArray[np.float64]:
    """(rows,): of severe infection within the horizon, from the day of each row, by the hazards of `simulate`."""
    of_clinic = np.random.SeedSequence(seed).spawn(3)[0]
    rates = simulate_clinic(load_simulator_config(), n_patients, np.random.default_rng(of_clinic)).rates
    day, risk = rows.patients.landmark_day, np.full(len(rows), np.nan)
    for one in np.unique(day):
        own = np.flatnonzero(day == one)
        risk[own] = severe_infection(take(rates, rows.number[own]), np.array([HORIZON]), float(one))[:, 0, 0]
    return risk


def compared(config: RunConfig, folder: Path, n_patients: int, seed: int) -> list[Rule]:
    """Rules of the oracle, the model, scores, grades and single laboratory values at the same visits."""
    home = Home(folder / "home")
    trained = rows_of_run(config, home)
    models = held_out_models(trained, config, folder, {})
    patients = all_patients(trained.cohort, None, home.features)
    rows, risk, fold = watched_risks(trained, patients, models, HORIZON)
    markers = [Marker(ORACLE, true_risk(rows, n_patients, seed))]
    markers += markers_of(rows.patients, trained.cohort.card.variables, risk[:, 0])
    return rules_of(markers, rows, visits_of(rows, trained.endpoint, HORIZON), fold, BORNE, seed=0, n_bootstrap=2)


def study(n_patients: int, seeds: range) -> pd.DataFrame:
    """A line for each rule of each cohort."""
    lines = []
    for seed in seeds:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            simulate(folder / "cohort", n_patients=n_patients, cells_per_sample=0, seed=seed)
            clinic = [f"cohort={folder / 'cohort'}", "features={cells: []}", "model={kind: cox, penalty: 50}"]
            for rule in compared(load_run(CONFIGS / "run" / "cox.yaml", clinic), folder, n_patients, seed):
                told = rule.performance
                lines.append(
                    {
                        "seed": seed,
                        "borne": rule.borne,
                        "rule": rule.marker,
                        "events": told.n_events,
                        "rate": told.per_patient_month.point,
                        "caught": told.caught.point,
                        "lead": told.lead_days.point,
                        "after": rule.after_first_alert.point,
                    }
                )
    return pd.DataFrame(lines)


def over_cohorts(values: pd.Series[float], *, percent: bool = False, digits: int = 2) -> str:
    """Mean over cohorts with its 95 % interval (Student's t); of those in which there is a value."""
    known = values.to_numpy(dtype=float)
    known = known[np.isfinite(known)]
    if len(known) < 2:
        return "–"
    mean, error = float(known.mean()), float(known.std(ddof=1)) / np.sqrt(len(known))
    reach = float(student.ppf(0.975, len(known) - 1)) * error
    return interval_text(mean, mean - reach, mean + reach, percent=percent, digits=digits)


def table(found: pd.DataFrame) -> pd.DataFrame:
    """A line for each rate and rule, those that catch most first."""
    return pd.DataFrame(list(_lines(found)), columns=["borne", "rule", *COLUMNS])


def _lines(found: pd.DataFrame) -> Iterator[list[str]]:
    for borne, at_rate in found.groupby("borne"):
        caught = at_rate.pivot_table(index="seed", columns="rule", values="caught")
        for rule in caught.mean().sort_values(ascending=False, kind="stable").index:
            own = at_rate[at_rate["rule"] == rule]
            less = 100 * (caught[ORACLE] - caught[rule])
            yield [
                f"{borne:g}",
                str(rule),
                over_cohorts(own["rate"]),
                over_cohorts(own["caught"], percent=True),
                "" if rule == ORACLE else over_cohorts(less, digits=1),
                over_cohorts(own["lead"], digits=0),
                over_cohorts(own["after"], percent=True),
            ]


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=2000)
    parser.add_argument("--cohorts", type=int, default=10)
    words = parser.parse_args()
    began = time.process_time()
    found = study(words.patients, range(words.cohorts))
    events = found.groupby("seed")["events"].first()
    cohorts = f"{words.cohorts} simulated cohorts (seeds 0 to {words.cohorts - 1}) of {words.patients:,} patients"
    command = f"python -m benchmarks.alerts --patients {words.patients} --cohorts {words.cohorts}"
    seconds = time.process_time() - began
    text = (
        f"# Alerts against an oracle\n\n{cohorts} with {events.min()} to {events.max()} events of severe infection "
        f"within {HORIZON:g} days of a visit. {ASKED} `{command}`, {seconds:.0f} s of one processor, "
        f"{platform.machine()}.\n\n{markdown(table(found))}\n"
    )
    RESULT.write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
