"""Models of other packages: entry points, looked up by kind when something asks for one, never before."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from features.errors import SequelaError
from training.models.predictor import Predictor

MODELS = "sequela.models"
"""Group of entry points that name `training.custom_models.CustomModel`s; used where models are fitted."""
PREDICTORS_GROUP = "sequela.predictors"
"""Group of entry points that name `Predictor` classes; all that a serving process needs."""


class UnknownKindError(SequelaError):
    """No installed package provides a kind of model."""


def kinds_provided(group: str) -> tuple[str, ...]:
    """Kinds that installed packages provide, in alphabetical order."""
    return tuple(sorted({point.name for point in entry_points(group=group)}))


def load_provided(group: str, kind: str) -> Any:  # noqa: ANN401  (whatever the package names; the caller checks it)
    """What an installed package names for a kind; None where none does.

    Raises:
        SequelaError: Two packages provide the kind, or what it names cannot be imported.
    """
    points = tuple(entry_points(group=group, name=kind))
    packages = sorted({_package(point) for point in points})
    if len(packages) > 1:
        msg = f"model.kind = {kind}: {' and '.join(packages)} both provide it; uninstall one"
        raise SequelaError(msg)
    if not points:
        return None
    try:
        return points[0].load()
    except Exception as error:  # whatever a foreign module raises
        msg = f"model.kind = {kind}: {packages[0]} provides it as {points[0].value}, which cannot be imported "
        msg += f"({type(error).__name__}: {error}); repair or reinstall that package"
        raise SequelaError(msg) from error


def requirement_of(kind: str) -> str:
    """The package and version that provide a kind, as pip writes them."""
    points = [point for point in entry_points(group=PREDICTORS_GROUP, name=kind) if point.dist is not None]
    return f"{points[0].dist.name}=={points[0].dist.version}" if points and points[0].dist else kind


def custom_predictor(kind: str) -> type[Predictor]:
    """The predictor class that an installed package provides for a kind.

    Raises:
        UnknownKindError: None does.
        SequelaError: Two do, or what it provides is no predictor of this kind.
    """
    found = load_provided(PREDICTORS_GROUP, kind)
    if found is None:
        msg = f"model.kind = {kind}: not known here; is the package that provides it installed ({PREDICTORS_GROUP})?"
        raise UnknownKindError(msg)
    if not isinstance(found, type) or getattr(found, "kind", None) != kind or not hasattr(found, "from_state"):
        msg = f"model.kind = {kind}: {PREDICTORS_GROUP} must name a Predictor class with kind = {kind!r}, not {found!r}"
        raise SequelaError(msg)
    return found


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value
