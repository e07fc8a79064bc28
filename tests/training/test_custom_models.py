"""Models of other packages: the package of docs/how-to/custom_models.md, found through its entry points."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from custom_package import KIND, install, path_without_it
from pydantic import TypeAdapter, ValidationError

from features.documents import validate
from features.errors import SequelaError
from features.schema import Frozen
from training.artifact.folder import read_artifact, write_artifact
from training.config import MixtureConfig, ModelConfig, RecalibratedConfig, custom_requirements
from training.models.custom import UnknownKindError
from training.models.mixture import Mixture, rebuild
from training.models.risk_model import FittedRiskModel
from training.search_space import with_settings

MODEL: TypeAdapter[ModelConfig] = TypeAdapter(ModelConfig)
REPOSITORY = Path(__file__).resolve().parents[2]


class Run(Frozen):
    model: ModelConfig


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with the package, to be spoilt; its modules are imported afresh."""
    for name in [name for name in sys.modules if name.split(".")[0] == KIND]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", path_without_it())
    monkeypatch.syspath_prepend(install(tmp_path / "mine"))
    return tmp_path / "mine"


@pytest.mark.usefixtures("package")
def test_its_block_is_read_written_and_nested_like_ours() -> None:
    content = {"kind": "mixture", "members": [{"kind": "cox"}, {"kind": KIND, "penalty": 3.0}]}
    for model in (MODEL.validate_python(content), MODEL.validate_python({"kind": "recalibrated", "model": content})):
        written = model.model_dump(mode="json")
        assert MODEL.validate_python(written) == model
        assert custom_requirements(model) == ["constant-hazards==0.1.0"]
    taught = {"kind": "recalibrated", "model": {"kind": "distilled", "model": content}}
    assert custom_requirements(MODEL.validate_python(taught)) == [], "a teacher is left behind"
    assert isinstance(model, RecalibratedConfig)
    assert isinstance(model.model, MixtureConfig)
    assert model.model.model_dump(mode="json")["members"][1] == {"kind": KIND, "penalty": 3.0}
    changed = with_settings(model.model, {"members.1.penalty": 5.0})
    assert changed.model_dump(mode="json")["members"][1]["penalty"] == 5.0


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        pytest.param(
            {"kind": KIND, "penalti": 1}, rf"model\.{KIND}\.penalti: .*Did you mean penalty", id="misspelt-key"
        ),
        pytest.param({"kind": KIND, "penalty": 0}, rf"model\.{KIND}\.penalty: .*greater than 0", id="out-of-range"),
        pytest.param({"kind": "constant_hazard"}, f"Did you mean {KIND}", id="nearest-is-the-package's"),
        pytest.param({"kind": "coxx"}, "Did you mean cox.*package that provides it installed", id="nearest-is-ours"),
        pytest.param(
            {"kind": "mixture", "members": [{"kind": "cox", "trees": 3}, {"kind": "cox"}]},
            r"cox\.trees: No such key. Valid keys here: kind, l1_ratio, penalty, penalty_rule\.",
            id="key-of-another-kind",
        ),
    ],
)
def test_what_is_wrong_in_a_block_is_named(model: dict[str, Any], message: str) -> None:
    with pytest.raises(SequelaError, match=message):
        validate({"model": model}, Run, "run.yaml")


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        pytest.param("model.py", "import numpy as np", "import nowhere", "constant-hazards provides it", id="broken"),
        pytest.param("model.py", "MODEL = Custom", "MODEL = str  # ", "must name a CustomModel", id="no-model"),
        pytest.param("model.py", '"constant_hazards"', '"other"', "must name a CustomModel", id="other-kind"),
    ],
)
def test_a_broken_package_is_named(package: Path, file: str, old: str, new: str, message: str) -> None:
    path = package / KIND / file
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(SequelaError, match=message):
        MODEL.validate_python({"kind": KIND})


def test_two_packages_with_one_kind_are_refused(package: Path) -> None:
    (found,) = package.glob("*.dist-info")
    second = Path(shutil.copytree(found, package / "other-1.dist-info"))
    (second / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    with pytest.raises(SequelaError, match="constant-hazards and other both provide it"):
        MODEL.validate_python({"kind": KIND})


def test_an_artifact_is_read_where_the_package_is_installed_and_nowhere_else(
    fitted: Callable[[str], FittedRiskModel],
    manifest_of: Callable[..., Any],
    ward: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = fitted(KIND)
    mixture = FittedRiskModel(model.encoder, Mixture([model.predictor, fitted("cox").predictor], (1, 1)), model.causes)
    for name, one in (("alone", model), ("member", mixture)):
        write_artifact(tmp_path / name, *manifest_of(one))
        read, patients, times = read_artifact(tmp_path / name).model, ward(4, 8).patients(), np.array([90.0, 365.0])
        np.testing.assert_array_equal(
            read.predict_incidence(patients, times).values, one.predict_incidence(patients, times).values
        )
    monkeypatch.setattr(sys, "path", path_without_it())
    with pytest.raises(UnknownKindError):
        rebuild(KIND, {}, {})
    for name in ("alone", "member"):
        with pytest.raises(SequelaError, match=rf"{name}.*{KIND}.*is the package that provides it installed"):
            read_artifact(tmp_path / name)
    with pytest.raises(ValidationError, match="is the package that provides it installed"):
        MODEL.validate_python({"kind": KIND})


def test_a_process_that_serves_reads_it_without_what_trains(
    fitted: Callable[[str], FittedRiskModel], manifest_of: Callable[..., Any], tmp_path: Path
) -> None:
    write_artifact(tmp_path / "artifact", *manifest_of(fitted(KIND)))
    code = (
        f"import sys; from pathlib import Path; from training.artifact.folder import read_artifact;"
        f"print(read_artifact(Path({str(tmp_path / 'artifact')!r})).model.predictor.kind);"
        "print([m for m in ('constant_hazards.model', 'training.config', 'training.fit') if m in sys.modules])"
    )
    path = os.pathsep.join([str(REPOSITORY), str(install(tmp_path / "site"))])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split("\n")[:2] == [KIND, "[]"], done.stderr
