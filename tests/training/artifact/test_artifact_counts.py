"""Expected numbers of events in an artifact: read back exactly, proven by the example, refused if they do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from counted import block_of, counts_for
from safetensors.numpy import load_file
from sealed_artifacts import seal, spoil

from features.errors import SequelaError
from training.artifact.folder import read_artifact, write_artifact
from training.artifact.manifest import MANIFEST, WEIGHTS
from training.artifact.parts import count_arrays
from training.models.expected_counts import ExpectedCounts
from training.models.risk_model import FittedRiskModel


@pytest.fixture
def written(
    fitted: Callable[[str], FittedRiskModel], manifest_of: Callable[..., Any], tmp_path: Path
) -> tuple[Path, ExpectedCounts]:
    """An artifact with expected numbers, and these."""
    model = fitted("cox")
    manifest, arrays = manifest_of(model)
    counts = counts_for(len(model.encoder.feature_names))
    block = block_of(model, counts, manifest.example.patient, manifest.example.times_days)
    write_artifact(tmp_path / "model", manifest.model_copy(update={"counts": block}), arrays | count_arrays(counts))
    return tmp_path / "model", counts


def test_they_are_read_back_exactly(written: tuple[Path, ExpectedCounts]) -> None:
    folder, counts = written
    artifact = read_artifact(folder)
    assert artifact.counts is not None
    assert (artifact.counts.landmark_days, artifact.counts.penalty) == ((0.0, 30.0), 3.0)
    for name, array in counts.state().items():
        np.testing.assert_array_equal(artifact.counts.state()[name], array)
    again = load_file(folder / WEIGHTS)
    assert {name for name in again if name.startswith("counts/")} == {f"counts/{name}" for name in counts.state()}
    assert set(artifact.arrays) == set(again)
    write_artifact(folder, artifact.manifest, artifact.arrays)  # whoever writes it again keeps them
    assert read_artifact(folder).manifest == artifact.manifest


def test_without_them_there_are_none(
    fitted: Callable[[str], FittedRiskModel], manifest_of: Callable[..., Any], tmp_path: Path
) -> None:
    """As in artifacts of before, whose manifest does not have the field."""
    write_artifact(tmp_path / "model", *manifest_of(fitted("cox")))
    content = json.loads((tmp_path / "model" / MANIFEST).read_text(encoding="utf-8"))
    assert content.pop("counts") is None
    seal(tmp_path / "model", content)
    artifact = read_artifact(tmp_path / "model")
    assert artifact.counts is None
    assert artifact.manifest.counts is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda arrays: arrays.pop("counts/beta"), "does not fit the weights"),
        (lambda arrays: arrays.update({"counts/beta": arrays["counts/beta"][1:]}), "does not fit the weights"),
        (lambda arrays: arrays.update({"counts/times_days": arrays["counts/times_days"][1:]}), "does not fit"),
        (lambda arrays: arrays.update({"counts/increments": -arrays["counts/increments"]}), "does not fit"),
        (lambda arrays: arrays.update({"counts/beta": np.nan * arrays["counts/beta"]}), "does not fit the weights"),
        (lambda arrays: arrays.update({"counts/increments": 1.1 * arrays["counts/increments"]}), "misses its own"),
    ],
)
def test_other_arrays_are_refused(
    written: tuple[Path, ExpectedCounts], change: Callable[[dict[str, Any]], object], said: str
) -> None:
    spoil(written[0], change)
    with pytest.raises(SequelaError, match=said):
        read_artifact(written[0])


def test_an_example_of_other_times_is_refused(written: tuple[Path, ExpectedCounts]) -> None:
    folder, _ = written
    content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    content["counts"]["example"] = content["counts"]["example"][:1]
    seal(folder, content)
    with pytest.raises(SequelaError, match="does not fit the weights"):
        read_artifact(folder)
