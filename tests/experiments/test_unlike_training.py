"""From `sequela train` to an answer: how unlike the training patients someone is, as the run learnt it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from preloaded import SEQUELA

from benchmarks.planted import CARD, planted
from experiments.config import load_run
from experiments.data import load_rows
from experiments.final_fit import cell_novelty
from experiments.home import CONFIGS, Home
from experiments.promotion.registry import run_artifact
from experiments.requesting import wanted_by
from experiments.store import find_run, open_store
from features.check import read_cohort
from features.cohort import to_patients
from features.cohort_records import patient_records
from features.config import FeatureConfig
from features.novelty import Novelty
from features.patients import Patients
from features.simulator import simulate
from serving.answer import _unlike, answer
from serving.card import model_card
from serving.messages import PredictRequest
from training.artifact.folder import Artifact, read_artifact
from training.artifact.parts import CELL_NOVELTY, part
from training.config import AttentionConfig, CoxConfig, TrainerConfig
from training.fit import fit_risk_model


def test_a_run_learns_it_of_its_rows_and_answers_tell_it_of_new_patients(
    home: Home, cohort: Path, tmp_path: Path
) -> None:
    small = [f"cohort={cohort}", "features={cells: []}", "model={kind: cox, penalty: 50}"]
    words = ["train", CONFIGS / "run" / "cox.yaml"]
    for value in (*small, "validation={folds: 3, bootstrap: 20}"):
        words += ["--set", value]
    done = subprocess.run([SEQUELA, *map(str, words)], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    client = open_store(home)
    artifact = read_artifact(run_artifact(client, find_run(client, "cox")))
    assert artifact.novelty is not None

    config = load_run(CONFIGS / "run" / "cox.yaml", small)
    rows = load_rows(cohort, artifact.manifest.endpoint, config.features, home.features)
    encoder = artifact.model.encoder
    again = Novelty.fit(encoder.transform(rows.patients), rows.patients.patient_id, rows.patients.landmark_day)
    assert artifact.novelty.landmark_days == (0.0, 30.0)
    for stored, learnt in zip(artifact.novelty.left_out, again.left_out, strict=True):
        np.testing.assert_allclose(stored, learnt, rtol=1e-9)

    simulate(tmp_path / "fresh", n_patients=200, cells_per_sample=0, seed=12)
    fresh = read_cohort(tmp_path / "fresh")
    patients = to_patients(fresh)
    records = list(patient_records(fresh, wanted_by(model_card(artifact, "v")), 0.0))
    given = answer(artifact, "v", PredictRequest.model_validate({"patients": records})).predictions
    told = np.array([one.unlike_training for one in given])
    expected = again.share(encoder.transform(patients), patients.landmark_day)
    np.testing.assert_allclose(told, expected, atol=1e-12)
    assert (told <= 0.05).mean() < 0.1
    assert len(set(told)) > 50


def test_of_a_network_of_cells_the_stranger_of_clinic_and_cells_counts() -> None:
    """And of who has no cells the clinic alone, no less than if nothing were known of cells at all."""
    planted_cells = planted(200, 5, n_cells=50)
    train, test = planted_cells.patients.take(np.arange(150)), planted_cells.patients.take(np.arange(150, 200))
    small = AttentionConfig(members=2, bins=4, prototypes=8, width=8, cells_per_sample=50, max_epochs=1)
    outcomes, cpu = planted_cells.outcomes.take(np.arange(150)), TrainerConfig(accelerator="cpu")
    model = fit_risk_model(train, outcomes, CARD, FeatureConfig(cells=()), small, cpu, seed=0)
    block, arrays = cell_novelty(model, train)
    assert block is not None
    of_cells = Novelty.from_state(block.floor, block.landmark_days, block.n_patients, part(arrays, CELL_NOVELTY))
    clinic = Novelty.fit(model.encoder.transform(train), train.patient_id, train.landmark_day)
    unwritten: Any = None
    artifact = Artifact(unwritten, model, novelty=clinic, cell_novelty=of_cells)

    def told(patients: Patients) -> NDArray[np.float64]:
        return np.array(_unlike(artifact, model.encoder.encode(patients), patients), dtype=float)

    first = clinic.share(model.encoder.transform(test), test.landmark_day)
    second = of_cells.share(model.embedding(test), test.landmark_day)
    np.testing.assert_allclose(told(test), np.minimum(1.0, 2 * np.minimum(first, second)))
    np.testing.assert_allclose(told(replace(test, samples=None)), first)
    blind = fit_risk_model(train, outcomes, CARD, FeatureConfig(cells=()), CoxConfig(), cpu, seed=0)
    assert cell_novelty(blind, train) == (None, {})
