"""YAML files and the pydantic models they must satisfy: every problem named, none a traceback."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from features.errors import SequelaError

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a document."""

    key: str | None
    """Dotted path of the key, e.g. ``variables.ferritin.unit``; None for the whole file."""
    rule: str
    remedy: str

    def __str__(self) -> str:
        place = f"{self.key}: " if self.key else ""
        return f"{place}{self.rule} {self.remedy}"


class DocumentError(SequelaError):
    """A YAML file that cannot be used.

    Args:
        file: The file, as the user names it.
        problems: All that is wrong in it.
        readable: Whether it is YAML at all.
    """

    def __init__(self, file: str, problems: Iterable[Problem], *, readable: bool) -> None:
        self.problems = tuple(problems)
        self.readable = readable
        super().__init__("\n".join(f"{file}: {problem}" for problem in self.problems))


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe loader, which refuses a key given twice (YAML 1.2.2 §3.2.1.3) instead of keeping the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        """Build a mapping from a node."""
        seen: set[object] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                context, problem = "while reading a mapping", f"found the key {key!r} twice"
                raise yaml.constructor.ConstructorError(context, node.start_mark, problem, key_node.start_mark)
            seen.add(key if isinstance(key, Hashable) else None)
        return super().construct_mapping(node, deep)


def read_document(path: Path, model: type[Model]) -> Model:
    """Read a YAML file as a pydantic model.

    Raises:
        DocumentError: The file cannot be read, is not YAML, or breaks a rule of the model.
    """
    return validate(load_mapping(path), model, path.name)


def validate(content: dict[str, Any], model: type[Model], file: str) -> Model:
    """Build a pydantic model from the content of a YAML file.

    Raises:
        DocumentError: The content breaks a rule of the model; every key concerned is named, with the nearest valid one.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = [_problem(model, dict(item)) for item in error.errors(include_url=False, include_input=False)]
        raise DocumentError(file, problems, readable=True) from None


def load_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds ``key: value`` lines.

    Raises:
        DocumentError: The file cannot be read, is not YAML, or holds something else.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        content = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - derived from the safe loader
    except OSError as error:
        problem = Problem(None, f"the file cannot be read ({error.strerror}).", "Check the path and its permissions.")
        raise DocumentError(str(path), [problem], readable=False) from None
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError) as error:
        problem = Problem(None, f"the file is not valid YAML ({_where(error)}).", "Correct it at that place.")
        raise DocumentError(path.name, [problem], readable=False) from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        problem = Problem(None, "the file must be a mapping of `key: value` lines.", "See the reference of its keys.")
        raise DocumentError(path.name, [problem], readable=False)
    return content


def _where(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    return " ".join(str(error).split())[:120] or type(error).__name__


def _problem(model: type[BaseModel], item: dict[str, Any]) -> Problem:
    location = [str(part) for part in item["loc"]]
    key = ".".join(location) or None
    rule = str(item["msg"]).removeprefix("Value error, ")
    rule = rule[0].upper() + rule[1:] + "."
    if item["type"] == "extra_forbidden":
        valid = sorted(_keys_at(model, item["loc"][:-1]))
        return Problem(key, "No such key.", nearest(location[-1], valid))
    if item["type"] == "missing":
        return Problem(key, "The key is missing.", "Add it.")
    if item["type"] == "string_type":
        return Problem(key, rule, "Put the value in quotes: YAML reads bare yes, no, on, off and numbers otherwise.")
    return Problem(key, rule, "Correct the value.")


def nearest(word: str, valid: Sequence[str]) -> str:
    """The remedy for a misspelt key or name: the nearest valid one, else all of them."""
    found = get_close_matches(word, valid, n=1)
    if found:
        return f"Did you mean {found[0]}?"
    return f"Valid keys here: {', '.join(valid)}."


def _keys_at(model: type[BaseModel], location: Iterable[str | int]) -> set[str]:
    """Keys that a (nested) model takes, following fields, items of mappings and of sequences."""
    here: list[Any] = [model]
    for part in location:
        below: list[Any] = []
        for kind in here:
            if not _is_model(kind):
                below += _of_kind(get_args(kind), part)
            elif part in kind.model_fields:
                below.append(kind.model_fields[part].annotation)
        here = [member for kind in below for member in _members(kind)]
    return {key for kind in here if _is_model(kind) for key in kind.model_fields}


def _of_kind(options: tuple[Any, ...], part: str | int) -> list[Any]:
    """Of a union of blocks told apart by their `kind`, the one that is meant; else all options."""
    blocks = [block for option in options if _is_model(option) for block in (option, *option.__subclasses__())]
    meant = [block for block in blocks if "kind" in block.model_fields and block.model_fields["kind"].default == part]
    return meant or list(options)


def _members(annotation: Any) -> tuple[Any, ...]:  # noqa: ANN401 - annotations are of any kind
    """The members of an optional type, else the annotation itself, without what annotates it."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    members = get_args(annotation)
    return members if type(None) in members else (annotation,)


def _is_model(kind: Any) -> bool:  # noqa: ANN401 - annotations are of any kind
    return isinstance(kind, type) and issubclass(kind, BaseModel)
