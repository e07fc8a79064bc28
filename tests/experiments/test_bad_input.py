"""Bad cohorts through the command line: a clear finding, exit code 1, no traceback, nothing written."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import anndata
import pandas as pd
import pytest
from preloaded import SEQUELA

from experiments.home import CONFIGS, Home

ENDPOINT = CONFIGS / "endpoint" / "severe_infection.yaml"


def table(name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    """A change to one table of a cohort."""

    def spoil(cohort: Path) -> None:
        path = cohort / f"{name}.csv"
        change(pd.read_csv(path)).to_csv(path, index=False)

    return spoil


def with_value(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """The table with another value in its first row."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame[column] = frame[column].astype(object)
        frame.loc[0, column] = value
        return frame

    return change


def truncate_cells(cohort: Path) -> None:
    content = (cohort / "cells.h5ad").read_bytes()
    (cohort / "cells.h5ad").write_bytes(content[: len(content) // 2])


def mouse_genes(cohort: Path) -> None:
    cells = anndata.read_h5ad(cohort / "cells.h5ad")
    cells.var_names = cells.var_names.str.capitalize()
    cells.write_h5ad(cohort / "cells.h5ad")


CASES = {
    "truncated .h5ad": (truncate_cells, "unreadable-cells", "cells.h5ad"),
    "a patient twice": (table("patients", lambda t: pd.concat([t, t[:1]])), "duplicate-patient", "patients.csv"),
    "negative duration": (table("patients", with_value("follow_up_days", -5)), "negative-duration", "patients.csv"),
    "event after follow-up": (table("events", with_value("day", 99_999)), "event-after-follow-up", "events.csv"),
    "unknown unit": (table("measurements", with_value("unit", "furlong")), "unknown-unit", "measurements.csv"),
    "mouse genes": (mouse_genes, "foreign-genes", "cells.h5ad"),
    "empty cohort": (table("patients", lambda t: t[:0]), "no-patients", "patients.csv"),
    "a cause nobody has": (
        table("events", lambda t: t[t["event"] != "infection"]),
        "no-such-cause",
        "endpoint severe_infection",
    ),
}


@pytest.fixture
def copy(cohort: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(cohort, tmp_path / "cohort"))


@pytest.mark.parametrize(("spoil", "code", "file"), CASES.values(), ids=CASES)
def test_check_names_what_is_wrong(spoil: Callable[[Path], None], code: str, file: str, copy: Path) -> None:
    spoil(copy)
    words = [SEQUELA, "check", copy, "--endpoint", ENDPOINT, "--json"]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    errors = [finding for finding in json.loads(done.stdout) if finding["severity"] == "error"]
    assert (code, file) in {(finding["code"], finding["file"]) for finding in errors}
    assert all(finding["rule"] and finding["remedy"] for finding in errors)


@pytest.mark.parametrize("case", ["truncated .h5ad", "a cause nobody has"])
def test_train_refuses_and_writes_nothing(case: str, copy: Path, home: Home) -> None:
    spoil, code, _ = CASES[case]
    spoil(copy)
    words = [SEQUELA, "train", CONFIGS / "run" / "cox.yaml", "--set", f"cohort={copy}"]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert code in done.stderr
    assert "Traceback" not in done.stderr
    assert not home.runs.exists()
    assert not home.mlflow_artifacts.exists()


@pytest.fixture(scope="module")
def artifact(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Cox model trained on the small cohort."""
    home = tmp_path_factory.mktemp("home")
    words = [SEQUELA, "train", CONFIGS / "run" / "cox.yaml", "--set", f"cohort={cohort}"]
    words += ["--set", "validation={folds: 3, bootstrap: 20}", "--set", "model={kind: cox, penalty: 50}"]
    environment = os.environ | {"SEQUELA_HOME": str(home)}
    subprocess.run([*map(str, words)], env=environment, capture_output=True, check=True)
    (folder,) = (home / "runs").iterdir()
    return folder / "artifact"


def rename_materials(cohort: Path) -> None:
    table("samples", lambda t: t.assign(material="plasma"))(cohort)


def declare_intensities(cohort: Path) -> None:
    text = (cohort / "cohort.yaml").read_text()
    (cohort / "cohort.yaml").write_text(text.replace("cells: {}", "cells: {values: intensities}"))


@pytest.mark.parametrize(
    ("words", "spoil", "message"),
    [
        pytest.param(["--horizon-days", "365", "--horizon-days", "90"], None, "must ascend", id="descending"),
        pytest.param(["--horizon-days", "9999"], None, "at most 365 days", id="beyond"),
        pytest.param(["--landmark-day", "31"], None, "predicts from any day from 0 to 30", id="landmark"),
        pytest.param([], rename_materials, "samples.material knows none of", id="materials"),
        pytest.param([], declare_intensities, "the model was trained on counts", id="intensities"),
    ],
)
def test_predict_refuses_what_the_model_cannot_answer(
    words: list[str], spoil: Callable[[Path], None] | None, message: str, artifact: Path, copy: Path
) -> None:
    if spoil is not None:
        spoil(copy)
    done = subprocess.run([SEQUELA, "predict", artifact, copy, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stdout == ""


def test_predict_tells_who_is_not_at_risk(artifact: Path, copy: Path, tmp_path: Path) -> None:
    out = tmp_path / "risks.csv"
    words = [SEQUELA, "predict", artifact, copy, "--landmark-day", "30", "--out", out]
    subprocess.run([*map(str, words)], capture_output=True, check=True)
    risks = pd.read_csv(out).groupby("patient_id")["at_risk"].first()
    events, patients = pd.read_csv(copy / "events.csv"), pd.read_csv(copy / "patients.csv")
    relapsed = set(events[(events["event"] == "relapse") & (events["day"] <= 30)]["patient_id"])
    assert relapsed
    assert not risks[sorted(relapsed)].any()
    assert risks.sum() < len(patients)


def test_patients_observed_later_train_but_are_not_scored(copy: Path, home: Home) -> None:
    late = [i % 3 == 0 for i in range(150)]
    table("patients", lambda t: t.assign(entry_day=[5 if x else 0 for x in late]))(copy)
    table("patients", lambda t: t.assign(follow_up_days=t["follow_up_days"].clip(lower=6)))(copy)
    words = [SEQUELA, "train", CONFIGS / "run" / "cox.yaml", "--set", f"cohort={copy}", "--set", "model.penalty=50"]
    words += ["--set", "validation={folds: 3, bootstrap: 20}"]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (folder,) = home.runs.iterdir()
    predictions = pd.read_parquet(folder / "report" / "oof_predictions.parquet")
    assert predictions["patient_id"].nunique() > 100
