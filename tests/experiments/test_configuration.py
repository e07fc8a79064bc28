"""`sequela config`, `init` and `schema`: what they print is what Sequela reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from custom_package import KIND, install, path_without_it
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from experiments.cli.app import app
from experiments.commented import commented_yaml, plain_yaml
from experiments.config import RunConfig, load_run
from experiments.home import CONFIGS
from experiments.new_run import new_run_yaml
from experiments.schemas import KINDS, schema_here, schema_of, schema_text
from features.config import FeatureConfig
from features.errors import SequelaError
from features.landmark import Thresholds
from features.schema import Frozen
from training import config as blocks
from training.models.mixture import PREDICTORS

RUNS = sorted((CONFIGS / "run").glob("*.yaml"))
SHIPPED = sorted(CONFIGS.rglob("*.yaml"))
overrides = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**40).map(str),
        "name": st.text(max_size=20).map(json.dumps),
        "trainer.gradient_clip_norm": st.floats(1e-300, 1e300).map(repr),
        "features.recent_days": st.floats(1e-5, 1e6).map(repr),
        "features.baseline": st.lists(st.text(max_size=5), max_size=3).map(json.dumps),
        "validation.folds": st.integers(2, 50).map(str),
    }
).map(lambda values: [f"{key}={value}" for key, value in values.items()])


def sequela(*words: str | Path) -> str:
    done = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


@settings(max_examples=25, deadline=None)
@given(path=st.sampled_from(RUNS), words=overrides)
def test_what_config_prints_is_the_same_run(
    path: Path, words: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = load_run(path, words)
    file = tmp_path_factory.getbasetemp() / "printed.yaml"
    for text in (plain_yaml(config.model_dump(mode="json")), commented_yaml(config)):
        file.write_text(text, encoding="utf-8")
        assert load_run(file).digest() == config.digest()


@pytest.mark.parametrize("options", [[], ["--comments"], ["--json"]], ids=["plain", "comments", "json"])
def test_config_resolves_defaults_paths_and_overrides(options: list[str], tmp_path: Path) -> None:
    text = sequela("config", CONFIGS / "run" / "network.yaml", "--set", "model.members=8", *options)
    file = tmp_path / "again.yaml"  # JSON is YAML
    file.write_text(text, encoding="utf-8")
    content = yaml.safe_load(text)
    assert content["model"]["members"] == 8
    assert content["model"]["patience"] == 15
    assert Path(content["endpoint"]) == CONFIGS / "endpoint" / "severe_infection.yaml"
    assert load_run(file).digest() == load_run(CONFIGS / "run" / "network.yaml", ["model.members=8"]).digest()


@pytest.mark.parametrize("kind", sorted(PREDICTORS))
def test_init_writes_every_key_with_its_default(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    sequela("init", file, "--model", kind, "--cohort", tmp_path / "cohort")
    config, written = load_run(file), yaml.safe_load(file.read_text(encoding="utf-8"))
    assert (config.name, config.experiment, config.model.kind) == ("mine", "severe_infection", kind)
    assert config.features == FeatureConfig()
    assert set(written) == set(RunConfig.model_fields)
    assert set(written["model"]) == set(type(config.model).model_fields)
    schema = json.loads((CONFIGS / "schema" / "run.json").read_text(encoding="utf-8"))
    jsonschema.validate(written, schema)


def every_block(block: type[Frozen] = Frozen) -> Iterator[type[Frozen]]:
    """Blocks of a run's YAML, those of all models among them."""
    yield from (one for one in vars(blocks).values() if isinstance(one, type) and issubclass(one, Frozen))
    yield from (RunConfig, FeatureConfig, Thresholds, type(FeatureConfig().processing))


@pytest.mark.parametrize("block", sorted(set(every_block()) - {Frozen}, key=lambda b: b.__name__))
def test_every_key_says_what_it_means(block: type[Frozen]) -> None:
    silent = [name for name, field in block.model_fields.items() if name != "kind" and not field.description]
    assert silent == []


def test_comments_are_the_docstrings_and_limits_of_the_models() -> None:
    text = new_run_yaml("network", Path("cohorts/mine"), CONFIGS / "endpoint" / "aml.yaml", "mine", Path())
    assert "  # Bootstrap members, all trained in one batched program. [whole number ≥ 2]\n  members: 32\n" in text
    assert "[cross_validation | site | temporal]\n  scheme: cross_validation\n" in text
    assert "#   trials (default 20): Proposals beside the model as configured" in text
    assert all(
        len(line) < 125 for line in text.splitlines() if line.lstrip().startswith("# ") and "$schema" not in line
    )


def test_init_counts_paths_from_the_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    sequela("init", "runs/mine.yaml", "--cohort", "cohorts/mine")
    assert load_run(Path("runs/mine.yaml")).cohort == tmp_path / "cohorts" / "mine"
    assert yaml.safe_load(sequela("init", "--cohort", "cohorts/mine"))["cohort"] == "cohorts/mine"


def test_init_overwrites_nothing_and_names_the_nearest_kind(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("precious", encoding="utf-8")
    with pytest.raises(SequelaError, match=r"mine\.yaml: exists and is not overwritten"):
        sequela("init", file)
    assert file.read_text(encoding="utf-8") == "precious"
    with pytest.raises(SequelaError, match="Did you mean network"):
        sequela("init", tmp_path / "other.yaml", "--model", "networks")
    assert not (tmp_path / "other.yaml").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_the_schemas_that_are_kept_are_those_of_the_models(kind: str) -> None:
    kept = (CONFIGS / "schema" / f"{kind}.json").read_text(encoding="utf-8")
    assert kept == schema_text(schema_of(kind)), f"run `sequela schema {kind} > configs/schema/{kind}.json`"
    jsonschema.Draft202012Validator.check_schema(json.loads(kept))


def test_no_schema_is_kept_for_nothing() -> None:
    assert {path.stem for path in (CONFIGS / "schema").iterdir()} == set(KINDS)


def as_editors_read_it(path: Path) -> Any:
    """With keys that are text, as in JSON."""
    return json.loads(json.dumps(yaml.safe_load(path.read_text(encoding="utf-8"))))


def schema_named_in(path: Path) -> dict[str, Any]:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    found = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert found is not None, f"{path}: the first line names the schema"
    schema: dict[str, Any] = json.loads((path.parent / found[1]).read_text(encoding="utf-8"))
    return schema


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_file_that_ships_names_its_schema_and_keeps_it(path: Path) -> None:
    content, schema = as_editors_read_it(path), schema_named_in(path)
    jsonschema.validate(content, schema)
    with pytest.raises(jsonschema.ValidationError, match="misspelt"):
        jsonschema.validate(content | {"misspelt": 1}, schema)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": {"kind": "coxx"}},
        {"model": {"kind": "cox", "trees": 3}},
        {"model": {"kind": "network", "members": 1}},
        {"seed": -1},
        {"validation": {"scheme": "random"}},
    ],
    ids=str,
)
def test_an_editor_sees_what_train_would_refuse(wrong: dict[str, Any]) -> None:
    content = as_editors_read_it(CONFIGS / "run" / "cox.yaml")
    content.pop("name")  # the file's own name is taken
    jsonschema.validate(content, schema_of("run"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content | wrong, schema_of("run"))


def test_schema_knows_the_models_of_installed_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = as_editors_read_it(CONFIGS / "run" / "cox.yaml")
    member = {"kind": KIND, "penalty": 3.0}
    runs = [content | {"model": member}, content | {"model": {"kind": "mixture", "members": [member, member]}}]
    monkeypatch.setattr("sys.path", path_without_it())
    assert schema_here("run") == schema_of("run")
    monkeypatch.syspath_prepend(install(tmp_path / "site"))
    for run in runs:
        jsonschema.validate(run, json.loads(sequela("schema", "run")))
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(run, schema_of("run"))
    assert schema_here("endpoint") == schema_of("endpoint")
    text = sequela("init", "--model", KIND)
    assert "# Ridge penalty on the log likelihood. [number > 0]\n  penalty: 10.0" in text


def test_schema_lists_its_kinds_and_names_the_nearest() -> None:
    assert sequela("schema").split() == list(KINDS)
    with pytest.raises(SequelaError, match="did you mean endpoint"):
        sequela("schema", "endpoints")
