"""A sweep's configuration: a base run, the space around it, and what is looked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import ConfigDict, Field, field_validator, model_validator

from experiments.config import RunConfig, load_run
from features.documents import nearest, read_document
from features.schema import Frozen

Metric = Literal["ibs", "ipa", "c"]


def _short_forms(schema: dict[str, Any]) -> None:
    """What a file may hold in place of a whole block: a list, or named choices."""
    whole = dict(schema)
    schema.clear()
    schema["anyOf"] = [whole, {"type": "array"}, {"type": "object"}]


class Parameter(Frozen):
    """What one key of the run may be: a range, or choices.

    ``[a, b]`` is short for ``{choices: [a, b]}``, and a mapping with other keys than those below for named choices.
    """

    model_config = ConfigDict(json_schema_extra=_short_forms)

    low: int | float | None = None
    high: int | float | None = None
    """Ends of a range; whole numbers where both ends are."""
    log: bool = False
    """Whether to search evenly on the logarithmic scale."""
    choices: Annotated[dict[str, Any], Field(min_length=1)] | None = None
    """By name; a choice may be a whole block. Those of a list are named by what they say."""
    when: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Only with these choices of other parameters: ``{model: cox}``, or ``{model: [cox, mixture]}``."""

    @model_validator(mode="before")
    @classmethod
    def _written_out(cls, given: Any) -> Any:  # noqa: ANN401  (as YAML gives it)
        if isinstance(given, list) or (isinstance(given, dict) and not set(given) & set(cls.model_fields)):
            return {"choices": given}
        return given

    @field_validator("choices", mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:  # noqa: ANN401
        if not isinstance(given, list):
            return {name_of(key): value for key, value in given.items()} if isinstance(given, dict) else given
        names = [name_of(value) for value in given]
        if len(set(names)) != len(names):
            msg = f"a choice is given twice among {', '.join(names)}; give each once"
            raise ValueError(msg)
        return dict(zip(names, given, strict=True))

    @field_validator("when", mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:  # noqa: ANN401
        if not isinstance(given, dict):
            return given
        return {
            name_of(key): tuple(map(name_of, value if isinstance(value, list) else [value]))
            for key, value in given.items()
        }

    @model_validator(mode="after")
    def _range_or_choices(self) -> Self:
        ends = self.low, self.high
        if (self.choices is None) == (None in ends) or (self.choices is not None and ends != (None, None)):
            msg = "a parameter is a range {low: …, high: …}, or choices; give one of them"
            raise ValueError(msg)
        if self.low is not None and self.high is not None and (self.low >= self.high or (self.log and self.low <= 0)):
            msg = f"low: {self.low} must lie below high: {self.high}, and above 0 on the logarithmic scale"
            raise ValueError(msg)
        return self

    @property
    def values(self) -> tuple[str | int | float, ...]:
        """Names of the choices, or the two ends of the range."""
        ends = [end for end in (self.low, self.high) if end is not None]
        return tuple(self.choices or ends)


def name_of(value: object) -> str:
    """What a choice is called that has no name: its YAML on one line."""
    if isinstance(value, str):
        return value
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return text.removesuffix("...\n").strip()


class Objective(Frozen):
    """The one number by which trials are ranked: out of fold, mean over landmarks."""

    metric: Metric = "ibs"
    """Integrated Brier score (the lower the better), IPA or concordance (the higher)."""
    cause: str | None = None
    """Whose; absent: the event of interest."""
    landmark_days: Annotated[tuple[float, ...], Field(min_length=1)] | None = None
    """Landmarks that are scored; absent: all of the endpoint."""

    @property
    def maximised(self) -> bool:
        """Whether more is better."""
        return self.metric != "ibs"


class SweepConfig(Frozen):
    """SWEEP.yaml."""

    name: Annotated[str, Field(pattern=r"^[\w.-]{1,100}$")]
    """Of the study: whoever starts a sweep of this name on the same storage joins it."""
    run: Path
    """The run around which is searched; a relative path counts from this file."""
    overrides: tuple[str, ...] = ()
    """Of the run, as after ``--set``: ``cohort=…``, ``validation.folds=10``."""
    space: Annotated[dict[str, Parameter], Field(min_length=1)]
    """By dotted key of the run; ``endpoint.landmark_days`` and the like reach into the endpoint's file."""
    objective: Objective = Objective()
    trials: Annotated[int, Field(ge=1)] | None = None
    """How many; absent with ``sampler: grid``: every combination."""
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    """Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), at random, or every combination."""
    pruner: Literal["none", "median"] = "none"
    """Whether a trial is stopped after a fold when it is worse than the median of the others at that fold."""
    seed: int = Field(default=0, ge=0)
    """Of the proposals; folds and fits have the run's."""

    @model_validator(mode="after")
    def _conditions_are_known(self) -> Self:
        for key, parameter in self.space.items():
            for other, names in parameter.when.items():
                if other not in self.space or other == key:
                    raise ValueError(
                        f"space.{key}.when: {other} is no other parameter. {nearest(other, [*self.space])}"
                    )
                known = self.space[other].choices or {}
                for name in names:
                    if name not in known:
                        msg = f"space.{key}.when: {other} has no choice {name}. {nearest(name, [*known])}"
                        raise ValueError(msg)
        if len(in_order(self.space)) < len(self.space):
            msg = "space: conditions (`when`) go round in a circle; remove one"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _number_of_trials(self) -> Self:
        if self.sampler == "grid":
            ranges = [key for key, parameter in self.space.items() if parameter.choices is None]
            if ranges:
                msg = f"sampler: grid needs choices, and space.{ranges[0]} is a range; list its values, or use tpe"
                raise ValueError(msg)
        elif self.trials is None:
            msg = f"trials: the key is missing; sampler {self.sampler} needs to know how many"
            raise ValueError(msg)
        return self


def in_order(space: Mapping[str, Parameter]) -> list[str]:
    """Keys, each after those that its conditions name; keys of a circle are left out."""
    order: list[str] = []
    while ready := [key for key in space if key not in order and set(space[key].when) <= set(order)]:
        order += ready
    return order


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep with its base run."""

    config: SweepConfig
    base: RunConfig
    folder: Path
    """Of SWEEP.yaml, from which paths among the choices count."""


def load_sweep(path: Path, overrides: Sequence[str] = (), **changes: str | int | None) -> Sweep:
    """Read a sweep's YAML and its base run.

    Args:
        path: SWEEP.yaml.
        overrides: Of the run, after those of the file.
        changes: Other values of the sweep's own keys; None: as in the file.

    Raises:
        SequelaError: A file cannot be read, or a key or value is wrong; names the key and the nearest valid one.
    """
    config = read_document(path, SweepConfig)
    config = config.model_copy(update={key: value for key, value in changes.items() if value is not None})
    base = load_run(path.parent / config.run, [*_from(path.parent, config.overrides), *overrides])
    return Sweep(config, base, path.parent.resolve())


PATH_KEYS = ("cohort", "endpoint")


def _from(folder: Path, overrides: Sequence[str]) -> Iterator[str]:
    """Overrides whose relative paths count from the sweep's file."""
    for override in overrides:
        key, _, value = override.partition("=")
        yield f"{key}={(folder / value).resolve()}" if key in PATH_KEYS and value else override
