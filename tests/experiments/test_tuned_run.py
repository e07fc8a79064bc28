"""A run whose settings are chosen in each training fold, from the command line to the artifact."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pandas as pd
from preloaded import SEQUELA

from experiments.home import CONFIGS, Home
from experiments.store import open_store
from training.artifact.folder import read_artifact
from training.models.cox import CauseSpecificCox

SETTINGS = (
    "model={kind: cox, penalty: 50}",
    "tuning={trials: 2, folds: 2, space: {penalty: {low: 1.0, high: 3000.0, log: true}}}",
    "features={measurements: [], cells: []}",
    "validation={folds: 3, bootstrap: 20}",
)


def test_a_tuned_run_tells_every_trial_and_keeps_the_chosen_model(cohort: Path, home: Home) -> None:
    words = [word for setting in (f"cohort={cohort}", *SETTINGS) for word in ("--set", setting)]
    run = [SEQUELA, "train", CONFIGS / "run" / "nested.yaml", *words]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    (folder,) = home.runs.iterdir()
    table = pd.read_csv(folder / "report" / "tuning.csv", dtype={"fold": str})
    assert table.groupby("fold").size().to_dict() == {"000": 3, "001": 3, "002": 3, "final": 3}
    assert "tuning.csv" in {file.path for file in open_store(home).list_artifacts(folder.name)}
    final = table[(table["fold"] == "final") & table["chosen"]].iloc[0]
    predictor = read_artifact(folder / "artifact").model.predictor
    assert isinstance(predictor, CauseSpecificCox)
    expected = 50.0 if final["trial"] == 0 else final["penalty"]
    assert all(abs(penalty - expected) < 1e-6 for penalty in predictor.penalties)
