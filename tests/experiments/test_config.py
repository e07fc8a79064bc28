"""Run configurations: every one that ships loads, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.config import load_run
from experiments.home import CONFIGS
from features.check import read_endpoint
from features.errors import SequelaError

RUNS = sorted((CONFIGS / "run").glob("*.yaml"))
ENDPOINTS = sorted((CONFIGS / "endpoint").glob("*.yaml"))


@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
def test_every_run_that_ships_loads(path: Path) -> None:
    config = load_run(path)
    assert config.name == path.stem
    assert config.endpoint.is_absolute()


@pytest.mark.parametrize("path", ENDPOINTS, ids=lambda path: path.stem)
def test_every_endpoint_that_ships_loads(path: Path) -> None:
    assert read_endpoint(path).name == path.stem


def test_overrides_reach_nested_keys_and_read_numbers() -> None:
    config = load_run(RUNS[0].parent / "network.yaml", ["model.learning_rate=1e-3", "validation.folds=7", "name=mine"])
    assert config.model.kind == "network"
    assert config.model.learning_rate == pytest.approx(1e-3)
    assert config.validation.folds == 7
    assert config.name == "mine"


def test_relative_paths_count_from_the_file_and_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_run(CONFIGS / "run" / "cox.yaml", ["cohort=mine"])
    assert config.cohort == tmp_path / "mine"
    assert config.endpoint == CONFIGS / "endpoint" / "severe_infection.yaml"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param("model.memebrs=8", r"memebrs.*Did you mean members", id="misspelt-key"),
        pytest.param("validation.folds=1", r"validation\.folds", id="out-of-range"),
        pytest.param("model={kind: coxx}", r"model", id="unknown-kind"),
        pytest.param("seed", r"must read key=value", id="no-value"),
        pytest.param("name.x=1", r"name holds a value, not a block", id="value-as-block"),
    ],
)
def test_what_is_wrong_is_named(override: str, message: str) -> None:
    with pytest.raises(SequelaError, match=message):
        load_run(CONFIGS / "run" / "network.yaml", [override])


def test_the_digest_changes_with_any_value() -> None:
    path = CONFIGS / "run" / "cox.yaml"
    assert load_run(path).digest() == load_run(path).digest()
    assert load_run(path).digest() != load_run(path, ["seed=1"]).digest()
