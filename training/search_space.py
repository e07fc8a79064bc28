"""Settings of a model by dotted key: what tuning may change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from training.config import ModelConfig, SearchRange, TuningConfig

Setting = bool | int | float | str | None


class SettingsError(ValueError):
    """Settings that the model does not have, or does not allow, or not together."""


def with_settings(model: ModelConfig, settings: Mapping[str, Setting]) -> ModelConfig:
    """The model with other values at dotted keys; ``members.1.hidden`` is the second member's.

    Raises:
        SettingsError: There is no such key, or its value is not allowed.
    """
    content = model.model_dump(mode="json")
    for key, value in settings.items():
        *parents, last = key.split(".")
        block: Any = content
        for name in parents:
            block = _inside(block, name)
        if _inside(block, last) is _MISSING:
            msg = f"tuning.space.{key}: model {model.kind} has no such setting"
            raise SettingsError(msg)
        block[int(last) if isinstance(block, list) else last] = value
    try:
        changed: ModelConfig = TypeAdapter(ModelConfig).validate_python(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)[0]
        shown = ", ".join(f"{key}={value}" for key, value in settings.items())
        msg = f"tuning.space: {shown} is not allowed: {found['msg']}; narrow the space"
        raise SettingsError(msg) from error
    return changed


_MISSING = object()


def _inside(block: Any, name: str) -> Any:  # noqa: ANN401  (plain JSON)
    """What a mapping or a list holds under a name or number."""
    if isinstance(block, dict):
        return block.get(name, _MISSING)
    if isinstance(block, list) and name.isdigit() and int(name) < len(block):
        return block[int(name)]
    return _MISSING


def check_space(model: ModelConfig, tuning: TuningConfig) -> None:
    """Both ends of every range, and every choice, must be settings that the model knows and allows.

    Raises:
        SettingsError: One is not.
    """
    for key, where in tuning.space.items():
        for value in (where.low, where.high) if isinstance(where, SearchRange) else where:
            with_settings(model, {key: value})
