"""A run with `counts`, the whole way: trained, tracked, on its page, in the artifact, and in the service's answers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from preloaded import SEQUELA

from experiments.config import load_run
from experiments.count_findings import count_findings, fit_expected
from experiments.count_records import CountFindings
from experiments.counted_rows import counted_rows
from experiments.data import rows_of_run
from experiments.home import CONFIGS, Home
from experiments.log_items import count_metrics
from experiments.predict import predict_cohort
from experiments.requesting import rows_of, wanted_by
from experiments.store import find_run, open_store
from features.cells.bag import CellBag
from features.check import read_cohort
from features.cohort_records import patient_records
from serving.answer import answer
from serving.card import model_card
from serving.client import Answered
from serving.count_messages import said_of_score
from serving.messages import PredictRequest
from training.artifact.folder import Artifact, read_artifact

RUN = CONFIGS / "run" / "counts.yaml"


def run_sequela(*words: object) -> str:
    done = subprocess.run([SEQUELA, *map(str, words)], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_expected_numbers_go_the_whole_way(cohort: Path, home: Home, tmp_path: Path) -> None:
    small = [f"cohort={cohort}", "model={kind: cox, penalty: 50}", "validation={folds: 3, bootstrap: 20}"]
    small += ["counts.penalty=100"]  # how it is chosen is tested beside the fit
    run_sequela("train", RUN, *(word for one in small for word in ("--set", one)))
    (folder,) = home.runs.iterdir()
    artifact = read_artifact(folder / "artifact")
    block = artifact.manifest.counts
    assert block is not None
    assert block.penalty == 100
    assert (block.event, block.terminal_events, block.landmark_days) == ("infection", ("death", "relapse"), (0.0, 30.0))

    config = load_run(RUN, small)  # with cells: as the run's own encoder sees patients
    rows = rows_of_run(config, home)
    counted = counted_rows(rows, config, home)
    found = count_findings(rows, counted, config)
    written = CountFindings.model_validate_json((folder / "report" / "counts.json").read_text("utf-8"))
    assert written == found
    assert (block.scores, block.n_patients, block.n_events) == (found.scores, found.n_patients, found.n_events)
    metrics = find_run(open_store(home), "counts").data.metrics
    assert {name: metrics[name] for name in metrics if name.startswith("counts_")} == count_metrics(found)

    again = fit_expected(counted, artifact.model.encoder, config, config.seed)
    assert artifact.counts is not None
    np.testing.assert_allclose(artifact.counts.beta, again.beta, atol=1e-9)
    check_card(artifact, folder / "report")
    run_sequela("report", "counts", "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "Expected numbers of events</h2>" in page
    assert all(said_of_score(one) in page for one in found.scores[2::3])
    check_answers(artifact, cohort, home)


def check_card(artifact: Artifact, report: Path) -> None:
    block, card = artifact.manifest.counts, model_card(artifact, "m:1").counts
    assert block is not None
    assert card is not None
    assert card.scores == block.scores
    assert card.said[0].startswith("Every infection after the landmark counts, earlier ones do not, until death or rel")
    assert card.said[1:] == tuple(said_of_score(one) for one in block.scores[2::3])
    written: dict[str, Any] = json.loads((report / "model_card.json").read_text("utf-8"))
    assert written["counts"] == json.loads((report / "counts.json").read_text("utf-8"))
    assert card.said[1].split(":")[0] in " ".join((report / "model_card.md").read_text("utf-8").split())


def check_answers(artifact: Artifact, cohort: Path, home: Home) -> None:
    """The service and `sequela predict` expect the same, cells and all; numbers grow; none once counting has ended."""
    read = read_cohort(cohort)
    records = list(patient_records(read, wanted_by(model_card(artifact, "v")), 30.0))
    for sample in (sample for record in records for sample in record["samples"] if "cells" in sample):
        sample |= as_lists(sample.pop("cells"))
    answered = answer(artifact, "v", PredictRequest.model_validate({"patients": records}))
    given = answered.predictions
    table = predict_cohort(artifact, cohort, home.features, landmark_day=30.0)
    own = table[table["cause"] == "infection"]
    assert table.loc[table["cause"] != "infection", "expected_events"].isna().all()
    by_patient = {name: part["expected_events"].to_numpy() for name, part in own.groupby("patient_id")}
    compared = 0
    for one in given:
        expected = by_patient[one.patient_id]
        if one.expected_events is None:
            assert np.isnan(expected).all()
            continue
        np.testing.assert_allclose(one.expected_events, expected, rtol=0, atol=1e-6)
        assert (np.diff((0.0, *one.expected_events)) >= 0).all()
        compared += 1
    ended = read.events[read.events["event"].isin(["death", "relapse"]) & (read.events["day"] <= 30)]
    assert compared == len(given) - ended["patient_id"].nunique() < len(given)
    requested = pd.DataFrame([row for one in given for row in rows_of(Answered(one, answered.model))])
    np.testing.assert_allclose(requested["expected_events"], table["expected_events"], rtol=0, atol=1e-6)
    between = answer(artifact, "v", PredictRequest.model_validate({"patients": [{"landmark_day": 12.0}]}))
    assert between.predictions[0].expected_events is None


def as_lists(bag: CellBag) -> dict[str, Any]:
    """Cells as JSON has them."""
    arrays = {name: getattr(bag, name).tolist() for name in ("indptr", "indices", "values")}
    labels = {} if bag.cell_type is None else {"cell_types": list(bag.cell_type)}
    return {"genes": list(bag.genes), **arrays, **labels}
