"""The command line as a user meets it: help, errors in one line, exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from preloaded import SEQUELA

from experiments.cli.app import app
from experiments.home import CONFIGS, Home
from features.check import read_cohort, read_endpoint
from features.cohort import outcomes_at
from training.sample_size import advise

COMMANDS = [command.name for command in app.registered_commands]


def sequela(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the console script as a user would."""
    return subprocess.run([SEQUELA, *map(str, words)], capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    done = sequela(name, "--help")
    assert done.returncode == 0
    assert f"sequela {name}" in done.stdout
    assert "Example" in done.stdout


def test_check_says_everything_at_once_and_fails(cohort: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(cohort, broken)
    lines = (broken / "patients.csv").read_text().splitlines()
    lines.append(lines[1])
    fields = lines[2].split(",")
    lines[2] = ",".join([fields[0], "-3", *fields[2:]])
    (broken / "patients.csv").write_text("\n".join(lines) + "\n")
    done = sequela("check", broken, "--json")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    found = {(finding["code"], finding["row"]) for finding in json.loads(done.stdout)}
    assert ("duplicate-patient", len(lines)) in found
    assert ("negative-duration", 3) in found


def test_check_says_how_large_a_model_the_cohort_carries(cohort: Path) -> None:
    path = CONFIGS / "endpoint" / "severe_infection.yaml"
    done = sequela("check", cohort, "--endpoint", path)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("sample size")]
    endpoint = read_endpoint(path)
    assert len(said) == 2 * len(endpoint.landmark_days) * len(endpoint.causes)
    _, outcomes = outcomes_at(read_cohort(cohort), endpoint, 0.0)
    infection = advise(outcomes, endpoint.horizons_days[-1], 1)[0]
    assert f"{infection.n_events} events of infection in {infection.n_patients} patients" in said[0]
    carried = "not one parameter" if infection.n_parameters == 0 else f"carry {infection.n_parameters} parameter"
    assert carried in said[0]
    n_parameters = max(1, infection.n_parameters)
    asked = advise(outcomes, endpoint.horizons_days[-1], n_parameters)[0]
    assert asked.needed is not None
    for needed in (asked.needed.by_shrinkage, asked.needed.by_optimism, asked.needed.by_overall_risk):
        assert f" {needed} " in said[1]
    enough = asked.n_patients >= max(asked.needed.by_shrinkage, asked.needed.by_optimism, asked.needed.by_overall_risk)
    assert f"{asked.n_patients} are {'enough' if enough else 'not enough'}" in said[1]
    assert said[1].endswith(f"know it to {asked.overall_risk_error:.1%}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["train", "absent.yaml"], "absent.yaml", id="no-run-file"),
        pytest.param(["train", CONFIGS / "run" / "cox.yaml", "--set", "cohort=nowhere"], "nowhere", id="no-cohort"),
        pytest.param(["leaderboard", "nothing"], "no such experiment", id="no-experiment"),
        pytest.param(["promote", "nothing"], "no run has this id or name", id="no-run"),
        pytest.param(["promote"], "name a run", id="nothing-to-promote"),
        pytest.param(["serve"], "no champion", id="no-champion"),
        pytest.param(["serve", "--shadow"], "name one with --ledger FOLDER", id="no-ledger"),
        pytest.param(["import", "nothing", "a", "b"], "no such importer", id="no-importer"),
        pytest.param(["import", "leipzig2024", "a"], "takes SOURCE DIR", id="too-few-paths"),
        pytest.param(["predict", "champion", "nowhere"], "no champion", id="no-model"),
    ],
)
def test_errors_are_one_line_with_exit_code_1(home: Home, words: list[str | Path], message: str) -> None:
    done = sequela(*words)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(home.runs.glob("*"))


def test_simulate_refuses_to_overwrite(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data.csv").write_text("precious")
    done = sequela("simulate", tmp_path / "mine", "--patients", 100, "--cells-per-sample", 0)
    assert done.returncode == 1
    assert "not empty" in done.stderr
    assert (tmp_path / "mine" / "data.csv").read_text() == "precious"
