"""Models of transitions in an artifact: read back exactly, proven by the example, and refused where they do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sealed_artifacts import spoil

from features.errors import SequelaError
from training.artifact.blocks import StatesBlock
from training.artifact.folder import read_artifact, write_artifact
from training.artifact.manifest import WEIGHTS
from training.artifact.parts import state_arrays, states_of_example
from training.models.risk_model import FittedRiskModel
from training.models.states import StateModel

STATES = ("event-free", "infection", "death")
MOVES = ((0, 1), (0, 2), (1, 2))


def states_for(n_features: int) -> StateModel:
    """A fit with two refits, of nobody."""
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(1, 300, 20))
    return StateModel(
        STATES, MOVES, times, rng.normal(size=(3, 3, n_features)) / 10, rng.exponential(0.01, (3, 3, len(times)))
    )


@pytest.fixture
def written(
    fitted: Callable[[str], FittedRiskModel], manifest_of: Callable[..., Any], tmp_path: Path
) -> tuple[Path, StateModel]:
    """An artifact with transitions, and these."""
    model = fitted("cox")
    manifest, arrays = manifest_of(model)
    states = states_for(len(model.encoder.feature_names))
    block = StatesBlock(
        names=STATES,
        moves=MOVES,
        landmark_day=0.0,
        followed_days=400.0,
        n_patients=90,
        example=states_of_example(model, states, manifest.example.patient, manifest.example.times_days),
    )
    write_artifact(tmp_path / "model", manifest.model_copy(update={"states": block}), arrays | state_arrays(states))
    return tmp_path / "model", states


def test_they_are_read_back_exactly(written: tuple[Path, StateModel]) -> None:
    folder, states = written
    artifact = read_artifact(folder)
    assert artifact.states is not None
    assert (artifact.states.states, artifact.states.moves, artifact.states.n_refits) == (STATES, MOVES, 2)
    for name, array in states.state().items():
        np.testing.assert_array_equal(artifact.states.state()[name], array)
        assert artifact.states.state()[name].dtype == array.dtype
    again = load_file(folder / WEIGHTS)
    assert {name for name in again if name.startswith("states/")} == {
        "states/beta",
        "states/increments",
        "states/times_days",
    }
    assert set(artifact.arrays) == set(again)
    write_artifact(folder, artifact.manifest, artifact.arrays)  # whoever writes it again keeps them
    assert read_artifact(folder).manifest == artifact.manifest


def test_without_them_there_are_none(
    fitted: Callable[[str], FittedRiskModel], manifest_of: Callable[..., Any], tmp_path: Path
) -> None:
    write_artifact(tmp_path / "model", *manifest_of(fitted("cox")))
    artifact = read_artifact(tmp_path / "model")
    assert artifact.states is None
    assert artifact.manifest.states is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda arrays: arrays.pop("states/beta"), "does not fit the weights"),
        (lambda arrays: arrays.update({"states/beta": arrays["states/beta"][:, :2]}), "does not fit the weights"),
        (lambda arrays: arrays.update({"states/beta": arrays["states/beta"][..., :2]}), "does not fit the weights"),
        (lambda arrays: arrays.update({"states/increments": 1.1 * arrays["states/increments"]}), "misses its own"),
    ],
)
def test_other_arrays_are_refused(
    written: tuple[Path, StateModel], change: Callable[[dict[str, Any]], object], said: str
) -> None:
    spoil(written[0], change)
    with pytest.raises(SequelaError, match=said):
        read_artifact(written[0])
