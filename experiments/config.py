"""A run's configuration: YAML and ``--set a.b=c`` in, one frozen model out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from features.encoder import FeatureConfig
from features.errors import SequelaError
from features.schema import Endpoint, Frozen
from training.config import ModelConfig, TrainerConfig, ValidationConfig

Model = TypeVar("Model", bound=BaseModel)


class RunConfig(Frozen):
    """One run: which patients, which endpoint, which features, which model, how validated."""

    name: str
    """What people call the run."""
    experiment: str
    """Runs of one experiment are compared with one another."""
    cohort: Path
    """Cohort folder. A relative path in a YAML file counts from that file, in ``--set`` from the current folder."""
    endpoint: Path
    """Endpoint YAML; relative paths as for `cohort`."""
    features: FeatureConfig = FeatureConfig()
    model: ModelConfig
    trainer: TrainerConfig = TrainerConfig()
    validation: ValidationConfig = ValidationConfig()
    seed: int = Field(default=0, ge=0)
    """Of folds, initial weights, bags, batches and bootstraps."""

    def digest(self) -> str:
        """sha256 of the resolved configuration."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


PATHS = ("cohort", "endpoint")


def load_run(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run's YAML and apply overrides.

    Raises:
        SequelaError: The file cannot be read, or a key or value is wrong; names the key and the nearest valid one.
    """
    content = load_yaml(path)
    for key in PATHS:
        if isinstance(content.get(key), str):
            content[key] = str((path.parent / content[key]).resolve())
    for override in overrides:
        _apply(content, override)
    for key in PATHS:
        if isinstance(content.get(key), str):
            content[key] = str(Path(content[key]).resolve())
    content.setdefault("name", path.stem)
    return validate(RunConfig, content, str(path))


def load_endpoint(path: Path) -> Endpoint:
    """Read an endpoint's YAML.

    Raises:
        SequelaError: As `load_run`.
    """
    return validate(Endpoint, load_yaml(path), str(path))


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        SequelaError: It is absent, not YAML, or no mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        msg = f"{path}: no such file"
        raise SequelaError(msg) from error
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        msg = f"{path}: not YAML: {' '.join(str(error).split())}"
        raise SequelaError(msg) from error
    if not isinstance(content, dict):
        msg = f"{path}: must hold keys and values"
        raise SequelaError(msg)
    return content


def _apply(content: dict[str, Any], override: str) -> None:
    """Set one dotted key, e.g. ``model.learning_rate=1e-3``; the value is YAML."""
    key, separator, value = override.partition("=")
    if not separator or not key:
        msg = f"--set {override}: must read key=value, e.g. --set validation.folds=10"
        raise SequelaError(msg)
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        msg = f"--set {override}: the value is not YAML"
        raise SequelaError(msg) from error
    if isinstance(parsed, str):
        with suppress(ValueError):  # YAML 1.1 reads 1e-3 as text
            parsed = float(parsed)
    *parents, last = key.split(".")
    block = content
    for parent in parents:
        block = block.setdefault(parent, {})
        if not isinstance(block, dict):
            msg = f"--set {override}: {parent} holds a value, not a block"
            raise SequelaError(msg)
    block[last] = parsed


def validate(model: type[Model], content: Mapping[str, Any], place: str) -> Model:
    """Build a model from plain values.

    Raises:
        SequelaError: One line for each wrong key: place, key, rule, and the nearest valid key.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        faults = [_explain(model, fault["loc"], fault["type"], fault["msg"]) for fault in error.errors()]
        raise SequelaError("\n".join(f"{place}: {fault}" for fault in faults)) from error


def _explain(model: type[BaseModel], location: Sequence[int | str], kind: str, message: str) -> str:
    key = ".".join(map(str, location))
    if kind != "extra_forbidden":
        return f"{key}: {message}"
    nearest = get_close_matches(str(location[-1]), _all_keys(model), n=1)
    return f"{key}: no such key" + (f"; did you mean {nearest[0]}?" if nearest else "")


def _all_keys(model: type[BaseModel]) -> list[str]:
    """Every key that occurs anywhere in a model."""
    schema = model.model_json_schema()
    blocks = [schema, *schema.get("$defs", {}).values()]
    return sorted({key for block in blocks for key in block.get("properties", {})})
