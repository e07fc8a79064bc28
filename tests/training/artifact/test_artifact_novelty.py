"""The novelty of patients in an artifact: read back exactly, and refused where it does not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from sealed_artifacts import seal, spoil

from features.errors import SequelaError
from features.novelty import Novelty
from training.artifact.folder import read_artifact, write_artifact
from training.artifact.manifest import MANIFEST, WEIGHTS
from training.artifact.parts import CELL_NOVELTY, novelty_block
from training.models.predictor import KnownSamples
from training.models.risk_model import FittedRiskModel
from training.models.seeing import embedding_of


def novelty_for(n_features: int) -> Novelty:
    """Of thirty patients at two landmarks, nobody's values."""
    rng = np.random.default_rng(0)
    ids = np.array([f"p{i // 2}" for i in range(60)], dtype=object)
    return Novelty.fit(rng.normal(size=(60, n_features)), ids, np.tile([0.0, 30.0], 30))


@pytest.fixture
def written(
    fitted: Callable[[str], FittedRiskModel], manifest_of: Callable[..., Any], tmp_path: Path
) -> tuple[Path, Novelty]:
    """An artifact with a novelty, and this."""
    model = fitted("cox")
    manifest, arrays = manifest_of(model)
    novelty = novelty_for(len(model.encoder.feature_names))
    block, of_novelty = novelty_block(novelty)
    write_artifact(tmp_path / "model", manifest.model_copy(update={"novelty": block}), arrays | of_novelty)
    return tmp_path / "model", novelty


def test_it_is_read_back_exactly(written: tuple[Path, Novelty]) -> None:
    folder, novelty = written
    artifact = read_artifact(folder)
    assert artifact.novelty is not None
    assert (artifact.novelty.floor, artifact.novelty.landmark_days) == (novelty.floor, novelty.landmark_days)
    for name, array in novelty.state().items():
        np.testing.assert_array_equal(artifact.novelty.state()[name], array)
    assert artifact.manifest.novelty is not None
    assert artifact.manifest.novelty.n_patients == (30, 30)
    x = np.random.default_rng(1).normal(size=(20, len(novelty.mean)))
    day = np.tile([0.0, 30.0], 10)
    assert np.isfinite(novelty.share(x, day)).all()
    np.testing.assert_array_equal(artifact.novelty.share(x, day), novelty.share(x, day))
    assert set(artifact.arrays) == set(load_file(folder / WEIGHTS))
    write_artifact(folder, artifact.manifest, artifact.arrays)  # whoever writes it again keeps it
    assert read_artifact(folder).manifest == artifact.manifest


def test_without_it_there_is_none(
    fitted: Callable[[str], FittedRiskModel], manifest_of: Callable[..., Any], tmp_path: Path
) -> None:
    """As in artifacts of before, whose manifest does not have the field."""
    write_artifact(tmp_path / "model", *manifest_of(fitted("cox")))
    content = json.loads((tmp_path / "model" / MANIFEST).read_text(encoding="utf-8"))
    assert content.pop("novelty") is None
    seal(tmp_path / "model", content)
    artifact = read_artifact(tmp_path / "model")
    assert artifact.novelty is None
    assert not [name for name in artifact.arrays if name.startswith("novelty/")]


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("novelty/axes"),
        lambda arrays: arrays.update({"novelty/axes": arrays["novelty/axes"][:, 1:]}),
        lambda arrays: arrays.update({"novelty/left_out": arrays["novelty/left_out"][1:]}),
        lambda arrays: arrays.update(
            {"novelty/axes": arrays["novelty/axes"][:, 1:], "novelty/mean": arrays["novelty/mean"][1:]}
        ),
    ],
    ids=["none", "fewer features", "fewer patients", "of another encoder"],
)
def test_other_arrays_are_refused(written: tuple[Path, Novelty], change: Callable[[dict[str, Any]], object]) -> None:
    folder, _ = written
    spoil(folder, change)
    with pytest.raises(SequelaError, match="does not fit the weights"):
        read_artifact(folder)


def test_of_a_network_of_cells_there_is_a_second_one(
    fitted: Callable[[str], FittedRiskModel], manifest_of: Callable[..., Any], tmp_path: Path
) -> None:
    model = fitted("attention")
    manifest, arrays = manifest_of(model)
    width = embedding_of(model.predictor, KnownSamples.none(0)).shape[1]
    assert width > 1
    block, of_novelty = novelty_block(novelty_for(len(model.encoder.feature_names)))
    for n in (width, width + 1):
        of_cells, cell_arrays = novelty_block(novelty_for(n), CELL_NOVELTY)
        both = manifest.model_copy(update={"novelty": block, "cell_novelty": of_cells})
        write_artifact(tmp_path / str(n), both, arrays | of_novelty | cell_arrays)
    found = read_artifact(tmp_path / str(width))
    assert found.cell_novelty is not None
    assert found.novelty is not None
    assert len(found.cell_novelty.mean) == width
    assert set(found.arrays) == set(load_file(tmp_path / str(width) / WEIGHTS))
    with pytest.raises(SequelaError, match="does not fit the weights"):
        read_artifact(tmp_path / str(width + 1))
