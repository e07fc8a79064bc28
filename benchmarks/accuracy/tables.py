"""The tables: imported as a user would import them, and held as rows with outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from experiments.data import TrainingRows, load_rows
from features.check import read_endpoint
from features.config import FeatureConfig
from features.importers.spec import load_spec, slug
from features.importers.table import import_table
from training.splits import Fold, patient_folds

HERE = Path(__file__).parent
SPECS = HERE.parents[1] / "configs" / "import"
TABLES = (
    "timereg_bmt_cibmtr",
    "melanoma_cr",
    "mgus2",
    "paquid_dementia",
    "pbc_baseline",
    "hodgkin_hd",
    "ebmt1_cml",
    "ebmt2_cause_of_death",
    "okiss_bsi_after_sct",
    "bmtcrr_scrucca",
    "aidssi",
    "liver_transplant_waitlist",
    "cgvhd",
)
SCORED_RANGE = (0.02, 0.90)
"""Quantiles of the times of events between which predictions are scored."""
GRID_POINTS = 50
FOLDS = 5
FEATURES = FeatureConfig(measurements=(), cells=())


@dataclass(frozen=True, slots=True)
class BenchmarkTable:
    """One table, ready to be split."""

    name: str
    rows: TrainingRows
    times_days: NDArray[np.float64]
    """(times,): even grid between the quantiles `SCORED_RANGE` of event times."""

    def folds(self, repeats: int) -> list[Fold]:
        """5-fold cross-validation, repeated; the same for every model."""
        ids, cause = self.rows.patients.patient_id, self.rows.outcomes.cause
        return patient_folds(ids, cause, n_folds=FOLDS, n_repeats=repeats, seed=0)


@cache
def table(name: str, data: Path) -> BenchmarkTable:
    """Read one table from the folder of public data (cgvhd: from scikit-survival)."""
    with _cohort(name, data) as cohort:
        causes = load_spec(_spec(name)).event.causes
        endpoint = read_endpoint(cohort / "endpoints" / f"{slug(causes[min(causes)])}.yaml")
        rows = load_rows(cohort, endpoint, FEATURES, cohort)
    events = rows.outcomes.duration_days[rows.outcomes.cause > 0]
    return BenchmarkTable(name, rows, np.linspace(*np.quantile(events, SCORED_RANGE), GRID_POINTS))


def _spec(name: str) -> Path:
    here = HERE / f"{name}.yaml"
    return here if here.exists() else SPECS / f"{name}.yaml"


@contextmanager
def _cohort(name: str, data: Path) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        source = data / "competing_risks" / f"{name}.csv"
        if name == "cgvhd":
            source = Path(folder) / "cgvhd.csv"
            _write_cgvhd(source)
        cohort = Path(folder) / "cohort"
        import_table(_spec(name), source, cohort)
        yield cohort


def _write_cgvhd(path: Path) -> None:
    from sksurv.datasets import load_cgvhd

    covariates, outcome = load_cgvhd()
    pd.DataFrame({"time": outcome["ftime"], "event": outcome["status"]}).join(covariates).to_csv(path, index=False)
