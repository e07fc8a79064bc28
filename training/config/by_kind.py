"""A union of model blocks told apart by `kind`, among them those that other packages provide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Union, get_args

from pydantic import (
    BaseModel,
    Field,
    GetCoreSchemaHandler,
    SerializationInfo,
    ValidationError,
    ValidatorFunctionWrapHandler,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema  # deptry: ignore[DEP003]

from training.custom_models import CustomConfig, find_custom_model
from training.models.custom import MODELS, kinds_provided


@dataclass(frozen=True, slots=True)
class ByKind:
    """Annotation of a union of blocks with `CustomConfig` in it, in place of ``Field(discriminator="kind")``.

    Blocks of ours are told apart by pydantic. Any other kind is looked up among installed packages when it is met, so
    that reading a configuration costs nothing where none is used.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        """Ours by pydantic's own discriminated union, the others by `_custom`."""
        ours = {block.model_fields["kind"].default: block for block in get_args(source) if block is not CustomConfig}
        known = handler.generate_schema(Annotated[Union[tuple(ours.values())], Field(discriminator="kind")])  # noqa: UP007

        def validate(value: Any, ours_alone: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401
            kind = value.get("kind") if isinstance(value, Mapping) else None
            if isinstance(value, CustomConfig):
                return value
            return (
                _custom(kind, value, tuple(ours)) if isinstance(kind, str) and kind not in ours else ours_alone(value)
            )

        serialization = core_schema.wrap_serializer_function_ser_schema(_serialize, info_arg=True, schema=known)
        return core_schema.no_info_wrap_validator_function(validate, known, serialization=serialization)


def _custom(kind: str, value: Mapping[str, Any], ours: tuple[str, ...]) -> CustomConfig:
    """The block of another package's model; what is wrong in it is placed as in a block of ours."""
    found = find_custom_model(kind)
    if found is None:
        known = (*ours, *kinds_provided(MODELS))
        near = get_close_matches(kind, known, n=1)
        question = f"Did you mean {near[0]}? " if near else ""
        rule = "no model has the kind {kind}. {question}There are {known}; is the package that provides it installed?"
        context = {"kind": kind[:64], "question": question, "known": ", ".join(known)}
        raise PydanticCustomError("unknown_kind", rule, context)
    try:
        return found.config.model_validate(value)
    except ValidationError as error:
        details = [
            InitErrorDetails(type=one["type"], loc=(kind, *one["loc"]), input=one["input"], ctx=one.get("ctx", {}))
            for one in error.errors(include_url=False)
        ]
        raise ValidationError.from_exception_data(error.title, details) from None


def _serialize(value: BaseModel, ours: core_schema.SerializerFunctionWrapHandler, info: SerializationInfo) -> Any:  # noqa: ANN401
    if isinstance(value, CustomConfig):
        return value.model_dump(
            mode=info.mode, exclude_defaults=info.exclude_defaults, exclude_unset=info.exclude_unset
        )
    return ours(value)
