"""A run's configuration: YAML and ``--set a.b=c`` in, one frozen model out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import ConfigDict, Field, model_validator

from features.config import FeatureConfig
from features.documents import load_mapping, validate
from features.errors import SequelaError
from features.schema import Frozen
from training.config import (
    AlertsConfig,
    CountsConfig,
    ModelConfig,
    StatesConfig,
    TrainerConfig,
    TuningConfig,
    ValidationConfig,
    has_network,
)
from training.search_space import check_space

Config = TypeVar("Config", bound=Frozen)


def name_may_be_absent(schema: dict[str, Any]) -> None:
    """In a file, whose own name is then taken."""
    schema["required"].remove("name")


class RunConfig(Frozen):
    """One run: which patients, which endpoint, which features, which model, how validated."""

    model_config = ConfigDict(json_schema_extra=name_may_be_absent)

    name: str
    """What people call the run."""
    experiment: str
    """Runs of one experiment are compared with one another."""
    cohort: Path
    """Cohort folder. A relative path in a YAML file counts from that file, in ``--set`` from the current folder."""
    endpoint: Path
    """Endpoint YAML; relative paths as for `cohort`."""
    also: tuple[Path, ...] = ()
    """YAMLs of other endpoints, whose events teach networks too; the run is scored and served for `endpoint` alone."""
    features: FeatureConfig = FeatureConfig()
    """Which features the model sees."""
    model: ModelConfig
    """Which model; its keys depend on `kind` (docs/explanation/models.md)."""
    trainer: TrainerConfig = TrainerConfig()
    """Where and how networks are trained; the same code on CPU and GPU."""
    validation: ValidationConfig = ValidationConfig()
    """How out-of-fold predictions are made; patients are kept whole."""
    tuning: TuningConfig | None = None
    """Settings of the model that are chosen in each training fold; absent: none."""
    states: StatesConfig | None = None
    """Models of transitions between states (event-free, complication, relapse, death), fitted on all patients of the
    first landmark and served with the model (docs/how-to/benefit_risk.md); absent: none."""
    alerts: AlertsConfig | None = None
    """An alert rule for patients who are watched, fixed and tried out of fold and served with the model
    (docs/how-to/monitoring.md); absent: none."""
    counts: CountsConfig | None = None
    """A model of how many events to expect, those that come back included, validated out of fold and served beside the
    risk of the first (docs/how-to/counts.md); ``{}``: with defaults; absent: none."""
    seed: int = Field(default=0, ge=0)
    """Of folds, initial weights, bags, batches and bootstraps."""

    @model_validator(mode="after")
    def _space_is_of_the_model(self) -> Self:
        if self.tuning is not None:
            check_space(self.model, self.tuning)
        return self

    @model_validator(mode="after")
    def _network_learns_from_others(self) -> Self:
        if self.also and not has_network(self.model):
            msg = f"also: model.kind {self.model.kind} learns from one endpoint; choose kind: network, or remove `also`"
            raise ValueError(msg)
        if len({*self.also, self.endpoint}) <= len(self.also):
            msg = "also: an endpoint is named twice, here or as `endpoint`; name each once"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _all_outcomes_are_exchanged(self) -> Self:
        if self.also and self.validation.permutations:
            msg = f"validation.permutations: {self.validation.permutations} would exchange the outcomes of one endpoint"
            raise ValueError(msg + " and leave those of `also` in place; set it to 0, or remove `also`")
        return self

    def digest(self) -> str:
        """sha256 of the resolved configuration; without optional blocks where there are none, as before."""
        absent = {name for name in ("states", "alerts", "counts") if getattr(self, name) is None}
        resolved = self.model_dump(mode="json", exclude=absent)
        return hashlib.sha256(json.dumps(resolved, sort_keys=True).encode()).hexdigest()


PATHS = ("cohort", "endpoint", "also", "features.processing.reference")
"""Keys that hold paths, or lists of them."""


def load_run(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run's YAML and apply overrides.

    Raises:
        SequelaError: The file cannot be read, or a key or value is wrong; names the key and the nearest valid one.
    """
    content = load_mapping(path)
    make_absolute(content, path.parent)
    for override in overrides:
        _apply(content, override)
    make_absolute(content, Path())
    content.setdefault("name", path.stem)
    return validate(content, RunConfig, path.name)


def with_overrides(config: Config, overrides: Sequence[str]) -> Config:
    """The same configuration with some keys set.

    Raises:
        SequelaError: A key or value is wrong; names the key and the nearest valid one.
    """
    content = config.model_dump(mode="json", exclude_defaults=True)
    for override in overrides:
        _apply(content, override)
    return validate(content, type(config), "--set")


def make_absolute(content: dict[str, Any], folder: Path) -> None:
    """Relative paths count from a folder."""
    for key in PATHS:
        *parents, last = key.split(".")
        block: Any = content
        for parent in parents:
            block = block.get(parent) if isinstance(block, dict) else None
        value = block.get(last) if isinstance(block, dict) else None
        if isinstance(value, str):
            block[last] = str((folder / value).resolve())
        elif isinstance(value, list):
            block[last] = [str((folder / one).resolve()) if isinstance(one, str) else one for one in value]
    for model in _in_context(content.get("model")):
        if isinstance(weights := model.get("weights"), str):
            model["weights"] = str((folder / weights).resolve())


def _in_context(block: object) -> Iterator[dict[str, Any]]:
    """The blocks of in-context models in a model's block, whose weights are a file."""
    if isinstance(block, dict):
        if block.get("kind") == "in_context":
            yield block
        for part in (block.get("model"), *(block["members"] if isinstance(block.get("members"), list) else ())):
            yield from _in_context(part)


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
    if isinstance(parsed, str) and value.strip()[:1] not in {'"', "'"}:
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
