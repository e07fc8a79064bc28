from __future__ import annotations

import shutil
from pathlib import Path

import bentoml
import pytest

from features.errors import SequelaError
from serving.store import artifact_folder, publish, remove
from training.artifact.folder import read_artifact, write_artifact
from training.artifact.manifest import WEIGHTS


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def stored(home: Path, tag: str) -> Path:
    return home / "models" / tag.replace(":", "/")


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def test_the_tag_tells_the_registry_version_the_run_and_the_content(home: Path, artifact_dir: Path) -> None:
    tag = publish(artifact_dir, {"registry_version": "12", "note": "Kept as it is"})
    name, version = tag.split(":")
    assert name == "sequela"
    assert version.startswith("v12-01234567-")
    assert read_artifact(stored(home, tag) / "artifact").manifest.run_id.startswith("01234567")
    model = bentoml.Model.from_path(stored(home, tag))
    assert artifact_folder(model) == stored(home, tag) / "artifact"
    expected = {"run_id": "0123456789abcdef" * 2, "endpoint": "severe_infection", "provenance": "simulated"}
    assert model.info.labels == expected | {"registry_version": "12", "note": "Kept as it is"}
    assert not list(stored(home, tag).rglob("*.pkl"))


def test_without_a_registry_version_the_tag_has_the_run(home: Path, artifact_dir: Path) -> None:
    assert publish(artifact_dir, {}).startswith("sequela:01234567-")


def test_publishing_again_changes_nothing(home: Path, artifact_dir: Path) -> None:
    tag = publish(artifact_dir, {"registry_version": "1"})
    before = {p: p.stat().st_mtime_ns for p in stored(home, tag).rglob("*")}
    assert publish(artifact_dir, {"registry_version": "1"}) == tag
    assert {p: p.stat().st_mtime_ns for p in stored(home, tag).rglob("*")} == before


@pytest.mark.parametrize("damage", ["a changed byte", "half written"])
def test_a_damaged_stored_model_is_replaced(home: Path, artifact_dir: Path, damage: str) -> None:
    tag = publish(artifact_dir, {})
    if damage == "a changed byte":
        flip_a_byte(stored(home, tag) / "artifact" / WEIGHTS)
    else:
        (stored(home, tag) / "model.yaml").unlink()
    assert publish(artifact_dir, {}) == tag
    read_artifact(stored(home, tag) / "artifact")
    assert (stored(home, tag) / "model.yaml").is_file()


def test_another_artifact_of_the_same_run_gets_another_tag(home: Path, artifact_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    artifact = read_artifact(artifact_dir)
    write_artifact(other, artifact.manifest.model_copy(update={"name": "renamed"}), artifact.arrays)
    assert publish(other, {}) != publish(artifact_dir, {})


def test_an_artifact_that_was_changed_is_refused_and_nothing_is_written(
    home: Path, artifact_dir: Path, tmp_path: Path
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(artifact_dir, changed)
    flip_a_byte(changed / WEIGHTS)
    with pytest.raises(SequelaError, match=r"does not match its sha256"):
        publish(changed, {})
    assert not list((home / "models").glob("sequela/*"))


def test_two_homes_of_one_process_stay_apart(
    artifact_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        monkeypatch.setenv("BENTOML_HOME", str(tmp_path / name))
        tag = publish(artifact_dir, {})
        assert stored(tmp_path / name, tag).is_dir()


def test_a_removed_model_is_gone(home: Path, artifact_dir: Path) -> None:
    kept, tag = publish(artifact_dir, {"registry_version": "1"}), publish(artifact_dir, {"registry_version": "2"})
    remove(tag)
    assert not stored(home, tag).exists()
    assert stored(home, kept).is_dir()


@pytest.mark.parametrize("tag", ["sequela:nothing", "sequela:Not A Version!"], ids=["unknown", "no tag at all"])
def test_removing_what_is_not_there_is_an_error(home: Path, artifact_dir: Path, tag: str) -> None:
    publish(artifact_dir, {})
    with pytest.raises(SequelaError, match=r"not in the model store"):
        remove(tag)


def test_without_a_home_nothing_is_published(artifact_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENTOML_HOME", raising=False)
    with pytest.raises(SequelaError, match=r"BENTOML_HOME is not set"):
        publish(artifact_dir, {})
