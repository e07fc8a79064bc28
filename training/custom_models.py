"""What another package provides so that its model is configured and fitted like ours (docs/how-to/custom_models.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from features.errors import SequelaError
from features.schema import Frozen
from training.models.custom import MODELS, custom_predictor, load_provided

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from features.outcomes import Outcomes
    from training.config.trainer import TrainerConfig
    from training.loops.stopping import EpochListener
    from training.models.predictor import Predictor


class CustomConfig(Frozen):
    """Base of the `model` block of a run whose model another package provides."""

    kind: str
    """Its name; a subclass says ``kind: Literal["mine"] = "mine"``."""


class Fit(Protocol):
    """Fits a predictor; the signature of our own fits."""

    def __call__(
        self,
        x: NDArray[np.float64],
        outcomes: Outcomes,
        patient_id: NDArray[np.object_],
        model: Any,  # noqa: ANN401  (the package's own subclass of CustomConfig)
        trainer: TrainerConfig,
        /,
        *,
        seed: int,
        listener: EpochListener | None = None,
        checkpoint: Path | None = None,
    ) -> Predictor:
        """Fit to encoded patients.

        Args:
            x: (rows, features), complete and standardised; the landmark day is a feature where there are several.
            outcomes: Of the rows, from each one's landmark; observation may begin late (`entry_days`).
            patient_id: (rows,): several landmarks of a patient are several rows, to be kept together.
            model: The model's block of the run.
            trainer: Where a network trains.
            seed: Of everything random.
            listener: Called with (epoch, loss, out-of-bag loss), where there are epochs.
            checkpoint: File in which an unfinished fit may keep how far it is.
        """
        ...


@dataclass(frozen=True, slots=True)
class CustomModel:
    """What an entry point of the group ``sequela.models`` names; the entry point's own name is the kind."""

    config: type[CustomConfig]
    fit: Fit


def find_custom_model(kind: str) -> CustomModel | None:
    """The model that an installed package provides for a kind; None where none does.

    Raises:
        SequelaError: Two do; or it cannot be imported, is no `CustomModel` of this kind, or has no predictor.
    """
    found = load_provided(MODELS, kind)
    if found is None:
        return None
    if not isinstance(found, CustomModel) or found.config.model_fields["kind"].default != kind:
        msg = (
            f"model.kind = {kind}: {MODELS} must name a CustomModel whose config has kind: Literal[{kind!r}] = {kind!r}"
        )
        raise SequelaError(msg)
    return found


def custom_fit(kind: str) -> Fit:
    """How the model of another package is fitted; that its predictor can be read again is made sure of first.

    Raises:
        SequelaError: The package, or a part of it, is not there.
    """
    custom_predictor(kind)
    found = find_custom_model(kind)
    if found is None:
        msg = f"model.kind = {kind}: the package that provides it is gone; install it again"
        raise SequelaError(msg)
    return found.fit
