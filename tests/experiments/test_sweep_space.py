"""A space is checked whole before the first trial: what cannot be, is named with its remedy."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.home import CONFIGS, Home
from experiments.sweeps.check import RowsOfRuns, check_sweep
from experiments.sweeps.config import Sweep, load_sweep
from experiments.sweeps.space import Space
from features.check import read_endpoint
from features.errors import SequelaError

SWEEPS = sorted((CONFIGS / "sweep").glob("*.yaml"))
BASE: dict[str, Any] = {
    "name": "small",
    "run": str(CONFIGS / "run" / "cox.yaml"),
    "overrides": ["features={cells: []}", "validation={folds: 3, bootstrap: 20}"],
    "trials": 4,
}


def written(folder: Path, cohort: Path | None = None, **content: Any) -> Path:
    path = folder / "sweep.yaml"
    overrides = [*BASE["overrides"], *([f"cohort={cohort}"] if cohort else [])]
    path.write_text(yaml.safe_dump(BASE | {"overrides": overrides} | content, sort_keys=False))
    return path


def space_of(path: Path) -> Space:
    return Space(load_sweep(path), path.parent / "endpoints")


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_sweep_that_ships_is_runs_throughout(path: Path, tmp_path: Path) -> None:
    sweep = load_sweep(path)
    space = Space(sweep, tmp_path)
    probes = [chosen for probed, chosen in space.probes() if space.run(chosen, probed)]
    assert sweep.config.name == path.stem
    assert {key for chosen in probes for key in chosen} == set(sweep.config.space)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param({"trails": 3}, r"trails: No such key\. Did you mean trials", id="misspelt-key"),
        pytest.param({"space": {"a": {"low": 1, "hihg": 2}}}, r"hihg: No such key\. Did you mean high", id="end"),
        pytest.param({"space": {"model.penalty": {"low": 3, "high": 1}}}, "3 must lie below high: 1", id="order"),
        pytest.param({"space": {"a": {"low": 0, "high": 1, "log": True}}}, r"above 0 on the log", id="log-of-0"),
        pytest.param({"space": {"a": {"low": 0, "when": {}}}}, "a range .* or choices", id="half-a-range"),
        pytest.param({"space": {"a": [1, 1]}}, "given twice", id="twice"),
        pytest.param({"space": {"model": [1], "b": {"choices": [1], "when": {"modle": 1}}}}, "mean model", id="parent"),
        pytest.param({"space": {"a": {"cox": 1}, "b": {"choices": [1], "when": {"a": "cux"}}}}, "mean cox", id="name"),
        pytest.param(
            {
                "space": {
                    "a": {"choices": [1], "when": {"b": 1}},
                    "b": {"choices": [1], "when": {"a": 1}},
                }
            },
            "circle",
            id="circle",
        ),
        pytest.param({"space": {"a": {"low": 0, "high": 1}}, "sampler": "grid"}, "grid needs choices", id="grid"),
        pytest.param({"space": {"a": [1]}, "trials": None}, "how many", id="no-number"),
        pytest.param({"space": {"a": [1]}, "name": "../x"}, "name", id="name-is-a-folder"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(content: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(SequelaError, match=message):
        load_sweep(written(tmp_path, **content))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        pytest.param({"features.celsl": [[]]}, r"features\.celsl: No such key\. Did you mean cells", id="key"),
        pytest.param({"model.penlaty": [1]}, "penlaty.*Did you mean penalty", id="key-of-model"),
        pytest.param({"model": {"cux": {"kind": "cux"}}}, "space, model = cux: model", id="kind"),
        pytest.param({"model.penalty": {"low": -1, "high": 5}}, r"model\.penalty = -1: model", id="low-end"),
        pytest.param({"model.l1_ratio": {"low": 0, "high": 2.5}}, r"model\.l1_ratio = 2\.5: model", id="high-end"),
        pytest.param({"seed": [0, 1]}, "space.seed: all trials share it", id="seed"),
        pytest.param({"validation.folds": [3, 5]}, r"space\.validation\.folds: all trials share", id="folds"),
        pytest.param({"model.penalty.x": [1], "model.penalty": [1]}, "holds no block", id="inside-a-number"),
        pytest.param({"endpoint.landmark_dayz": [[0]]}, "Did you mean landmark_days", id="key-of-endpoint"),
        pytest.param(
            {"model": {"cox": {"kind": "cox"}, "forest": {"kind": "forest"}}, "model.penalty": [1, 5]},
            r"model = forest, model\.penalty = 1: .*penalty: No such key",
            id="two-that-exclude-each-other",
        ),
    ],
)
def test_every_choice_and_both_ends_make_a_run(space: dict[str, Any], message: str, tmp_path: Path) -> None:
    def probe_all() -> None:
        whole = space_of(written(tmp_path, space=space))
        for probed, chosen in whole.probes():
            whole.run(chosen, f"space, {probed}")

    with pytest.raises(SequelaError, match=message):
        probe_all()


def test_a_condition_is_kept_in_every_combination(tmp_path: Path) -> None:
    model = {"cox": {"kind": "cox"}, "null": {"kind": "aalen_johansen"}}
    penalty = {"choices": [1, 9], "when": {"model": "cox"}}
    space = space_of(written(tmp_path, space={"model.penalty": penalty, "model": model, "features.cells": [[]]}))
    grid = space.grid()
    assert grid == [
        {"model": "cox", "features.cells": "[]", "model.penalty": "1"},
        {"model": "cox", "features.cells": "[]", "model.penalty": "9"},
        {"model": "null", "features.cells": "[]"},
    ]
    kinds = [(run.model.kind, getattr(run.model, "penalty", None)) for run in (space.run(one, "trial") for one in grid)]
    assert kinds == [("cox", 1), ("cox", 9), ("aalen_johansen", None)]
    assert [chosen for _, chosen in space.probes()] == [grid[0], grid[2], grid[1]]


def test_landmarks_are_swept_by_endpoints_that_are_written_once(tmp_path: Path) -> None:
    space = space_of(written(tmp_path, space={"endpoint.landmark_days": [[0], [0, 30, 90]]}))
    first, second = (space.run(chosen, "trial").endpoint for chosen in space.grid())
    assert (read_endpoint(first).landmark_days, read_endpoint(second).landmark_days) == ((0,), (0, 30, 90))
    assert read_endpoint(first).competing == read_endpoint(CONFIGS / "endpoint" / "severe_infection.yaml").competing
    assert space.run({"endpoint.landmark_days": "[0]"}, "again").endpoint == first
    assert len(list((tmp_path / "endpoints").iterdir())) == 2


def test_paths_among_the_choices_count_from_the_sweeps_file(tmp_path: Path) -> None:
    space = space_of(written(tmp_path, space={"endpoint": {"mine": "one.yaml"}}))
    assert space.run({"endpoint": "mine"}, "trial").endpoint == tmp_path / "one.yaml"


def checked(path: Path, home: Home) -> dict[str, Any]:
    sweep: Sweep = load_sweep(path)
    return check_sweep(sweep, Space(sweep, path.parent / "endpoints"), RowsOfRuns(home))


LANDMARKS = {"endpoint.landmark_days": [[0], [0, 30]]}


@pytest.mark.parametrize(
    ("space", "objective", "message"),
    [
        pytest.param(LANDMARKS, {}, "Brier scores cannot be compared; set objective.metric to ipa", id="landmarks"),
        pytest.param(LANDMARKS, {"landmark_days": [30]}, "30 is no landmark of every endpoint", id="not-in-all"),
        pytest.param({"endpoint.horizons_days": [[90], [90, 180]]}, {}, "cannot be compared", id="horizons"),
        pytest.param({"model.penalty": [1]}, {"cause": "infecton"}, "Did you mean infection", id="cause"),
        pytest.param({"features.baseline": [["*"], ["agee"]]}, {}, r"features\.baseline = \[agee\]: ", id="variable"),
    ],
)
def test_what_the_patients_do_not_carry_is_named(
    space: dict[str, Any], objective: dict[str, Any], message: str, cohort: Path, home: Home, tmp_path: Path
) -> None:
    with pytest.raises(SequelaError, match=message):
        checked(written(tmp_path, cohort, space=space, objective=objective), home)


@pytest.mark.parametrize("objective", [{"metric": "ipa"}, {"landmark_days": [0]}], ids=["ipa", "common-landmark"])
def test_landmarks_can_be_swept_by_what_is_comparable(
    objective: dict[str, Any], cohort: Path, home: Home, tmp_path: Path
) -> None:
    assert checked(written(tmp_path, cohort, space=LANDMARKS, objective=objective), home)["endpoints"]


def test_cells_that_are_not_there_are_not_swept_as_if_they_added_nothing(
    cohort: Path, home: Home, tmp_path: Path
) -> None:
    clinical = tmp_path / "clinical"
    shutil.copytree(cohort, clinical, ignore=shutil.ignore_patterns("cells.*"))
    path = written(tmp_path, clinical, space={"features.cells": [[], ["composition"]]})
    with pytest.raises(SequelaError, match=r"features\.cells = \[composition\]: looks at cells, and .* has none"):
        checked(path, home)
