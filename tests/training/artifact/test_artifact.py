"""The artifact: what is written is read, whatever was changed is refused, and old ones are read for ever."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from features.errors import SequelaError
from training.artifact import folder as artifact_module
from training.artifact.folder import answer_example, read_artifact, write_artifact
from training.artifact.manifest import FORMAT, MANIFEST, WEIGHTS
from training.models.risk_model import FittedRiskModel

GOLDEN = Path(__file__).parents[2] / "golden" / "artifacts"
Content = dict[str, Any]


@pytest.fixture(scope="session")
def written(
    fitted: Callable[[str], FittedRiskModel], manifest_of: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A mixture of Cox and network with cells, written once."""
    folder = tmp_path_factory.mktemp("written") / "model"
    write_artifact(folder, *manifest_of(fitted("mixture")))
    return folder


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    return Path(shutil.copytree(written, tmp_path / "model"))


def edit(folder: Path, change: Callable[[Content], object]) -> None:
    content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    change(content)
    text = json.dumps(content)
    if "digest" in content:  # sealed again, so that the checks behind the seal are reached
        unsealed = text.replace(f'"digest": "{content["digest"]}"', f'"digest": "{"0" * 64}"')
        text = text.replace(content["digest"], sha256(unsealed.encode()).hexdigest())
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def edit_weights(folder: Path, change: Callable[[Content], object]) -> None:
    """Change the arrays, and the manifest's sha256 with them."""
    arrays = load_file(folder / WEIGHTS)
    change(arrays)
    save_file(arrays, folder / WEIGHTS)
    digest = sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    edit(folder, lambda content: content["files"].update({WEIGHTS: digest}))


def test_round_trip(written: Path, fitted: Callable[[str], FittedRiskModel], manifest_of: Callable[..., Any]) -> None:
    manifest, arrays = manifest_of(fitted("mixture"))
    artifact = read_artifact(written)
    digest = sha256((written / WEIGHTS).read_bytes()).hexdigest()
    seal = {"files": {WEIGHTS: digest}, "digest": artifact.manifest.digest}
    assert artifact.manifest == manifest.model_copy(update=seal)
    assert {path.name for path in written.iterdir()} == {MANIFEST, WEIGHTS}
    again = load_file(written / WEIGHTS)
    assert set(again) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)
        assert again[name].dtype == array.dtype


def test_another_user_may_read_it(written: Path) -> None:
    assert [oct(path.stat().st_mode & 0o777) for path in (written, written / WEIGHTS)] == ["0o755", "0o644"]


def test_manifest_is_strict_json(written: Path) -> None:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    json.loads((written / MANIFEST).read_text(encoding="utf-8"), parse_constant=refuse)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_in_the_weights_is_refused(data: st.DataObject, folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    flipped = bytes([content[place] ^ (1 << data.draw(st.integers(0, 7)))])
    (folder / WEIGHTS).write_bytes(content[:place] + flipped + content[place + 1 :])
    with pytest.raises(SequelaError, match=rf"{WEIGHTS}: does not match its sha256"):
        read_artifact(folder)
    (folder / WEIGHTS).write_bytes(content)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_in_the_manifest_is_refused(data: st.DataObject, folder: Path) -> None:
    content = (folder / MANIFEST).read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    flipped = bytes([content[place] ^ (1 << data.draw(st.integers(0, 7)))])
    (folder / MANIFEST).write_bytes(content[:place] + flipped + content[place + 1 :])
    with pytest.raises(SequelaError, match=str(folder)):
        read_artifact(folder)
    (folder / MANIFEST).write_bytes(content)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_truncated_file_is_refused(data: st.DataObject, folder: Path) -> None:
    name = data.draw(st.sampled_from([MANIFEST, WEIGHTS]))
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: data.draw(st.integers(0, len(content) - 2))])
    with pytest.raises(SequelaError, match="not JSON" if name == MANIFEST else "does not match its sha256"):
        read_artifact(folder)
    (folder / name).write_bytes(content)


def set_to(*path: str, value: object) -> Callable[[Content], None]:
    """An edit that puts `value` at a path of keys."""

    def change(content: Content) -> None:
        *parents, last = path
        for key in parents:
            content = content[key]
        content[last] = value

    return change


def drop(*path: str) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        *parents, last = path
        for key in parents:
            content = content[key]
        del content[last]

    return change


def shift_example(content: Content) -> None:
    content["example"]["incidence"][0][1] += 1e-4


def drop_scaler_column(content: Content) -> None:
    content["model"]["encoder"]["scaler"].pop()


def swap_times(content: Content) -> None:
    content["example"]["times_days"].reverse()


def widen_network(content: Content) -> None:
    content["model"]["sizes"]["members"][1]["sizes"]["n_hidden"] += 1


def inflate_network(content: Content) -> None:
    content["model"]["sizes"]["members"][1]["sizes"]["n_members"] = 10**12


def change_weights(content: Content) -> None:
    content["model"]["sizes"]["weights"] = [0.6, 0.4]


REFUSED = {
    "example answer": (shift_example, "misses its own example by 0.0001"),
    "example patient": (set_to("example", "patient", "baseline", "age", value=75.0), "misses its own example"),
    "example of an unknown variable": (
        set_to("example", "patient", "baseline", "shoe_size", value=43),
        "does not fit the weights",
    ),
    "example of no times": (set_to("example", "times_days", value=[]), "does not fit the weights"),
    "empty example": (
        lambda content: content["example"].update(times_days=[], incidence=[[], []]),
        "does not fit the weights",
    ),
    "example of one cause": (lambda content: content["example"]["incidence"].pop(), "does not fit the weights"),
    "ragged example": (lambda content: content["example"]["incidence"][0].pop(), "does not fit the weights"),
    "descending times": (swap_times, "does not fit the weights"),
    "mixture weights": (change_weights, "misses its own example"),
    "wider network": (widen_network, "does not fit the weights"),
    "immense network": (inflate_network, "does not fit the weights"),
    "sizes gone": (set_to("model", "sizes", value={}), "does not fit the weights"),
    "sizes of another shape": (set_to("model", "sizes", "members", value={"a": 1}), "does not fit the weights"),
    "encoder column": (drop_scaler_column, "does not fit the weights"),
    "encoder of another shape": (set_to("model", "encoder", "variables", value=[]), "does not fit the weights"),
    "encoder median": (
        lambda content: [column.update(mean=column["mean"] + 1) for column in content["model"]["encoder"]["scaler"]],
        "misses its own example",
    ),
    "causes": (set_to("endpoint", "competing", value=[]), "does not fit the weights"),
    "later format": (set_to("format", value="sequela-artifact/2"), r"format = sequela-artifact/2; this version reads"),
    "no format": (drop("format"), "format = None"),
    "unknown kind": (set_to("model", "kind", value="oracle"), r"model\.kind = oracle: not known here"),
    "kind of another type": (set_to("model", "kind", value=["cox"]), r"model\.kind"),
    "another known kind": (set_to("model", "kind", value="cox"), "does not fit the weights"),
    "model of another type": (set_to("model", value=[]), "model: Input should be a valid dictionary"),
    "key gone": (drop("run_id"), "run_id: Field required"),
    "key added": (set_to("comment", value="ok"), "comment: Extra inputs are not permitted"),
    "NaN": (set_to("metrics", "brier", value=float("nan")), r"metrics\.brier: Input should be a finite number"),
    "no file named": (set_to("files", value={}), f"{WEIGHTS}: not named in"),
    "file outside": (set_to("files", "../model/manifest.json", value="0"), r"\.\./model/manifest\.json: missing"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_an_edited_manifest_is_refused(change: Callable[[Content], object], message: str, folder: Path) -> None:
    edit(folder, change)
    with pytest.raises(SequelaError, match=message) as caught:
        read_artifact(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("content", ["[]", "null", "3", '"sequela-artifact/1"'], ids=str)
def test_a_manifest_that_is_no_object_is_refused(content: str, folder: Path) -> None:
    (folder / MANIFEST).write_text(content, encoding="utf-8")
    with pytest.raises(SequelaError, match="format = None"):
        read_artifact(folder)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"{", b"[" * 100_000], ids=["empty", "not UTF-8", "open", "deeply nested"]
)
def test_a_manifest_that_is_no_json_is_refused(content: bytes, folder: Path) -> None:
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(SequelaError, match="not JSON; the artifact is damaged"):
        read_artifact(folder)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_a_missing_file_is_refused(name: str, folder: Path) -> None:
    (folder / name).unlink()
    with pytest.raises(SequelaError, match=f"no {MANIFEST}" if name == MANIFEST else f"{WEIGHTS}: missing"):
        read_artifact(folder)


def test_missing_weights_that_the_manifest_does_not_name_are_refused(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    edit(folder, set_to("files", value={}))
    with pytest.raises(SequelaError, match=f"{WEIGHTS}: missing"):
        read_artifact(folder)


def test_no_folder_and_a_file_are_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(SequelaError, match=f"no {MANIFEST}; an artifact is a folder"):
        read_artifact(tmp_path / "nowhere")
    with pytest.raises(SequelaError, match=f"no {MANIFEST}; an artifact is a folder"):
        read_artifact(folder / WEIGHTS)


class Bomb:
    """Unpickling it leaves a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("name", ["model.pkl", "code/model.pt", "weights.safetensors.bak"])
def test_a_foreign_file_is_refused(name: str, folder: Path, tmp_path: Path) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(pickle.dumps(Bomb(tmp_path / "trace")))
    with pytest.raises(SequelaError, match=f"{name}: not named in {MANIFEST}; an artifact holds nothing else"):
        read_artifact(folder)
    assert not (tmp_path / "trace").exists()


def test_a_pickle_in_place_of_the_weights_is_refused(folder: Path, tmp_path: Path) -> None:
    """Even with the right sha256: nothing here unpickles."""
    bomb = pickle.dumps(Bomb(tmp_path / "trace"))
    (folder / WEIGHTS).write_bytes(bomb)
    edit(folder, set_to("files", WEIGHTS, value=sha256(bomb).hexdigest()))
    with pytest.raises(SequelaError, match="does not fit the weights"):
        read_artifact(folder)
    assert not (tmp_path / "trace").exists()
    pickle.loads(bomb)  # noqa: S301
    assert (tmp_path / "trace").exists(), "the bomb works: it was not set off above"


CHANGED_WEIGHTS = {
    "array gone": (lambda arrays: arrays.pop("predictor/0/beta"), "does not fit the weights"),
    "array of another shape": (
        lambda arrays: arrays.update({"predictor/0/beta": arrays["predictor/0/beta"][:, 1:]}),
        "does not fit the weights",
    ),
    "coefficients": (lambda arrays: arrays["predictor/0/beta"].__iadd__(0.5), "misses its own example"),
    "NaN": (lambda arrays: arrays["predictor/0/beta"].fill(np.nan), "does not fit the weights"),
    "components": (lambda arrays: arrays["encoder/components"].__imul__(3.0), "misses its own example"),
}


@pytest.mark.parametrize(("change", "message"), CHANGED_WEIGHTS.values(), ids=CHANGED_WEIGHTS)
def test_weights_changed_with_their_sha256_miss_the_example(
    change: Callable[[Content], object], message: str, folder: Path
) -> None:
    edit_weights(folder, change)
    with pytest.raises(SequelaError, match=message):
        read_artifact(folder)


def test_overwriting_replaces_everything(
    folder: Path, fitted: Callable[[str], FittedRiskModel], manifest_of: Callable[..., Any]
) -> None:
    (folder / "stray").write_text("left by somebody", encoding="utf-8")
    write_artifact(folder, *manifest_of(fitted("cox")))
    assert read_artifact(folder).model.predictor.kind == "cox"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_failing_to_write_leaves_the_former_artifact(
    folder: Path, fitted: Callable[[str], FittedRiskModel], manifest_of: Callable[..., Any]
) -> None:
    manifest, arrays = manifest_of(fitted("cox"))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_artifact(folder, manifest.model_copy(update={"metrics": {"brier": float("nan")}}), arrays)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name], "nothing half-written stays"


def test_failing_to_put_it_in_place_brings_the_former_artifact_back(
    folder: Path,
    fitted: Callable[[str], FittedRiskModel],
    manifest_of: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last rename fails, as on a full or read-only disk."""
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if target == folder and (self / MANIFEST).exists() and "former" not in str(self):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="No space left"):
        write_artifact(folder, *manifest_of(fitted("cox")))
    monkeypatch.undo()
    assert read_artifact(folder).model.predictor.kind == "mixture"
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_folder_that_is_no_artifact_is_not_replaced(
    tmp_path: Path, fitted: Callable[[str], FittedRiskModel], manifest_of: Callable[..., Any]
) -> None:
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter1.tex").write_text("years of work", encoding="utf-8")
    with pytest.raises(SequelaError, match="exists and is no artifact"):
        write_artifact(precious, *manifest_of(fitted("cox")))
    with pytest.raises(SequelaError, match="exists and is no artifact"):
        write_artifact(precious / "chapter1.tex", *manifest_of(fitted("cox")))
    assert (precious / "chapter1.tex").read_text(encoding="utf-8") == "years of work"
    (tmp_path / "empty").mkdir()
    write_artifact(tmp_path / "empty", *manifest_of(fitted("cox")))
    assert read_artifact(tmp_path / "empty").model.predictor.kind == "cox"


def test_a_read_artifact_can_be_written_again(folder: Path, tmp_path: Path) -> None:
    first = read_artifact(folder)
    write_artifact(tmp_path / "copy", first.manifest, artifact_module.model_block(first.model)[1])
    assert read_artifact(tmp_path / "copy").manifest == first.manifest


@pytest.mark.parametrize("version", ["v1"])
def test_released_formats_are_read_for_ever(version: str) -> None:
    artifact = read_artifact(GOLDEN / version)
    example = artifact.manifest.example
    answer = answer_example(artifact.model, example.patient, example.times_days)
    np.testing.assert_allclose(answer, example.incidence, atol=1e-6)
    assert artifact.model.predictor.kind == "mixture"
    kinds = [member.kind for member in artifact.model.predictor.members]  # type: ignore[attr-defined]
    assert kinds == ["aalen_johansen", "cox", "network"]
    assert artifact.model.encoder.samples is not None
    assert sum(path.stat().st_size for path in (GOLDEN / version).iterdir()) < 100_000


def test_the_format_of_today_has_its_golden_artifact() -> None:
    number = FORMAT.removeprefix("sequela-artifact/")
    assert (GOLDEN / f"v{number}" / MANIFEST).is_file(), "a new format needs an artifact in tests/golden/artifacts"
