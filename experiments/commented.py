"""Configurations as YAML in which every key says what it means, taken from the pydantic models themselves."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import yaml

from features.schema import Frozen

WIDTH = 110
SIMPLE = {"null": "null", "integer": "whole number", "number": "number", "string": "text"}
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def plain_yaml(content: object) -> str:
    """Plain values as YAML in the order given, as run.yaml holds them."""
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)
    return text


def commented_yaml(config: Frozen) -> str:
    """A configuration as YAML, its docstrings and limits as comments; reads back as the same configuration."""
    return "\n".join(_lines(config)) + "\n"


def _lines(config: Frozen) -> Iterator[str]:
    """Every key of a block, and of the blocks in it, indented."""
    properties = type(config).model_json_schema()["properties"]
    content = config.model_dump(mode="json")
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        said = field.description or (_about(type(value)) if isinstance(value, Frozen) else "")
        yield from _comment(said, "" if "const" in properties[name] else _allowed(properties[name]))
        if isinstance(value, Frozen):
            yield f"{name}:"
            yield from (f"  {line}" if line else "" for line in _lines(value))
            yield ""
        else:
            if value is None:
                yield from _keys_of_absent(field.annotation)
            yield f"{name}: {_flow(content[name])}"


def _comment(said: str, allowed: str) -> Iterator[str]:
    lines = [line for part in said.split("\n\n") for line in textwrap.wrap(" ".join(part.split()), WIDTH)]
    if allowed:
        last = f"{lines.pop() if lines else ''} [{allowed}]".strip()
        lines += [last] if len(last) <= WIDTH else [last.removesuffix(f" [{allowed}]"), f"[{allowed}]"]
    yield from (f"# {line}" for line in lines)


def _about(block: type[Frozen]) -> str:
    return (block.__doc__ or "").strip()


def _keys_of_absent(annotation: Any) -> Iterator[str]:  # noqa: ANN401 - annotations are of any kind
    """The keys of a block that may be left out, and is."""
    for option in get_args(annotation):
        if isinstance(option, type) and issubclass(option, Frozen):
            yield "# Its keys, where it is given:"
            for name, field in option.model_fields.items():
                default = "" if field.is_required() else f" (default {_flow(field.default)})"
                yield from (f"#   {line}" for line in textwrap.wrap(f"{name}{default}: {field.description}", WIDTH - 2))


def _allowed(schema: Mapping[str, Any]) -> str:
    """What a key may hold, where that is a choice or has limits."""
    if "anyOf" in schema:
        limits = [_allowed(option) for option in schema["anyOf"]]
        named = [
            limit or SIMPLE.get(option.get("type"), "") for limit, option in zip(limits, schema["anyOf"], strict=True)
        ]
        return " | ".join(named) if any(limits) and all(named) else ""
    if "enum" in schema or "const" in schema:
        return " | ".join(map(_flow, schema.get("enum", [schema.get("const")])))
    if schema.get("type") == "boolean":
        return "true | false"
    bounds = [f"{sign} {schema[key]:g}" for key, sign in BOUNDS.items() if key in schema]
    number = "whole number" if schema.get("type") == "integer" else "number"
    return f"{number} {', '.join(bounds)}" if bounds else ""


def _flow(value: object) -> str:
    """A plain value in one line of YAML."""
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=float("inf"))
    return text.removesuffix("...\n").strip()
