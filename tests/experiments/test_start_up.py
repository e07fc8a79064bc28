"""What light commands import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.home import CONFIGS

HEAVY = {"torch", "lightning", "mlflow", "bentoml", "matplotlib", "optuna", "sklearn"}
LISTEN = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=open(sys.argv.pop(), "w")))
from experiments.cli import main
path = sys.argv[-1]
sys.argv = ["sequela", *sys.argv[1:-1]]
atexit.register(lambda: sys.argv.append(path))
main()
"""


def imported_by(words: list[str | Path], note: Path) -> set[str]:
    """Names of the packages that a command has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", LISTEN, *map(str, words), note], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in json.loads(note.read_text(encoding="utf-8"))}


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["--help"], id="help"),
        pytest.param(["train", "--help"], id="help-of-a-command"),
        pytest.param(["config", CONFIGS / "run" / "mixture.yaml", "--comments"], id="config"),
        pytest.param(["init", "--model", "network"], id="init"),
        pytest.param(["schema", "run"], id="schema"),
        pytest.param(["schema", "import_omop"], id="schema-of-an-import"),
    ],
)
def test_what_trains_is_not_imported(words: list[str | Path], tmp_path: Path) -> None:
    imported = imported_by(words, tmp_path / "modules.json")
    assert "typer" in imported, "the list of modules was taken too early"
    assert sorted(imported & {*HEAVY, "anndata"}) == []


def test_check_imports_nothing_that_trains(cohort: Path, tmp_path: Path) -> None:
    endpoint = CONFIGS / "endpoint" / "severe_infection.yaml"
    imported = imported_by(["check", cohort, "--endpoint", endpoint], tmp_path / "modules.json")
    assert "anndata" in imported, "cells were looked at"
    assert sorted(imported & HEAVY) == []


def test_whoever_trains_leaves_mlflow_to_the_courier() -> None:
    """Importing it takes seconds, which pass beside the training in a process of its own."""
    told = "import sys, experiments.assist, experiments.report, experiments.train; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
